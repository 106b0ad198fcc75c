"""Starts the engine's loops, gives each link its dispatcher, and drains them."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple

import structlog

from cascade.channels.base import Capabilities, Heard, Revokes, Transport
from cascade.core.errors import StoreUnavailableError
from cascade.core.link import LinkHealth, LinkState
from cascade.core.turns import Lane
from cascade.engine.clicks import ClickCounter
from cascade.engine.dispatcher import Dispatcher
from cascade.engine.notifier import Notifier
from cascade.engine.pace import Pace
from cascade.engine.receiver import Receiver
from cascade.engine.recorder import Recorder
from cascade.engine.revoker import Revoker
from cascade.engine.statistician import Statistician
from cascade.engine.supervision import supervise
from cascade.engine.timekeeper import Timekeeper
from cascade.store import messages
from cascade.store.database import Database

log = structlog.get_logger()

POLL_LANES_S = 1.0


class LinkSetup(NamedTuple):
    """A link as the front hall builds it. `rate_per_s` None: no limit but the transport's window."""

    transport: Transport
    rate_per_s: float | None


class Worker:
    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._recorder = Recorder(database)
        self._receiver = Receiver(database, now_ms)
        self._revoker = Revoker(database, now_ms, self._revoking)
        self._timekeeper = Timekeeper(database, now_ms, self._capabilities, self._revoker)
        self._dispatchers: dict[str, Dispatcher] = {}
        self._notifier: Notifier | None = None
        self._clicks: ClickCounter | None = None
        self._statistician = Statistician(database, now_ms)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_stopping = False

    async def start(self, links: Mapping[str, LinkSetup]) -> None:
        """Take over what a dead predecessor left, then begin to serve."""
        if not self._database.is_shared:  # where other nodes may live, leases end by themselves
            async with self._database.transaction() as tx:
                released = await messages.release_leases(tx, self._now_ms())
            if released:
                log.warning("leases_released", messages=released)
        self._database.on_lane_ready = self._lane_ready
        self._database.on_receipts_ready = self._receiver.wake
        for name, setup in links.items():
            self.add_link(name, setup)
        self._spawn("recorder", self._recorder.run)
        self._spawn("receiver", self._receiver.run)
        self._spawn("timekeeper", self._timekeeper.run)
        self._database.observers.append(self._statistician.tally)
        self._spawn("statistician", self._statistician.run)
        self._spawn("lanes", self._poll_lanes)

    def add_link(self, name: str, setup: LinkSetup) -> None:
        dispatcher = Dispatcher(
            name,
            setup.transport,
            Pace(setup.rate_per_s),
            self._database,
            self._recorder,
            self._now_ms,
            self._links_down,
        )
        self._dispatchers[name] = dispatcher
        setup.transport.start(dispatcher.room_grew, partial(self.take_heard, name))
        self._spawn(f"link {name}", dispatcher.run)

    def add_notifier(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._database.on_deliveries_ready = notifier.wake
        self._spawn("notifier", notifier.run)

    def add_clicks(self, clicks: ClickCounter) -> None:
        self._clicks = clicks
        self._spawn("clicks", clicks.run)

    @property
    def links(self) -> frozenset[str]:
        return frozenset(self._dispatchers)

    def link_states(self, account_id: int) -> dict[str, LinkState]:
        """How the links that this process serves do for an account, by name."""
        return {name: dispatcher.state(account_id) for name, dispatcher in self._dispatchers.items()}

    def link_health(self) -> dict[str, LinkHealth]:
        """How the links that this process serves do, by name."""
        return {name: dispatcher.health() for name, dispatcher in self._dispatchers.items()}

    @property
    def statistician(self) -> Statistician:
        return self._statistician

    @property
    def is_running(self) -> bool:
        return bool(self._tasks) and not self._is_stopping

    async def take_heard(self, link: str, heard: Heard) -> None:
        """Store what a provider told us; when this returns it is safe."""
        await self._receiver.take(link, heard)

    def _links_down(self) -> frozenset[str]:
        return frozenset(name for name, dispatcher in self._dispatchers.items() if dispatcher.is_down)

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, let what is on the wire end within `grace_s`, write down how it ended."""
        self._is_stopping = True
        stopping = [dispatcher.stop(grace_s) for dispatcher in self._dispatchers.values()]
        if self._notifier is not None:
            stopping.append(self._notifier.stop(grace_s))
        if self._clicks is not None:
            stopping.append(self._clicks.stop(grace_s))
        stopping.append(self._revoker.stop(grace_s))
        await asyncio.gather(*stopping)
        try:
            await asyncio.wait_for(self._recorder.idle(), grace_s)
        except TimeoutError:
            log.error("results_unwritten")  # the store is away; their leases will say `unknown`
        await self._statistician.stop(grace_s)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _capabilities(self, link: str) -> Capabilities | None:
        dispatcher = self._dispatchers.get(link)
        return None if dispatcher is None else dispatcher.transport.capabilities

    def _revoking(self, link: str) -> Revokes | None:
        dispatcher = self._dispatchers.get(link)
        transport = None if dispatcher is None else dispatcher.transport
        return transport if isinstance(transport, Revokes) else None

    def _lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        dispatcher = self._dispatchers.get(lane.link)
        if dispatcher is not None:
            dispatcher.lane_ready(lane, due_at_ms)

    async def _poll_lanes(self) -> None:
        """The safety net under the wake-ups, and how a start finds what was waiting."""
        while True:
            try:
                async with self._database.reading() as reader:
                    found = await messages.lanes(reader)
            except StoreUnavailableError as error:
                log.error("lanes_delayed", error=str(error))
            else:
                for lane, due_at_ms in found.items():
                    self._lane_ready(lane, due_at_ms)
            await asyncio.sleep(POLL_LANES_S)

    def _spawn(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks[name] = asyncio.create_task(supervise(name, loop), name=name)
