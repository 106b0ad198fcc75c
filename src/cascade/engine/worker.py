"""Starts a node's loops, gives each link that it owns its dispatcher, and drains them."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog

from cascade.channels.base import Heard, Replies, Revokes, Transport
from cascade.channels.fitting import Fitting
from cascade.core.directory import Directory
from cascade.core.errors import StoreUnavailableError
from cascade.core.link import LinkHealth, LinkState
from cascade.core.message import Message
from cascade.core.node import ALONE, Role, Share
from cascade.core.replies import Keywords
from cascade.core.turns import Lane
from cascade.engine import dispatcher as dispatchers
from cascade.engine import metrics
from cascade.engine.clicks import ClickCounter
from cascade.engine.correspondent import Correspondent
from cascade.engine.dispatcher import Dispatcher, Held
from cascade.engine.janitor import Janitor, Keep
from cascade.engine.notifier import Notifier
from cascade.engine.ownership import LEASE, Lease, Ownership
from cascade.engine.pace import AddressPace, Pace
from cascade.engine.receiver import Receiver
from cascade.engine.recorder import Recorder
from cascade.engine.revoker import Revoker
from cascade.engine.statistician import Statistician
from cascade.engine.supervision import supervise, wait
from cascade.engine.sweeper import Sweeper
from cascade.engine.timekeeper import Timekeeper
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Claimed

log = structlog.get_logger()

POLL_LANES_S = 1.0
GONE_S = 30.0
"""How long nobody serves a link, nor could here, before it is taken for one that is no more: longer than it takes to
begin a node anew, or to hear of a bot."""


class LinkSetup(NamedTuple):
    """A link as the front hall builds it. `rate_per_s` None: no limit but the transport's window; `address_rate_per_s`:
    the same for each recipient. `beside` runs while this node serves the link. `fitting`: how it shows a content."""

    transport: Transport
    rate_per_s: float | None
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None
    fitting: Fitting | None = None
    address_rate_per_s: float | None = None


class Worker:
    """On a store that other nodes share, where it is called `name`, each link is served by its owner
    (engine/ownership). The process that owns its store serves them all."""

    def __init__(
        self,
        database: Database,
        now_ms: Callable[[], int],
        name: str = "",
        role: Role = Role.ALL,
        lease: Lease = LEASE,
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._role = role
        self._recorder = Recorder(database, self._caught_up)
        self._receiver = Receiver(database, self._recorder, now_ms, lambda: self.share, self._recipients)
        self._revoker = Revoker(database, now_ms, self._revoking)
        self._timekeeper = Timekeeper(database, now_ms, self._transport, self._revoker, lambda: self.share)
        self._setups: dict[str, LinkSetup] = {}
        self._retired: set[str] = set()
        self._at_rest: set[str] = set()
        self._dispatchers: dict[str, Dispatcher] = {}
        self._notifier: Notifier | None = None
        self._clicks: ClickCounter | None = None
        self._correspondent: Correspondent | None = None
        self._statistician = Statistician(database, now_ms, lambda: role.has_doors or self.share.is_first)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._poll = asyncio.Event()
        self._sweeper = Sweeper(database, self._links_down)
        self._nobodys_since_s: dict[str, float] = {}
        self._gone: set[str] = set()
        self._has_started = self._is_stopping = False
        self._ownership: Ownership | None = None
        if database.is_shared:
            self._ownership = Ownership(
                database,
                name,
                role,
                known=lambda: self._setups.keys() - self._at_rest,
                at_rest=lambda: self._at_rest,
                serve=self._serve,
                leave=self._leave,
                link_states=self._up,
                now_ms=now_ms,
                lease=lease,
            )

    async def start(self, links: Mapping[str, LinkSetup]) -> None:
        """Take over what a dead predecessor left, then begin to serve these links and those added before."""
        if self._ownership is None:  # where other nodes may live, leases end by themselves
            async with self._database.transaction() as tx:
                released = await messages.release_leases(tx, self._now_ms())
            if released:
                log.warning("leases_released", messages=released)
        self._database.on_lane_ready = self._lane_ready
        if not self._database.is_shared:
            self._database.forwarder = self
            self._database.on_lane_ready = self._lane_stored
        self._database.on_receipts_ready = self._receiver.wake
        self._has_started = True
        for name, setup in (self._setups | dict(links)).items():
            self.add_link(name, setup)
        if self._role.has_engine:
            self._spawn("recorder", self._recorder.run)
            self._spawn("receiver", self._receiver.run)
            self._spawn("timekeeper", self._timekeeper.run)
            self._spawn("lanes", self._poll_lanes)
        self._database.observers.append(self._statistician.tally)
        self._spawn("statistician", self._statistician.run)
        if self._ownership is not None:
            self._database.on_nodes_changed = self._ownership.wake
            self._spawn("ownership", self._ownership.run)
            self._spawn("guard", self._ownership.guard)

    def add_link(self, name: str, setup: LinkSetup) -> None:
        """A link that this node may serve, once it has started."""
        self._setups[name] = setup
        if not self._has_started:
            return
        if self._ownership is not None:
            self._ownership.wake()
        else:
            self._serve(name, dispatchers.ALONE)

    def _serve(self, name: str, held: Held) -> None:
        setup = self._setups[name]
        dispatcher = Dispatcher(
            name,
            setup.transport,
            Pace(setup.rate_per_s),
            self._database,
            self._recorder,
            self._now_ms,
            self._links_down,
            held,
            setup.fitting,
            None if setup.address_rate_per_s is None else AddressPace(setup.address_rate_per_s),
        )
        self._dispatchers[name] = dispatcher
        setup.transport.start(dispatcher.room_grew, partial(self.take_heard, name))
        self._spawn(f"link {name}", dispatcher.run)
        if setup.beside is not None:
            self._spawn(f"beside {name}", setup.beside)
        if name in self._retired:
            metrics.forget_link(name)
        self._poll.set()

    async def retire_link(self, name: str) -> None:
        """Its bot was removed: what is on its way by it still goes, nothing is heard of it, and nobody watches it. Nor
        is it owned where there are several nodes, while nothing is on its way."""
        self._retired.add(name)
        self._setups[name] = self._setups[name]._replace(beside=None)
        await self._end(f"beside {name}")
        metrics.forget_link(name)

    async def _leave(self, name: str, grace_s: float) -> bool:
        """Serve the link no more; whether all that came of it is written down. Beyond the grace nothing is waited
        for but the store, and that only as long again."""
        await self._end(f"beside {name}")
        dispatcher = self._dispatchers[name]
        await dispatcher.stop(grace_s)
        await self._end(f"link {name}")
        del self._dispatchers[name]
        if name not in self._retired:
            metrics.LINK_UP.labels(name).set(0)
        is_written = await self._is_soon(self._recorder.written(), grace_s)
        self._recorder.forget(name)
        return is_written

    @staticmethod
    async def _is_soon(it: Coroutine[Any, Any, None], within_s: float) -> bool:
        try:
            await asyncio.wait_for(it, within_s)
        except TimeoutError:
            return False
        return True

    async def _end(self, task: str) -> None:
        ended = self._tasks.pop(task, None)
        if ended is not None:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    def add_notifier(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._database.on_deliveries_ready = notifier.wake
        self._database.courier = notifier
        self._spawn("notifier", notifier.run)

    def add_clicks(self, clicks: ClickCounter) -> None:
        self._clicks = clicks
        self._spawn("clicks", clicks.run)

    def add_correspondent(self, directory: Callable[[], Directory], keywords: Keywords) -> None:
        self._correspondent = Correspondent(
            self._database, directory, self._replying, keywords, self._now_ms, lambda: self.share
        )
        self._database.on_inbound_ready = self._correspondent.wake
        self._spawn("correspondent", self._correspondent.run)

    def add_janitor(self, keep: Keep) -> None:
        janitor = Janitor(self._database, keep, self._now_ms, lambda: self.share, lambda: self.links)
        self._spawn("janitor", janitor.run)

    @property
    def links(self) -> frozenset[str]:
        """Those that this node may serve."""
        return frozenset(self._setups)

    def link_states(self, account_id: int) -> dict[str, LinkState]:
        """How links do for an account, by name: the own ones, and as far as their owners say it those of others."""
        states = {} if self._ownership is None else self._ownership.states()
        return states | {name: dispatcher.state(account_id) for name, dispatcher in self._dispatchers.items()}

    def link_health(self) -> dict[str, LinkHealth]:
        """How the links that this process serves do, by name."""
        return {name: dispatcher.health() for name, dispatcher in self._dispatchers.items()}

    @property
    def statistician(self) -> Statistician:
        return self._statistician

    @property
    def is_running(self) -> bool:
        """Whether this node does its part: it is not stopping, and the others can count on it."""
        return bool(self._tasks) and not self._is_stopping and (self._ownership is None or self._ownership.is_sure())

    @property
    def share(self) -> Share:
        """This node's part of what all engines have in common."""
        return ALONE if self._ownership is None else self._ownership.share

    @property
    def doors(self) -> int:
        """How many nodes have doors, as far as is known."""
        return 1 if self._ownership is None else sum(node.role.has_doors for node in self._ownership.nodes)

    async def take_heard(self, link: str, heard: Heard) -> None:
        """Store what a provider told us; when this returns it is safe."""
        await self._receiver.take(link, heard)

    def _caught_up(self) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.room_grew()

    def _recipients(self, link: str) -> set[str]:
        dispatcher = self._dispatchers.get(link)
        return set() if dispatcher is None else dispatcher.recipients()

    def _links_down(self) -> frozenset[str]:
        others = frozenset[str]() if self._ownership is None else self._ownership.links_down()
        return others | {name for name, dispatcher in self._dispatchers.items() if dispatcher.is_down}

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, let what is on the wire end within `grace_s`, write down how it ended."""
        self._is_stopping = True
        if self._ownership is not None:
            await self._ownership.stop()
        stopping = [dispatcher.stop(grace_s) for dispatcher in self._dispatchers.values()]
        if self._notifier is not None:
            stopping.append(self._notifier.stop(grace_s))
        if self._clicks is not None:
            stopping.append(self._clicks.stop(grace_s))
        if self._correspondent is not None:
            stopping.append(self._correspondent.stop(grace_s))
        stopping.append(self._revoker.stop(grace_s))
        await asyncio.gather(*stopping)
        is_written = await self._is_soon(self._recorder.idle(), grace_s)
        if not is_written:
            log.error("results_unwritten")  # the store is away; their leases will say `unknown`
        await self._statistician.stop(grace_s)
        for name, setup in self._setups.items():
            if name not in self._dispatchers and isinstance(setup.transport, Revokes):
                await setup.transport.stop(0.0)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._ownership is not None and is_written:
            await self._ownership.resign()

    def _transport(self, link: str) -> Transport | None:
        setup = self._setups.get(link)
        return None if setup is None else setup.transport

    def _revoking(self, link: str) -> Revokes | None:
        """Any node may ask, whoever sends through the link."""
        setup = self._setups.get(link)
        return setup.transport if setup is not None and isinstance(setup.transport, Revokes) else None

    def _replying(self, link: str) -> Replies | None:
        """Any node may speak, whoever sends through the link."""
        setup = self._setups.get(link)
        return setup.transport if setup is not None and isinstance(setup.transport, Replies) else None

    def _up(self) -> dict[str, bool]:
        return {name: not dispatcher.is_down for name, dispatcher in self._dispatchers.items()}

    def _lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        dispatcher = self._dispatchers.get(lane.link)
        if dispatcher is not None:
            dispatcher.lane_ready(lane, due_at_ms)

    def _lane_stored(self, lane: Lane, _: int) -> None:
        """What `lane_filled` announced."""
        dispatcher = self._dispatchers.get(lane.link)
        if dispatcher is not None:
            dispatcher.lane_stored(lane)

    def lane_filled(self, lane: Lane, due_at_ms: int) -> None:
        """See `Forwarder`, which a process is that owns its store: all its links are its own."""
        dispatcher = self._dispatchers.get(lane.link)
        if dispatcher is not None:
            dispatcher.lane_filled(lane, due_at_ms)

    def reserve(self, lane: Lane, message: Message, number: int) -> tuple[int, Message]:
        dispatcher = self._dispatchers.get(lane.link)
        try:
            return (0, message) if dispatcher is None else dispatcher.reserve(lane, message, number)
        except Exception:  # a fault of a link's code is no reason to refuse what is for it
            log.exception("handing_over_failed", link=lane.link)
            return 0, message

    def release(self, lane: Lane, number: int) -> None:
        self._dispatchers[lane.link].release(lane, number)

    def take(self, forwarded: Sequence[tuple[Lane, Sequence[Claimed]]]) -> None:
        for lane, claimed in forwarded:  # whoever committed goes first
            asyncio.get_running_loop().call_soon(self._dispatchers[lane.link].take, lane, claimed)

    async def _poll_lanes(self) -> None:
        """The safety net under the wake-ups, and how a start finds what was waiting."""
        while True:
            self._poll.clear()
            served = list(self._dispatchers.values())
            try:
                async with self._database.reading() as reader:
                    found = await messages.lanes(reader)
                for lane, due_at_ms in found.items():
                    self._lane_ready(lane, due_at_ms)
                for dispatcher in served:
                    dispatcher.lanes_known()
                self._rest(found)
                await self._sweep_gone(found)
            except StoreUnavailableError as error:
                log.error("lanes_delayed", error=str(error))
            await wait(self._poll, POLL_LANES_S)

    def _rest(self, lanes: Collection[Lane]) -> None:
        """Of the links of removed bots, let those rest by which nothing is on its way. A later step of a message may
        call for one again."""
        retired, served = self._retired - {lane.link for lane in lanes}, self._dispatchers
        self._at_rest = {link for link in retired if link not in served or not served[link].health().in_flight}

    async def _sweep_gone(self, lanes: Collection[Lane]) -> None:
        """Let go on what waits for a link that is in no configuration any more: no dispatcher would."""
        now_s = asyncio.get_running_loop().time()
        nobodys = {lane.link for lane in lanes if self._is_nobodys(lane.link)}
        self._nobodys_since_s = {link: self._nobodys_since_s.get(link, now_s) for link in nobodys}
        gone = {link for link, since_s in self._nobodys_since_s.items() if now_s - since_s >= GONE_S}
        for link in gone - self._gone:
            log.warning("link_gone", link=link)
        self._gone = gone
        for lane in lanes:
            if lane.link in gone:
                await self._sweeper.sweep(lane, self._now_ms())

    def _is_nobodys(self, link: str) -> bool:
        """As far as this node can tell; of several one looks."""
        if not self.share.is_first:
            return False
        if self._ownership is None:
            return link not in self._setups
        if link in self._setups and link not in self._retired:
            return False  # retired, it may fall to a node which was begun since and does not know it
        owned = self._ownership.links.get(link)
        return bool(self._ownership.nodes) and (owned is None or owned.node_id is None)

    def _spawn(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks[name] = asyncio.create_task(supervise(name, loop), name=name)
