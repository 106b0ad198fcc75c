"""The receipt inbox, and the table that leads from a provider's id to the attempt it belongs to.

A receipt is stored here before its provider is told that we have it. One that matches nothing yet, since it overtook
the answer to its own send, stays and is looked at again until it is too old.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from cascade.core.message import State
from cascade.core.node import ALONE, Share
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.words import Reason
from cascade.store import messages
from cascade.store.database import Insertion, Reader, Row, Statement, Transaction, unnest
from cascade.store.messages import Along, Change, Key
from cascade.store.texts import storable

KEPT_MS = 24 * 3600 * 1000
"""How long an unmatched receipt is kept: a provider's answer does not come later than that."""


class InboxReceipt(NamedTuple):
    id: int
    link: str
    receipt: Receipt
    received_at_ms: int


class LostAnswer(NamedTuple):
    """An attempt that may have gone out: its provider's id never reached us. `recipient` as receipts spell it.

    `at_ms` is when it became due: it went out no sooner, so no receipt from before is its own.
    """

    link: str
    recipient: str
    key: Key
    attempt: int
    step: int
    at_ms: int
    parts: int = 1
    """How many receipts of it are still to come."""


class SentPart(NamedTuple):
    """One part of an attempt that a provider accepted. `part` counts from 0."""

    link: str
    provider_id: str
    key: Key
    attempt: int
    step: int
    part: int


class Sent(NamedTuple):
    """An attempt that a provider accepted, under different ids for its parts, the first of which is that of part 0."""

    link: str
    key: Key
    attempt: int
    step: int
    provider_ids: Sequence[str]

    @property
    def parts(self) -> list[SentPart]:
        return [
            SentPart(self.link, provider_id, self.key, self.attempt, self.step, part)
            for part, provider_id in enumerate(self.provider_ids)
        ]


ADD = Insertion(
    "receipt",
    own={"provider_id": "text", "state": "text", "reason": "text", "detail": "text", "recipient": "text"},
    shared={"link": "text", "received_at_ms": "bigint", "due_at_ms": "bigint"},
)
DUE = """
    SELECT id, link, provider_id, state, reason, detail, recipient, received_at_ms FROM receipt
    WHERE due_at_ms <= ? ORDER BY due_at_ms, id LIMIT ?
"""
DUE_SHARE = """
    SELECT id, link, provider_id, state, reason, detail, recipient, received_at_ms FROM receipt
    WHERE due_at_ms <= ? AND id % ? = ? ORDER BY due_at_ms, id LIMIT ?
"""
HOLD = "SELECT id FROM receipt WHERE link = ? AND id = ANY(?) FOR UPDATE SKIP LOCKED"
DONE = Statement("DELETE FROM receipt WHERE id = ?", "DELETE FROM receipt WHERE id = ANY(?)")
POSTPONE = Statement(
    "UPDATE receipt SET due_at_ms = ? WHERE id = ?",
    f"UPDATE receipt SET due_at_ms = again.at_ms FROM {unnest('bigint', 'bigint')} AS again (at_ms, id)"  # noqa: S608
    " WHERE receipt.id = again.id",
)
# A provider that starts its ids anew overwrites the oldest: a receipt is for the latest message with that id.
ADD_PART = Insertion(
    "sent_part",
    {
        "link": "text",
        "provider_id": "text",
        "account_id": "bigint",
        "message_id": "bytea",
        "attempt": "integer",
        "step": "integer",
        "part": "integer",
    },
    """ON CONFLICT (link, provider_id) DO UPDATE SET account_id = excluded.account_id, message_id = excluded.message_id,
        attempt = excluded.attempt, step = excluded.step, part = excluded.part""",
)
# The ids of one are JSON, since in an array of arrays each is as long as the others.
ADD_PARTS_OF_CHANGED = Along(
    (("sent_by", "text"), ("sent_attempt", "integer"), ("sent_step", "integer"), ("provider_ids", "text")),
    f"""INSERT INTO sent_part (link, provider_id, account_id, message_id, attempt, step, part)
        SELECT sent_by, given.id, account_id, changed.id, sent_attempt, sent_step, given.place - 1
        FROM changed CROSS JOIN LATERAL
            json_array_elements_text(provider_ids::json) WITH ORDINALITY AS given (id, place)
        {ADD_PART.and_then}""",  # noqa: S608 - constants only
)
FIND_PARTS = """
    SELECT provider_id, account_id, message_id, attempt, step, part FROM sent_part
    WHERE link = ? AND provider_id IN (*)
"""

