"""Signatures of the webhooks we send. Source: https://www.standardwebhooks.com, specification 1.0.0."""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from cascade.core.secret import Secret

PREFIX = "whsec_"
SECRET_BYTES = 32


def secret_of(key: bytes) -> Secret:
    """A webhook's secret as its owner sees it, from `SECRET_BYTES` random bytes."""
    return Secret(PREFIX + base64.b64encode(key).decode())


def sign(secrets: Sequence[Secret], id_: str, at_s: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature for each secret that is valid, since one may be on its way out."""
    content = f"{id_}.{at_s}.".encode() + body
    return " ".join(_sign(secret, content) for secret in secrets)


def _sign(secret: Secret, content: bytes) -> str:
    key = base64.b64decode(secret.reveal().removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
