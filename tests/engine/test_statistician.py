"""How often the backlog is looked at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from cascade.core.errors import StoreUnavailableError
from cascade.engine import statistician
from cascade.engine.statistician import Statistician
from cascade.store import messages, statistics
from cascade.store.database import Reader, Transaction
from cascade.store.sqlite import SqliteDatabase
from store.given import PATIENCE_S, T0, new

from .running import eventually


class Store(SqliteDatabase):
    """Counts the looks."""

    looks = 0

    @asynccontextmanager
    async def cold_reading(self, *, newest: bool = False) -> AsyncIterator[Reader]:
        self.looks += 1
        async with super().cold_reading(newest=newest) as reader:
            yield reader


async def test_an_engine_beside_others_leaves_the_looks_to_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistician, "LOOK_S", 0.0)
    monkeypatch.setattr(statistician, "REST", 0)
    store = Store(tmp_path / "cascade.db")
    await store.open(owner=True)
    async with store.transaction() as tx:
        await messages.add(tx, [new(1)])
    looks = False
    looking = asyncio.create_task(Statistician(store, lambda: T0, lambda: looks).run())
    await asyncio.sleep(0.05)
    assert store.looks == 0
    looks = True
    await eventually(lambda: _waiting() == 1)
    looks = False
    await eventually(lambda: _waiting() is None)
    looks = True
    await eventually(lambda: _waiting() == 1)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await store.close()


class Untidy(SqliteDatabase):
    """Takes sums, and nothing else."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        raise StoreUnavailableError("away")
        yield

    @asynccontextmanager
    async def single(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx


async def test_sums_are_written_once_though_what_is_old_could_not_be_forgotten(tmp_path: Path) -> None:
    store = SqliteDatabase(tmp_path / "cascade.db")
    await store.open(owner=True)
    untidy = Untidy(tmp_path / "cascade.db")
    one = Statistician(store, lambda: T0)
    store.observers.append(one.tally)
    async with store.transaction() as tx:
        await messages.add(tx, [new(1)])
    await store.close()
    one._database = untidy
    await untidy.open(owner=True)
    for _ in range(2):
        await one.stop(PATIENCE_S)
    async with untidy.reading() as reader:
        sums = await statistics.totals(reader, statistics.ALL, T0, T0 + 1)
    assert [kind.number for kind in sums if kind.kind is statistics.Kind.ACCEPTED] == [1]
    await untidy.close()


def _waiting() -> float | None:
    return REGISTRY.get_sample_value("cascade_lane_messages", {"link": "sms.smpp", "urgency": "bulk"})
