"""This node among the others: it lives by renewing its lease, and serves its part of the links.

Every link has one owner, so that its rate, its window, its breaker and its connections are those of one process. A node
renews its lease each second. It counts by its own clock until when nobody can have taken its links: when it cannot
renew, it has stopped sending and hung up before that. The others wait longer, by the store's clock, then bury it and
take what it held. Whoever has more links than its part gives some away, in order, when a node joins.
"""

import asyncio
import math
import sys
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from cascade.core.errors import StoreUnavailableError
from cascade.core.link import LinkState
from cascade.core.node import ALONE, Role, Share
from cascade.engine import metrics
from cascade.engine.dispatcher import Held
from cascade.engine.supervision import wait
from cascade.store import nodes
from cascade.store.database import Database, Transaction
from cascade.store.nodes import Buried, Node, Owned

log = structlog.get_logger()

BEAT_S = 1.0
GUARD_S, GUARD_AT_MOST_S = 0.1, 0.5
HANG_UP_S = 0.5
"""How long answers under way are waited for when the lease cannot be renewed."""
HAND_OVER_S = 2.5
"""The same when a link is given to another node: over before a lease that was just renewed."""


class Lease(NamedTuple):
    """`lease_s` after its last renewal others may take what a node holds; it stops by itself after `sure_s`."""

    lease_s: float = 5.0
    sure_s: float = 3.5


LEASE = Lease()


