"""Deliveries: one row for each event and each webhook that is told of it, until it arrived or was given up.

Of one message's events only the earliest that is still pending is ever claimed, so they arrive in order. A claim is a
lease: `due_at_ms` is its end, and `fence` tells its holder from the next one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from cascade.store.database import Insertion, Reader, Row, Statement, Transaction, WebhookKey, unnest


class State(StrEnum):
    """Part of the API."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


class New(NamedTuple):
    """A delivery to add, unless its webhook is disabled. `message_id` None: it waits for no other."""

    webhook: WebhookKey
    event_id: str
    message_id: bytes | None
    at_ms: int
    body: bytes


class Claimed(NamedTuple):
    """A delivery to try now. `tries` counts this one. `batch_id` None: it goes alone."""

    account_id: int
    webhook_id: str
    event_id: str
    message_id: bytes | None
    tries: int
    fence: int
    batch_id: str | None
    body: bytes


class Tried(NamedTuple):
    """How a try ended. `due_at_ms` is when the next one is due, if it is still pending. `http_status` None: no answer
    came, and `error` says why. `answer` is how the body began."""

    claimed: Claimed
    state: State
    due_at_ms: int
    at_ms: int
    duration_ms: int
    http_status: int | None
    answer: str | None
    error: str | None


class Listed(NamedTuple):
    """A delivery as its owner sees it."""

    webhook_id: str
    event_id: str
    type: str
    message_id: bytes | None
    body: bytes
    created_at_ms: int
    state: State
    due_at_ms: int
    tries: int
    batch_id: str | None
    tried_at_ms: int | None
    duration_ms: int | None
    http_status: int | None
    answer: str | None
    error: str | None


OF_MESSAGE = "INDEXED BY delivery_of_message"
"""SQLite knows nothing of how many deliveries a webhook has, and would walk through all of them by the primary key."""

ADD = Insertion(
    "delivery",
    own={"event_id": "text", "message_id": "bytea", "due_at_ms": "bigint", "tries": "integer", "fence": "bigint"},
    shared={"account_id": "bigint", "webhook_id": "text", "state": "text"},
    only_if="""EXISTS (
        SELECT 1 FROM webhook WHERE account_id = {account_id} AND id = {webhook_id} AND is_enabled = TRUE)""",
)

# What messages have pending, and when it is due. On PostgreSQL whoever records a try of an earlier event and whoever
# adds a later one wait for each other here: else the recorder would not see the new row, nor the adder that it need not
# wait, and it would stand until the lease's end.
_PENDING_OF = """
    SELECT message_id, due_at_ms FROM delivery {of_message}
    WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND message_id IN (*) ORDER BY event_id {lock}
"""
PENDING_OF = Statement(
    sqlite=_PENDING_OF.format(of_message=OF_MESSAGE, lock=""),
    postgres=_PENDING_OF.format(of_message="", lock="FOR UPDATE"),
)

_CLAIM = """
    UPDATE delivery SET due_at_ms = ?, tries = tries + 1, fence = fence + 1, batch_id = {batch}
    WHERE account_id = ? AND webhook_id = ? AND event_id {{among}} (
        SELECT event_id FROM delivery AS fresh
        WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND due_at_ms <= ? {only}
            AND NOT EXISTS (
                SELECT 1 FROM delivery AS earlier {{of_message}}
                WHERE earlier.account_id = fresh.account_id AND earlier.webhook_id = fresh.webhook_id
                    AND earlier.message_id = fresh.message_id AND earlier.state = 'pending'
                    AND earlier.event_id < fresh.event_id {blocking})
        ORDER BY due_at_ms, event_id LIMIT ? {{lock}})
    RETURNING account_id, webhook_id, event_id, message_id, tries, fence, batch_id
"""


def _claim(text: str) -> Statement:
    """An array, not IN: of IN PostgreSQL's planner may run the subselect again, and claim more than the limit."""
    return Statement(
        sqlite=text.format(among="IN", lock="", of_message=OF_MESSAGE),
        postgres=text.format(among="= ANY(ARRAY", lock="FOR UPDATE OF fresh SKIP LOCKED)", of_message=""),
    )


