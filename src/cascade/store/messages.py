"""Messages: stored once, claimed by one node at a time, and changed only by whoever holds their fence."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import compress
from operator import attrgetter, is_not
from typing import NamedTuple

from cascade.core import route as routes
from cascade.core import timeline
from cascade.core.message import NO_ADDRESSES, Message, State, Status
from cascade.core.node import ALONE, Share
from cascade.core.timeline import Entry
from cascade.core.turns import Lane
from cascade.core.words import MessageType
from cascade.store.database import Insertion, Reader, Row, Statement, Transaction, unnest

STATES = {state.value: state for state in State}
STATUSES = {status.value: status for status in Status}
LONGEST_LEASE_MS = 180_000
"""Longer than any lease, as any node's clock counts it."""
TYPES = {type_.value: type_ for type_ in MessageType}


class Key(NamedTuple):
    account_id: int
    id: bytes


NOTHING: Mapping[Key, Row] = {}


class NewMessage(NamedTuple):
    """What is stored at acceptance. `extras` is JSON, None when there is nothing but text. `key.id` is one of
    `ids.new_ids(accepted_at_ms, …)`, `batch_id` the number of the request that the message came in, 0: of none. `era`
    is that of `eras.Eras`."""

    key: Key
    tracking_id: str
    sender: str
    phone: str
    text: str
    extras: str | None
    accepted_at_ms: int
    message: Message
    entries: list[Entry]
    batch_id: int = 0
    era: int = 0


class Stored(NamedTuple):
    """A message as it was read, with the fence that a later write must show."""

    key: Key
    fence: int
    tracking_id: str
    phone: str
    message: Message

    @property
    def recipient(self) -> str:
        """Whom the present step is for, as receipts spell it."""
        return self.message.address or self.phone.removeprefix("+")


class Claimed(NamedTuple):
    """A message to send now, held until its deadline."""

    stored: Stored
    sender: str
    text: str
    extras: str | None


class Change(NamedTuple):
    """What a decision made of a message."""

    stored: Stored
    message: Message
    entries: list[Entry]
    at_ms: int


class Along(NamedTuple):
    """A statement that inserts into another table, for messages that are changed. It reads from `changed`, which has
    their `account_id` and `id`, and `columns`: their names and types, NULL in those of which nothing is to be inserted.
    """

    columns: tuple[tuple[str, str], ...]
    insertion: str


class Record(NamedTuple):
    """All that a client may see of one message."""

    key: Key
    tracking_id: str
    sender: str
    phone: str
    accepted_at_ms: int
    finished_at_ms: int | None
    message: Message
    entries: list[Entry]
    batch_id: int


ADD = Insertion(
    "message",
    own={
        "id": "bytea",
        "tracking_id": "text",
        "sender": "text",
        "phone": "text",
        "text": "text",
        "extras": "text",
        "address": "text",
        "batch_id": "bigint",
    },
    shared={
        "account_id": "bigint",
        "accepted_at_ms": "bigint",
        "era": "bigint",
        "type": "text",
        "is_urgent": "boolean",
        "route": "text",
        "expires_at_ms": "bigint",
        "state": "text",
        "status": "text",
        "step": "integer",
        "link": "text",
        "due_at_ms": "bigint",
        "deadline_at_ms": "bigint",
        "step_ends_at_ms": "bigint",
        "max_cost_micros": "bigint",
        "finished_at_ms": "bigint",
        "timeline": "text",
    },
)

ADD_CLAIMED = replace(ADD, shared={**ADD.shared, "fence": "bigint", "attempt": "integer", "tries": "integer"})
"""Of messages that are claimed as they are stored."""
FIRST_CLAIM = 1
"""The fence of such a message."""

STATE_COLUMNS = """account_id, id, fence, tracking_id, phone, type, route, expires_at_ms, state, status, step,
    link, attempt, tries, address, due_at_ms, deadline_at_ms, step_ends_at_ms, delivered_step, delivered, is_read,
    open_parts, cost_micros, max_cost_micros"""
STATE_WIDTH = 24

