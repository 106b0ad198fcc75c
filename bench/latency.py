"""From a request's first octet out of the client to the message's first octets in at the provider, gateway idle."""

import asyncio
import random
import statistics
import time
from pathlib import Path

from bench import traffic
from bench.far_end import FarEnd, far_end
from bench.figures import Sample, percentile
from bench.gateway import Gateway
from bench.http_client import Connection
from bench.scale import Scale

LAST_ONES_S = 5.0
WARM_UP = 20


async def once(scale: Scale, home: Path) -> list[Sample]:
    samples = []
    with far_end() as providers:
        gateway = Gateway(home, traffic.settings(providers.ports))
        await gateway.prepare({"telegram_bot": traffic.BOTS["telegram_bot"]})
        await gateway.start()
        try:
            samples += await _measure("sms", gateway, providers, scale)
            # Others than those before: a repeat of the same message would not be sent.
            first = scale.calm_messages + WARM_UP
            await traffic.subscribe(gateway, "telegram_bot", first, first)
            samples += await _measure("telegram_bot", gateway, providers, scale, first=first)
        finally:
            await gateway.kill()
    return samples


async def _measure(channel: str, gateway: Gateway, providers: FarEnd, scale: Scale, *, first: int = 0) -> list[Sample]:
    posted_ns = []
    async with await Connection.open(gateway.port) as connection:
        for octets in traffic.batches(gateway.key, scale.calm_messages + WARM_UP, 1, first=first):
            # Not in step with any timer of the gateway.
            await asyncio.sleep(random.uniform(0.5, 1.5) / scale.calm_rate_per_s)
            posted_ns.append(time.monotonic_ns())
            answer = await connection.ask(octets)
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:300]!r}")
    arrived_ns: list[int] = []
    async with asyncio.timeout(LAST_ONES_S):
        while True:
            arrivals = providers.arrivals_ns()
            arrived_ns += arrivals.smsc if channel == "sms" else arrivals.http
            if len(arrived_ns) >= len(posted_ns):
                break
            await asyncio.sleep(0.05)
    # At this rate each is through before the next is posted, so both lists stand in the same order.
    waits_ms = [(arrived - posted) / 1e6 for posted, arrived in zip(posted_ns, arrived_ns, strict=True)][WARM_UP:]
    return [
        Sample(f"accept_to_provider_{channel}_p50", statistics.median(waits_ms), "ms"),
        Sample(f"accept_to_provider_{channel}_p99", percentile(waits_ms, 0.99), "ms"),
    ]