# While PostgreSQL knows nothing of a table, it would look for the earliest of each message through all that is pending,
# by `delivery_due` (1,050 us a delivery where 137 do). In this order, and unable to sort, it can but go by
# `delivery_of_message`.
_EARLIEST = """
    SELECT earlier.event_id FROM delivery AS earlier
    WHERE earlier.account_id = fresh.account_id AND earlier.webhook_id = fresh.webhook_id
        AND earlier.message_id >= fresh.message_id AND earlier.state = 'pending'
    ORDER BY earlier.message_id, earlier.event_id LIMIT 1
"""
_CLAIM_EARLIEST = f"""
    UPDATE delivery SET due_at_ms = ?, tries = tries + 1, fence = fence + 1, batch_id = NULL
    WHERE account_id = ? AND webhook_id = ? AND event_id = ANY(ARRAY(
        SELECT event_id FROM delivery AS fresh
        WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND due_at_ms <= ?
            AND (message_id IS NULL OR event_id = ({_EARLIEST}))
        ORDER BY due_at_ms, event_id LIMIT ? FOR UPDATE OF fresh SKIP LOCKED))
    RETURNING account_id, webhook_id, event_id, message_id, tries, fence, batch_id
"""  # noqa: S608 - constants only
CLAIM = Statement(_claim(_CLAIM.format(batch="NULL", only="", blocking="")).sqlite, _CLAIM_EARLIEST)
WITHOUT_SORTING = Statement("SELECT 1 WHERE FALSE", "SET LOCAL enable_sort = off")

# The events of one message may share a batch, which keeps their order; only an older batch holds them up.
CLAIM_BATCH = _claim(_CLAIM.format(batch="?", only="AND batch_id IS NULL", blocking="AND earlier.batch_id IS NOT NULL"))

_CLAIM_AGAIN = """
    UPDATE delivery {of_batch} SET due_at_ms = ?, tries = tries + 1, fence = fence + 1
    WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND due_at_ms <= ? AND batch_id = (
        SELECT batch_id FROM delivery {of_batch}
        WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND due_at_ms <= ? AND batch_id IS NOT NULL
        ORDER BY due_at_ms LIMIT 1)
    RETURNING account_id, webhook_id, event_id, message_id, tries, fence, batch_id
"""
CLAIM_AGAIN = Statement(
    sqlite=_CLAIM_AGAIN.format(of_batch="INDEXED BY delivery_of_batch"), postgres=_CLAIM_AGAIN.format(of_batch="")
)

# Batches of one webhook are made one after the other: of two made at once on PostgreSQL, the second would not see what
# the first takes, and could overtake it.
HOLD = Statement(
    sqlite="SELECT 1 FROM webhook WHERE account_id = ? AND id = ?",
    postgres="SELECT 1 FROM webhook WHERE account_id = ? AND id = ? FOR UPDATE",
)

NEXT_DUE = "SELECT min(due_at_ms) FROM delivery WHERE account_id = ? AND webhook_id = ? AND state = 'pending'"

DUE = """
    SELECT account_id, id, (SELECT min(due_at_ms) FROM delivery
        WHERE account_id = webhook.account_id AND webhook_id = webhook.id AND state = 'pending')
    FROM webhook WHERE is_enabled = TRUE
"""

RECORD = Statement(
    sqlite="""
        UPDATE delivery SET state = ?, due_at_ms = ?, tried_at_ms = ?, duration_ms = ?, http_status = ?, answer = ?,
            error = ?
        WHERE account_id = ? AND webhook_id = ? AND event_id = ? AND fence = ?
    """,
    postgres=f"""
        UPDATE delivery SET state = tried.state, due_at_ms = tried.due_at_ms, tried_at_ms = tried.tried_at_ms,
            duration_ms = tried.duration_ms, http_status = tried.http_status, answer = tried.answer, error = tried.error
        FROM {
        unnest("text", "bigint", "bigint", "integer", "integer", "text", "text", "bigint", "text", "text", "bigint")
    }
            AS tried (state, due_at_ms, tried_at_ms, duration_ms, http_status, answer, error,
                account_id, webhook_id, event_id, fence)
        WHERE delivery.account_id = tried.account_id AND delivery.webhook_id = tried.webhook_id
            AND delivery.event_id = tried.event_id AND delivery.fence = tried.fence
    """,  # noqa: S608 - constants only
)

