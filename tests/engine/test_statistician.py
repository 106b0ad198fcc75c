"""How often the backlog is looked at."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cascade.engine import statistician
from cascade.engine.statistician import Statistician
from cascade.store.database import Reader
from cascade.store.sqlite import SqliteDatabase
from store.given import T0

from .running import eventually


class Store(SqliteDatabase):
    """Counts the looks."""

    looks = 0

    @asynccontextmanager
    async def cold_reading(self, *, newest: bool = False) -> AsyncIterator[Reader]:
        self.looks += 1
        async with super().cold_reading(newest=newest) as reader:
            yield reader


async def test_a_node_beside_others_looks_rarely_until_it_is_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistician, "LOOK_S", 0.0)
    monkeypatch.setattr(statistician, "LOOK_BESIDE_S", 0.3)
    monkeypatch.setattr(statistician, "REST", 0)
    store = Store(tmp_path / "cascade.db")
    await store.open(owner=True)
    is_beside = True
    looking = asyncio.create_task(Statistician(store, lambda: T0, lambda: is_beside).run())
    await eventually(lambda: store.looks == 1)
    await asyncio.sleep(0.1)
    assert store.looks == 1
    is_beside = False
    await eventually(lambda: store.looks > 3)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await store.close()
