"""The engine's side of a transport: it sends, and writes down what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import structlog

from cascade.channels.base import Heard
from cascade.channels.smpp import SmppSettings, SmppTransport
from cascade.core.attempt import Attempt, Outcome
from cascade.core.receipt import Receipt

from .smsc import PATIENCE_S

QUICK = SmppSettings(
    system_id="esme1",
    password="secret08",
    reconnect_min_s=0.01,
    reconnect_max_s=0.04,
    throttle_min_s=0.02,
    throttle_max_s=0.08,
)


class Gateway:
    """`settled` holds each attempt's outcome by its number; one settled twice fails at once."""

    def __init__(self, settings: SmppSettings) -> None:
        self.transport = SmppTransport(settings)
        self.settled: dict[int, Outcome] = {}
        self.receipts: list[Receipt] = []
        self.sets: list[int] = []
        self.may_store = asyncio.Event()
        self.may_store.set()
        self.store_fails = False
        self.rooms = 0
        self._told = asyncio.Event()

    def start(self) -> None:
        self.transport.start(self._on_room, self.take)

    def send(self, *attempts: Attempt) -> None:
        self.transport.send(attempts, self._settle)

    async def room(self, least: int = 1) -> int:
        await self._until(lambda: self.transport.room() >= least)
        return self.transport.room()

    async def outcome(self, number: int = 1) -> Outcome:
        return (await self.outcomes(number))[0]

    async def outcomes(self, *numbers: int) -> list[Outcome]:
        await self._until(lambda: self.settled.keys() >= set(numbers))
        return [self.settled[number] for number in numbers]

    async def received(self, count: int) -> list[Receipt]:
        await self._until(lambda: len(self.receipts) >= count)
        return self.receipts

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._told.clear()
                await self._told.wait()

    def _on_room(self) -> None:
        self.rooms += 1
        self._told.set()

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        assert attempt.number not in self.settled
        self.settled[attempt.number] = outcome
        self._told.set()

    async def take(self, heard: Heard) -> None:
        await self.may_store.wait()
        if self.store_fails:
            raise OSError("the disk is full")
        self.receipts += heard.receipts
        self.sets.append(len(heard.receipts))
        self._told.set()


class Log:
    """What was logged, to be waited for."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._heard = asyncio.Event()

    def __call__(self, logger: Any, method: str, entry: Any) -> Any:
        self.entries.append(dict(entry))
        self._heard.set()
        raise structlog.DropEvent

    async def until(self, **fields: str) -> None:
        """Until an entry with these fields was logged."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(fields.items() <= entry.items() for entry in self.entries):
                self._heard.clear()
                await self._heard.wait()


@contextmanager
def listening() -> Iterator[Log]:
    """Takes the log's place, also for loggers bound before."""
    heard = Log()
    processors = structlog.get_config()["processors"]
    kept = list(processors)
    processors[:] = [heard]
    try:
        yield heard
    finally:
        processors[:] = kept


@asynccontextmanager
async def gateway(port: int, **settings: Any) -> AsyncIterator[Gateway]:
    """A started transport with quick timers, stopped in the end."""
    made = Gateway(replace(QUICK, port=port, **settings))
    made.start()
    try:
        yield made
    finally:
        await made.transport.stop(0.0)