GIVE_BACK = Statement(
    sqlite="""
        UPDATE delivery SET due_at_ms = ?, tries = tries - 1
        WHERE account_id = ? AND webhook_id = ? AND event_id = ? AND fence = ?
    """,
    postgres=f"""
        UPDATE delivery SET due_at_ms = back.due_at_ms, tries = tries - 1
        FROM {unnest("bigint", "bigint", "text", "text", "bigint")}
            AS back (due_at_ms, account_id, webhook_id, event_id, fence)
        WHERE delivery.account_id = back.account_id AND delivery.webhook_id = back.webhook_id
            AND delivery.event_id = back.event_id AND delivery.fence = back.fence
    """,  # noqa: S608 - constants only
)

# Those of the same messages that were never tried: they wait for these, or no longer do.
_FOLLOW = """
    UPDATE delivery {of_message} SET due_at_ms = ?
    WHERE account_id = ? AND webhook_id = ? AND state = 'pending' AND tries = 0 AND message_id IN (*)
    RETURNING event_id
"""
FOLLOW = Statement(sqlite=_FOLLOW.format(of_message=OF_MESSAGE), postgres=_FOLLOW.format(of_message=""))

BODIES = "SELECT id, body FROM event WHERE account_id = ? AND id IN (*)"

_COLUMNS = """delivery.webhook_id, delivery.event_id, event.type, event.message_id, event.body, event.created_at_ms,
        delivery.state, delivery.due_at_ms, delivery.tries, delivery.batch_id, delivery.tried_at_ms,
        delivery.duration_ms, delivery.http_status, delivery.answer, delivery.error"""
_LISTED = f"""
    SELECT {_COLUMNS}
    FROM delivery JOIN event ON event.account_id = delivery.account_id AND event.id = delivery.event_id
    WHERE delivery.account_id = ? AND delivery.webhook_id = ?"""  # noqa: S608 - constants only
_LIST = f"{_LISTED} AND delivery.event_id < ? {{state}} ORDER BY delivery.event_id DESC LIMIT ?"
# Pending ones that failed are due the latest: those never tried are due at once, or with the one that they wait for.
LAST_FAILED = f"""{_LISTED}
    AND delivery.state = 'pending' AND delivery.tried_at_ms IS NOT NULL ORDER BY delivery.due_at_ms DESC LIMIT 1
"""
LIST: dict[State | None, str] = {
    None: _LIST.format(state=""),
    # Spelled out, not a parameter, so that the partial indexes serve.
    **{state: _LIST.format(state=f"AND delivery.state = '{state.value}'") for state in State},
}

# CROSS: by the message's few events, whatever SQLite thinks of their number.
_OF_MESSAGE = f"""
    SELECT {_COLUMNS}
    FROM event CROSS JOIN delivery
    WHERE event.account_id = ? AND event.message_id = ? AND delivery.account_id = ? AND delivery.event_id = event.id
"""  # noqa: S608 - constants only
LIST_OF_ALL = f"""{_OF_MESSAGE} AND delivery.webhook_id IN (SELECT id FROM webhook WHERE account_id = ?)
    ORDER BY event.id DESC, delivery.webhook_id LIMIT ?
"""  # noqa: S608
LIST_OF_MESSAGE = f"""{_OF_MESSAGE} AND delivery.webhook_id = ? AND event.id < ?
    AND delivery.state = coalesce(?, delivery.state)
    ORDER BY event.id DESC LIMIT ?
"""

