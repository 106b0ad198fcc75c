"""Takes a person out of an account, by phone.

Of a message stays what counts and costs: type, route, times, status, marks, price. What names the person or was told
them goes: phone, addresses, text, the client's tracking id, what a provider wrote. That they want no advertising stays,
as a digest: else the next campaign would reach them. A message that has begun cannot be called back: it is remembered
here and erased when it has ended. In all that has no index by person each row is looked at, beside the traffic; this
may take a while, and happens rarely.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from cascade.core import route as routes
from cascade.core import timeline
from cascade.core.machine import Cancelled
from cascade.store import console, decisions, messages, optouts, queries
from cascade.store.console import Done
from cascade.store.database import Database, Row
from cascade.store.decisions import News
from cascade.store.ids import first_id
from cascade.store.messages import Key
from cascade.store.queries import Filter

SET = 200
SCANNED_SET = 1_000

BLANK = """
    UPDATE message SET phone = '', tracking_id = '', text = '', extras = NULL, address = NULL, route = ?, timeline = ?,
        fence = fence + 1
    WHERE account_id = ? AND id = ? AND fence = ? AND state = 'final'
"""
FINAL = "SELECT id, fence, route, timeline FROM message WHERE account_id = ? AND state = 'final' AND id IN (*)"
LINKS = "DELETE FROM short_link WHERE account_id = ? AND message_id IN (*)"
ADDRESSES = "SELECT link, address FROM subscriber WHERE account_id = ? AND phone = ?"
SUBSCRIBER = "DELETE FROM subscriber WHERE account_id = ? AND link = ? AND phone = ?"
LAST_CALLER = "DELETE FROM last_caller WHERE account_id = ? AND phone = ?"
LOST = "SELECT link, recipient, message_id, attempt FROM lost_answer WHERE account_id = ? AND recipient IN (*)"
LOST_GONE = "DELETE FROM lost_answer WHERE link = ? AND recipient = ? AND message_id = ? AND attempt = ?"
EVENTS = "SELECT id, message_id, body FROM event WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?"
DELIVERY_GONE = """
    DELETE FROM delivery WHERE account_id = ? AND webhook_id IN (SELECT id FROM webhook WHERE account_id = ?)
        AND event_id = ?
"""
EVENT_GONE = "DELETE FROM event WHERE account_id = ? AND id = ?"
INBOUND = "SELECT id, link, phone, address FROM inbound WHERE id > ? ORDER BY id LIMIT ?"
INBOUND_GONE = "DELETE FROM inbound WHERE id = ?"
OTHERS_BOTS = "SELECT channel, id FROM bot WHERE account_id <> ?"
REMEMBER = """
    INSERT INTO erasure (account_id, phone, asked_at_ms) VALUES (?, ?, ?)
    ON CONFLICT (account_id, phone) DO UPDATE SET asked_at_ms = excluded.asked_at_ms