_CLAIM = f"""
    UPDATE message SET state = 'sending', status = 'processing', fence = fence + 1, attempt = attempt + 1,
        tries = tries + 1, deadline_at_ms = ?
    WHERE account_id = ? AND id {{among}} (
        SELECT id FROM message
        WHERE account_id = ? AND link = ? AND is_urgent = ? AND state = 'queued' AND due_at_ms <= ?
            AND step_ends_at_ms > ? {{only}}
        ORDER BY due_at_ms LIMIT ? {{lock}})
    RETURNING {STATE_COLUMNS}, sender, text, extras
"""  # noqa: S608 - constants only
# An array, not IN: of IN PostgreSQL's planner may run the subselect again, and claim far more than the limit.
_LOCKED = {"among": "= ANY(ARRAY", "lock": "FOR UPDATE SKIP LOCKED)"}
# The owner's number is its fencing token: a node that has lost the link claims nothing, whatever it believes.
_OWNED = "AND EXISTS (SELECT 1 FROM link_owner WHERE link = ? AND node_id = ?)"
_UNTRIED = "AND tries = 0 "


def _claiming(only: str) -> Statement:
    return Statement(_CLAIM.format(among="IN", lock="", only=only), _CLAIM.format(**_LOCKED, only=only))


CLAIM = _claiming("")
CLAIM_OWNED = _claiming(_OWNED)
CLAIM_UNTRIED = _claiming(_UNTRIED)
CLAIM_UNTRIED_OWNED = _claiming(_UNTRIED + _OWNED)

PAST_DEADLINE = f"""
    SELECT {STATE_COLUMNS} FROM message WHERE deadline_at_ms <= ? ORDER BY deadline_at_ms LIMIT ?
"""  # noqa: S608

PAST_DEADLINE_SHARE = f"""
    SELECT {STATE_COLUMNS} FROM message WHERE deadline_at_ms <= ? AND get_byte(id, 15) % ? = ?
    ORDER BY deadline_at_ms LIMIT ?
"""  # noqa: S608

NEXT_DEADLINE = "SELECT min(deadline_at_ms) FROM message WHERE deadline_at_ms IS NOT NULL"

WAITING_FOR_LINK = f"""
    SELECT {STATE_COLUMNS} FROM message
    WHERE account_id = ? AND link = ? AND is_urgent = ? AND state = 'queued' AND due_at_ms >= ? AND due_at_ms <= ?
    ORDER BY due_at_ms LIMIT ? OFFSET ?
"""  # noqa: S608

LOAD = f"""
    SELECT {STATE_COLUMNS} FROM message WHERE account_id = ? AND id IN (*)
"""  # noqa: S608

# PostgreSQL's, in the order in which `change` writes them.
HOLD = "SELECT id FROM message WHERE account_id = ? AND id = ANY(?) ORDER BY id FOR UPDATE"

LOAD_WHOLE = f"""
    SELECT {STATE_COLUMNS}, sender, text, extras FROM message WHERE account_id = ? AND id IN (*)
"""  # noqa: S608

