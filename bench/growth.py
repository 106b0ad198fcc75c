"""What a message costs a store that has been at work for long: with a million or ten million finished messages in it,
and after a queue has been filled and emptied over and over.

    python -m bench.growth                              # 0 and 1,000,000 stored, both engines; about five minutes
    python -m bench.growth --stored 0 10000000          # ten million: half an hour, 15 GB of disk
    python -m bench.growth --churn-s 3600               # an hour of churn: the queue at its end as at its start
    python -m bench.growth --retention                  # what clients notice while old messages are deleted
    python -m bench.growth --partitions 0 30 90         # what partitions by time would cost PostgreSQL

One JSON line a figure. CPU is that of this process and of the PostgreSQL it talks to. A cost is the median of its
rounds, and the stores that are compared take turns: so neighbours on the machine disturb little.
"""

import argparse
import asyncio
import gc
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import uvloop

from bench.store import LANE, T0, claim, given, postgres, settle, store
from bench.stored import SENDER, TEXT, fill
from cascade.core.node import ALONE
from cascade.engine.janitor import Janitor, Keep
from cascade.store import accounts, engines, messages, schema, versions
from cascade.store.database import Database
from cascade.store.eras import Eras
from cascade.store.ids import first_id, new_ids
from cascade.store.messages import Key, NewMessage

CONNECTIONS = 16
SET = 500
ROUNDS = 15
SETS_A_ROUND = 10
CHURN_WINDOW_S = 10.0
WINDOWS_A_LINE = 12
US = "us/message"
DAY_MS = 86_400_000
FINISH = """
    UPDATE message SET state = 'final', deadline_at_ms = NULL WHERE account_id = 1 AND id IN (
        SELECT id FROM message WHERE deadline_at_ms IS NOT NULL ORDER BY deadline_at_ms LIMIT ?)
"""
FINISHED_SET = 2_000
"""Few enough for one transaction on a busy machine."""
OLD_MESSAGES = 200_000
RETENTION_S = 15.0
PACE_S = 0.005


class Cpu:
    """Seconds used by this process and by the server behind a URL."""

    def __init__(self, postmaster: psutil.Process | None) -> None:
        self._postmaster = postmaster

    @classmethod
    async def of(cls, url: str) -> "Cpu":
        if not engines.is_postgres(url):
            return cls(None)
        connection = await asyncpg.connect(url)
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        postmaster = backend.parent()
        await connection.close()
        return cls(postmaster)

    def read(self) -> float:
        used = time.process_time()
        for process in self._postmaster.children() if self._postmaster else []:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system
        return used


CLOCK = itertools.count(T0, 10)
ERAS = Eras()


def fresh() -> list[NewMessage]:
    """A set accepted ten milliseconds after the one before, in its era, as a gateway does; the queue's time stands."""
    at_ms = next(CLOCK)
    era = ERAS.take(1, at_ms, SET)
    ids = new_ids(at_ms, SET)
    return [
        one._replace(key=Key(1, id_), era=era, sender=SENDER, text=TEXT)  # as large as those that are stored
        for one, id_ in zip(given(SET), ids, strict=True)
    ]


async def life(database: Database, cpu: Cpu, sets: int) -> dict[str, float]:
    """Microseconds of CPU a message: stored, claimed, recorded."""
    new = [fresh() for _ in range(sets)]
    spent = {}
    begun = cpu.read()
    for some in new:
        await store(database, some)
    spent["insert"] = cpu.read() - begun
    begun = cpu.read()
    taken = [await claim(database, SET) for _ in new]
    spent["claim"] = cpu.read() - begun
    assert sum(map(len, taken)) == SET * sets
    begun = cpu.read()
    for some_taken in taken:
        await settle(database, some_taken)
    spent["record"] = cpu.read() - begun
    return {name: used / (SET * sets) * 1e6 for name, used in spent.items()}


async def finish(database: Database) -> None:
    """What this bench sent is as good as delivered: nothing of it waits for a receipt or a deadline."""
    finished = 1
    while finished:
        async with database.transaction() as tx:
            finished = await tx.execute(FINISH, (FINISHED_SET,))


