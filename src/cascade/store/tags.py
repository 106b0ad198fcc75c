"""What clients call groups of their messages, to find, count and change them by."""

from collections.abc import Sequence
from typing import NamedTuple

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
COUNT = "SELECT count(*) FROM message_tag WHERE account_id = ? AND tag = ? AND message_id < ?"


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
