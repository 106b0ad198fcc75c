"""Message ids: UUIDv7 of the millisecond of acceptance, so that their order is the order in which messages came.

One index then serves both the look-up of a message and every list in order of time.
"""

from uuid_utils import uuid7

LATEST_MS = (1 << 48) - 1


def new_ids(at_ms: int, count: int) -> list[bytes]:
    """Ids for messages accepted at that time, in ascending order."""
    prefix = at_ms.to_bytes(6, "big")
    # uuid7() reads the clock by itself: what it says of the time is replaced by the time that the message is given.
    return sorted([prefix + uuid7().bytes[6:] for _ in range(count)])


def first_id(at_ms: int) -> bytes:
    """Not above any id of that millisecond or later, above all earlier ones."""
    return min(max(at_ms, 0), LATEST_MS).to_bytes(6, "big") + bytes(10)


def at_ms(id_: bytes) -> int:
    """The millisecond that an id begins with."""
    return int.from_bytes(id_[:6], "big")