# A loose scan of the queue's index: three look-ups for each lane, however many messages wait in it. Three, since of
# (account_id, link, is_urgent) > (...) SQLite seeks the first column alone and then walks through whole lanes.
LANES = Statement(
    sqlite="""
    WITH RECURSIVE lane (account_id, link, is_urgent, due_at_ms) AS (
        SELECT * FROM (
            SELECT account_id, link, is_urgent, due_at_ms FROM message WHERE state = 'queued'
            ORDER BY account_id, link, is_urgent, due_at_ms LIMIT 1)
        UNION ALL
        SELECT next.account_id, next.link, next.is_urgent, next.due_at_ms
        FROM lane JOIN message AS next ON next.rowid = coalesce(
            (SELECT rowid FROM message
             WHERE state = 'queued' AND account_id = lane.account_id AND link = lane.link AND is_urgent > lane.is_urgent
             ORDER BY is_urgent, due_at_ms LIMIT 1),
            (SELECT rowid FROM message
             WHERE state = 'queued' AND account_id = lane.account_id AND link > lane.link
             ORDER BY link, is_urgent, due_at_ms LIMIT 1),
            (SELECT rowid FROM message
             WHERE state = 'queued' AND account_id > lane.account_id
             ORDER BY account_id, link, is_urgent, due_at_ms LIMIT 1)))
    SELECT account_id, link, is_urgent, due_at_ms FROM lane
""",
    postgres="""
    WITH RECURSIVE lane (account_id, link, is_urgent, due_at_ms) AS (
        (SELECT account_id, link, is_urgent, due_at_ms FROM message WHERE state = 'queued'
         ORDER BY account_id, link, is_urgent, due_at_ms LIMIT 1)
        UNION ALL
        SELECT next.account_id, next.link, next.is_urgent, next.due_at_ms
        FROM lane CROSS JOIN LATERAL (
            SELECT account_id, link, is_urgent, due_at_ms FROM message
            WHERE state = 'queued' AND (account_id, link, is_urgent) > (lane.account_id, lane.link, lane.is_urgent)
            ORDER BY account_id, link, is_urgent, due_at_ms LIMIT 1) AS next)
    SELECT account_id, link, is_urgent, due_at_ms FROM lane
""",
)

# Citus walks through no recursion over several nodes: each counts its own, at the price of the queue's length.
LANES_DISTRIBUTED = """
    SELECT account_id, link, is_urgent, min(due_at_ms) FROM message WHERE state = 'queued'
    GROUP BY account_id, link, is_urgent
"""

NEXT_DUE = """
    SELECT min(due_at_ms) FROM message WHERE account_id = ? AND link = ? AND is_urgent = ? AND state = 'queued'
"""

RECORD_COLUMNS = f"{STATE_COLUMNS}, sender, accepted_at_ms, finished_at_ms, batch_id, timeline"
RECORD = f"SELECT {RECORD_COLUMNS} FROM message WHERE account_id = ? AND id = ?"  # noqa: S608
RECORDS = f"""
    SELECT {RECORD_COLUMNS} FROM message WHERE account_id = ? AND id IN (*)
"""  # noqa: S608

RELEASE_LEASES = "UPDATE message SET deadline_at_ms = ? WHERE state = 'sending' AND deadline_at_ms > 0"

# Through the index of deadlines: a lease of a node that lived a moment ago ends within the next minute or so.
END_LEASES = """
    UPDATE message SET deadline_at_ms = ? WHERE (account_id, id) IN (
        SELECT account_id, id FROM message
        WHERE deadline_at_ms > ? AND deadline_at_ms <= ? AND state = 'sending' AND link IN (*)
        FOR UPDATE SKIP LOCKED)
"""

SENDING = f"""
    SELECT {STATE_COLUMNS} FROM message
    WHERE deadline_at_ms > ? AND deadline_at_ms <= ? AND state = 'sending' AND link = ?
"""  # noqa: S608

POSTPONE = "UPDATE message SET deadline_at_ms = ? WHERE account_id = ? AND id = ? AND deadline_at_ms < ?"


class _Column(NamedTuple):
    """A column that decisions change: the field of `Message` it follows, and its value."""

    field: str
    type: str
    value: Callable[[Message], object]


def _plain(field: str, type_: str) -> _Column:
    return _Column(field, type_, attrgetter(field))


CHANGING = {
    "state": _Column("state", "text", attrgetter("state.value")),
    "status": _Column("status", "text", attrgetter("status.value")),
    "step": _plain("step", "integer"),
    "attempt": _plain("attempt", "integer"),
    "tries": _plain("tries", "integer"),
    "link": _plain("link", "text"),
    "address": _plain("address", "text"),
    "due_at_ms": _plain("due_at_ms", "bigint"),
    "deadline_at_ms": _plain("deadline_at_ms", "bigint"),
    "step_ends_at_ms": _plain("step_ends_at_ms", "bigint"),
    "expires_at_ms": _plain("expires_at_ms", "bigint"),
    "delivered_step": _plain("delivered_step", "integer"),
    "delivered_by": _Column("delivered_step", "text", lambda message: _delivered_by(message)),
    "delivered": _Column("delivered", "text", lambda message: ",".join(map(str, message.delivered))),
    "is_read": _plain("is_read", "boolean"),
    "open_parts": _Column("open_parts", "text", lambda message: _encode_parts(message.open_parts)),
    "cost_micros": _plain("cost_micros", "bigint"),
}


