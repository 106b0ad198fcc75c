"""Telegram Bot API. Its webhook brings updates, never receipts."""

from dataclasses import replace

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.telegram_bot import TelegramBot
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.telegram_bot import chat_id_of

from .case import LINK, NO_RECEIPTS, Case, Refusal, with_header, without
from .stage import Stage

TOKEN = "123456:telegram-secret"

SECRET = "x-telegram-bot-api-secret-token"
BOT = TelegramBot(Secret(TOKEN))


def signed(call: Callback, body: bytes) -> Callback:
    return with_header(replace(call, body=body), SECRET, BOT.webhook_secret)


async def set_webhook(stage: Stage) -> None:
    assert isinstance(stage.transport, HttpTransport)
    adapter = stage.transport.adapter
    assert isinstance(adapter, TelegramBot)
    answer = await stage.transport.fetch(adapter.set_webhook(stage.twins.callback_url))
    assert adapter.webhook_refusal(answer) is None


CASE = Case(
    kind="telegram_bot",
    transport=lambda twins: HttpTransport(TelegramBot(Secret(TOKEN), twins.url), LINK),
    refusals={
        "rejects": Refusal(Reason.INVALID_CONTENT),
        "blocked": Refusal(Reason.BLOCKED),
        "absent": Refusal(Reason.UNKNOWN_RECIPIENT),
    },
    secrets=(TOKEN,),
    credential={"token": Secret("123456:stranger-secret")},
    has_no=NO_RECEIPTS | {"revoked": "it is not asked to delete", "replayed": "the secret has no age"},
    sandbox={"telegram_tokens": (TOKEN,)},
    address=chat_id_of,
    prepare=set_webhook,
    signed=signed,
    forged=lambda call: {
        "no secret": without(call, SECRET),
        "another secret": with_header(call, SECRET, "a guess"),
        "a secret of no letters that we know": with_header(call, SECRET, "é" * 8),
    },
)
