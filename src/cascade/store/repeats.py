"""What was asked before: messages by their id and content, and whole requests by their Idempotency-Key.

Both are written in the transaction of what they speak of, so a repeat either finds the first one or is the first one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cascade.store.database import Statement, Transaction, unnest


class Sent(NamedTuple):
    """`digest`: 16 bytes over all that makes two messages the same."""

    digest: bytes
    message_id: bytes


class Answered(NamedTuple):
    """The first answer to a request, and the digest of the body it answered."""

    body_digest: bytes
    answer: bytes


# One that is too old counts as never sent, and is overwritten.
_REMEMBER = """
    INSERT INTO recent_message (account_id, digest, message_id, at_ms) {rows}
    ON CONFLICT (account_id, digest) DO UPDATE
        SET id = excluded.id, message_id = excluded.message_id, at_ms = excluded.at_ms
    WHERE recent_message.at_ms <= {oldest}
"""
REMEMBER = Statement(
    sqlite=_REMEMBER.format(rows="VALUES (?, ?, ?, ?)", oldest="?"),
    postgres=_REMEMBER.format(
        rows=f"SELECT * FROM {unnest('bigint', 'bytea', 'bytea', 'bigint')}",  # noqa: S608 - constants only
        oldest="(?::bigint[])[1]",
    ),
)
FIND = "SELECT digest, message_id FROM recent_message WHERE account_id = ? AND digest IN (*)"
PURGE = """
    DELETE FROM recent_message WHERE id IN (SELECT id FROM recent_message ORDER BY id LIMIT ?) AND at_ms <= ?
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
        ids.setdefault(digest, message_id)
    # In order, so that of two requests that send the same messages one waits for the other, and never both.
    rows = [(account_id, digest, ids[digest], now_ms, oldest_ms) for digest in sorted(ids)]
    if await tx.many(REMEMBER, rows) == len(sent):
        return {}
    first: dict[bytes, bytes] = dict(await tx.rows(FIND, (account_id, list(ids))))
    return {digest: first[digest] for digest, message_id in sent if first[digest] != message_id}


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
    """Forget up to `limit` messages that are too old to be repeats, the oldest first; how many there were."""
    return await tx.execute(PURGE, (limit, oldest_ms))


async def purge_requests(tx: Transaction, limit: int, oldest_ms: int) -> int:
    """The same of requests."""
    return await tx.execute(PURGE_REQUESTS, (oldest_ms, limit))
