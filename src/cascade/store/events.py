"""Events: written in the transaction of what caused them, for those who listen, and only then."""

from collections.abc import Iterable, Sequence

import orjson
import uuid_utils

from cascade.core import events
from cascade.core.events import Happened, Told
from cascade.core.message import Message
from cascade.core.times import iso
from cascade.store import deliveries
from cascade.store.database import Statement, Transaction
from cascade.store.messages import Change, NewMessage

ADD = """
    INSERT INTO event (account_id, id, message_id, type, body, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)
"""

# On PostgreSQL whoever records a try of an earlier event and whoever adds a later one wait for each other: else the
# recorder would not see the new row, nor the adder that it need not wait, and it would stand until the lease's end. A
# statement of its own, so that the next one sees what was waited for.
HOLD = Statement(
    sqlite="SELECT 1 WHERE FALSE AND ? AND ? AND ?",
    postgres="""
        SELECT 1 FROM delivery WHERE account_id = ? AND webhook_id = ? AND message_id = ? AND state = 'pending'
        ORDER BY event_id FOR UPDATE
    """,
)

# Behind an earlier event of the same message that is under way or waits for its next try, it waits as long.
_DELIVER = """
    INSERT INTO delivery (account_id, webhook_id, event_id, message_id, state, due_at_ms)
    SELECT account_id, id, ?, ?, 'pending', coalesce(
        (SELECT due_at_ms FROM delivery {of_message}
         WHERE account_id = ? AND webhook_id = ? AND message_id = ? AND state = 'pending'
         ORDER BY event_id DESC LIMIT 1), ?)
    FROM webhook WHERE account_id = ? AND id = ? AND is_enabled = TRUE
"""
DELIVER = Statement(sqlite=_DELIVER.format(of_message=deliveries.OF_MESSAGE), postgres=_DELIVER.format(of_message=""))


async def add(tx: Transaction, happened: Iterable[Happened]) -> None:
    """Tell those who listen. Costs a look-up in memory where nobody does.

    Events of one message arrive in the order in which they are added.
    """
    for one in happened:
        webhooks = [
            listener.webhook_id for listener in tx.listeners.get(one.account_id, ()) if listener.wants(one.type)
        ]
        if webhooks:
            await add_for(tx, one, webhooks)


async def add_for(tx: Transaction, one: Happened, webhook_ids: Sequence[str]) -> str:
    """Tell these webhooks of the account, whatever they listen to; the event's id, the same in every try."""
    event_id = f"msg_{uuid_utils.uuid7().hex}"
    body = orjson.dumps({"type": one.type.value, "timestamp": iso(one.at_ms), "data": one.data})
    await tx.execute(ADD, (one.account_id, event_id, one.message_id, one.type.value, body, one.at_ms))
    for webhook_id in webhook_ids:
        key = (one.account_id, webhook_id)
        if one.message_id is not None:
            await tx.rows(HOLD, (*key, one.message_id))
        await tx.execute(DELIVER, (event_id, one.message_id, *key, one.message_id, one.at_ms, *key))
    tx.deliveries_ready([(one.account_id, webhook_id) for webhook_id in webhook_ids])
    return event_id


async def add_changes(tx: Transaction, changes: Iterable[Change]) -> None:
    """Tell of what decisions made of messages."""
    if not tx.listeners:
        return
    for change in changes:
        key = change.stored.key
        if key.account_id in tx.listeners:
            about = Told(key.account_id, key.id, change.stored.tracking_id)
            await add(tx, events.of(about, change.stored.message, change.message, change.entries, change.at_ms))


async def add_accepted(tx: Transaction, new: Iterable[NewMessage]) -> None:
    """Tell of messages that are final at acceptance, since no channel can carry them."""
    if not tx.listeners:
        return
    for one in new:
        if one.message.is_final and one.key.account_id in tx.listeners:
            about = Told(one.key.account_id, one.key.id, one.tracking_id)
            before = Message(one.message.type, one.message.route, one.message.expires_at_ms)
            await add(tx, events.of(about, before, one.message, one.entries, one.accepted_at_ms))
