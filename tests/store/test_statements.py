"""What the queue's statements cost SQLite: by the index, and the same in a table of thousands as in one of dozens."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cascade.core.message import State
from cascade.store import (
    deliveries,
    events,
    messages,
    receipts,
    repeats,
    retention,
    short_links,
    subscribers,
    variables,
)
from cascade.store.database import Insertion, Statement
from cascade.store.messages import Change
from cascade.store.sqlite import LIST_SIZES, SqliteDatabase, with_list

from .given import BULK, HOUR_MS, T0, add, change, claim, load, new, queued, urgent


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    sqlite = SqliteDatabase(tmp_path / "cascade.db")
    await sqlite.open(owner=True)
    yield sqlite
    await sqlite.close()


EVERY_FIELD = frozenset(column.field for column in messages.CHANGING.values())
SEARCHES = {
    "add": messages.ADD.sqlite(1),
    "claim": messages.CLAIM,
    "claim for a probe": messages.CLAIM_UNTRIED,
    "load": messages.LOAD,
    "change": messages.writing(EVERY_FIELD)[0],
    "change of place": messages.writing(frozenset({"state", "link", "due_at_ms"}))[0],
    "past deadline": messages.PAST_DEADLINE,
    "waiting for link": messages.WAITING_FOR_LINK,
    "next due": messages.NEXT_DUE,
    "record": messages.RECORD,
    "release leases": messages.RELEASE_LEASES,
    "postpone": messages.POSTPONE,
    "receipts due": receipts.DUE,
    "receipt done": receipts.DONE,
    "receipt postponed": receipts.POSTPONE,
    "find parts": receipts.FIND_PARTS,
    "newest lost answer": receipts.NEWEST_LOST,
    "lost answer found": receipts.FOUND,
    "old lost answers": receipts.FORGET_LOST,
    "old requests": repeats.PURGE_REQUESTS,
    "addresses": subscribers.ADDRESSES,
    "records": messages.RECORDS,
    "values": variables.VALUES,
    "put variable": variables.PUT,
    "codes in use": short_links.TAKEN,
    "target of a link": short_links.TARGET,
    "clicks": short_links.COUNT,
    "links of a message": short_links.OF_MESSAGE,
    "links that are over": short_links.PURGE,
    "old messages": retention.FORGET,
    "links of old messages": retention.WITH_MESSAGE["short_link"],
    "digits of old messages": retention.WITH_MESSAGE["flashcall"],
    "parts to be swept": retention.SWEPT["sent_part"].read,
    "tags to be swept": retention.SWEPT["message_tag"].read,
    "messages that parts are needed for": retention.NEEDED,
    "old parts": retention.SWEPT["sent_part"].forget,
    "old tags": retention.SWEPT["message_tag"].forget,
    "what people told us": retention.OLD_INBOUND,
}


def plan(database: SqliteDatabase, statement: str | Statement) -> list[str]:
    text = with_list(statement if isinstance(statement, str) else statement.sqlite, LIST_SIZES[-1])
    text = re.sub(r"\?\d+", "?", text)
    parameters = [1] * text.count("?")
    return [row[3] for row in database._writer.execute(f"EXPLAIN QUERY PLAN {text}", parameters)]


@pytest.mark.parametrize("statement", SEARCHES.values(), ids=SEARCHES.keys())
def test_no_scan(database: SqliteDatabase, statement: str | Statement) -> None:
    assert [line for line in plan(database, statement) if "SCAN" in line] == []


INSERTIONS = {
    "nothing shared": events.ADD,
    "something shared": messages.ADD,
    "on a condition": deliveries.ADD,
}


@pytest.mark.parametrize("into", INSERTIONS.values(), ids=INSERTIONS.keys())
def test_only_what_rows_share_is_a_named_parameter(into: Insertion) -> None:
    """Python 3.12 and later look up each parameter's name among all that have one."""
    text = into.sqlite(100)
    assert len(set(re.findall(r"\?\d+", text))) == len(into.shared)
    assert len(re.findall(r"\?(?!\d)", text)) == 100 * len(into.own)


@contextmanager
def counting(database: SqliteDatabase) -> Iterator[list[int]]:
    """How many steps SQLite's machine takes on either connection."""
    steps = [0]

    def step() -> int:
        steps[0] += 1
        return 0

    for connection in (database._writer, database._reader):
        connection.set_progress_handler(step, 1)
    try:
        yield steps
    finally:
        for connection in (database._writer, database._reader):
            connection.set_progress_handler(None, 1)


async def work(database: SqliteDatabase) -> dict[str, int]:
    """The steps of one look at the lanes, one claim, one sweep."""
    spent = {}
    with counting(database) as steps:
        async with database.reading() as reader:
            assert len(await messages.lanes(reader)) == 4
            spent["lanes"], steps[0] = steps[0], 0
            await messages.next_due_at_ms(reader, BULK)
            spent["next due"], steps[0] = steps[0], 0
            assert len(await messages.past_deadline(reader, T0, 5)) == 5
            spent["past deadline"], steps[0] = steps[0], 0
        async with database.transaction() as tx:
            assert len(await messages.claim(tx, BULK, 5, T0, T0 + HOUR_MS)) == 5
            spent["claim"] = steps[0]
    return spent


async def fill(database: SqliteDatabase, first: int, many: int) -> None:
    overdue = queued(state=State.WAITING, deadline_at_ms=T0 - 1)
    final = queued(state=State.FINAL, deadline_at_ms=None)
    kinds = (queued(), urgent(), overdue, final)
    await add(
        database,
        *(new(first + n, kinds[n % 4], account_id=1 + n // 4 % 2) for n in range(many)),
    )


async def test_the_work_does_not_grow_with_the_table(database: SqliteDatabase) -> None:
    await fill(database, 0, 80)
    small = await work(database)
    await fill(database, 80, 8_000)
    large = await work(database)
    assert {name: steps for name, steps in large.items() if steps > 1.5 * small[name]} == {}


async def test_one_key_costs_one_look_up(database: SqliteDatabase) -> None:
    await add(database, new(1))
    with counting(database) as steps:
        await load(database, 1)
    assert steps[0] < 100


def index_size(database: SqliteDatabase, index: str) -> int:
    [(cells,)] = database._reader.execute("SELECT sum(ncell) FROM dbstat WHERE name = ?", (index,))
    return int(cells)


async def test_the_queues_indexes_hold_only_what_is_alive(database: SqliteDatabase) -> None:
    final = queued(state=State.FINAL, deadline_at_ms=None)
    await add(database, *(new(n) for n in range(50)), *(new(100 + n, final) for n in range(50)))
    assert index_size(database, "message_queue") == 50
    await claim(database, limit=50)
    assert index_size(database, "message_queue") == 0
    assert index_size(database, "message_deadline") == 50
    for n in range(50):
        stored = await load(database, n)
        await change(database, Change(stored, final, [], T0))
    assert index_size(database, "message_deadline") == 0
