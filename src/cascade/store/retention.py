"""What is too old goes, a few rows at a time.

A message goes with what is kept under its key. Tables that know a message only somewhere in a row are swept: read
through in the order of their key, beside the traffic, once a day. An index by message would make every message pay for
what one pass a day does as well (docs/decisions/0010-retention.md).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cascade.store.database import Reader, Row, Statement, Transaction, unnest
from cascade.store.ids import first_id

_FORGET = """
    DELETE FROM message WHERE account_id = ? AND id {among} (
        SELECT id FROM message
        WHERE account_id = ? AND id > ? AND id < ? AND state = 'final' AND finished_at_ms < ?
        ORDER BY id LIMIT ? {lock})
    RETURNING id
"""
FORGET = Statement(
    sqlite=_FORGET.format(among="IN", lock=""),
    postgres=_FORGET.format(among="= ANY(ARRAY", lock="FOR UPDATE SKIP LOCKED)"),
)
WITH_MESSAGE = {
    "survey_answer": "DELETE FROM survey_answer WHERE account_id = ? AND message_id IN (*)",
    "flashcall": "DELETE FROM flashcall WHERE account_id = ? AND message_id IN (*)",
    "short_link": "DELETE FROM short_link WHERE account_id = ? AND message_id IN (*)",
}
"""Tables with an index that begins with the message's key."""
OLD_INBOUND = "SELECT id, received_at_ms FROM inbound WHERE id > ? ORDER BY id LIMIT ?"
OLD_AUDIT = """
    SELECT id FROM (SELECT id, at_ms FROM console_audit ORDER BY id LIMIT ?) AS oldest WHERE at_ms < ?
"""
FORGET_AUDIT = "DELETE FROM console_audit WHERE id IN (*)"
FORGET_INBOUND = "DELETE FROM inbound WHERE id = ? AND due_at_ms IS NULL"


class Swept(NamedTuple):
    """`read` takes the key of the last row and a limit; its last column is the message's id, its `account_at`-th the
    account's. `forget` takes such rows, and looks at the id once more: the key may have come to be another message's
    meanwhile."""

    read: str
    forget: Statement
    before_all: tuple[Any, ...]
    account_at: int


SWEPT = {
    "sent_part": Swept(
        """
        SELECT link, provider_id, account_id, message_id FROM sent_part WHERE (link, provider_id) > (?, ?)
        ORDER BY link, provider_id LIMIT ?
        """,
        Statement(
            "DELETE FROM sent_part WHERE link = ? AND provider_id = ? AND account_id = ? AND message_id = ?",
            f"""
            DELETE FROM sent_part
            USING {unnest("text", "text", "bigint", "bytea")} AS old (link, provider_id, account_id, message_id)
            WHERE sent_part.link = old.link AND sent_part.provider_id = old.provider_id
                AND sent_part.account_id = old.account_id AND sent_part.message_id = old.message_id
            """,  # noqa: S608 - constants only
        ),
        ("", ""),
        account_at=2,
    ),
    "message_tag": Swept(
        """
        SELECT account_id, tag, message_id FROM message_tag WHERE (account_id, tag, message_id) > (?, ?, ?)
        ORDER BY account_id, tag, message_id LIMIT ?
        """,
        Statement(
            "DELETE FROM message_tag WHERE account_id = ? AND tag = ? AND message_id = ?",
            f"""
            DELETE FROM message_tag USING {unnest("bigint", "text", "bytea")} AS old (account_id, tag, message_id)
            WHERE message_tag.account_id = old.account_id AND message_tag.tag = old.tag
                AND message_tag.message_id = old.message_id
            """,  # noqa: S608 - constants only
        ),
        (0, "", b""),
        account_at=0,
    ),
}
# Scheduled a month ahead, or given another hour again and again, a message is sent long after it was accepted.
NEEDED = """
    SELECT id FROM message WHERE account_id = ? AND (state <> 'final' OR finished_at_ms >= ?) AND id IN (*)
"""
ELSEWHERE = frozenset({"message", "event", "delivery", "lost_answer", "recent_message"})
"""Tables that know a message and are tidied up by a time of their own."""


async def forget_messages(tx: Transaction, account_id: int, after_id: bytes, before_ms: int, limit: int) -> list[bytes]:
    """Delete up to `limit` messages of the account that were accepted and ended before that time, and all that is kept
    under their keys; their ids, in no order. `after_id`: the greatest of the last call."""
    parameters = (account_id, account_id, after_id, first_id(before_ms), before_ms, limit)
    ids = [id_ for (id_,) in await tx.rows(FORGET, parameters)]
    if ids:
        for statement in WITH_MESSAGE.values():
            await tx.rows(statement, (account_id, ids))
    return ids


async def forget_inbound(tx: Transaction, after_id: int, before_ms: int, limit: int) -> int | None:
    """Of the next `limit` that people told us, delete what came before that time and was worked; the number to go on
    after, None: the rest came later."""
    rows = await tx.rows(OLD_INBOUND, (after_id, limit))
    old = [(id_,) for id_, received_at_ms in rows if received_at_ms < before_ms]
    await tx.many(FORGET_INBOUND, old)
    return old[-1][0] if len(old) == limit else None


async def forget_audit(tx: Transaction, before_ms: int, limit: int) -> int:
    """Delete up to `limit` lines of the audit log from before that time, the oldest first; how many."""
    old = [id_ for (id_,) in await tx.rows(OLD_AUDIT, (limit, before_ms))]
    if old:
        await tx.rows(FORGET_AUDIT, (old,))
    return len(old)


async def read(reader: Reader, swept: Swept, after: Sequence[Any], limit: int) -> list[Row]:
    """The next rows of a swept table. `after` begins with the key of the last one."""
    return await reader.rows(swept.read, (*after[: len(swept.before_all)], limit))


async def forget(tx: Transaction, swept: Swept, rows: Sequence[Row], before_ms: int) -> int:
    """Delete those of the rows whose messages were accepted and ended before that time; how many there were."""
    old: dict[int, list[Row]] = {}
    for row in rows:
        if row[-1] < first_id(before_ms):
            old.setdefault(row[swept.account_at], []).append(row)
    forgotten = 0
    for account_id, some in old.items():
        needed = {id_ for (id_,) in await tx.rows(NEEDED, (account_id, before_ms, [row[-1] for row in some]))}
        forgotten += await tx.many(swept.forget, [row for row in some if row[-1] not in needed])
    return forgotten