def boot_s() -> float:
    """Seconds since the machine started, those in which it was suspended too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class Ownership:
    """`name`: two nodes that live at once never have the same. `known` are the links that this node could serve,
    `at_rest` those that it could and that nobody needs at present: they are given away, and forgotten when free.
    `serve(link, held)` begins to; `leave(link, grace_s)` ends it, waiting so long for what is on the wire, and says
    whether all that came of it is written down. `link_states` says which of the links it serves are up."""

    def __init__(
        self,
        database: Database,
        name: str,
        role: Role,
        *,
        known: Callable[[], Collection[str]],
        at_rest: Callable[[], Collection[str]],
        serve: Callable[[str, Held], None],
        leave: Callable[[str, float], Coroutine[Any, Any, bool]],
        link_states: Callable[[], Mapping[str, bool]],
        now_ms: Callable[[], int],
        clock_s: Callable[[], float] = boot_s,
        lease: Lease = LEASE,
    ) -> None:
        self._database = database
        self._name = name
        self._role = role
        self._known = known
        self._at_rest = at_rest
        self._serve = serve
        self._leave = leave
        self._link_states = link_states
        self._now_ms = now_ms
        self._clock_s = clock_s
        self._lease = lease
        self._node_id: int | None = None
        self._sure_until_s = 0.0
        self._buries_from_s = 0.0
        self._served: set[str] = set()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, bool] = {}
        self._news = asyncio.Event()
        self._is_stopping = False
        self.nodes: list[Node] = []
        """All that live, as of the last look."""
        self.links: dict[str, Owned] = {}
        self.share = ALONE

    def is_sure(self) -> bool:
        """Whether nobody else can own what this node holds."""
        return self._clock_s() < self._sure_until_s

    def states(self) -> dict[str, LinkState]:
        """How the links do of which their owners have said it. What is in flight their owners alone know."""
        return {
            link: LinkState(owned.is_up, None)
            for link, owned in self._served_by_the_living().items()
            if owned.is_up is not None
        }

    def _served_by_the_living(self) -> dict[str, Owned]:
        """Where no engine is left, nobody buries the dead, who own their links still."""
        living = {node.id for node in self.nodes}
        return {link: owned for link, owned in self.links.items() if owned.node_id in living}

    def links_down(self) -> frozenset[str]:
        """Links of other nodes that are down, as their owners said, or that nobody serves."""
        return frozenset(
            link
            for link, owned in self.links.items()
            if link not in self._served and (owned.node_id is None or owned.is_up is False)
        )

    def wake(self) -> None:
        """There may be something to take or to give."""
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._beat()
            except StoreUnavailableError as error:
                log.error("lease_not_renewed", error=str(error))
                metrics.LINKS_UNOWNED.set(math.nan)  # who sees nothing says nothing
            await wait(self._news, BEAT_S)

    async def guard(self) -> None:
        """Hang up in time, whatever the renewal is waiting for."""
        while True:
            if self._served and not self.is_sure():
                log.error("lease_ended", links=len(self._served))
                await self._give_up()
            # While the lease runs nothing can happen before its end, but that the machine was suspended.
            await asyncio.sleep(min(max(self._sure_until_s - self._clock_s(), GUARD_S), GUARD_AT_MOST_S))

    async def stop(self) -> None:
        """Take nothing more. What is held is held until `resign`; the name is free for whoever listens here next."""
        self._is_stopping = True
        if self._node_id is not None:
            try:
                async with self._database.vital_transaction() as tx:
                    await nodes.rename(tx, self._node_id, f"{self._name} leaving {self._node_id}")
            except StoreUnavailableError as error:
                log.error("node_not_renamed", error=str(error))

    async def resign(self) -> None:
        """Be no node any more, so that the others take the links at once. Nothing of them is on the wire."""
        if self._node_id is not None:
            try:
                async with self._database.vital_transaction() as tx:
                    await nodes.leave(tx, self._node_id)
            except StoreUnavailableError as error:
                log.error("node_not_left", error=str(error))  # its lease says it, a little later

    async def _beat(self) -> None:
        if self._is_stopping and self._node_id is None:
            return  # by now the name may be that of the process which has started in our place
        began_s = self._clock_s()
        if not await self._renew():
            log.error("node_buried", node_id=self._node_id)
            self._node_id = None
            self._sure_until_s = 0.0
            await self._give_up()
            if self._is_stopping:
                return
            began_s = self._clock_s()
            await self._renew()
        if not self.is_sure() and self._sure_until_s > 0.0:
            # The store was away, and not for this node alone: let the others renew before any is taken for dead.
            self._buries_from_s = began_s + self._lease.lease_s
        self._sure_until_s = began_s + self._lease.sure_s
        if self._node_id is not None and not self._is_stopping:
            await self._look(self._node_id)
            self._follow(self._node_id)

    async def _renew(self) -> bool:
        lease_ms = round(self._lease.lease_s * 1000)
        if self._node_id is not None:
            async with self._database.vital_reading() as reader:
                return await nodes.renew(reader, self._node_id, lease_ms)
        async with self._database.vital_transaction() as tx:
            buried = await nodes.bury_namesakes(tx, self._name, self._now_ms())
            node_id = await nodes.join(tx, self._name, self._role, lease_ms)
        _report(buried)
        self._node_id = node_id
        log.info("node_joined", node_id=node_id, role=self._role.value)
        return True

    async def _look(self, node_id: int) -> None:
        """See who lives and what is free; an engine buries the dead, and takes what is its part."""
        states = dict(self._link_states())
        async with self._database.vital_reading() as reader:
            living, dead = await nodes.standing(reader)
            links = await nodes.links(reader)
        if self._role.has_engine:
            may_bury = bool(dead) and self._clock_s() >= self._buries_from_s
            self.share = self._share(node_id, living)
            at_rest = {link for link in self._at_rest() if link in links and links[link].node_id is None}
            if may_bury or at_rest or states != self._told or self._may_take(node_id, links):
                async with self._database.vital_transaction() as tx:
                    if may_bury:
                        _report(await nodes.bury(tx, self._now_ms()))
                    if at_rest:
                        await nodes.forget_links(tx, links.keys() - at_rest)
                    living, _ = await nodes.standing(tx)
                    links = await nodes.links(tx)
                    self.share = self._share(node_id, living)
                    links |= await self._take(tx, node_id, links)
                    await self._tell(tx, node_id, states)
        self.nodes, self.links, self._told = living, links, states
        metrics.LINKS_UNOWNED.set(len(links) - len(self._served_by_the_living()))

    def _share(self, node_id: int, living: Sequence[Node]) -> Share:
        """Without those that have let half of their lease pass: what is free does not wait for one that has died to be
        buried, too."""
        quiet_ms = self._lease.lease_s * 1000 / 2
        engines = [
            node.id for node in living if node.role.has_engine and (node.id == node_id or node.lease_left_ms > quiet_ms)
        ]
        # Its own lease may have ended between the renewal and the look: then it is the next that counts.
        return Share(engines.index(node_id), len(engines)) if node_id in engines else ALONE

    def _may_take(self, node_id: int, links: Mapping[str, Owned]) -> bool:
        known = set(self._known())
        if known - links.keys():
            return True
        missing = self._quota(links) - len(_links_of(node_id, links))
        return missing > 0 and any(links[link].node_id is None for link in known)

    def _quota(self, links: Mapping[str, Owned]) -> int:
        """How many links are this node's part. Those that others serve count though it does not know them: of nodes
        that are given a new configuration one after the other, none gives away what the others have no room for."""
        served = {link for link, owned in links.items() if owned.node_id is not None}
        return self.share.quota(len(served.union(self._known())))

    async def _take(self, tx: Transaction, node_id: int, links: Mapping[str, Owned]) -> dict[str, Owned]:
        """Take free links, as many as are missing to this node's part; those that changed hands or are new."""
        known = set(self._known())
        unheard = known - links.keys()
        if unheard:
            await nodes.add_links(tx, unheard)
        found = {link: Owned(link, None, None) for link in unheard}
        free = unheard | {link for link in known - unheard if links[link].node_id is None}
        missing = self._quota(links) - len(_links_of(node_id, links))
        if missing > 0 and free:
            for link in await nodes.take(tx, node_id, free, missing):
                found[link] = Owned(link, node_id, None)
        return found

    async def _tell(self, tx: Transaction, node_id: int, states: Mapping[str, bool]) -> None:
        """Write down which links are up, where that is news."""
        for is_up in (True, False):
            news = [link for link, state in states.items() if state is is_up and self._told.get(link) is not is_up]
            if news:
                await nodes.tell(tx, node_id, news, is_up=is_up)

    def _follow(self, node_id: int) -> None:
        """Serve what is ours, and give away what is at rest or more than our part."""
        mine = [link for link in _links_of(node_id, self.links) if link not in self._leaving]
        at_rest = set(self._at_rest())
        mine.sort(key=at_rest.__contains__)  # last: whoever is last goes
        surplus = max(len(mine) - self._quota(self.links), len(at_rest.intersection(mine)))
        for place, link in enumerate(mine):
            if place >= len(mine) - surplus:
                self._begin_to_leave(link, HAND_OVER_S)
            elif link not in self._served:
                self._served.add(link)
                self._serve(link, Held(node_id, lambda: self._node_id == node_id and self.is_sure()))
                log.info("link_taken", link=link, node_id=node_id)

    def _begin_to_leave(self, link: str, grace_s: float) -> None:
        task = asyncio.create_task(self._leave_one(link, grace_s))
        self._leaving[link] = task
        task.add_done_callback(lambda _: self._leaving.pop(link, None))

    async def _leave_one(self, link: str, grace_s: float) -> None:
        node_id = self._node_id
        is_served = link in self._served
        self._served.discard(link)
        is_written = await self._leave(link, grace_s) if is_served else True
        if grace_s < HAND_OVER_S or node_id is None or not is_written:
            return  # it is lost; or it is still ours, and the next beat serves it again
        try:
            async with self._database.vital_transaction() as tx:
                await nodes.release(tx, node_id, [link])
            log.info("link_given", link=link, node_id=node_id)
        except StoreUnavailableError as error:
            log.error("link_not_given", link=link, error=str(error))

    async def _give_up(self) -> None:
        """Hang up everywhere."""
        for link in list(self._served):
            if link not in self._leaving:
                self._begin_to_leave(link, HANG_UP_S)
        if self._leaving:
            await asyncio.wait(list(self._leaving.values()))


def _report(buried: Buried) -> None:
    if buried.ids:
        log.warning("nodes_buried", node_ids=buried.ids, links=len(buried.links), leases=buried.leases)


def _links_of(node_id: int, links: Mapping[str, Owned]) -> list[str]:
    return sorted(link for link, owned in links.items() if owned.node_id == node_id)
