"""Several nodes on one PostgreSQL under load: nodes are killed, PostgreSQL is killed, and nodes are cut off from it.

Each node reaches PostgreSQL by a wire of its own that can be cut. Providers call one door behind which all nodes stand.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from cryptography.fernet import Fernet

from bench.chaos.load import TELEGRAM_TOKEN, VIBER_TOKEN, Load
from bench.chaos.people import TELEGRAM_BOT, VIBER_BOT
from bench.chaos.relay import Relay
from bench.chaos.told import listening
from bench.chaos.trial import LATE_S, figures, judge, report, sandbox, settings
from bench.gateway import Gateway
from bench.http_client import HOST, Answer
from bench.postgres import Postgres
from cascade.serve import now_ms

RATE_PER_S = 250.0
TTL_S = 180
SENDERS = 16
"""More than one node needs: some of them always wait for one that is cut off."""
SMPP = ("one", "two")
"""With the two bots these make four links."""
MOVE_S = 10.0
"""How long a link may be nobody's after its owner's death."""
SLOW_MOVE_S = 8.0
"""From then on it is told when it happened."""
WATCH_S = 0.05
PAUSE_S = (0.5, 4.0)
STOP_SHARE = 0.2
LATE_RETURN_SHARE = 0.3
LATE_RETURN_S = (7.0, 10.0)
"""Longer than a lease: then the others have to find out."""
STORE_AWAY_S = (0.0, 1.0)
STORE_LONG_AWAY_S = 8.0
CUT_S = 12.0
RETURN_S = 30.0
HEARD_S = 2.0
"""Twice as long as it may take until all nodes have heard of a new webhook."""
LONGEST_DRAIN_S = 10.0
STORE_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
OWNERS = "SELECT link, node_id, node.name FROM link_owner LEFT JOIN node ON node.id = node_id"


class Plan(NamedTuple):
    """`roles` has one entry for each node. `late_s`: what is waited for after all is final, for late receipts.
    `is_told`: whether the account has a webhook."""

    roles: Sequence[str]
    kills: int
    store_kills: int
    cuts: int
    messages: int
    ttl_s: int = TTL_S
    late_s: float = LATE_S
    is_told: bool = True


class Node:
    """A gateway and its wire to PostgreSQL. `coming` is its return after a death, until it is ready."""

    def __init__(self, gateway: Gateway, wire: Relay, role: str) -> None:
        self.gateway = gateway
        self.has_doors = role != "engine"
        self.wire = wire
        self.is_cut = False
        self.coming: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self.coming is None and not self.is_cut and self.gateway.is_running


class Cluster:
    """Several nodes as one gateway: a request goes to any of them."""

    def __init__(self, nodes: Sequence[Node], seed: int) -> None:
        self._gateways = [node.gateway for node in nodes if node.has_doors]
        self._chance = random.Random(f"doors {seed}")

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Raises OSError when there is no answer."""
        return await self._chance.choice(self._gateways).ask(method, path, body)


class Watch:
    """Looks all the time who owns which link. `moves_s`: how long links were nobody's after their owners' deaths, while
    there was a node to take them; deaths at which PostgreSQL was away as well are left out."""

    def __init__(self, url: str, nodes: Sequence[Node]) -> None:
        self.moves_s: list[float] = []
        self._nodes = nodes
        self._url = url
        self._owners: dict[str, tuple[int | None, int | None]] = {}
        self._orphans: dict[str, tuple[int | None, float]] = {}

    async def run(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=2.0, command_timeout=2.0)
                try:
                    while True:
                        self._see(await connection.fetch(OWNERS))
                        await asyncio.sleep(WATCH_S)
                finally:
                    connection.terminate()
            except STORE_AWAY:
                self._owners.clear()
                self._orphans.clear()
            await asyncio.sleep(WATCH_S)

    def died(self, port: int) -> int:
        """The node at that port can do nothing any more; how many links it owned."""
        owned = [link for link, (_, owner) in self._owners.items() if owner == port]
        for link in owned:
            self._orphans.setdefault(link, (self._owners[link][0], time.monotonic()))
        return len(owned)

    def owns(self, port: int) -> bool:
        return any(owner == port for _, owner in self._owners.values())

    def _see(self, rows: Sequence[Any]) -> None:
        self._owners = {link: (node_id, _port(name)) for link, node_id, name in rows}
        if not any(node.is_up for node in self._nodes):
            self._orphans = {link: (dead_id, time.monotonic()) for link, (dead_id, _) in self._orphans.items()}
        for link, (dead_id, since_s) in list(self._orphans.items()):
            node_id, owner = self._owners.get(link, (None, None))
            if owner is not None and node_id != dead_id:
                moved_in_s = time.monotonic() - since_s
                if moved_in_s > SLOW_MOVE_S:
                    report(f"{link} moved from node {dead_id} to {node_id} in {moved_in_s:.1f} s")
                self.moves_s.append(moved_in_s)
                del self._orphans[link]


