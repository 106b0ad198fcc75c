"""What the channels of an application at Vonage have in common: calls with a token that holds a digest of the body."""

import base64
import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.vonage import Vonage
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.vonage import VonageAccount

from .case import LINK, Case, Refusal, with_header, without

SECRET = "signature-secret-of-the-account-at-vonage"
KEY = generate_private_key(65537, 2048)
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
STRANGER = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
APPLICATION = "a3a1e3a5-7d1b-4b8e-9b53-application"
TOKEN = "authorization"
UNSIGNED = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()


def signed(call: Callback, body: bytes, secret: str = SECRET, **claims: Any) -> Callback:
    """As Vonage signs, by another hand's library."""
    said = {"iat": int(time.time()), "jti": str(uuid.uuid4()), "iss": "Vonage"}
    said["payload_hash"] = hashlib.sha256(body).hexdigest()
    token = jwt.encode(said | claims, secret, algorithm="HS256")
    return with_header(replace(call, body=body), TOKEN, f"Bearer {token}")


def _forged(call: Callback) -> Mapping[str, Callback]:
    token = call.headers[TOKEN].partition(" ")[2]
    head, claims, _ = token.split(".")
    return {
        "no token": without(call, TOKEN),
        "another body": replace(call, body=call.body.replace(b"delivered", b"read")),
        "another secret": signed(call, call.body, "a guess that is as long as the secret"),
        "no signature": with_header(call, TOKEN, f"Bearer {head}.{claims}."),
        "a token that says it needs none": with_header(call, TOKEN, f"Bearer {UNSIGNED}.{claims}."),
        "a token of nothing": with_header(call, TOKEN, "Bearer é"),
        "another scheme": with_header(call, TOKEN, f"Basic {token}"),
        "no digest": with_header(call, TOKEN, f"Bearer {jwt.encode({'iat': int(time.time())}, SECRET)}"),
        "from tomorrow": signed(call, call.body, iat=int(time.time()) + 86_400),
    }


def a_case(adapter: type[Vonage], absent: Reason, has_no: Mapping[str, str], *urls: str) -> Case:
    """`urls`: settings of the adapter that name a further host of Vonage's."""
    return Case(
        kind=f"{adapter.capabilities.channel.value}.vonage",
        transport=lambda twins: HttpTransport(
            adapter(
                Secret(SECRET),
                application_id=APPLICATION,
                private_key=Secret(PRIVATE),
                base_url=f"{twins.url}/vonage",
                callback_url=twins.callback_url,
                **dict.fromkeys(urls, f"{twins.url}/vonage"),  # type: ignore[arg-type]
            ),
            LINK,
        ),
        refusals={
            "rejects": Refusal(Reason.INVALID_CONTENT),
            "blocked": Refusal(Reason.BLOCKED, by_receipt=True),
            "absent": Refusal(absent, by_receipt=True),
        },
        secrets=(SECRET, PRIVATE),
        credential={"private_key": Secret(STRANGER)},
        has_no=has_no,
        sandbox={"vonage": VonageAccount(signature_secret=SECRET, application_id=APPLICATION, public_key=PUBLIC)},
        signed=signed,
        forged=_forged,
    )
