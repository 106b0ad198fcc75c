"""Lists, look-ups and sums: what is found, in which order, by which index, and beside whom."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cascade.core.errors import QueryTimeoutError, StoreUnavailableError
from cascade.core.message import Message, State, Status
from cascade.core.words import Channel, MessageType
from cascade.store import batches, ids, messages, queries, subscribers, tags
from cascade.store.batches import BatchNumbers
from cascade.store.database import Database, Reader, Row, Statement
from cascade.store.eras import ERA_MESSAGES, ERA_MS, Eras
from cascade.store.ids import first_id, new_ids
from cascade.store.messages import Change, Key, NewMessage
from cascade.store.queries import DAY_MS, HOUR_MS, Filter, Summary, Sums
from cascade.store.sqlite import LIST_SIZES, SqliteDatabase, with_list
from cascade.store.subscribers import Subscriber
from cascade.store.tags import Tagged

from .given import ROUTE, T0, add, change, new, phone, queued

FAR_MS = T0 + 100 * DAY_MS


def message(number: int, message: Message | None = None, *, at_ms: int | None = None, **given: Any) -> NewMessage:
    """Number n was accepted n milliseconds after T0 unless another time is given; its id says so."""
    accepted_at_ms = T0 + number if at_ms is None else at_ms
    account_id = given.pop("account_id", 1)
    plain = new(number, message, account_id=account_id)
    id_ = new_ids(accepted_at_ms, 1)[0]
    given = {"era": accepted_at_ms} | given
    return plain._replace(key=Key(account_id, id_), accepted_at_ms=accepted_at_ms, **given)


def ended(status: Status, **changes: Any) -> Message:
    return queued(state=State.FINAL, status=status, deadline_at_ms=None, **changes)


async def tag(store: Database, name: str, *given: NewMessage) -> None:
    async with store.transaction() as tx:
        await tags.add(tx, [Tagged(one.key.account_id, name, one.key.id) for one in given])


async def deliver(
    store: Database, given: NewMessage, *, step: int = 0, attempts: int = 1, cost_micros: int = 0
) -> None:
    async with store.reading() as reader:
        stored = (await messages.load(reader, [given.key]))[given.key]
    after = stored.message._replace(
        state=State.FINAL,
        status=Status.DELIVERED,
        delivered_step=step,
        delivered=tuple(range(1, attempts + 1)),
        cost_micros=cost_micros,
        deadline_at_ms=None,
    )
    assert await change(store, Change(stored, after, [], T0 + HOUR_MS)) == []


async def found(store: Database, wanted: Filter, *, limit: int = 100) -> list[int]:
    """The numbers of the messages that a filter finds, in its order."""
    async with store.cold_reading() as reader:
        rows = await queries.find(reader, 1, wanted, None, limit)
    return [int(row.tracking_id.removeprefix("order-")) for row in rows]


async def sums(store: Database, wanted: Filter, *, by: Sequence[str] = (), interval_ms: int = DAY_MS) -> list[Sums]:
    async with store.cold_reading() as reader:
        return await queries.sums(reader, 1, wanted, interval_ms=interval_ms, by=by, limit=100)


FILTERS = {  # of messages 1 to 6 as the test below stores them
    "none: all, the newest first": (Filter(), [6, 5, 4, 3, 2, 1]),
    "from: that millisecond too": (Filter(from_ms=T0 + 3), [6, 5, 4, 3]),
    "to: without that millisecond": (Filter(to_ms=T0 + 3), [2, 1]),
    "a time of nothing": (Filter(from_ms=T0 + 3, to_ms=T0 + 3), []),
    "before 1970 and after all time": (Filter(from_ms=-5, to_ms=1 << 60), [6, 5, 4, 3, 2, 1]),
    "a phone, before 1970 and after all time": (Filter(from_ms=-5, to_ms=1 << 60, phone=phone(5)), [5]),
    "status": (Filter(status=Status.UNDELIVERABLE), [5, 3]),
    "the channel that delivered": (Filter(channel=Channel.SMS), [4]),
    "another channel": (Filter(channel=Channel.VIBER_BOT), [6]),
    "a channel that never delivered": (Filter(channel=Channel.RCS), []),
    "type": (Filter(type=MessageType.TRANSACTION), [2]),
    "phone": (Filter(phone=phone(5)), [5]),
    "tracking id": (Filter(tracking_id="order-2"), [2]),
    "tag": (Filter(tag="spring"), [5, 4, 1]),
    "tag and status": (Filter(tag="spring", status=Status.UNDELIVERABLE), [5]),
    "tag and time": (Filter(tag="spring", from_ms=T0 + 2, to_ms=T0 + 5), [4]),
    "tag and phone": (Filter(tag="spring", phone=phone(4)), [4]),
    "phone and tracking id of two messages": (Filter(phone=phone(5), tracking_id="order-2"), []),
}


async def test_a_list_holds_what_its_filters_say(database: Database) -> None:
    given = [
        message(1),
        message(2, queued(type=MessageType.TRANSACTION)),
        message(3, ended(Status.UNDELIVERABLE)),
        message(4, queued(route=ROUTE)),
        message(5, ended(Status.UNDELIVERABLE)),
        message(6, queued(route=ROUTE)),
    ]
    other = message(7, account_id=2)
    await add(database, *given, other)
    await tag(database, "spring", given[0], given[3], given[4], other)
    await tag(database, "autumn", given[1])
    await deliver(database, given[3], step=1)
    await deliver(database, given[5], step=0)
    assert {case: await found(database, wanted) for case, (wanted, _) in FILTERS.items()} == {
        case: numbers for case, (_, numbers) in FILTERS.items()
    }


INDEXES = {  # the index each filter is answered by
    "none": (Filter(), "message_by_id"),
    "time": (Filter(from_ms=T0, to_ms=FAR_MS), "message_by_id"),
    "status": (Filter(status=Status.DELIVERED), "message_by_id"),
    "channel": (Filter(channel=Channel.SMS), "message_by_id"),
    "type": (Filter(type=MessageType.PROMO), "message_by_id"),
    "phone": (Filter(phone=phone(1)), "message_by_phone (account_id=? AND era=? AND phone=?)"),
    "tracking id": (
        Filter(tracking_id="order-1"),
        "message_by_tracking_id (account_id=? AND era=? AND tracking_id=?)",
    ),
    "tag": (Filter(tag="spring"), "PRIMARY KEY"),
}


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "plans.db")
    await opened.open(owner=True)
    yield opened
    await opened.close()


def plan(store: SqliteDatabase, statement: str | Statement, parameters: Sequence[Any]) -> list[str]:
    statement = statement if isinstance(statement, str) else statement.sqlite
    return [row[3] for row in store._writer.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def searches(lines: list[str]) -> list[str]:
    """The indexes gone along, in order. The eras are found first; they are a few rows, and so may be walked through."""
    assert [line for line in lines if "SCAN" in line and line not in ("SCAN present", "SCAN CONSTANT ROW")] == []
    return [line.split()[-1 if "PRIMARY" in line else 4] for line in lines if line.startswith("SEARCH message")]


@pytest.mark.parametrize(("wanted", "index"), INDEXES.values(), ids=INDEXES.keys())
def test_a_list_goes_along_an_index(sqlite: SqliteDatabase, wanted: Filter, index: str) -> None:
    lines = plan(sqlite, *queries.find_statement(1, wanted, None, 100))
    assert index in " ".join(lines)
    assert searches(lines)
    # What one person got is little, and comes era by era; all else comes in its order.
    assert ("USE TEMP B-TREE FOR ORDER BY" in lines) is ("era=?" in index)


async def test_pages_of_one_phone_hold_every_message_once(database: Database) -> None:
    given = [message(n, at_ms=T0 + n // 3, era=T0 - n % 2, phone=phone(1)) for n in range(20)]
    await add(database, *given)
    seen: list[Summary] = []
    async with database.cold_reading() as reader:
        while page := await queries.find(reader, 1, Filter(phone=phone(1)), seen[-1].id if seen else None, 3):
            seen += page
    assert [one.id for one in seen] == sorted((one.key.id for one in given), reverse=True)


@pytest.mark.parametrize(("wanted", "index"), INDEXES.values(), ids=INDEXES.keys())
def test_sums_go_along_an_index(sqlite: SqliteDatabase, wanted: Filter, index: str) -> None:
    lines = plan(sqlite, *queries.sums_statement(1, wanted, interval_ms=DAY_MS, by=["status"], limit=10))
    assert index in " ".join(lines)
    assert searches(lines)


@pytest.mark.parametrize("wanted", [Filter(), Filter(phone=phone(1))], ids=["all", "of a phone"])
def test_sums_by_tag_begin_with_the_tags(sqlite: SqliteDatabase, wanted: Filter) -> None:
    lines = plan(sqlite, *queries.sums_statement(1, wanted, interval_ms=DAY_MS, by=["tag"], limit=10))
    assert ["tagged" in lines[0], "message_by_id (account_id=? AND id=?)" in lines[1]] == [True, True]


STATEMENTS = {
    "by ids": queries.BY_IDS,
    "lanes": queries.LANES,
    "subscribers": queries.SUBSCRIBERS,
    "subscriber": queries.SUBSCRIBER,
    "remove a subscriber": subscribers.REMOVE,
    "tag": tags.ADD.sqlite(1),
    "not begun of a tag": tags.NOT_BEGUN,
    "count of a tag": tags.COUNT,
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_no_scan(sqlite: SqliteDatabase, statement: str) -> None:
    statement = with_list(statement, LIST_SIZES[-1])
    assert [line for line in plan(sqlite, statement, [1] * statement.count("?")) if "SCAN" in line] == []


def test_eras_are_found_by_steps_in_the_index(sqlite: SqliteDatabase) -> None:
    lines = plan(sqlite, queries.ERAS_OF, [1] * 4)
    found = [line for line in lines if line.startswith("SEARCH")]
    assert len(found) == 2
    assert all("(account_id=? AND era<?)" in line for line in found)


@pytest.mark.parametrize("size", [LIST_SIZES[0], LIST_SIZES[-1]])
def test_tracking_ids_are_looked_up_in_each_era_by_their_index(sqlite: SqliteDatabase, size: int) -> None:
    lines = plan(sqlite, with_list(queries.BY_TRACKING_IDS.sqlite, size), [1] * (size + 2))
    used = [line for line in lines if "message" in line]
    assert used == ["SEARCH message USING INDEX message_by_tracking_id (account_id=? AND era=? AND tracking_id=?)"]


async def test_pages_hold_every_message_once(database: Database) -> None:
    given = [message(n, at_ms=T0 + n // 7) for n in range(50)]
    await add(database, *given)
    seen: list[Summary] = []
    before_id = None
    while True:
        async with database.cold_reading() as reader:
            page = await queries.find(reader, 1, Filter(), before_id, 8)
        seen += page
        if len(page) < 8:
            break
        before_id = page[-1].id
    assert sorted(one.tracking_id for one in seen) == sorted(one.tracking_id for one in given)
    assert [one.accepted_at_ms for one in seen] == sorted((one.accepted_at_ms for one in given), reverse=True)


async def test_a_summary_says_what_the_message_is(database: Database) -> None:
    scheduled = queued(state=State.SCHEDULED, status=Status.SCHEDULED, step=-1, due_at_ms=T0 + HOUR_MS)
    given = message(1, scheduled, batch_id=123_456)
    await add(database, given)
    async with database.cold_reading() as reader:
        [shown] = await queries.find(reader, 1, Filter(), None, 10)
    assert shown == Summary(
        given.key.id, "order-1", 123_456, "Shop", phone(1), "promo", "scheduled", None, 0, T0 + 1, T0 + HOUR_MS, None
    )


async def test_more_ids_than_one_statement_holds_are_looked_up(database: Database) -> None:
    given = [message(n) for n in range(LIST_SIZES[-1] + 5)]
    await add(database, *given, message(9_999, account_id=2))
    wanted = [one.key.id for one in given]
    async with database.cold_reading() as reader:
        assert list(await queries.by_ids(reader, 1, [*wanted, first_id(T0)])) == sorted(wanted)
        assert await queries.by_ids(reader, 2, wanted) == {}
        names = [one.tracking_id for one in given]
        assert (await queries.by_tracking_ids(reader, 1, [*names, "nobody"])).keys() == set(names)
        assert await queries.by_tracking_ids(reader, 2, names) == {}


async def test_of_messages_with_one_tracking_id_the_newest_is_found(database: Database) -> None:
    late = T0 + 5 * HOUR_MS
    given = [  # two processes wrote: the newest message lies in the era that began first
        message(1, tracking_id="promo-001"),
        message(2, tracking_id="promo-001", at_ms=late + 9, era=late),
        message(3, tracking_id="promo-001", at_ms=late + 8, era=late + 7),
        message(4, tracking_id="once"),
    ]
    await add(database, *given)
    async with database.cold_reading() as reader:
        found = await queries.by_tracking_ids(reader, 1, ["promo-001", "once", "never"])
    assert {name: one.id for name, one in found.items()} == {"promo-001": given[1].key.id, "once": given[3].key.id}


class Counting:
    """A reader that counts what it is asked, and the rows it answers with."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.is_distributed = reader.is_distributed
        self.answers: list[int] = []

    async def rows(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> list[Row]:
        rows = await self._reader.rows(statement, parameters)
        self.answers.append(len(rows))
        return rows


LOOKED_UP = {  # tracking ids in a store of 100 eras, who is found, how many statements it takes
    "unknown: each statement has twice the eras": (["never"], [], 8),
    "the oldest": (["order-0"], [0], 8),
    "the newest: no farther than its time reaches": (["order-99"], [99], 2),
    "new and old": (["order-99", "order-0", "never"], [99, 0], 8),
    "one that all have: its newest alone": (["campaign"], [199], 2),
}


@pytest.mark.parametrize(("names", "numbers", "statements"), LOOKED_UP.values(), ids=LOOKED_UP.keys())
async def test_a_look_up_of_many_eras_takes_few_statements(
    database: Database, names: list[str], numbers: list[int], statements: int
) -> None:
    given = [message(n, at_ms=T0 + n % 100 * HOUR_MS) for n in range(200)]
    given[100:] = [one._replace(tracking_id="campaign") for one in given[100:]]
    await add(database, *given)
    async with database.cold_reading() as reader:
        counting = Counting(reader)
        found = await queries.by_tracking_ids(counting, 1, names)
    assert [one.id for one in found.values()] == [given[n].key.id for n in numbers]
    assert len(counting.answers) == statements
    assert max(counting.answers[1:]) <= len(names)


async def test_a_phone_is_found_in_every_era_of_the_time_asked_for(database: Database) -> None:
    given = [
        message(n, phone=phone(1), at_ms=T0 + n * HOUR_MS, era=T0 + n * HOUR_MS - (HOUR_MS - 1) * (n % 2))
        for n in range(9)
    ]
    await add(database, *given, message(99, account_id=2, phone=phone(1)))
    spans = {(start, end) for start in range(10) for end in range(start, 10)}
    for start, end in spans:
        span = Filter(from_ms=T0 + start * HOUR_MS, to_ms=T0 + end * HOUR_MS)
        assert await found(database, span._replace(phone=phone(1))) == await found(database, span)
    assert await found(database, Filter(phone=phone(1))) == list(range(8, -1, -1))


def test_an_era_holds_so_many_messages_of_one_account_and_so_long() -> None:
    eras = Eras()
    fill = ERA_MESSAGES // 2
    took = [
        eras.take(1, T0, fill),
        eras.take(1, T0 + 1, fill),
        eras.take(2, T0 + 2, 1),
        eras.take(1, T0 + 3, 1),
        eras.take(1, T0 + 3 + ERA_MS - 1, 1),
        eras.take(1, T0 + 3 + ERA_MS, 1),
        eras.take(1, T0, 1),  # the clock was set back: no era is later than its messages
    ]
    assert took == [T0, T0, T0 + 2, T0 + 3, T0 + 3, T0 + 3 + ERA_MS, T0]


async def test_sums_count_each_status_and_what_it_cost(database: Database) -> None:
    day = T0 // DAY_MS * DAY_MS
    given = [
        message(1, queued(route=ROUTE), at_ms=day + 1),
        message(2, queued(route=ROUTE), at_ms=day + 2),
        message(3, ended(Status.UNDELIVERABLE), at_ms=day + DAY_MS - 1),
        message(4, at_ms=day + DAY_MS),
        message(5, at_ms=day + 5, account_id=2),
    ]
    await add(database, *given)
    await deliver(database, given[0], step=1, attempts=3, cost_micros=50_000)
    await deliver(database, given[1], cost_micros=7)
    [first, second] = await sums(database, Filter())
    none = dict.fromkeys(Status, 0)
    assert first == Sums(day, (), 3, none | {Status.DELIVERED: 2, Status.UNDELIVERABLE: 1}, 50_007, 2)
    assert second == Sums(day + DAY_MS, (), 1, none | {Status.PROCESSING: 1}, 0, 0)
    by_channel = await sums(database, Filter(to_ms=day + DAY_MS), by=["channel", "type"])
    assert [(one.group, one.messages) for one in by_channel] == [
        ((None, "promo"), 1),
        (("sms", "promo"), 1),
        (("viber_bot", "promo"), 1),
    ]


async def test_sums_by_the_hour_and_by_tag(database: Database) -> None:
    hour = T0 // HOUR_MS * HOUR_MS
    given = [message(n, at_ms=hour + n * HOUR_MS // 2) for n in range(4)]
    await add(database, *given)
    await tag(database, "a", *given[:3])
    await tag(database, "b", *given[2:3])
    groups = await sums(database, Filter(), by=["tag"], interval_ms=HOUR_MS)
    assert [(one.at_ms - hour, one.group, one.messages) for one in groups] == [
        (0, ("a",), 2),
        (HOUR_MS, ("a",), 1),
        (HOUR_MS, ("b",), 1),
    ]
    [of_one] = await sums(database, Filter(tag="b"))
    assert of_one.messages == 1


async def test_of_a_tag_only_what_has_not_begun_can_be_changed(database: Database) -> None:
    scheduled = queued(state=State.SCHEDULED, step=-1)
    given = [
        message(1, scheduled),
        message(2),
        message(3, queued(state=State.SENDING)),
        message(4, ended(Status.UNDELIVERABLE)),
        message(5, scheduled),
        message(6, scheduled),
    ]
    other = message(7, scheduled, account_id=2)
    await add(database, *given, other)
    await tag(database, "spring", *given[:5], other)
    await tag(database, "spring", given[0])  # twice is once
    end = first_id(T0 + HOUR_MS)
    async with database.cold_reading() as reader:
        keys = await tags.not_begun(reader, 1, "spring", b"", end, 10)
        assert keys == [given[0].key, given[1].key, given[4].key]
        assert await tags.not_begun(reader, 1, "spring", keys[0].id, end, 1) == [keys[1]]
        assert await tags.not_begun(reader, 1, "spring", b"", given[1].key.id, 10) == keys[:1]
        assert await tags.count(reader, 1, "spring", end) == 5
        assert await tags.count(reader, 1, "autumn", end) == 0


async def test_lanes_are_counted_for_their_account_alone(database: Database) -> None:
    await add(
        database,
        message(1, queued(due_at_ms=T0 + 5)),
        message(2, queued(due_at_ms=T0 + 3)),
        message(3, queued(type=MessageType.TRANSACTION)),
        message(4, queued(route=ROUTE)),
        message(5, queued(state=State.WAITING)),
        message(6, account_id=2),
    )
    async with database.cold_reading() as reader:
        assert [tuple(lane) for lane in await queries.waiting(reader, 1)] == [
            ("sms.smpp", False, 2, T0 + 3),
            ("sms.smpp", True, 1, T0),
            ("viber_bot.1", False, 1, T0),
        ]


async def test_subscribers_are_paged_bot_by_bot(database: Database) -> None:
    async with database.transaction() as tx:
        for link, numbers in (("telegram_bot.1", range(3)), ("viber_bot.2", range(1, 4))):
            people = [Subscriber(phone(n), f"{link}-{n}", "{}") for n in numbers]
            await subscribers.put(tx, 1, link, people, T0)
    links = ["telegram_bot.1", "viber_bot.2"]
    seen = []
    after = None
    async with database.cold_reading() as reader:
        while page := await queries.subscribers(reader, 1, links, None, after, 2):
            assert len(page) <= 2
            seen += [entry.address for entry in page]
            after = (page[-1].link, page[-1].phone)
        assert seen == [*(f"telegram_bot.1-{n}" for n in range(3)), *(f"viber_bot.2-{n}" for n in range(1, 4))]
        both = await queries.subscribers(reader, 1, links, phone(1), None, 10)
        assert [entry.address for entry in both] == ["telegram_bot.1-1", "viber_bot.2-1"]
        assert await queries.subscribers(reader, 2, links, None, None, 10) == []


async def test_a_subscriber_is_forgotten_at_the_bots_named(database: Database) -> None:
    async with database.transaction() as tx:
        for link in ("telegram_bot.1", "viber_bot.2"):
            await subscribers.put(tx, 1, link, [Subscriber(phone(1), "chat", "{}")], T0)
        assert await subscribers.remove(tx, 2, ["telegram_bot.1"], phone(1)) == 0
        assert await subscribers.remove(tx, 1, ["telegram_bot.1", "viber_bot.9"], phone(1)) == 1
        assert await subscribers.addresses(tx, 1, ["telegram_bot.1", "viber_bot.2"], [phone(1)]) == {
            phone(1): {"viber_bot.2": "chat"}
        }


def test_ids_are_version_7_and_in_the_order_of_time() -> None:
    first, second = new_ids(T0, 1_000), new_ids(T0 + 1, 1_000)
    every = first + second
    assert every == sorted(every)
    assert len(set(every)) == 2_000
    assert {(id_[6] >> 4, id_[8] >> 6, len(id_)) for id_ in every} == {(7, 2, 16)}
    assert first_id(T0) <= first[0]
    assert first[-1] < first_id(T0 + 1) <= second[0]
    assert first_id(ids.LATEST_MS) == first_id(1 << 70)


async def test_batch_numbers_are_never_given_twice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BLOCK", 3)
    two_nodes = [BatchNumbers(database), BatchNumbers(database)]
    numbers = await asyncio.gather(*(node.take() for node in two_nodes for _ in range(7)))
    assert len(set(numbers)) == 14
    assert min(numbers) == 1


async def test_a_batch_number_of_a_failed_commit_is_not_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = BatchNumbers(database)
    monkeypatch.setattr(batches, "TAKE", "UPDATE nowhere SET taken = ? RETURNING taken")
    with pytest.raises(StoreUnavailableError):
        await numbers.take()
    monkeypatch.undo()
    assert [await numbers.take(), await numbers.take()] == [1, 2]


ENDLESS = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n"


async def test_a_slow_query_delays_no_transaction_and_is_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in ("sqlite", "postgres"):
        monkeypatch.setattr(f"cascade.store.{engine}.COLD_S", 1.0)

    async def ask() -> None:
        async with database.cold_reading() as reader:
            await reader.rows(ENDLESS)

    asking = [asyncio.create_task(ask()) for _ in range(4)]  # more than there are connections
    await asyncio.sleep(0)
    for number in range(3):
        await add(database, message(number))
    assert not any(task.done() for task in asking)
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(end) for end in ends] == [QueryTimeoutError] * 4
    assert await found(database, Filter(), limit=3) == [2, 1, 0]


async def test_a_query_that_nobody_waits_for_is_stopped(database: Database) -> None:
    async def ask() -> None:
        async with database.cold_reading() as reader:
            await reader.rows(ENDLESS)

    asking = [asyncio.create_task(ask()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*asking, return_exceptions=True)
    assert all(task.cancelled() for task in asking)
    assert await found(database, Filter()) == []


async def test_a_cold_reader_writes_nothing(database: Database) -> None:
    with pytest.raises(StoreUnavailableError):
        async with database.cold_reading() as reader:
            await reader.rows("DELETE FROM message")
