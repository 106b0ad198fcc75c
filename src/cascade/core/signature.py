"""Signatures of the webhooks we send. Source: https://www.standardwebhooks.com, specification 1.0.0."""

import base64
import hashlib
import hmac
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache

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
    digest = hmac.digest(_key(secret.reveal()), content, hashlib.sha256)
    return "v1," + b2a_base64(digest, newline=False).decode()


@lru_cache(maxsize=1_000)
def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
