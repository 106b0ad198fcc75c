"""How many messages a second the gateway accepts, durably, and the CPU that each costs it. None is sent meanwhile."""

import asyncio
import statistics
import time
from pathlib import Path

from bench import traffic
from bench.far_end import Ports
from bench.figures import Sample, percentile
from bench.gateway import Gateway
from bench.http_client import Connection, ask_all
from bench.ports import free_port
from bench.scale import Scale

CONNECTIONS = 64


async def once(scale: Scale, home: Path) -> list[Sample]:
    # Nobody listens on these ports, so every message stays in its lane.
    gateway = Gateway(home, traffic.settings(Ports(free_port(), free_port())))
    await gateway.prepare({})
    await gateway.start()
    samples = []
    first = 0
    loads = ((1, 64, scale.single_requests), (100, 4, scale.batched_messages // 2), (1000, 4, scale.batched_messages))
    try:
        for batch, connections, count in loads:
            requests = list(traffic.batches(gateway.key, count, batch, first=first))
            first += count
            cpu_s = gateway.cpu_s()
            elapsed_s = await ask_all(gateway.port, requests, connections)
            samples += [
                Sample(f"accept_batch_{batch}", count / elapsed_s, "messages/s"),
                Sample(f"accept_batch_{batch}_cpu", (gateway.cpu_s() - cpu_s) / count * 1e6, "us/message"),
            ]
        samples += await _steadily(gateway, scale, first)
    finally:
        await gateway.kill()
    return samples


async def _steadily(gateway: Gateway, scale: Scale, first: int) -> list[Sample]:
    """Single requests at a steady pace, each on a free connection, whether or not those before it were answered."""
    waits_ms: list[float] = []
    free = [await Connection.open(gateway.port) for _ in range(CONNECTIONS)]

    async def ask(octets: bytes) -> None:
        connection = free.pop()
        began_s = time.perf_counter()
        answer = await connection.ask(octets)
        waits_ms.append((time.perf_counter() - began_s) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:300]!r}")
        free.append(connection)

    began_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, octets in enumerate(traffic.batches(gateway.key, scale.steady_requests, 1, first=first)):
            await asyncio.sleep(max(began_s + number / scale.steady_rate_per_s - time.perf_counter(), 0))
            tasks.create_task(ask(octets))
    for connection in free:
        await connection.__aexit__(None, None, None)
    name = f"accept_at_{scale.steady_rate_per_s:.0f}_per_s"
    return [
        Sample(f"{name}_p50", statistics.median(waits_ms), "ms"),
        Sample(f"{name}_p99", percentile(waits_ms, 0.99), "ms"),
    ]