ADD_LOST = """
    INSERT INTO lost_answer (link, recipient, account_id, message_id, attempt, step, at_ms, parts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NEWEST_LOST = """
    SELECT account_id, message_id, attempt, step, parts FROM lost_answer
    WHERE link = ? AND recipient = ? AND at_ms <= ? ORDER BY at_ms DESC LIMIT 10
"""
# Of two nodes with a receipt each, the second has to see what the first one left of them.
NEWEST_LOST = Statement(_NEWEST_LOST, f"{_NEWEST_LOST} FOR UPDATE")
FOUND = "DELETE FROM lost_answer WHERE link = ? AND recipient = ? AND message_id = ? AND attempt = ?"
PART_FOUND = """
    UPDATE lost_answer SET parts = parts - 1 WHERE link = ? AND recipient = ? AND message_id = ? AND attempt = ?
"""
FORGET_LOST = """
    DELETE FROM lost_answer WHERE (link, recipient, message_id, attempt) IN (
        SELECT link, recipient, message_id, attempt FROM lost_answer WHERE at_ms < ? ORDER BY at_ms LIMIT ?)
"""


async def add(tx: Transaction, link: str, receipts: Sequence[Receipt], now_ms: int) -> None:
    """Put receipts into the inbox and wake whoever works it."""
    rows = [
        (
            storable(receipt.provider_id),
            receipt.state.value,
            receipt.reason.value if receipt.reason else None,
            storable(receipt.detail),
            storable(receipt.recipient),
        )
        for receipt in receipts
    ]
    await tx.insert(ADD, rows, (link, now_ms, now_ms))
    tx.receipts_ready()


async def due(reader: Reader, now_ms: int, limit: int, share: Share = ALONE) -> list[InboxReceipt]:
    """The oldest receipts to be worked now; of several nodes each is given its share."""
    if share.count == 1:
        rows = await reader.rows(DUE, (now_ms, limit))
    else:
        rows = await reader.rows(DUE_SHARE, (now_ms, share.count, share.index, limit))
    return [
        InboxReceipt(
            id_,
            link,
            Receipt(provider_id, ReceiptState(state), Reason(reason) if reason else None, detail, recipient),
            received_at_ms,
        )
        for id_, link, provider_id, state, reason, detail, recipient, received_at_ms in rows
    ]


async def hold(tx: Transaction, inbox: Sequence[InboxReceipt]) -> list[InboxReceipt]:
    """Those among them that no other node works or has worked, held until the end of the transaction: one receipt
    taken in twice could adopt two lost answers. PostgreSQL's, where there are other nodes."""
    by_link: dict[str, list[int]] = {}
    for one in inbox:
        by_link.setdefault(one.link, []).append(one.id)
    held: set[int] = set()
    for link, ids in by_link.items():
        held.update(id_ for (id_,) in await tx.rows(HOLD, (link, ids)))
    return [one for one in inbox if one.id in held]


async def done(tx: Transaction, ids: Iterable[int]) -> None:
    await tx.many(DONE, [(id_,) for id_ in ids])


async def postpone(tx: Transaction, again: Iterable[tuple[int, int]]) -> None:
    """Let receipts, by their ids, be looked at again at these times."""
    await tx.many(POSTPONE, [(at_ms, id_) for id_, at_ms in again])


async def answered(
    tx: Transaction, changes: Sequence[Change], sent: Sequence[Sent], *, is_apart: bool = False
) -> list[Key]:
    """Write decisions like `messages.change`, and of those that are not refused whose the provider's ids are. If those
    `are_apart`, PostgreSQL does it in one statement."""
    if not sent:
        return await messages.change(tx, changes)
    if tx.has_writing_with and (is_apart or are_apart(sent)):
        beside = {one.key: (one.link, one.attempt, one.step, _json(one.provider_ids)) for one in sent}
        return await messages.change(tx, changes, ADD_PARTS_OF_CHANGED, beside)
    refused = await messages.change(tx, changes)
    without = set(refused)
    await add_parts(tx, [part for one in sent if one.key not in without for part in one.parts])
    return refused


def _json(provider_ids: Iterable[str]) -> str:
    return orjson.dumps(list(map(storable, provider_ids))).decode()


def are_apart(sent: Sequence[Sent]) -> bool:
    """Whether no two are of one message, and no provider gave an id twice."""
    ids = {(one.link, provider_id) for one in sent for provider_id in one.provider_ids}
    return len({one.key for one in sent}) == len(sent) and len(ids) == sum(len(one.provider_ids) for one in sent)


async def add_parts(tx: Transaction, parts: Sequence[SentPart]) -> None:
    """Remember whose the provider's ids are. Of two parts with one id the later one counts."""
    rows = {}
    for link, provider_id, key, attempt, step, part in parts:
        stored_id = storable(provider_id)
        rows[link, stored_id] = (link, stored_id, *key, attempt, step, part)
    await tx.insert(ADD_PART, [rows[key] for key in sorted(rows)])


