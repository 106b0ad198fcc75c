"""Messages to store: plain ones, of which a test names only what it is about."""

import asyncio
from typing import Any

from cascade.core.message import Message, State, Status
from cascade.core.route import Route, Step
from cascade.core.timeline import Entry
from cascade.core.turns import Lane
from cascade.core.words import Channel, MessageType
from cascade.store import messages
from cascade.store.database import Database, Reader
from cascade.store.messages import Change, Claimed, Key, NewMessage, Record, Stored

T0 = 1_000_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
LEASE_MS = MINUTE_MS
VIBER = Step(Channel.VIBER_BOT, "viber_bot.1", 60)
SMS = Step(Channel.SMS, "sms.smpp", None)
ROUTE: Route = (VIBER, SMS)
BULK = Lane(1, "sms.smpp", False)
PATIENCE_S = 5.0
URGENT = Lane(1, "sms.smpp", True)


def key(number: int, account_id: int = 1) -> Key:
    return Key(account_id, number.to_bytes(16, "big"))


def phone(number: int) -> str:
    return f"+38050{number:07}"


def queued(**changes: Any) -> Message:
    """Due at T0 at the one step it has, SMS."""
    given = Message(
        MessageType.PROMO,
        (SMS,),
        expires_at_ms=T0 + DAY_MS,
        state=State.QUEUED,
        status=Status.PROCESSING,
        step=0,
        due_at_ms=T0,
        deadline_at_ms=T0 + HOUR_MS,
        step_ends_at_ms=T0 + HOUR_MS,
    )
    made = given._replace(**changes)
    return made if "link" in changes or made.step < 0 else made._replace(link=made.route[made.step].link)


def urgent(**changes: Any) -> Message:
    return queued(type=MessageType.TRANSACTION, **changes)


def new(
    number: int, message: Message | None = None, *, account_id: int = 1, entries: tuple[Entry, ...] = ()
) -> NewMessage:
    return NewMessage(
        key(number, account_id),
        tracking_id=f"order-{number}",
        sender="Shop",
        phone=phone(number),
        text=f"text {number}",
        extras=None,
        accepted_at_ms=T0,
        message=queued() if message is None else message,
        entries=list(entries),
    )


async def add(database: Database, *given: NewMessage) -> None:
    async with database.transaction() as tx:
        await messages.add(tx, given)


async def put(database: Database, number: int, message: Message) -> None:
    """Store a message as it stands in the middle of its life."""
    await add(database, new(number, message))
    await change(database, Change(await load(database, number), message, [], T0))


async def claim(database: Database, lane: Lane = BULK, limit: int = 100, now_ms: int = T0) -> list[Claimed]:
    async with database.transaction() as tx:
        return await messages.claim(tx, lane, limit, now_ms, now_ms + LEASE_MS)


async def change(database: Database, *changes: Change) -> list[Key]:
    async with database.transaction() as tx:
        return await messages.change(tx, changes)


async def load(database: Database, number: int, account_id: int = 1) -> Stored:
    async with database.reading() as reader:
        found = await messages.load(reader, [key(number, account_id)])
    return found[key(number, account_id)]


async def record(database: Database, number: int, account_id: int = 1) -> Record:
    async with database.reading() as reader:
        found = await messages.record(reader, key(number, account_id))
    assert found is not None
    return found


def numbers(claimed: list[Claimed]) -> list[int]:
    return [int.from_bytes(one.stored.key.id, "big") for one in claimed]


async def counts(reader: Reader) -> dict[State, int]:
    """How many messages are in each state."""
    return {State(state): count for state, count in await reader.rows("SELECT state, count(*) FROM message GROUP BY 1")}


async def waiting_for_a_lock(database: Database, count: int = 1) -> None:
    """Return when so many of our connections wait for a row that another holds."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with database.reading() as reader:
                [(waiting,)] = await reader.rows(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
            if waiting >= count:
                return
            await asyncio.sleep(0.005)
