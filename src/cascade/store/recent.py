"""Where a message's digest was sent before: an index in memory, for the store that one process has to itself.

Digests come in no order. An index of them in the file has a page of its own written anew for each message, and a tree
in memory has a few cache lines missed; here it is a look into one of 65,536 short strings, however many there are.
Figures: docs/decisions/0021-accept-path.md.
"""

from collections.abc import Iterator
from struct import Struct

DIGEST_SIZE = 16
_BUCKETS = 1 << 16
_DIGEST = Struct("<H8s6x")  # the bucket's number and what stands in it for the digest
_BATCH_SIZE = 6
_SIZE = 8 + _BATCH_SIZE


class RecentDigests:
    """For each digest the numbers of the batches that may hold it, in 14 bytes each. May: whoever asks looks there.

    What it says of a transaction that was taken back is not taken back: the batch is not there, or without the digest.
    """

    def __init__(self, last_batch_id: int = 0) -> None:
        self._last_batch_id = last_batch_id
        self._buckets = [b""] * _BUCKETS

    def next_batch_id(self) -> int:
        """Above all before it, and never twice."""
        self._last_batch_id += 1
        return self._last_batch_id

    def add(self, digests: bytes, batch_id: int) -> dict[bytes, list[int]]:
        """Note that the batch holds these digests, all different, one behind the other. Those that an earlier batch may
        hold are not noted but returned, with these batches."""
        buckets = self._buckets
        end = batch_id.to_bytes(_BATCH_SIZE, "little")
        known = []
        for place, (number, half) in enumerate(_DIGEST.iter_unpack(digests)):
            bucket = buckets[number]
            if half in bucket:
                known.append((place, number, half))
            else:
                buckets[number] = bucket + half + end
        found = {}
        for place, number, half in known:
            digest = digests[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE]
            batches = [_batch(buckets[number], at) for at in _places(buckets[number], half, _SIZE)]
            if batches:
                found[digest] = batches
            else:
                buckets[number] += half + end
        return found

    def note(self, digests: bytes, batch_id: int) -> None:
        """The same, whatever is known of them."""
        end = batch_id.to_bytes(_BATCH_SIZE, "little")
        for number, half in _DIGEST.iter_unpack(digests):
            self._buckets[number] += half + end

    def forget(self, digests: bytes, batch_id: int) -> None:
        """The batch with these digests is gone, and all before it."""
        for number, _ in _DIGEST.iter_unpack(digests):
            bucket = self._buckets[number]
            old = next((at for at in range(0, len(bucket), _SIZE) if _batch(bucket, at) > batch_id), len(bucket))
            self._buckets[number] = bucket[old:]


def place_of(digest: bytes, digests: bytes) -> int:
    """Where the digest begins among digests that stand one behind the other; -1: it is not there."""
    return next(_places(digests, digest, DIGEST_SIZE), -1)


def _places(within: bytes, what: bytes, size: int) -> Iterator[int]:
    """Where entries of that size begin with it."""
    at = within.find(what)
    while at >= 0:
        if at % size == 0:
            yield at
        at = within.find(what, at + 1)


def _batch(bucket: bytes, at: int) -> int:
    return int.from_bytes(bucket[at + _SIZE - _BATCH_SIZE : at + _SIZE], "little")
