"""Events: written in the transaction of what caused them, for those who listen, and only then."""

from collections.abc import Iterable, Sequence

import orjson
import uuid_utils

from cascade.core import events
from cascade.core.events import EventType, Happened, Listeners, Told
from cascade.core.message import Message
from cascade.core.times import iso
from cascade.store import deliveries
from cascade.store.database import Insertion, Transaction
from cascade.store.deliveries import New
from cascade.store.messages import Change, NewMessage

ADD = Insertion(
    "event",
    {
        "account_id": "bigint",
        "id": "text",
        "message_id": "bytea",
        "type": "text",
        "body": "bytea",
        "created_at_ms": "bigint",
    },
)


async def add(tx: Transaction, happened: Iterable[Happened]) -> None:
    """Tell those who listen. Costs a look-up in memory where nobody does.

    Events of one message arrive in the order in which they are added.
    """
    told = []
    for one in happened:
        webhook_ids = [
            listener.webhook_id for listener in tx.listeners.get(one.account_id, ()) if listener.wants(one.type)
        ]
        if webhook_ids:
            told.append((one, webhook_ids))
    if told:
        await _add(tx, told)


async def add_for(tx: Transaction, one: Happened, webhook_ids: Sequence[str]) -> str:
    """Tell these webhooks of the account, whatever they listen to; the event's id, the same in every try."""
    [event_id] = await _add(tx, [(one, webhook_ids)])
    return event_id


async def _add(tx: Transaction, told: Sequence[tuple[Happened, Sequence[str]]]) -> list[str]:
    ids = [f"msg_{uuid_utils.uuid7().hex}" for _ in told]
    rows = []
    new = []
    for event_id, ((account_id, message_id, type_, at_ms, data), webhook_ids) in zip(ids, told, strict=True):
        body = orjson.dumps({"type": type_.value, "timestamp": iso(at_ms), "data": data})
        rows.append((account_id, event_id, message_id, type_.value, body, at_ms))
        new += [New((account_id, webhook_id), event_id, message_id, at_ms, body) for webhook_id in webhook_ids]
    await tx.insert(ADD, rows)
    await deliveries.add(tx, new)
    return ids


def of_changes(listeners: Listeners, changes: Iterable[Change]) -> list[Happened]:
    """What decisions made of messages, as far as somebody listens."""
    happened: list[Happened] = []
    if not listeners:
        return happened
    wanted: dict[int, frozenset[EventType]] = {}
    for (key, _, tracking_id, _, before), after, entries, at_ms in changes:
        types = wanted.get(key.account_id)
        if types is None:
            types = wanted[key.account_id] = events.wanted(listeners.get(key.account_id, ()))
        if types:
            happened += events.of(Told(*key, tracking_id), before, after, entries, at_ms, types)
    return happened


async def add_accepted(tx: Transaction, new: Iterable[NewMessage]) -> None:
    """Tell of messages that are final at acceptance, since no channel can carry them."""
    if not tx.listeners:
        return
    happened: list[Happened] = []
    for one in new:
        if one.message.is_final and one.key.account_id in tx.listeners:
            about = Told(one.key.account_id, one.key.id, one.tracking_id)
            before = Message(one.message.type, one.message.route, one.message.expires_at_ms)
            happened += events.of(about, before, one.message, one.entries, one.accepted_at_ms)
    await add(tx, happened)