_AGAIN = "UPDATE delivery SET state = 'pending', due_at_ms = ?, tries = 0, batch_id = NULL WHERE "
REDELIVER = f"{_AGAIN} account_id = ? AND webhook_id = ? AND event_id = ? AND state <> 'pending'"
PENDING = "SELECT 1 FROM delivery WHERE account_id = ? AND webhook_id = ? AND event_id = ? AND state = 'pending'"
_RANGE = """account_id = ? AND webhook_id = ? AND event_id IN (
    SELECT event_id FROM delivery
    WHERE account_id = ? AND webhook_id = ? AND event_id >= ? AND event_id < ? AND {state}
    ORDER BY event_id LIMIT ?)"""
REDELIVER_FAILED = _AGAIN + _RANGE.format(state="state = 'failed'")
REDELIVER_ALL = _AGAIN + _RANGE.format(state="state <> 'pending'")

OLDEST = """
    SELECT max(id) FROM (SELECT id FROM event WHERE account_id = ? AND id < ? ORDER BY id LIMIT ?) AS oldest
"""
FORGET = (
    "DELETE FROM delivery WHERE account_id = ? AND webhook_id IN (SELECT id FROM webhook WHERE account_id = ?)"
    " AND event_id <= ?",
    "DELETE FROM event WHERE account_id = ? AND id <= ?",
)
# The recursion visits each webhook that has deliveries once, by the primary key, however many there are of each.
LEFT_BEHIND = """
    WITH RECURSIVE told (webhook_id) AS (
        SELECT min(webhook_id) FROM delivery WHERE account_id = ?
        UNION ALL
        SELECT (SELECT min(webhook_id) FROM delivery WHERE account_id = ? AND webhook_id > told.webhook_id)
        FROM told WHERE told.webhook_id IS NOT NULL)
    SELECT webhook_id FROM told
    WHERE webhook_id IS NOT NULL AND webhook_id NOT IN (SELECT id FROM webhook WHERE account_id = ?)
"""
FORGET_LEFT = """
    DELETE FROM delivery WHERE account_id = ? AND webhook_id = ? AND event_id IN (
        SELECT event_id FROM delivery WHERE account_id = ? AND webhook_id = ? ORDER BY event_id LIMIT ?)
"""
AFTER_ALL = "msg_g"
"""Greater than every id: they are hexadecimal."""


def first_id_at(at_ms: int) -> str:
    """The lowest id of an event written at that time: ids are UUIDs of version 7, which begin with their time."""
    return f"msg_{max(at_ms, 0):012x}"


async def add(tx: Transaction, new: Sequence[New]) -> None:
    """Behind an earlier event of the same message that is under way or waits for its next try, one waits as long. Those
    that wait for nothing are handed to the courier, as far as it has room, and need no claim."""
    by_webhook: dict[WebhookKey, list[New]] = {}
    for one in new:
        by_webhook.setdefault(one.webhook, []).append(one)
    left = []
    for webhook in sorted(by_webhook):
        some = by_webhook[webhook]
        message_ids = {one.message_id for one in some if one.message_id is not None}
        waits: dict[bytes, int] = {}
        if message_ids:
            waits = dict(await tx.rows(PENDING_OF, (*webhook, list(message_ids))))
        alone = len(message_ids) - len(waits) + sum(one.message_id is None for one in some)
        room = tx.courier.reserve(webhook, alone) if alone else 0
        lease_ends_at_ms = tx.courier.lease_ends_at_ms() if room else 0
        rows: list[Row] = []
        handed: list[Claimed] = []
        for _, event_id, message_id, due_at_ms, body in some:
            held = 0
            if message_id in waits:
                due_at_ms = waits[message_id]
            elif len(handed) < room:
                held, due_at_ms = 1, lease_ends_at_ms
                handed.append(Claimed(*webhook, event_id, message_id, held, held, None, body))
            if message_id is not None:
                waits.setdefault(message_id, due_at_ms)
            rows.append((event_id, message_id, due_at_ms, held, held))
        is_enabled = False
        try:
            is_enabled = bool(await tx.insert(ADD, rows, (*webhook, State.PENDING.value)))
        finally:
            if is_enabled:
                tx.hand_over(handed)
            elif room:
                tx.courier.release(webhook, room)
        if len(handed) < len(some):
            left.append(webhook)
    tx.deliveries_ready(left)


