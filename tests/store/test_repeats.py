"""A message sent again within a day is the first one, whatever befell the store meanwhile; then it is forgotten."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cascade.store import engines, repeats
from cascade.store.database import Database
from cascade.store.recent import DIGEST_SIZE as SIZE

from .given import DAY_MS, HOUR_MS, T0


def digest(name: str) -> bytes:
    assert len(name) <= SIZE
    return name.encode().ljust(SIZE)


def message_id(number: int) -> bytes:
    return number.to_bytes(SIZE, "big")


async def send(database: Database, now_ms: int, *names: str, account_id: int = 1) -> dict[str, bytes]:
    """Send messages of these names as one request; those that are repeats of an earlier one, with its id."""
    async with database.transaction() as tx:
        sent = [(digest(name), message_id(now_ms - T0 + number)) for number, name in enumerate(names)]
        earlier = await repeats.remember(tx, account_id, sent, now_ms, now_ms - DAY_MS)
    return {name: earlier[digest(name)] for name in names if digest(name) in earlier}


async def forget(database: Database, limit: int, oldest_ms: int) -> list[int]:
    """How many are forgotten, each time until none is left."""
    counts: list[int] = []
    async with database.transaction() as tx:
        while not counts or counts[-1]:
            counts.append(await repeats.purge(tx, limit, oldest_ms))
    return counts


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = engines.database(url, connections=2)
    await database.open(owner=True)
    yield database
    await database.close()


async def ask(database: Database, now_ms: int, *keys: bytes) -> None:
    async with database.transaction() as tx:
        for key in keys:
            assert await repeats.begin_request(tx, 1, key, b"body", now_ms, now_ms - HOUR_MS) is None


async def test_a_repeat_is_the_first_one_of_its_batch_or_of_an_earlier_one(database: Database) -> None:
    assert await send(database, T0, "a", "b", "a") == {"a": message_id(0)}
    assert await send(database, T0 + 10, "c", "b") == {"b": message_id(1)}
    assert await send(database, T0 + 20, "c", "d") == {"c": message_id(10)}
    assert await send(database, T0 + 30, "d", "c", "b", "a", "e") == {
        "d": message_id(21),
        "c": message_id(10),
        "b": message_id(1),
        "a": message_id(0),
    }


async def test_another_account_has_its_own(database: Database) -> None:
    await send(database, T0, "a")
    assert await send(database, T0 + 1, "a", account_id=2) == {}
    assert await send(database, T0 + 2, "a", account_id=2) == {"a": message_id(1)}


async def test_after_a_day_it_is_new_and_from_then_on_the_first(database: Database) -> None:
    await send(database, T0, "a")
    assert await send(database, T0 + DAY_MS, "a") == {}
    assert await send(database, T0 + DAY_MS + 1, "a") == {"a": message_id(DAY_MS)}


async def test_what_was_not_committed_was_not_sent(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await repeats.remember(tx, 1, [(digest("a"), message_id(1))], T0, T0 - DAY_MS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await send(database, T0 + 1, "a") == {}


async def test_a_restart_forgets_nothing(store_url: str) -> None:
    async with opened(store_url) as database:
        await send(database, T0, "a", "b", "c")
        await send(database, T0 + 2, "d")
        await send(database, T0 + DAY_MS, "b")
    async with opened(store_url) as database:
        repeated = await send(database, T0 + DAY_MS + 1, "a", "b", "d")
    assert repeated == {"b": message_id(DAY_MS), "d": message_id(2)}


async def test_a_message_sent_again_in_time_does_not_keep_older_ones(database: Database) -> None:
    await send(database, T0, "weekly")
    await send(database, T0 + 1, "once", "twice")
    await send(database, T0 + 2 * DAY_MS, "weekly")
    forgotten = sum(await forget(database, 1, T0 + 1))
    assert forgotten in (2, 3)  # on SQLite the first "weekly" stood there until now
    assert await send(database, T0 + 2 * DAY_MS + 1, "weekly") == {"weekly": message_id(2 * DAY_MS)}
    assert await send(database, T0 + 1, "once", "twice") == {}


async def test_few_are_forgotten_at_once(database: Database) -> None:
    for number in range(6):
        await send(database, T0 + number, f"message-{number}")
    assert await forget(database, 2, T0 + 4) == [2, 2, 1, 0]


async def test_digests_that_begin_alike_are_two_messages(database: Database) -> None:
    assert await send(database, T0, "8 alike: a", "8 alike: b") == {}
    assert await send(database, T0 + 1, "8 alike: c") == {}


async def test_old_requests_are_forgotten_a_few_at_once(database: Database) -> None:
    await ask(database, T0 + 1, b"second")
    await ask(database, T0, b"first")
    await ask(database, T0 + 2, b"third")
    async with database.transaction() as tx:
        assert await repeats.purge_requests(tx, 1, T0 + 1) == 1
        assert await tx.rows("SELECT key_digest FROM recent_request ORDER BY at_ms") == [(b"second",), (b"third",)]
        assert [await repeats.purge_requests(tx, 1, T0 + 1) for _ in range(2)] == [1, 0]