async def add(tx: Transaction, new: Sequence[NewMessage]) -> None:
    """Store accepted messages, each already begun or waiting for its hour. Those that can be sent at once are handed to
    the forwarder, and need no claim."""
    # A batch begins in a few ways only, and messages that begin alike share one start (core/plan).
    starts: dict[tuple[int, ...], _Start] = {}
    # Those of a lane that follow each other and begin alike are one set, so that a lane keeps its order.
    sets: dict[Lane | None, tuple[_Start, list[Row]]] = {}
    for key, tracking_id, sender, phone, text, extras, accepted_at_ms, message, entries, batch_id, era in new:
        alike = (key.account_id, accepted_at_ms, era, id(message), id(entries))
        start = starts.get(alike)
        if start is None:
            lane = None
            if message.state is State.QUEUED and message.link is not None:
                lane = Lane(key.account_id, message.link, message.type.is_urgent)
            shared = _shared(key.account_id, accepted_at_ms, era, message, entries)
            start = starts[alike] = _Start(lane, shared, message, entries)
        open_ = sets.get(start.lane)
        if open_ is None or (open_[0] is not start and open_[0].shared != start.shared):
            if open_ is not None:
                await _add(tx, *open_)
            open_ = sets[start.lane] = (start, [])
        open_[1].append((key.id, tracking_id, sender, phone, text, extras, message.address, batch_id))
    for open_ in sets.values():
        await _add(tx, *open_)
    tx.added(new)


class _Start(NamedTuple):
    """How a message begins: in which lane, None: in none, and the columns that say so."""

    lane: Lane | None
    shared: Row
    message: Message
    entries: list[Entry]


async def _add(tx: Transaction, start: _Start, rows: list[Row]) -> None:
    """Store a set that begins alike: the first of it as claimed, as far as the forwarder has room."""
    lane, shared, message, entries = start
    if lane is not None:
        number, claimed = tx.forwarder.reserve(lane, message, len(rows))
        if number:
            first, rows = rows[:number], rows[number:]
            claimed = claimed._replace(addresses=NO_ADDRESSES)
            account_id, accepted_at_ms, era, *_ = shared
            tx.forward(lane, [_as_claimed(account_id, claimed, row) for row in first])
            claim_of = (FIRST_CLAIM, claimed.attempt, claimed.tries)
            await tx.insert(
                ADD_CLAIMED, first, (*_shared(account_id, accepted_at_ms, era, claimed, entries), *claim_of)
            )
        if not rows:
            return
        tx.lane_ready(lane, message.due_at_ms)
    await tx.insert(ADD, rows, shared)


def _as_claimed(account_id: int, message: Message, row: Row) -> Claimed:
    """A message that is being stored, as a claim would read it."""
    id_, tracking_id, sender, phone, text, extras, address, _ = row
    if address is not message.address:
        message = message._replace(address=address)
    return Claimed(Stored(Key(account_id, id_), FIRST_CLAIM, tracking_id, phone, message), sender, text, extras)


def _shared(account_id: int, accepted_at_ms: int, era: int, message: Message, entries: list[Entry]) -> Row:
    """The columns that say how a message begins."""
    return (
        account_id,
        accepted_at_ms,
        era,
        message.type.value,
        message.type.is_urgent,
        routes.encode(message.route),
        message.expires_at_ms,
        message.state.value,
        message.status.value,
        message.step,
        message.link,
        message.due_at_ms,
        message.deadline_at_ms,
        message.step_ends_at_ms,
        message.max_cost_micros,
        accepted_at_ms if message.is_final else None,
        timeline.encode(entries),
    )