async def claim(tx: Transaction, webhook: WebhookKey, limit: int, now_ms: int, lease_ends_at_ms: int) -> list[Claimed]:
    """Take up to `limit` due deliveries, none of them behind an earlier one of its message. Ordered by event.

    Add nothing after it in the same transaction, which sorts no more.
    """
    await tx.rows(WITHOUT_SORTING)
    parameters = (lease_ends_at_ms, *webhook, *webhook, now_ms, limit)
    return await _with_bodies(tx, webhook, await tx.rows(CLAIM, parameters))


async def claim_batch(
    tx: Transaction, webhook: WebhookKey, limit: int, batch_id: str, now_ms: int, lease_ends_at_ms: int
) -> list[Claimed]:
    """Take one batch, ordered by event: one that must be tried again as it was, or else up to `limit` new deliveries
    under this id."""
    await tx.rows(HOLD, webhook)
    again = (lease_ends_at_ms, *webhook, now_ms, *webhook, now_ms)
    rows = await tx.rows(CLAIM_AGAIN, again)
    if not rows:
        fresh = (lease_ends_at_ms, batch_id, *webhook, *webhook, now_ms, limit)
        rows = await tx.rows(CLAIM_BATCH, fresh)
    return await _with_bodies(tx, webhook, rows)


async def next_due_at_ms(reader: Reader, webhook: WebhookKey) -> int | None:
    """When the webhook's next delivery is due, or a lease of it ends; None: nothing is pending."""
    rows = await reader.rows(NEXT_DUE, webhook)
    due_at_ms: int | None = rows[0][0]
    return due_at_ms


async def due(reader: Reader) -> dict[WebhookKey, int]:
    """The same of every enabled webhook that has something pending."""
    return {
        (account_id, id_): due_at_ms for account_id, id_, due_at_ms in await reader.rows(DUE) if due_at_ms is not None
    }


async def record(tx: Transaction, tried: Sequence[Tried]) -> dict[WebhookKey, int]:
    """Write down how tries ended. One whose lease ran out and was taken by another holder is left to that one.

    Of the webhooks that have more for the same messages: when the first of it is due.
    """
    in_order = sorted(tried, key=_key)  # so that two transactions never wait for each other
    await tx.many(
        RECORD,
        [
            (state.value, due_at_ms, at_ms, duration_ms, http_status, answer, error, *one[:3], one.fence)
            for one, state, due_at_ms, at_ms, duration_ms, http_status, answer, error in in_order
        ],
    )
    settled: dict[tuple[int, WebhookKey], list[bytes]] = {}
    for one, _, due_at_ms, *_ in in_order:
        if one.message_id is not None:
            settled.setdefault((due_at_ms, one[:2]), []).append(one.message_id)
    followed: dict[WebhookKey, int] = {}
    for (due_at_ms, webhook), message_ids in sorted(settled.items()):
        if await tx.rows(FOLLOW, (due_at_ms, *webhook, message_ids)):
            followed.setdefault(webhook, due_at_ms)
    return followed


async def give_back(tx: Transaction, claimed: Sequence[Claimed], now_ms: int) -> None:
    """What was claimed and never tried is due again, and that was no try. See `record` for whose lease ran out."""
    rows = sorted((one[:3], one.fence) for one in claimed)  # so that two transactions never wait for each other
    await tx.many(GIVE_BACK, [(now_ms, *key, fence) for key, fence in rows])


