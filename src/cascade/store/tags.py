"""What clients call groups of their messages, to find, count and change them by."""

from collections.abc import Sequence
from typing import NamedTuple

from cascade.core.message import Status
from cascade.store.database import Insertion, Reader, Transaction
from cascade.store.messages import Key


class Tagged(NamedTuple):
    account_id: int
    tag: str
    message_id: bytes


ADD = Insertion(
    "message_tag",
    {"account_id": "bigint", "tag": "text", "message_id": "bytea"},
    and_then="ON CONFLICT DO NOTHING",
)
NOT_BEGUN = """
    SELECT message.id FROM message_tag AS tagged
    JOIN message ON message.account_id = tagged.account_id AND message.id = tagged.message_id
    WHERE tagged.account_id = ? AND tagged.tag = ? AND tagged.message_id > ? AND tagged.message_id < ?
        AND message.attempt = 0 AND message.state IN ('scheduled', 'queued')
    ORDER BY tagged.message_id LIMIT ?
"""
# A step in the index for each tag, and one to its newest message.
LISTED = """
    WITH RECURSIVE known (tag) AS (
        SELECT min(tag) FROM message_tag WHERE account_id = ?
        UNION ALL
        SELECT (SELECT min(tag) FROM message_tag WHERE account_id = ? AND tag > known.tag)
        FROM known WHERE known.tag IS NOT NULL)
    SELECT tag, (SELECT message_id FROM message_tag WHERE account_id = ? AND tag = known.tag
        ORDER BY message_id DESC LIMIT 1) AS newest
    FROM known WHERE tag IS NOT NULL ORDER BY newest DESC LIMIT ?
"""
PROGRESS = """
    SELECT message.status, message.delivered_by, count(*), sum(message.cost_micros), min(message.accepted_at_ms),
        sum(CASE WHEN message.attempt = 0 AND message.state IN ('scheduled', 'queued') THEN 1 ELSE 0 END)
    FROM message_tag AS tagged CROSS JOIN message
    WHERE tagged.account_id = ? AND tagged.tag = ? AND message.account_id = tagged.account_id
        AND message.id = tagged.message_id
    GROUP BY message.status, message.delivered_by
"""
COUNT = "SELECT count(*) FROM message_tag WHERE account_id = ? AND tag = ? AND message_id < ?"


class Spent(NamedTuple):
    """Some messages, and all that they were charged: each on any number of channels, of which only the sum is known."""

    messages: int = 0
    cost_micros: int = 0


class Progress(NamedTuple):
    """How far a tag's messages are. Each is in one of `by_channel` (the one that delivered it), `to_nobody` (it ended
    without) and `under_way`. `not_begun`: those that can still be cancelled."""

    messages: int
    by_status: dict[Status, int]
    by_channel: dict[str, Spent]
    to_nobody: Spent
    under_way: Spent
    cost_micros: int
    first_at_ms: int
    not_begun: int

    @property
    def finished(self) -> int:
        return sum(number for status, number in self.by_status.items() if status.rank >= Status.UNDELIVERABLE.rank)


async def listed(reader: Reader, account_id: int, limit: int) -> list[tuple[str, bytes]]:
    """The account's tags with the id of the newest message of each, the newest first."""
    rows = await reader.rows(LISTED, (account_id, account_id, account_id, limit))
    return [(tag, newest) for tag, newest in rows]


async def progress(reader: Reader, account_id: int, tag: str) -> Progress | None:
    """By looking at each of its messages: for `cold_reading`. None when no message bears the tag."""
    rows = await reader.rows(PROGRESS, (account_id, tag))
    if not rows:
        return None
    by_status: dict[Status, int] = {}
    by_channel: dict[str, Spent] = {}
    to_nobody = under_way = Spent()
    for word, channel, number, micros, *_ in rows:
        status = Status(word)
        by_status[status] = by_status.get(status, 0) + number
        if channel is not None:
            by_channel[channel] = _more(by_channel.get(channel, Spent()), number, micros)
        elif status.rank >= Status.UNDELIVERABLE.rank:
            to_nobody = _more(to_nobody, number, micros)
        else:
            under_way = _more(under_way, number, micros)
    return Progress(
        sum(row[2] for row in rows),
        by_status,
        by_channel,
        to_nobody,
        under_way,
        int(sum(row[3] for row in rows)),
        min(row[4] for row in rows),
        int(sum(row[5] for row in rows)),
    )


def _more(spent: Spent, messages: int, micros: int) -> Spent:
    return Spent(spent.messages + messages, spent.cost_micros + int(micros))


async def add(tx: Transaction, rows: Sequence[Tagged]) -> None:
    """Tag messages, in the transaction that stores them."""
    await tx.insert(ADD, rows)


async def not_begun(
    reader: Reader, account_id: int, tag: str, after_id: bytes, before_id: bytes, limit: int
) -> list[Key]:
    """The tag's messages between two ids of which no attempt was begun, in ascending order."""
    rows = await reader.rows(NOT_BEGUN, (account_id, tag, after_id, before_id, limit))
    return [Key(account_id, id_) for (id_,) in rows]


async def count(reader: Reader, account_id: int, tag: str, before_id: bytes) -> int:
    """How many messages below that id bear the tag, whatever became of them."""
    rows = await reader.rows(COUNT, (account_id, tag, before_id))
    number: int = rows[0][0]
    return number
