"""How many messages a second the gateway accepts, durably, and the CPU that each costs it. None is sent meanwhile."""

from pathlib import Path

from bench import traffic
from bench.far_end import Ports
from bench.figures import Sample
from bench.gateway import Gateway
from bench.http_client import ask_all
from bench.ports import free_port
from bench.scale import Scale


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
    finally:
        await gateway.kill()
    return samples