async def page(
    reader: Reader,
    webhook: WebhookKey,
    state: State | None,
    before_id: str,
    limit: int,
    *,
    message_id: bytes | None = None,
) -> list[Listed]:
    """The newest first, of events before that one; of one message, if it is named."""
    if message_id is None:
        return list(map(_listed, await reader.rows(LIST[state], (*webhook, before_id, limit))))
    account_id, webhook_id = webhook
    parameters = (account_id, message_id, account_id, webhook_id, before_id, state, limit)
    return list(map(_listed, await reader.rows(LIST_OF_MESSAGE, parameters)))


async def of_message(reader: Reader, account_id: int, message_id: bytes, limit: int) -> list[Listed]:
    """What the account's webhooks were told of a message, settled or not, the newest first."""
    return list(map(_listed, await reader.rows(LIST_OF_ALL, (account_id, message_id, account_id, account_id, limit))))


async def last_failed(reader: Reader, webhook: WebhookKey) -> Listed | None:
    """One of those that failed and will be tried again, else the newest of those given up; None: there is none."""
    rows = await reader.rows(LAST_FAILED, webhook) or await reader.rows(LIST[State.FAILED], (*webhook, AFTER_ALL, 1))
    return _listed(rows[0]) if rows else None


async def redeliver(tx: Transaction, webhook: WebhookKey, event_id: str, now_ms: int) -> bool:
    """Try a settled one again from the beginning; False when it is not there or still pending."""
    count = await tx.execute(REDELIVER, (now_ms, *webhook, event_id))
    tx.deliveries_ready([webhook])
    return bool(count)


async def is_pending(reader: Reader, webhook: WebhookKey, event_id: str) -> bool:
    return bool(await reader.rows(PENDING, (*webhook, event_id)))


async def redeliver_range(
    tx: Transaction,
    webhook: WebhookKey,
    *,
    from_ms: int,
    to_ms: int,
    is_failed_only: bool,
    limit: int,
    now_ms: int,
) -> int:
    """Try again what was settled of the events written from `from_ms` until before `to_ms`; how many, at most
    `limit`."""
    statement = REDELIVER_FAILED if is_failed_only else REDELIVER_ALL
    bounds = (first_id_at(from_ms), first_id_at(to_ms))
    count = await tx.execute(statement, (now_ms, *webhook, *webhook, *bounds, limit))
    tx.deliveries_ready([webhook])
    return count


async def forget(tx: Transaction, account_id: int, before_ms: int, limit: int) -> int:
    """Delete the account's oldest events written before that time, arrived or not, with their deliveries; how many, at
    most `limit`."""
    [(last_id,)] = await tx.rows(OLDEST, (account_id, first_id_at(before_ms), limit))
    if last_id is None:
        return 0
    await tx.execute(FORGET[0], (account_id, account_id, last_id))
    return await tx.execute(FORGET[1], (account_id, last_id))


async def left_behind(reader: Reader, account_id: int) -> list[WebhookKey]:
    """The account's webhooks that were removed and have deliveries still: on PostgreSQL those that were just being
    added. Their ids never come again."""
    rows = await reader.rows(LEFT_BEHIND, (account_id, account_id, account_id))
    return [(account_id, webhook_id) for (webhook_id,) in rows]


async def forget_left(tx: Transaction, webhook: WebhookKey, limit: int) -> int:
    """Delete up to `limit` deliveries of a webhook that was removed; how many."""
    return await tx.execute(FORGET_LEFT, (*webhook, *webhook, limit))


async def _with_bodies(tx: Transaction, webhook: WebhookKey, rows: list[Row]) -> list[Claimed]:
    """What was claimed, ordered by event: RETURNING promises no order."""
    bodies: dict[str, bytes] = dict(await tx.rows(BODIES, (webhook[0], list(map(_event_of, rows)))))
    rows.sort(key=_event_of)
    return [Claimed._make((*row, bodies[_event_of(row)])) for row in rows]


def _listed(row: Row) -> Listed:
    one = Listed._make(row)
    return one._replace(state=State(one.state))


def _key(tried: Tried) -> tuple[int, str, str]:
    return tried.claimed[:3]


def _event_of(row: Row) -> str:
    event_id: str = row[2]
    return event_id
