"""Two engines on one PostgreSQL: each message is one node's, and a node that lives keeps its leases."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cascade.core.message import State
from cascade.engine.worker import LinkSetup, Worker
from cascade.store import engines
from cascade.store.database import Database
from store.given import HOUR_MS, T0, add, counts, load, new, queued

from .running import eventually
from .transport import FakeTransport, accept

CONNECTIONS = 8


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[list[Database]]:
    """One store as two nodes and a client see it."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(3):
            database = engines.database(postgres_url, CONNECTIONS)
            await database.open(owner=True)
            stack.push_async_callback(database.close)
            opened.append(database)
        yield opened


async def test_what_one_node_accepts_others_send_once(stores: list[Database]) -> None:
    *nodes, client = stores
    workers = [Worker(database, lambda: T0) for database in nodes]
    transports = [FakeTransport(window=20, answer=accept) for _ in nodes]
    for worker, transport in zip(workers, transports, strict=True):
        await worker.start({"sms.smpp": LinkSetup(transport, None)})
    count = 400
    for first in range(0, count, 50):
        await add(client, *(new(n) for n in range(first, first + 50)))

    async def all_wait() -> bool:
        async with client.reading() as reader:
            return await counts(reader) == {State.WAITING: count}

    await eventually(all_wait)
    for worker in workers:
        await worker.stop(1.0)
    sent = [number for transport in transports for number in transport.numbers]
    assert sorted(sent) == list(range(count))


async def test_a_node_that_starts_leaves_the_leases_of_others_alone(stores: list[Database]) -> None:
    node, _, client = stores
    leased = queued(state=State.SENDING, attempt=1, deadline_at_ms=T0 + HOUR_MS)
    await add(client, new(1, leased))
    worker = Worker(node, lambda: T0)
    await worker.start({})
    await worker.stop(1.0)
    assert (await load(client, 1)).message.deadline_at_ms == T0 + HOUR_MS
