"""Telegram Bot API. Its webhook brings updates, never receipts."""

from cascade.channels.http import HttpTransport
from cascade.channels.telegram_bot import TelegramBot
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.telegram_bot import chat_id_of

from .case import LINK, NO_CALLBACKS, NO_RECEIPTS, Case, Refusal

TOKEN = "123456:telegram-secret"

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
    has_no=NO_RECEIPTS
    | NO_CALLBACKS
    | {"revoked": "it is not asked to delete", "answered": "updates are not heard yet"},
    sandbox={"telegram_tokens": (TOKEN,)},
    address=chat_id_of,
)
