"""What was asked before: messages by their id and content, and whole requests by their Idempotency-Key.

Both are written in the transaction of what they speak of, so a repeat either finds the first one or is the first one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cascade.store.database import Transaction, unnest
from cascade.store.recent import DIGEST_SIZE, RecentDigests, place_of

Sent = tuple[bytes, bytes]
"""A digest of 16 bytes over all that makes two messages the same, and the id of the message."""


class Answered(NamedTuple):
    """The first answer to a request, and the digest of the body it answered."""

    body_digest: bytes
    answer: bytes


_RECENT = {"account_id": "bigint", "digest": "bytea", "message_id": "bytea", "at_ms": "bigint"}
# One that is too old counts as never sent, and is overwritten.
REMEMBER = f"""
    INSERT INTO recent_message ({", ".join(_RECENT)}) SELECT * FROM {unnest(*_RECENT.values())}
    ON CONFLICT (account_id, digest) DO UPDATE
        SET id = excluded.id, message_id = excluded.message_id, at_ms = excluded.at_ms
    WHERE recent_message.at_ms <= ?
"""  # noqa: S608 - constants only
FIND = "SELECT digest, message_id FROM recent_message WHERE account_id = ? AND digest IN (*)"
PURGE = """
    DELETE FROM recent_message WHERE id IN (SELECT id FROM recent_message ORDER BY id LIMIT ?) AND at_ms <= ?
"""
# On SQLite a request's messages are one row, and the index is in memory (recent).
ADD_BATCH = "INSERT INTO recent_batch (id, account_id, digests, message_ids, at_ms) VALUES (?, ?, ?, ?, ?)"
FIND_BATCH = "SELECT digests, message_ids, at_ms FROM recent_batch WHERE account_id = ? AND id = ?"
PURGE_BATCH = """
    DELETE FROM recent_batch WHERE id = (SELECT min(id) FROM recent_batch) AND at_ms <= ? RETURNING id, digests
"""
BEGIN_REQUEST = """
    INSERT INTO recent_request (account_id, key_digest, body_digest, answer, at_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account_id, key_digest) DO UPDATE SET body_digest = excluded.body_digest, answer = excluded.answer,
        at_ms = excluded.at_ms
    WHERE recent_request.at_ms <= ?
"""
END_REQUEST = "UPDATE recent_request SET answer = ? WHERE account_id = ? AND key_digest = ?"
FIND_REQUEST = "SELECT body_digest, answer FROM recent_request WHERE account_id = ? AND key_digest = ?"
PURGE_REQUESTS = """
    DELETE FROM recent_request WHERE (account_id, key_digest) IN (
        SELECT account_id, key_digest FROM recent_request WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)
"""


async def remember(
    tx: Transaction, account_id: int, sent: Sequence[Sent], now_ms: int, oldest_ms: int
) -> dict[bytes, bytes]:
    """Remember what is about to be stored; the digests that stand for an earlier message, with its id.

    Earlier is: sent after `oldest_ms`, or before it in `sent`. A message whose own id is not its digest's is not to be
    stored again.
    """
    ids: dict[bytes, bytes] = {}
    for digest, message_id in sent:
        if digest not in ids:
            ids[digest] = message_id
    if tx.recent is None:
        earlier = await _remember_in_table(tx, account_id, ids, now_ms, oldest_ms)
    else:
        earlier = await _remember_in_memory(tx, tx.recent, account_id, ids, now_ms, oldest_ms)
    if not earlier and len(ids) == len(sent):
        return {}
    first = ids | earlier
    return {digest: first[digest] for digest, message_id in sent if first[digest] != message_id}


async def _remember_in_table(
    tx: Transaction, account_id: int, ids: dict[bytes, bytes], now_ms: int, oldest_ms: int
) -> dict[bytes, bytes]:
    """Those among `ids` that were there."""
    # In order, so that of two requests that send the same messages one waits for the other, and never both.
    digests = sorted(ids)
    count = len(digests)
    columns = ([account_id] * count, digests, [ids[digest] for digest in digests], [now_ms] * count)
    if await tx.execute(REMEMBER, (*columns, oldest_ms)) == count:
        return {}
    return dict(await tx.rows(FIND, (account_id, digests)))


async def _remember_in_memory(
    tx: Transaction,
    recent: RecentDigests,
    account_id: int,
    ids: dict[bytes, bytes],
    now_ms: int,
    oldest_ms: int,
) -> dict[bytes, bytes]:
    """The same, where this process has the index."""
    batch_id = recent.next_batch_id()
    known = recent.add(b"".join(ids), batch_id)
    earlier: dict[bytes, bytes] = {}
    if known:
        earlier = await _earlier(tx, account_id, known, oldest_ms)
        recent.note(b"".join(digest for digest in known if digest not in earlier), batch_id)
        ids = {digest: id_ for digest, id_ in ids.items() if digest not in earlier}
    if ids:
        await tx.execute(ADD_BATCH, (batch_id, account_id, b"".join(ids), b"".join(ids.values()), now_ms))
    return earlier


async def _earlier(
    tx: Transaction, account_id: int, known: dict[bytes, list[int]], oldest_ms: int
) -> dict[bytes, bytes]:
    """Those digests that the account sent with one of these batches, with the message's id."""
    by_batch: dict[int, list[bytes]] = {}
    for digest, batch_ids in known.items():
        for batch_id in batch_ids:
            by_batch.setdefault(batch_id, []).append(digest)
    earlier: dict[bytes, bytes] = {}
    for batch_id, wanted in by_batch.items():
        for digests, message_ids, at_ms in await tx.rows(FIND_BATCH, (account_id, batch_id)):
            places = {digest: place_of(digest, digests) for digest in wanted} if at_ms > oldest_ms else {}
            earlier |= {digest: message_ids[at : at + DIGEST_SIZE] for digest, at in places.items() if at >= 0}
    return earlier


async def begin_request(
    tx: Transaction, account_id: int, key_digest: bytes, body_digest: bytes, now_ms: int, oldest_ms: int
) -> Answered | None:
    """Be the first with this key, or find the first one's answer. A first one still under way is waited for: it holds
    the row until it commits."""
    row = (account_id, key_digest, body_digest, b"", now_ms, oldest_ms)
    if await tx.execute(BEGIN_REQUEST, row):
        return None
    rows = await tx.rows(FIND_REQUEST, (account_id, key_digest))
    return Answered(*rows[0])


async def end_request(tx: Transaction, account_id: int, key_digest: bytes, answer: bytes) -> None:
    """Keep the answer for whoever asks again."""
    await tx.execute(END_REQUEST, (answer, account_id, key_digest))


async def purge(tx: Transaction, limit: int, oldest_ms: int) -> int:
    """Forget messages that are too old to be repeats, the oldest first, until there are `limit` or more of them or none
    is left; how many there were."""
    recent = tx.recent
    if recent is None:
        return await tx.execute(PURGE, (limit, oldest_ms))
    forgotten = 0
    while forgotten < limit and (rows := await tx.rows(PURGE_BATCH, (oldest_ms,))):
        for batch_id, digests in rows:
            recent.forget(digests, batch_id)
            forgotten += len(digests) // DIGEST_SIZE
    return forgotten


async def purge_requests(tx: Transaction, limit: int, oldest_ms: int) -> int:
    """The same of requests."""
    return await tx.execute(PURGE_REQUESTS, (oldest_ms, limit))
