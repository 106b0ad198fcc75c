"""Flash calls by Sinch: events signed over method, body, type, time and path, and refused when old."""

import base64
import hashlib
import hmac
import time
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cascade.channels.base import Callback
from cascade.channels.flashcall.sinch import SinchFlashcall, SinchTransport
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, Case, Refusal, Twins, with_header, without
from .stage import Stage

KEY = "sinch-key"
SECRET = base64.b64encode(b"a secret of Sinch").decode()
STRANGERS = base64.b64encode(b"a stranger's secret").decode()
CALLER = "+380441234567"


def transport(twins: Twins) -> SinchTransport:
    adapter = SinchFlashcall(KEY, Secret(SECRET), callers=(CALLER,), base_url=f"{twins.url}/sinch")
    return SinchTransport(adapter, LINK)


def signed(call: Callback, body: bytes, secret: str = SECRET, at_s: float | None = None) -> Callback:
    stamp = datetime.fromtimestamp(time.time() if at_s is None else at_s, UTC).isoformat(timespec="seconds")
    digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
    kind = call.headers["content-type"]
    text = f"{call.method}\n{digest}\n{kind}\nx-timestamp:{stamp}\n{urlsplit(call.url).path}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(secret), text.encode(), "sha256")).decode()
    call = with_header(replace(call, body=body), "x-timestamp", stamp)
    return with_header(call, "authorization", f"Application {KEY}:{signature}")


async def set_callback(stage: Stage) -> None:
    url = f"{stage.twins.url}/sinch/callback"
    async with stage.client.put(url, json={"url": stage.twins.callback_url}) as answer:
        assert answer.status == 200, await answer.text()


CASE = Case(
    kind="flashcall.sinch",
    transport=transport,
    refusals={
        "rejects": Refusal(Reason.INVALID_CONTENT),
        "blocked": Refusal(Reason.BLOCKED, by_receipt=True),
        "absent": Refusal(Reason.UNDELIVERABLE, by_receipt=True),
    },
    secrets=(SECRET, CALLER[1:]),
    credential={"application_secret": Secret(STRANGERS)},
    has_no={
        "read": "who reports the digits has seen the call: there is nothing in between",
        "out of order": "there is only one event a call",
        "revoked": "a call that rang cannot be taken back",
        "answered": "a call asks nothing",
    },
    sandbox={"sinch_apps": {KEY: SECRET}},
    prepare=set_callback,
    sender=CALLER,
    shown=f"Missed call from {CALLER}",
    type=MessageType.FLASHCALL,
    content=Content(""),
    unfit=(MessageType.TRANSACTION, Content("Your code is 918273")),
    signed=signed,
    forged=lambda call: {
        "no signature": without(call, "authorization"),
        "another body": replace(call, body=call.body.replace(b"SUCCESSFUL", b"FAIL")),
        "another secret": signed(call, call.body, STRANGERS),
        "another time": with_header(call, "x-timestamp", "2026-01-01T00:00:00Z"),
        "no time": without(call, "x-timestamp"),
        "of yesterday": signed(call, call.body, at_s=time.time() - 86_400),
        "a signature of no letters that we know": with_header(call, "authorization", f"Application {KEY}:{'é' * 8}"),
    },
)