async def claim(
    tx: Transaction, lane: Lane, limit: int, now_ms: int, lease_ends_at_ms: int, node_id: int | None = None
) -> list[Claimed]:
    """Take up to `limit` of the lane's due messages, oldest first. No two nodes get the same one. With a `node_id`
    nothing is taken unless that node owns the link."""
    return await _claim(tx, CLAIM if node_id is None else CLAIM_OWNED, lane, limit, now_ms, lease_ends_at_ms, node_id)


async def claim_untried(
    tx: Transaction, lane: Lane, now_ms: int, lease_ends_at_ms: int, node_id: int | None = None
) -> list[Claimed]:
    """The same of one message at most, which was never tried at its step."""
    statement = CLAIM_UNTRIED if node_id is None else CLAIM_UNTRIED_OWNED
    return await _claim(tx, statement, lane, 1, now_ms, lease_ends_at_ms, node_id)


async def _claim(
    tx: Transaction,
    statement: Statement,
    lane: Lane,
    limit: int,
    now_ms: int,
    lease_ends_at_ms: int,
    node_id: int | None,
) -> list[Claimed]:
    account_id, link, is_urgent = lane
    owned = () if node_id is None else (link, node_id)
    due = (lease_ends_at_ms, account_id, account_id, link, is_urgent, now_ms, now_ms)
    rows = await tx.rows(statement, (*due, *owned, limit))
    claimed = [_claimed(row) for row in rows]
    claimed.sort(key=lambda one: one.stored.message.due_at_ms)  # RETURNING promises no order
    return claimed


async def past_deadline(reader: Reader, now_ms: int, limit: int, share: Share = ALONE) -> list[Stored]:
    """Messages of any state that should have left it by now, the longest overdue first; of several nodes each is given
    its share."""
    if share.count == 1:
        rows = await reader.rows(PAST_DEADLINE, (now_ms, limit))
    else:
        rows = await reader.rows(PAST_DEADLINE_SHARE, (now_ms, share.count, share.index, limit))
    return [_stored(row) for row in rows]


async def next_deadline_ms(reader: Reader) -> int | None:
    """When the first message of any state should have left it; None: there is none."""
    rows = await reader.rows(NEXT_DEADLINE)
    deadline_at_ms: int | None = rows[0][0]
    return deadline_at_ms


async def postpone(tx: Transaction, key: Key, until_ms: int) -> None:
    """Give a message more time in its state, whatever its state may be."""
    await tx.execute(POSTPONE, (until_ms, *key, until_ms))


class Seen(NamedTuple):
    """How far a lane was looked through: up to the `number`-th message that is due at that time."""

    due_at_ms: int = 0
    number: int = 0


NONE_SEEN = Seen()


async def waiting_for_link(
    reader: Reader, lane: Lane, due_before_ms: int, limit: int, seen: Seen = NONE_SEEN
) -> tuple[list[Stored], Seen | None]:
    """Messages of the lane that could have been sent since before that time, oldest first, behind those that were
    seen; and how far that is, None: there are no more."""
    rows = await reader.rows(WAITING_FOR_LINK, (*lane, seen.due_at_ms, due_before_ms, limit, seen.number))
    waiting = [_stored(row) for row in rows]
    if len(waiting) < limit:
        return waiting, None
    last_ms = waiting[-1].message.due_at_ms
    number = sum(stored.message.due_at_ms == last_ms for stored in waiting)
    return waiting, Seen(last_ms, number + seen.number if last_ms == seen.due_at_ms else number)


async def load(reader: Reader, keys: Iterable[Key]) -> dict[Key, Stored]:
    """The messages that exist among `keys`."""
    found = {}
    for account_id, ids in _by_account(keys):
        for row in await reader.rows(LOAD, (account_id, ids)):
            stored = _stored(row)
            found[stored.key] = stored
    return found


async def hold(tx: Transaction, keys: Iterable[Key]) -> None:
    """Let nobody else change these until the end of the transaction. PostgreSQL's, where there are other nodes."""
    for account_id, ids in _by_account(sorted(keys)):
        await tx.rows(HOLD, (account_id, ids))


