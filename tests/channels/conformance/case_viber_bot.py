"""Viber REST Bot API: signs its callbacks over the raw body, without an age."""

import hashlib
import hmac
from dataclasses import replace

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.viber_bot import ViberBot
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.viber_bot import user_id_of

from .case import LINK, Case, Refusal, with_header, without
from .stage import Stage

TOKEN = "44dafb7e0f40021e-viber-secret"
SIGNATURE = "x-viber-content-signature"


def signed(call: Callback, body: bytes, token: str = TOKEN) -> Callback:
    signature = hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
    return with_header(replace(call, body=body), SIGNATURE, signature)


async def set_webhook(stage: Stage) -> None:
    assert isinstance(stage.transport, HttpTransport)
    adapter = stage.transport.adapter
    assert isinstance(adapter, ViberBot)
    answer = await stage.transport.fetch(adapter.set_webhook(stage.twins.callback_url))
    assert adapter.webhook_refusal(answer) is None


CASE = Case(
    kind="viber_bot",
    transport=lambda twins: HttpTransport(ViberBot(Secret(TOKEN), twins.url), LINK),
    refusals={
        "rejects": Refusal(Reason.INVALID_CONTENT),
        "blocked": Refusal(Reason.NOT_SUBSCRIBED),
        "absent": Refusal(Reason.UNKNOWN_RECIPIENT),
    },
    secrets=(TOKEN,),
    credential={"token": Secret("44dafb7e0f40021e-stranger-secret")},
    has_no={
        "revoked": "Viber takes nothing back",
        "replayed": "the signature has no age",
    },
    sandbox={"viber_tokens": (TOKEN,)},
    address=user_id_of,
    prepare=set_webhook,
    signed=signed,
    forged=lambda call: {
        "no signature": without(call, SIGNATURE),
        "another body": replace(call, body=call.body.replace(b"delivered", b"seen")),
        "another secret": signed(call, call.body, "a guess"),
        "a signature of no letters that we know": with_header(call, SIGNATURE, "é" * 8),
    },
)
