"""Where a list goes on: a place in the list's order, closed in a text that clients only pass on.

It holds no secret and opens nothing that the account could not list anyway; the checksum is there so that a text which
was cut or mixed up is refused, and does not skip messages in silence.
"""

import base64
import binascii
import zlib

from cascade.api.faults import ErrorCode, Fault, InvalidRequest

CHECK_BYTES = 4


def encode(kind: str, place: bytes) -> str:
    """`kind` names the list: the cursor of one is refused by another."""
    return base64.urlsafe_b64encode(_check(kind, place) + place).decode().rstrip("=")


def decode(kind: str, cursor: str) -> bytes:
    """The place; `InvalidRequest` when the text is no cursor of this kind of list."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):  # ValueError: a character beyond ASCII
        raw = b""
    check, place = raw[:CHECK_BYTES], raw[CHECK_BYTES:]
    if not place or check != _check(kind, place):
        message = "cursor: pass on nextCursor of the page before as it is, or leave it out to begin anew"
        raise InvalidRequest([Fault(ErrorCode.INVALID_FIELD, message, "cursor")])
    return place


def _check(kind: str, place: bytes) -> bytes:
    return zlib.crc32(place, zlib.crc32(kind.encode())).to_bytes(CHECK_BYTES, "big")