async def load_whole(reader: Reader, keys: Iterable[Key]) -> list[Claimed]:
    """The same, each with what it says, as a claim reads it."""
    return [
        _claimed(row)
        for account_id, ids in _by_account(keys)
        for row in await reader.rows(LOAD_WHOLE, (account_id, ids))
    ]


async def change(
    tx: Transaction, changes: Sequence[Change], along: Along | None = None, beside: Mapping[Key, Row] = NOTHING
) -> list[Key]:
    """Write decisions. Returns those refused because the message changed since it was read: read and decide anew.

    `along`: what else PostgreSQL is to insert of those it writes, from the values `beside` some of them.
    """
    refused = []
    in_order = sorted(changes, key=_key)  # so that two nodes never wait for each other
    statement, row_of = writing(_touched(in_order), along)
    rows = [row_of(one) for one in in_order]
    if along is not None:
        none = (None,) * len(along.columns)
        rows = [(*beside.get(one.stored.key, none), *row) for one, row in zip(in_order, rows, strict=True)]
    for one, is_changed in zip(in_order, await tx.each(statement, rows), strict=True):
        key, message = one.stored.key, one.message
        if not is_changed:
            refused.append(key)
        elif message.state is State.QUEUED and message.link is not None:
            tx.lane_ready(Lane(key.account_id, message.link, message.type.is_urgent), message.due_at_ms)
    return refused


async def lanes(reader: Reader) -> dict[Lane, int]:
    """Every lane that holds a message, with the time at which its first one is due."""
    rows = await reader.rows(LANES_DISTRIBUTED if reader.is_distributed else LANES)
    return {Lane(account_id, link, bool(is_urgent)): due_at_ms for account_id, link, is_urgent, due_at_ms in rows}


async def next_due_at_ms(reader: Reader, lane: Lane) -> int | None:
    """When the lane's first message is due; None when it is empty."""
    rows = await reader.rows(NEXT_DUE, lane)
    due_at_ms: int | None = rows[0][0]
    return due_at_ms


async def record(reader: Reader, key: Key) -> Record | None:
    rows = await reader.rows(RECORD, key)
    return _record(rows[0]) if rows else None


async def records(reader: Reader, keys: Iterable[Key]) -> dict[Key, Record]:
    """All that a client may see of those among `keys` that exist."""
    found = {}
    for account_id, ids in _by_account(keys):
        for row in await reader.rows(RECORDS, (account_id, ids)):
            one = _record(row)
            found[one.key] = one
    return found


async def release_leases(tx: Transaction, now_ms: int) -> int:
    """End every lease now: the only node there is has just started, so whoever held them is dead. How many there were,
    with those that had run out while there was no node."""
    return await tx.execute(RELEASE_LEASES, (now_ms,))


async def end_leases(tx: Transaction, links: Sequence[str], now_ms: int) -> int:
    """End now the leases of what is being sent through these links: whoever held them is dead. One that its holder is
    just writing an answer to is left to it."""
    return await tx.execute(END_LEASES, (now_ms, now_ms, now_ms + LONGEST_LEASE_MS, list(links)))


async def sending(reader: Reader, link: str, now_ms: int) -> list[Stored]:
    """What is being sent through the link, as far as the leases still run."""
    return [_stored(row) for row in await reader.rows(SENDING, (now_ms, now_ms + LONGEST_LEASE_MS, link))]


def _by_account(keys: Iterable[Key]) -> Iterable[tuple[int, list[bytes]]]:
    by_account: dict[int, list[bytes]] = {}
    for account_id, id_ in keys:
        by_account.setdefault(account_id, []).append(id_)
    return by_account.items()


