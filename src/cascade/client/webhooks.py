"""Whether a webhook is from your gateway. Source: https://www.standardwebhooks.com, specification 1.0.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

from .errors import ForgedWebhookError
from .words import Event

PREFIX = "whsec_"
TOLERANCE_S = 300


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: int = TOLERANCE_S,
    now_s: Callable[[], float] = time.time,
) -> Event:
    """The event, once `body` (the raw bytes that came) is known to be signed with the webhook's secret (`whsec_…`) not
    longer ago than `tolerance_s`. Raises `ForgedWebhookError` otherwise.

    `headers` are those of the request, in any case. The same event may come twice: remember its `webhook-id`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id_, at, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise ForgedWebhookError(f"the header {missing} is missing") from None
    if not (at.isascii() and at.isdecimal()) or abs(now_s() - int(at)) > tolerance_s:
        raise ForgedWebhookError("its time is too far from ours: an old request sent again, or a wrong clock")
    expected = hmac.digest(_key(secret), f"{id_}.{at}.".encode() + body, hashlib.sha256)
    for signature in signatures.split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(_decoded(value), expected):
            event: Event = json.loads(body)
            return event
    raise ForgedWebhookError("no signature matches: a wrong secret, or the body was changed on its way")


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not one: it is `whsec_` and base64, as the gateway showed it") from None


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""