def _port(name: str | None) -> int | None:
    """A node's name begins with host and port (`serve.node_name`)."""
    return None if name is None else int(name.split(" ")[0].rpartition(":")[2])


class NodeKiller:
    """Kills nodes and PostgreSQL at random moments, and cuts wires. `cuts` says of each what came of it."""

    def __init__(self, nodes: Sequence[Node], postgres: Postgres, watch: Watch, seed: int) -> None:
        self.kills = 0
        self.store_kills = 0
        self.cuts = 0
        self.away: list[tuple[int, int]] = []
        self.restarts_s: list[float] = []
        self.drains_s: list[float] = []
        self.bad_stops: list[str] = []
        self.bad_cuts: list[str] = []
        self._nodes = nodes
        self._postgres = postgres
        self._watch = watch
        self._chance = random.Random(f"kills {seed}")

    async def run(self, plan: Plan) -> None:
        """Until all of it is done; then all nodes are ready."""
        store_at = _spread(plan.kills, plan.store_kills)
        cut_at = _spread(plan.kills, plan.cuts)
        while self.kills < plan.kills:
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))
            await self._strike(self._chance.choice(self._nodes))
            if self.store_kills < len(store_at) and self.kills >= store_at[self.store_kills]:
                await self._kill_store()
            if self.cuts < len(cut_at) and self.kills >= cut_at[self.cuts]:
                await self._cut()
        while self.store_kills < plan.store_kills:
            await self._kill_store()
        while self.cuts < plan.cuts:
            await self._cut()
        await self.all_ready()

    async def all_ready(self) -> None:
        await asyncio.gather(*(node.coming for node in self._nodes if node.coming is not None))

    async def _strike(self, node: Node) -> None:
        if not node.gateway.is_running:
            return
        gone_at_ms = now_ms()
        if node.coming is None and self._chance.random() < STOP_SHARE:
            self._watch.died(node.gateway.port)
            if self._chance.random() < 0.5:
                code, elapsed_s = await node.gateway.terminate()
                self.drains_s.append(elapsed_s)
                if code != 0 or elapsed_s > LONGEST_DRAIN_S:
                    self.bad_stops.append(f"exit code {code} after {elapsed_s:.1f} s")
                self._return(node, 0.0, gone_at_ms)
                return
            node.gateway.signal_stop()
            await asyncio.sleep(self._chance.uniform(0, 0.5))
        if node.coming is not None:  # killed while it starts
            node.coming.cancel()
            await asyncio.gather(node.coming, return_exceptions=True)
        self._watch.died(node.gateway.port)
        await node.gateway.kill()
        self.kills += 1
        is_late = self._chance.random() < LATE_RETURN_SHARE
        self._return(node, self._chance.uniform(*LATE_RETURN_S) if is_late else 0.0, gone_at_ms)
        if self.kills % 10 == 0:
            report(f"{self.kills} kills, {self.store_kills} of PostgreSQL, {self.cuts} cuts")

    def _return(self, node: Node, after_s: float, gone_at_ms: int) -> None:
        async def come_back() -> None:
            try:
                await asyncio.sleep(after_s)
                began_s = time.perf_counter()
                await node.gateway.spawn()
                await node.gateway.ready()
                self.restarts_s.append(time.perf_counter() - began_s)
                node.coming = None
            finally:
                self.away.append((gone_at_ms, now_ms() + round(MOVE_S * 1000)))

        node.coming = asyncio.create_task(come_back())

    async def _kill_store(self) -> None:
        gone_at_ms = now_ms()
        await self._postgres.kill()
        self.store_kills += 1
        is_long = self.store_kills % 5 == 0
        await asyncio.sleep(STORE_LONG_AWAY_S if is_long else self._chance.uniform(*STORE_AWAY_S))
        await self._postgres.start()
        report(f"PostgreSQL killed and back after {(now_ms() - gone_at_ms) / 1000:.1f} s")
        self.away.append((gone_at_ms, now_ms() + round(MOVE_S * 1000)))

    async def _cut(self) -> None:
        """Cut off a node that owns links: they must move, it must notice, and come back when the wire is mended."""
        await self.all_ready()
        async with asyncio.timeout(RETURN_S):
            while not any(self._watch.owns(node.gateway.port) for node in self._nodes):  # noqa: ASYNC110
                await asyncio.sleep(WATCH_S)
        node = next(node for node in self._nodes if self._watch.owns(node.gateway.port))
        gone_at_ms = now_ms()
        node.is_cut = True
        node.wire.cut()
        links = self._watch.died(node.gateway.port)
        await asyncio.sleep(CUT_S)
        if self._watch.owns(node.gateway.port):
            self.bad_cuts.append(f"a node without its store kept links for {CUT_S} s")
        log = (node.gateway.home / "gateway.log").read_text(encoding="utf-8", errors="replace")
        if links and "lease_ended" not in log[-200_000:]:
            self.bad_cuts.append("a node without its store did not hang up")
        node.wire.mend()
        await node.gateway.ready()
        node.is_cut = False
        self.cuts += 1
        report(f"cut off a node with {links} links for {CUT_S} s")
        self.away.append((gone_at_ms, now_ms() + round(MOVE_S * 1000)))