def _stored(row: Row) -> Stored:
    (
        account_id,
        id_,
        fence,
        tracking_id,
        phone,
        type_,
        route,
        expires_at_ms,
        state,
        status,
        step,
        link,
        attempt,
        tries,
        address,
        due_at_ms,
        deadline_at_ms,
        step_ends_at_ms,
        delivered_step,
        delivered,
        is_read,
        open_parts,
        cost_micros,
        max_cost_micros,
    ) = row[:STATE_WIDTH]
    return Stored(
        Key(account_id, id_),
        fence,
        tracking_id,
        phone,
        Message(
            TYPES[type_],
            routes.decode(route),
            expires_at_ms,
            STATES[state],
            STATUSES[status],
            step,
            link,
            attempt,
            tries,
            address,
            due_at_ms,
            deadline_at_ms,
            step_ends_at_ms,
            delivered_step,
            tuple(map(int, delivered.split(","))) if delivered else (),
            bool(is_read),
            _decode_parts(open_parts) if open_parts else (),
            cost_micros,
            max_cost_micros,
        ),
    )


def _claimed(row: Row) -> Claimed:
    return Claimed(_stored(row), *row[STATE_WIDTH:])


def _record(row: Row) -> Record:
    stored = _stored(row)
    sender, accepted_at_ms, finished_at_ms, batch_id, text = row[STATE_WIDTH:]
    return Record(
        stored.key,
        stored.tracking_id,
        sender,
        stored.phone,
        accepted_at_ms,
        finished_at_ms,
        stored.message,
        timeline.decode(text),
        batch_id,
    )


def _key(one: Change) -> Key:
    return one.stored.key


def _touched(changes: Iterable[Change]) -> frozenset[str]:
    """The fields of a message that these decisions changed between them."""
    masks = {bytes(map(is_not, one.message, one.stored.message)) for one in changes}
    return frozenset(field for mask in masks for field in compress(Message._fields, mask))


@cache
def writing(fields: frozenset[str], along: Along | None = None) -> tuple[Statement, Callable[[Change], Row]]:
    """What writes these fields for a set of changes, and the parameters of one change, behind those for `along`. A
    decision touches few of them, and each column costs."""
    columns = {name: of for name, of in CHANGING.items() if of.field in fields}
    beside = dict(along.columns) if along else {}
    types = [*beside.values(), *(of.type for of in columns.values())]
    names = [*beside, *columns, "finished_at_ms", "timeline", "account_id", "id", "fence"]
    changing = f"""
        UPDATE message SET {"".join(f"{name} = new.{name}, " for name in columns)}
            finished_at_ms = coalesce(new.finished_at_ms, message.finished_at_ms),
            timeline = message.timeline || new.timeline, fence = message.fence + 1
        FROM {unnest(*types, "bigint", "text", "bigint", "bytea", "bigint")}
            WITH ORDINALITY AS new ({", ".join(names)}, place)
        WHERE message.account_id = new.account_id AND message.id = new.id AND message.fence = new.fence
        RETURNING new.place
    """  # noqa: S608 - constants only
    if along:
        changing = f"""
            WITH changed AS ({changing}, new.account_id, new.id, {", ".join(f"new.{name}" for name in beside)}),
                added AS ({along.insertion})
            SELECT place FROM changed
        """  # noqa: S608
    statement = Statement(
        sqlite=f"""
            UPDATE message SET {"".join(f"{name} = ?, " for name in columns)}
                finished_at_ms = coalesce(?, finished_at_ms), timeline = timeline || ?, fence = fence + 1
            WHERE account_id = ? AND id = ? AND fence = ?
        """,  # noqa: S608 - constants only
        postgres=changing,
    )
    values = [of.value for of in columns.values()]

    def row_of(one: Change) -> Row:
        (key, fence, _, _, before), message, entries, at_ms = one
        has_ended = message.status is not before.status and message.state is State.FINAL
        return (
            *[value(message) for value in values],
            at_ms if has_ended else None,
            timeline.encode(entries),
            *key,
            fence,
        )

    return statement, row_of


def _delivered_by(message: Message) -> str | None:
    return None if message.delivered_step is None else message.route[message.delivered_step].channel.value


def _encode_parts(open_parts: tuple[tuple[int, int], ...]) -> str:
    return ",".join(f"{attempt}:{missing:x}" for attempt, missing in open_parts)


def _decode_parts(text: str) -> tuple[tuple[int, int], ...]:
    pairs = (pair.split(":") for pair in text.split(","))
    return tuple((int(attempt), int(missing, 16)) for attempt, missing in pairs)