async def renumbered(tx: Transaction, parts: Sequence[SentPart]) -> list[SentPart]:
    """The parts of attempts that were taken for lost, before they are added: an id that was adopted meanwhile keeps the
    number it was given, for that one is ticked off, and the others share those left."""
    known = await find_parts(tx, {(part.link, part.provider_id) for part in parts})
    kept: dict[SentPart, int] = {}
    for part in parts:
        adopted = known.get((part.link, storable(part.provider_id)))
        if adopted is not None and (adopted.key, adopted.attempt) == (part.key, part.attempt):
            kept[part] = adopted.part
    left: dict[tuple[Key, int], list[int]] = {}
    for part in parts:
        left.setdefault((part.key, part.attempt), []).append(part.part)
    for part, number in kept.items():
        if number in left[part.key, part.attempt]:
            left[part.key, part.attempt].remove(number)
    return [part._replace(part=kept[part] if part in kept else left[part.key, part.attempt].pop(0)) for part in parts]


async def find_parts(reader: Reader, ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SentPart]:
    """The parts that are known among (link, provider id)."""
    by_link: dict[str, list[str]] = {}
    for link, provider_id in ids:
        by_link.setdefault(link, []).append(storable(provider_id))
    found = {}
    for link, provider_ids in by_link.items():
        for provider_id, account_id, message_id, attempt, step, part in await reader.rows(
            FIND_PARTS, (link, provider_ids)
        ):
            found[link, provider_id] = SentPart(link, provider_id, Key(account_id, message_id), attempt, step, part)
    return found


async def add_lost(tx: Transaction, lost: Sequence[LostAnswer]) -> None:
    """Remember attempts whose receipts can be told by their recipient alone."""
    await tx.many(
        ADD_LOST,
        [
            (link, recipient, *key, attempt, step, at_ms, parts)
            for link, recipient, key, attempt, step, at_ms, parts in lost
        ],
    )


async def found(tx: Transaction, late: Sequence[LostAnswer]) -> None:
    """Forget these: what became of them is known."""
    await tx.many(FOUND, [(link, recipient, key.id, attempt) for link, recipient, key, attempt, *_ in late])


async def may_adopt(reader: Reader, orphans: Iterable[InboxReceipt]) -> dict[int, Key]:
    """Those among the receipts, by their ids, that `adopt` can give to a message, and which."""
    found = {}
    for id_, link, receipt, received_at_ms in orphans:
        rows = await reader.rows(_NEWEST_LOST, (link, receipt.recipient, received_at_ms))
        if rows:
            found[id_] = Key(*rows[0][:2])
    return found


async def adopt(tx: Transaction, link: str, receipt: Receipt, received_at_ms: int) -> SentPart | None:
    """Give a receipt that matches nothing to the latest attempt to its recipient, of those sent before it came, whose
    answer was lost. The latest: what came before a repeat was sent has long been given to the attempt before. While the
    message is being sent once more it is given to none: it may be that one's. Nor is one that was given a moment ago,
    since it came twice: the next look finds its part.

    Of a text in parts it is that try of the message of which most are missing: nobody knows which try it tells of, so
    none is called whole before one of them must be. (Of two tries in two parts, three receipts say so; two may be the
    first part twice.)
    """
    if receipt.recipient is None:
        return None
    rows = await tx.rows(NEWEST_LOST, (link, receipt.recipient, received_at_ms))
    if not rows or await find_parts(tx, [(link, receipt.provider_id)]):
        return None
    key = Key(*rows[0][:2])
    message = (await messages.load(tx, [key])).get(key)
    if message is not None and message.message.state is State.SENDING:
        return None
    tries = [row for row in rows if row[:2] == rows[0][:2]]
    *_, attempt, step, parts = max(tries, key=_parts)  # of equals the latest
    await tx.execute(FOUND if parts == 1 else PART_FOUND, (link, receipt.recipient, key.id, attempt))
    # Which part it is cannot be told, and need not: it arrived when as many receipts came as there are parts.
    part = SentPart(link, receipt.provider_id, key, attempt, step, parts - 1)
    await add_parts(tx, [part])
    return part


def _parts(lost: Row) -> int:
    parts: int = lost[4]
    return parts


async def forget_lost(tx: Transaction, limit: int, before_ms: int) -> int:
    """Forget up to `limit` attempts from before that time, for which no receipt comes any more; how many there were."""
    return await tx.execute(FORGET_LOST, (before_ms, limit))
