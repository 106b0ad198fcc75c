"""How often the backlog is looked at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from cascade.engine import statistician
from cascade.engine.statistician import Statistician
from cascade.store import messages
from cascade.store.database import Reader
from cascade.store.sqlite import SqliteDatabase
from store.given import T0, new

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


def _waiting() -> float | None:
    return REGISTRY.get_sample_value("cascade_lane_messages", {"link": "sms.smpp", "urgency": "bulk"})
