"""A running engine; its pauses are short, so that no test waits for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cascade.engine import dispatcher, receiver, recorder, supervision, timekeeper, worker

from .running import Engine, Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "cascade.db")
    await opened.open(owner=True)
    yield opened
    await opened.close()


@pytest.fixture
async def engine(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    for module in (dispatcher, receiver, recorder, timekeeper):
        monkeypatch.setattr(module, "STORE_RETRY_S", 0.01)
    monkeypatch.setattr(recorder, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(supervision, "RESTART_S", 0.01)
    monkeypatch.setattr(worker, "POLL_LANES_S", 0.02)
    monkeypatch.setattr(timekeeper, "TICK_S", 0.005)
    monkeypatch.setattr(receiver, "POLL_S", 0.01)
    monkeypatch.setattr(receiver, "IDLE_S", 0.01)
    running = Engine(store)
    yield running
    await running.end()
    assert [fault for transport in running.transports.values() for fault in transport.faults] == []