def _spread(kills: int, times: int) -> list[int]:
    """After how many kills each of so many other things is done."""
    return [(place + 1) * kills // (times + 1) for place in range(times)]


async def chaos(home: Path, plan: Plan, seed: int) -> list[dict[str, Any]]:
    """Do it all; the figures."""
    async with AsyncExitStack() as stack:
        http_port, smsc_port = await stack.enter_async_context(sandbox(home))
        postgres = Postgres(home / "postgres.log")
        await postgres.prepare()
        stack.push_async_callback(postgres.stop)
        await postgres.start()
        nodes = await _nodes(stack, home, postgres, plan.roles, settings(http_port, smsc_port, SMPP))
        watch = Watch(postgres.url, nodes)
        told = await stack.enter_async_context(listening(nodes[0].gateway, seed)) if plan.is_told else None
        await asyncio.sleep(HEARD_S)
        load = Load(Cluster(nodes, seed), http_port, seed, RATE_PER_S, plan.ttl_s, SENDERS)
        killer = NodeKiller(nodes, postgres, watch, seed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            watching = tasks.create_task(watch.run())
            await killer.run(plan)
            while len(load.accepted) < plan.messages:  # noqa: ASYNC110 - it is looked at once a second
                await asyncio.sleep(1.0)
            load.stop()
            watching.cancel()
        report(f"{len(load.accepted)} messages accepted; waiting until all are final")
        ports = [node.gateway.port for node in nodes if node.has_doors]
        tally = await judge(
            ports, nodes[0].gateway.key, http_port, load, killer.away, told, ttl_s=plan.ttl_s, late_s=plan.late_s
        )
        for node in nodes:
            code, _ = await node.gateway.terminate()
            if code != 0:
                killer.bad_stops.append(f"exit code {code} at the end")
    slow = [move_s for move_s in watch.moves_s if move_s > MOVE_S]
    for cut in killer.bad_cuts:
        report(f"broken: {cut}")
    return [
        *figures(load, killer, tally, told),
        {"figure": "nodes", "value": len(plan.roles), "unit": "nodes"},
        {"figure": "store_kills", "value": killer.store_kills, "unit": "kill -9 of PostgreSQL"},
        {"figure": "cuts", "value": killer.cuts, "unit": "cuts"},
        {"figure": "links_moved", "value": len(watch.moves_s), "unit": "links"},
        {"figure": "link_moved_in", "value": round(statistics.median(watch.moves_s or [0.0]), 2), "unit": "s"},
        {"figure": "longest_link_move", "value": round(max(watch.moves_s, default=0.0), 2), "unit": "s"},
        {"figure": "broken_moves", "value": len(slow), "unit": "links"},
        {"figure": "broken_cuts", "value": len(killer.bad_cuts), "unit": "cuts"},
    ]


async def _nodes(stack: AsyncExitStack, home: Path, postgres: Postgres, roles: Sequence[str], toml: str) -> list[Node]:
    """Started and ready. All have the keys of one account, and one door that providers call."""
    nodes: list[Node] = []
    door = Relay(lambda: [node.gateway.port for node in nodes if node.has_doors])
    await door.start()
    stack.push_async_callback(door.stop)
    seal = Fernet.generate_key().decode()
    for number, role in enumerate(roles):
        wire = Relay(lambda: [postgres.port])
        await wire.start()
        stack.push_async_callback(wire.stop)
        gateway = Gateway(
            home / f"node-{number + 1}",
            toml,
            store_url=postgres.url_at(wire.port),
            public_url=f"http://{HOST}:{door.port}",
            seal=seal,
            role=role,
        )
        nodes.append(Node(gateway, wire, role))
    first, *others = nodes
    await first.gateway.prepare({TELEGRAM_BOT: TELEGRAM_TOKEN, VIBER_BOT: VIBER_TOKEN})
    for node in others:
        node.gateway.configure()
        node.gateway.key = first.gateway.key
    for node in nodes:
        stack.push_async_callback(node.gateway.kill)
        await node.gateway.spawn()
    await asyncio.gather(*(node.gateway.ready() for node in nodes))
    return nodes