def say(figure: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": figure, "value": round(value, 2), "unit": unit}), flush=True)


class Measured:
    """The costs of a store, round by round."""

    def __init__(self, name: str, database: Database, cpu: Cpu) -> None:
        self.name = name
        self._database = database
        self._cpu = cpu
        self._rounds: list[dict[str, float]] = []

    @classmethod
    async def open(cls, name: str, url: str) -> "Measured":
        database = engines.database(url, CONNECTIONS)
        await database.open(owner=True)
        cpu = await Cpu.of(url)
        await life(database, cpu, 2)  # connections, plans, caches
        return cls(name, database, cpu)

    async def round(self) -> None:
        self._rounds.append(await life(self._database, self._cpu, SETS_A_ROUND))
        await finish(self._database)

    async def close(self) -> dict[str, float]:
        await self._database.close()
        costs = {part: statistics.median(one[part] for one in self._rounds) for part in self._rounds[0]}
        costs["life"] = statistics.median(sum(one.values()) for one in self._rounds)
        for part, cost in costs.items():
            say(f"{self.name}_{part}_cpu", cost, US)
        return costs


async def measure(stores: Sequence[tuple[str, str]]) -> None:
    """Stores of different kinds, by name and URL, in turns: what the neighbours do hits all of them alike."""
    measured = [await Measured.open(name, url) for name, url in stores]
    gc.collect()
    for _ in range(ROUNDS):
        for one in measured:
            await one.round()
    first: dict[str, float] = {}
    for one in measured:
        costs = await one.close()
        first = first or costs
        if costs is not first:
            for part, cost in costs.items():
                say(f"{one.name}_{part}_slower", (cost / first[part] - 1) * 100, "%")


async def growth(engine: str, place: Callable[[str], str], stored: Sequence[int]) -> None:
    """The same work in stores of different sizes."""
    stores = []
    for count in stored:
        url = place(f"stored_{count}")
        await _ready(url)
        await fill(url, count, T0)
        stores.append((f"growth_{engine}_{count}_stored", url))
    await measure(stores)


async def churn(engine: str, place: Callable[[str], str], seconds: float) -> None:
    """Fill and empty the queue without a pause: what a message costs at the end against what it cost at first, and,
    since the machine may have been busier at the end, against an empty store in turns."""
    url = place("churn")
    await _ready(url)
    cpu = await Cpu.of(url)
    database = engines.database(url, CONNECTIONS)
    await database.open(owner=True)
    windows: list[dict[str, float]] = []
    count = 0
    begun_at_s = time.perf_counter()
    try:
        await life(database, cpu, 2)
        while time.perf_counter() - begun_at_s < seconds:
            window_ends_at_s = time.perf_counter() + CHURN_WINDOW_S
            lives = []
            while time.perf_counter() < window_ends_at_s:
                lives.append(await life(database, cpu, SETS_A_ROUND))
                count += SET * SETS_A_ROUND
                if len(lives) % 10 == 0:
                    await finish(database)
            windows.append({part: statistics.median(one[part] for one in lives) for part in lives[0]})
            if len(windows) % WINDOWS_A_LINE == 0:  # a run that is broken off has said something
                some = windows[-WINDOWS_A_LINE:]
                minute = len(windows) * CHURN_WINDOW_S / 60
                say(f"churn_{engine}_minute_{minute:.0f}", statistics.median(sum(one.values()) for one in some), US)
        async with database.reading() as reader:
            assert await messages.next_due_at_ms(reader, LANE) is None
    finally:
        await database.close()
    say(f"churn_{engine}_messages", count, "messages")
    few = max(1, len(windows) // 6)
    for part in windows[0]:
        first = statistics.median(one[part] for one in windows[:few])
        last = statistics.median(one[part] for one in windows[-few:])
        say(f"churn_{engine}_{part}_first_cpu", first, US)
        say(f"churn_{engine}_{part}_last_cpu", last, US)
        say(f"churn_{engine}_{part}_slower", (last / first - 1) * 100, "%")
    empty = place("empty")
    await _ready(empty)
    await measure([(f"churn_{engine}_none", empty), (f"churn_{engine}_in_turns", url)])


async def partitions(place: Callable[[str], str], counts: Sequence[int]) -> None:
    """PostgreSQL with `message` cut by time into so many partitions, a day each; 0: one table, as it is."""
    stores = []
    for count in counts:
        url = place(f"partitions_{count}")
        await _ready(url)
        if count:
            await _partition(url, count)
        stores.append((f"partitions_{count}", url))
    await measure(stores)


async def retention(engine: str, url: str) -> None:
    """Small transactions at a steady pace: how long each takes, first alone and then while the janitor deletes."""
    await _ready(url)
    await fill(url, OLD_MESSAGES, T0 - 40 * DAY_MS)
    database = engines.database(url, CONNECTIONS)
    await database.open(owner=True)
    async with database.transaction() as tx:
        await accounts.add_account(tx, "bench", T0)
    keep = Keep(30 * DAY_MS, 30 * DAY_MS, None, None)
    tidying = asyncio.create_task(asyncio.sleep(0))
    try:
        for name in ("alone", "deleting"):
            if name == "deleting":
                tidying = asyncio.create_task(Janitor(database, keep, lambda: T0, lambda: ALONE).tidy())
            waits = []
            begun_at_s = time.perf_counter()
            while time.perf_counter() - begun_at_s < RETENTION_S:
                some = given(10)
                started_at_s = time.perf_counter()
                await store(database, some)
                waits.append(time.perf_counter() - started_at_s)
                await asyncio.sleep(PACE_S)
            for part, value in (("p50", statistics.median(waits)), ("p99", statistics.quantiles(waits, n=100)[98])):
                say(f"retention_{engine}_{name}_{part}", value * 1000, "ms")
        async with database.reading() as reader:
            [(left,)] = await reader.rows("SELECT count(*) FROM message WHERE accepted_at_ms < ?", (T0,))
        say(f"retention_{engine}_deleted", (OLD_MESSAGES - left) / RETENTION_S, "messages/s")
    finally:
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
        await database.close()


async def _partition(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    for statement in schema.postgres_tables():
        is_message = statement.lstrip().startswith("CREATE TABLE message (")
        await connection.execute(f"{statement} PARTITION BY RANGE (id)" if is_message else statement)
    for day in range(count):  # today is the last but one
        start, end = (first_id(round(T0 + (day + shift - count + 2) * DAY_MS)).hex() for shift in (-0.5, 0.5))
        await connection.execute(
            f"CREATE TABLE message_{day} PARTITION OF message FOR VALUES FROM ('\\x{start}') TO ('\\x{end}')"
        )
    for statement in [*schema.postgres_indexes(), *schema.FIRST_ROWS, *versions.statements()]:
        await connection.execute(statement)
    await connection.close()


async def _ready(url: str) -> None:
    """On PostgreSQL a schema of its own, empty."""
    if engines.is_postgres(url):
        name = url.rpartition("=")[2]
        connection = await asyncpg.connect(url)
        await connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        await connection.execute(f"CREATE SCHEMA {name}")
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgres"], action="append")
    parser.add_argument("--stored", type=int, nargs="*", default=[0, 1_000_000])
    parser.add_argument("--churn-s", type=float, default=0)
    parser.add_argument("--retention", action="store_true")
    parser.add_argument("--partitions", type=int, nargs="*")
    parser.add_argument("--home", help="where the stores lie; they are left there")
    options = parser.parse_args()
    chosen = options.engine or ["sqlite", "postgres"]
    with tempfile.TemporaryDirectory(prefix="cascade-bench-") as temporary, postgres() as server:
        home = Path(options.home or temporary)

        def of_sqlite(name: str) -> str:
            return f"sqlite:///{home / name}.db"

        def of_postgres(name: str) -> str:
            return f"{server}{'&' if '?' in server else '?'}search_path=bench_{name}"

        places = {"sqlite": of_sqlite, "postgres": of_postgres}
        work: list[Any] = []
        if options.partitions is not None:
            work.append(partitions(of_postgres, options.partitions))
        elif options.retention:
            work += [retention(engine, places[engine]("retention")) for engine in chosen]
        elif options.churn_s:
            work += [churn(engine, places[engine], options.churn_s) for engine in chosen]
        else:
            work += [growth(engine, places[engine], options.stored) for engine in chosen]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for one in work:
                runner.run(one)


if __name__ == "__main__":
    main()
