"""SMS by Twilio: a form, signed together with the URL that was called, without an age."""

import base64
import hashlib
import hmac
from dataclasses import replace
from urllib.parse import parse_qsl

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.sms.twilio import TwilioSms
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, Case, Refusal, Twins, with_header, without

SID = f"AC{7:032}"
TOKEN = "twilio-auth-secret"
SIGNATURE = "x-twilio-signature"


def transport(twins: Twins) -> HttpTransport:
    adapter = TwilioSms(
        SID,
        Secret(TOKEN),
        default_sender="Shop",
        base_url=f"{twins.url}/twilio",
        callback_url=twins.callback_url,
    )
    return HttpTransport(adapter, LINK)


def signed(call: Callback, body: bytes, token: str = TOKEN) -> Callback:
    fields = parse_qsl(body.decode(errors="surrogateescape"), keep_blank_values=True)
    said = call.url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), said.encode(errors="surrogateescape"), hashlib.sha1).digest()
    return with_header(replace(call, body=body), SIGNATURE, base64.b64encode(digest).decode())


CASE = Case(
    kind="sms.twilio",
    transport=transport,
    refusals={
        "rejects": Refusal(Reason.INVALID_CONTENT),
        "blocked": Refusal(Reason.BLOCKED),
        "absent": Refusal(Reason.UNKNOWN_RECIPIENT),
    },
    secrets=(TOKEN, base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()),
    credential={"auth_token": Secret("a stranger's secret")},
    has_no={
        "read": "no phone reports that an SMS was read",
        "out of order": "there is only one receipt a message",
        "revoked": "Twilio takes nothing back that has left it",
        "replayed": "the signature has no age",
    },
    sandbox={"twilio_accounts": {SID: TOKEN}},
    unfit=(MessageType.TRANSACTION, Content("x" * 1601)),
    signed=signed,
    forged=lambda call: {
        "no signature": without(call, SIGNATURE),
        "another form": replace(call, body=call.body.replace(b"delivered", b"undelivered")),
        "another secret": signed(call, call.body, "a guess"),
        "a signature of no letters that we know": with_header(call, SIGNATURE, "é" * 8),
    },
)
