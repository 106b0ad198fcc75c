"""An engine over a real store, with a clock that only the test moves and providers that answer when they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from cascade.channels.base import Heard
from cascade.channels.fitting import as_sms
from cascade.core.errors import StoreUnavailableError
from cascade.core.message import Message, State
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.timeline import Mark
from cascade.core.words import Reason
from cascade.engine.worker import LinkSetup, Worker
from cascade.store import receipts
from cascade.store.database import Reader, Transaction
from cascade.store.messages import NewMessage, Record
from cascade.store.receipts import InboxReceipt
from cascade.store.sqlite import SqliteDatabase
from store.given import DAY_MS, T0, add, counts, record

from .transport import FakeTransport

PATIENCE_S = 20.0
LOOK_S = 0.002
GRACE_S = 2.0


async def eventually(is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return as soon as it is so; `TimeoutError` when it does not become so."""
    async with asyncio.timeout(PATIENCE_S):
        while not (so if isinstance(so := is_so(), bool) else await so):  # noqa: ASYNC110 - any condition will do
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def serving(take: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A client's server, which answers every request so; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Clock:
    def __init__(self) -> None:
        self.now_ms = T0

    def __call__(self) -> int:
        return self.now_ms


class Store(SqliteDatabase):
    """A store that can be away, and whose transactions can be held up and are counted."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.is_away = False
        self.refused = 0
        self.held = 0
        self.written = 0
        self.may_write = asyncio.Event()
        self.may_write.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        self._check()
        async with super().reading() as reader:
            yield reader

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self.held += 1
        await self.may_write.wait()
        self.held -= 1
        self._check()
        async with super().transaction() as tx:
            yield tx
        self.written += 1

    def _check(self) -> None:
        if self.is_away:
            self.refused += 1
            raise StoreUnavailableError("away")


class Engine:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.worker = Worker(store, self.clock)
        self.transports: dict[str, FakeTransport] = {}
        self._has_stopped = False

    async def start(
        self,
        *,
        rates: dict[str, float] | None = None,
        address_rates: dict[str, float] | None = None,
        **transports: FakeTransport,
    ) -> None:
        """Serve these links; `sms` stands for the link `sms.smpp`, `viber` for `viber_bot.1`."""
        names = {"sms": "sms.smpp", "other_sms": "sms.other", "viber": "viber_bot.1", "rcs": "rcs.google"}
        self.transports = {names[short]: transport for short, transport in transports.items()}
        for transport in transports.values():
            transport.now_ms = self.clock
        rate, address_rate = rates or {}, address_rates or {}
        await self.worker.start(
            {
                names[short]: LinkSetup(
                    transport, rate.get(short), fitting=as_sms, address_rate_per_s=address_rate.get(short)
                )
                for short, transport in transports.items()
            }
        )

    async def stop(self, grace_s: float = GRACE_S) -> None:
        self._has_stopped = True
        await self.worker.stop(grace_s)

    async def end(self) -> None:
        self.store.is_away = False
        self.store.may_write.set()
        if not self._has_stopped:
            await self.stop(0.0)

    async def add(self, *given: NewMessage) -> None:
        await add(self.store, *given)

    def pass_ms(self, ms: int) -> None:
        """Time passes, and every loop that sleeps until then looks again."""
        self.clock.now_ms += ms
        for transport in self.transports.values():
            transport.wake()

    async def pass_until(self, is_so: Callable[[], bool | Awaitable[bool]], step_ms: int = 100) -> None:
        """Time passes until it is so."""

        async def look() -> bool:
            self.pass_ms(step_ms)
            return so if isinstance(so := is_so(), bool) else await so

        await eventually(look)

    async def message(self, number: int) -> Message:
        return (await record(self.store, number)).message

    async def record(self, number: int) -> Record:
        return await record(self.store, number)

    async def has(self, state: State, count: int) -> bool:
        return (await self.counts()).get(state, 0) == count

    async def has_empty_inbox(self) -> bool:
        return await self.inbox() == []

    async def is_postponed(self, looked_at_ms: int) -> bool:
        """Whether every receipt in the inbox was looked at since that time, and put off."""
        async with self.store.reading() as reader:
            return await receipts.due(reader, looked_at_ms, 1) == []

    async def is_at(self, number: int, state: State, step: int = 0) -> bool:
        message = await self.message(number)
        return (message.state, message.step) == (state, step)

    async def until(self, number: int, is_so: Callable[[Record], bool]) -> Record:
        """The message, as soon as that is so."""

        async def look() -> bool:
            return is_so(await record(self.store, number))

        await eventually(look)
        return await record(self.store, number)

    async def until_state(self, number: int, state: State) -> Record:
        return await self.until(number, lambda seen: seen.message.state is state)

    async def inbox(self) -> list[InboxReceipt]:
        """The receipts that are not worked yet, whenever they are due."""
        async with self.store.reading() as reader:
            return await receipts.due(reader, self.clock.now_ms + DAY_MS, 10_000)

    async def counts(self) -> dict[State, int]:
        async with self.store.reading() as reader:
            return await counts(reader)

    async def entries(self, number: int) -> list[tuple[Mark, int, Reason | None]]:
        """The message's timeline: what, in which attempt, why."""
        return [(entry.mark, entry.attempt, entry.reason) for entry in (await self.record(number)).entries]

    async def receive(
        self,
        provider_id: str,
        state: ReceiptState = ReceiptState.DELIVERED,
        *,
        link: str = "sms.smpp",
        recipient: str | None = None,
    ) -> None:
        """As a provider's receipt comes in: through the transport of its link."""
        await self.transports[link].take(Heard([Receipt(provider_id, state, recipient=recipient)]))