"""
DONE = "DELETE FROM erasure WHERE account_id = ? AND phone = ?"
WAITING = "SELECT account_id, phone, asked_at_ms FROM erasure"


class Erased(NamedTuple):
    """How many of each went. `unfinished`: messages under way, which go when they have ended."""

    messages: int
    unfinished: int
    subscribers: int
    events: int
    inbound: int


class Asked(NamedTuple):
    """Who wants it: `who` and `host` are for the audit log, which never holds the phone."""

    who: str
    host: str
    at_ms: int


async def erase(database: Database, account_id: int, phone: str, asked: Asked, now_ms: int) -> Erased:
    """Erase what the account has of this phone up to `asked.at_ms`. Asked again, it finds nothing and does no harm;
    after an interruption it goes on."""
    # What leads to the rest goes last, so that whoever repeats this after a crash finds all of it.
    async with database.transaction() as tx:
        await tx.execute(REMEMBER, (account_id, phone, asked.at_ms))
    async with database.cold_reading(newest=True) as reader:
        addresses = await reader.rows(ADDRESSES, (account_id, phone))
    keys = [key async for some in _messages(database, account_id, phone, asked.at_ms) for key in some]
    await _cancel(database, keys, now_ms)
    names = {phone, phone.removeprefix("+"), *(address for _, address in addresses)}
    events = await _erase_events(database, account_id, names, {id_ for _, id_ in keys})
    inbound = await _erase_inbound(database, account_id, phone, names)
    await _erase_lost(database, account_id, names)
    blanked = 0
    for start in range(0, len(keys), SET):
        blanked += await _blank(database, account_id, [id_ for _, id_ in keys[start : start + SET]])
    async with database.transaction() as tx:
        await tx.many(SUBSCRIBER, [(account_id, link, phone) for link, _ in addresses])
        await tx.execute(LAST_CALLER, (account_id, phone))
        await optouts.erase(tx, account_id, phone)
        erased = Erased(blanked, len(keys) - blanked, len(addresses), events, inbound)
        if not erased.unfinished:
            await tx.execute(DONE, (account_id, phone))
        if any(erased):
            written = ", ".join(f"{count} {name}" for name, count in erased._asdict().items() if count)
            await console.audit(tx, Done(now_ms, asked.who, asked.host, "person.erase", account_id, written))
    return erased


async def waiting(database: Database) -> list[tuple[int, str, int]]:
    """Account, phone and time of what was asked for and is not done."""
    async with database.reading() as reader:
        return [(account_id, phone, at_ms) for account_id, phone, at_ms in await reader.rows(WAITING)]


async def _messages(database: Database, account_id: int, phone: str, until_ms: int) -> AsyncIterator[list[Key]]:
    before_id = first_id(until_ms + 1)
    while True:
        async with database.cold_reading(newest=True) as reader:
            found = await queries.find(reader, account_id, Filter(phone=phone), before_id, SET)
        if not found:
            return
        yield [Key(account_id, one.id) for one in found]
        before_id = found[-1].id


async def _cancel(database: Database, keys: Sequence[Key], now_ms: int) -> None:
    """End those that have not begun."""
    for start in range(0, len(keys), SET):
        async with database.transaction() as tx:
            loaded = await messages.load(tx, keys[start : start + SET])
            not_begun = {key: stored for key, stored in loaded.items() if not stored.message.has_begun}
            await decisions.apply(tx, [News(key, Cancelled(now_ms)) for key in not_begun], not_begun)


async def _blank(database: Database, account_id: int, ids: Sequence[bytes]) -> int:
    async with database.transaction() as tx:
        final = await tx.rows(FINAL, (account_id, ids))
        await tx.rows(LINKS, (account_id, [id_ for id_, *_ in final]))
        return await tx.many(
            BLANK,
            [(_unaddressed(route), _bare(written), account_id, id_, fence) for id_, fence, route, written in final],
        )


def _unaddressed(route: str) -> str:
    """A route without where the client said that the person is found."""
    return routes.encode(tuple(step._replace(address=None) for step in routes.decode(route)))


def _bare(written: str) -> str:
    """A timeline without what providers wrote."""
    return timeline.encode([entry._replace(detail=None) for entry in timeline.decode(written)])


async def _erase_events(database: Database, account_id: int, names: Iterable[str], ids: set[bytes]) -> int:
    needles = [name.encode() for name in names]
    last_id, erased = "", 0
    while True:
        async with database.cold_reading(newest=True) as reader:
            rows = await reader.rows(EVENTS, (account_id, last_id, SCANNED_SET))
        about = [id_ for id_, message_id, body in rows if message_id in ids or any(name in body for name in needles)]
        for start in range(0, len(about), SET):
            async with database.transaction() as tx:
                some = about[start : start + SET]
                await tx.many(DELIVERY_GONE, [(account_id, account_id, id_) for id_ in some])
                erased += await tx.many(EVENT_GONE, [(account_id, id_) for id_ in some])
        if len(rows) < SCANNED_SET:
            return erased
        last_id = rows[-1][0]


async def _erase_inbound(database: Database, account_id: int, phone: str, names: Iterable[str]) -> int:
    """All but what other accounts' bots were told."""
    wanted = set(names)
    last_id, erased = 0, 0
    async with database.cold_reading(newest=True) as reader:
        others = {f"{channel}.{id_}" for channel, id_ in await reader.rows(OTHERS_BOTS, (account_id,))}
    while True:
        async with database.cold_reading(newest=True) as reader:
            rows = await reader.rows(INBOUND, (last_id, SCANNED_SET))
        about = [row[0] for row in rows if row[1] not in others and _is_from(row, phone, wanted)]
        if about:
            async with database.transaction() as tx:
                erased += await tx.many(INBOUND_GONE, [(id_,) for id_ in about])
        if len(rows) < SCANNED_SET:
            return erased
        last_id = rows[-1][0]


def _is_from(row: Row, phone: str, names: set[str]) -> bool:
    return row[2] == phone or row[3] in names


async def _erase_lost(database: Database, account_id: int, names: Iterable[str]) -> None:
    async with database.cold_reading(newest=True) as reader:
        rows = await reader.rows(LOST, (account_id, list(names)))
    if rows:
        async with database.transaction() as tx:
            await tx.many(LOST_GONE, rows)
