"""RCS by Google: events signed over the data inside their envelope, without an age."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.rcs.google import GoogleRcs
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, Case, Refusal, Twins, with_header, without
from .stage import Stage

TOKEN = "rcs-client-token"
SIGNATURE = "x-goog-signature"


def a_key(email: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({"client_email": email, "private_key": pem, "token_uri": "https://token.invalid"})


KEY, STRANGERS_KEY = a_key("agent@shop.example"), a_key("other@shop.example")


def transport(twins: Twins) -> HttpTransport:
    base_url = f"{twins.url}/google-rbm"
    adapter = GoogleRcs("shop", Secret(TOKEN), Secret(KEY), base_url=base_url, token_url=f"{base_url}/token")
    return HttpTransport(adapter, LINK)


def signed(call: Callback, body: bytes, token: str = TOKEN) -> Callback:
    """A whole envelope is signed by what is inside; anything else stands inside one."""
    try:
        data = base64.b64decode(orjson.loads(body)["message"]["data"])
    except (ValueError, TypeError, LookupError):
        data = body
        body = orjson.dumps({"message": {"data": base64.b64encode(data).decode()}})
    signature = base64.b64encode(hmac.new(token.encode(), data, hashlib.sha512).digest()).decode()
    return with_header(replace(call, body=body), SIGNATURE, signature)


async def set_webhook(stage: Stage) -> None:
    url = f"{stage.twins.url}/google-rbm/webhook"
    async with stage.client.put(url, json={"url": stage.twins.callback_url}) as answer:
        assert answer.status == 200, await answer.text()


def another(call: Callback) -> Callback:
    envelope = orjson.loads(call.body)
    data = base64.b64decode(envelope["message"]["data"]).replace(b"DELIVERED", b"READ")
    envelope["message"]["data"] = base64.b64encode(data).decode()
    return replace(call, body=orjson.dumps(envelope))


CASE = Case(
    kind="rcs.google",
    transport=transport,
    refusals={"rejects": Refusal(Reason.INVALID_CONTENT), "absent": Refusal(Reason.UNKNOWN_RECIPIENT)},
    secrets=(TOKEN, KEY, "PRIVATE KEY"),
    credential={"service_account": Secret(STRANGERS_KEY)},
    has_no={
        "blocked": "Google tells no sender who has blocked it",
        "replayed": "the signature has no age",
    },
    sandbox={"rbm_client_token": TOKEN, "rbm_service_account": KEY},
    prepare=set_webhook,
    unfit=(MessageType.TRANSACTION, Content("x" * 3073)),
    signed=signed,
    forged=lambda call: {
        "no signature": without(call, SIGNATURE),
        "another event": another(call),
        "another secret": signed(call, call.body, "a guess"),
        "a signature of no letters that we know": with_header(call, SIGNATURE, "é" * 8),
    },
)
