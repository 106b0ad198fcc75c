"""The whole walk at full speed: HTTP in by batches of 1,000, out to a provider, and back with its word."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from bench import traffic
from bench.far_end import FarEnd, far_end
from bench.figures import Sample
from bench.gateway import Gateway
from bench.http_client import ask_all
from bench.scale import Scale

BATCH = 1_000
CONNECTIONS = 4
LONGEST_S = 120.0
SLOW_S = 0.02


class Walk(NamedTuple):
    """`mark` is what the timeline says of a message whose walk has ended."""

    name: str
    channel: str
    mark: str
    settings: str


async def through_smpp(scale: Scale, home: Path) -> list[Sample]:
    samples = []
    for name, receipts, mark in (("smpp_with_receipts", "every", "delivered"), ("smpp", "none", "accepted")):
        with far_end() as providers:
            walk = Walk(name, "sms", mark, traffic.settings(providers.ports, receipts=receipts))
            samples += await _measure(walk, providers, home / name, scale.smpp_messages)
    return samples


async def through_webhooks(scale: Scale, home: Path) -> list[Sample]:
    """By SMPP with receipts, and a signed event of each delivery to one webhook."""
    with far_end() as providers:
        gateway = Gateway(home, traffic.settings(providers.ports))
        await gateway.prepare({})
        await gateway.start()
        try:
            await traffic.listen(gateway, providers.ports.webhook)
            count = scale.webhook_messages
            requests = list(traffic.batches(gateway.key, count, BATCH))
            began_s, cpu_s, far_cpu_s = time.perf_counter(), gateway.cpu_s(), providers.cpu_s()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask_all(gateway.port, requests, CONNECTIONS))
                tasks.create_task(_all_told(providers, count))
            return _samples(
                "smpp_with_webhooks", count, began_s, gateway.cpu_s() - cpu_s, providers.cpu_s() - far_cpu_s
            )
        finally:
            await gateway.kill()


async def _all_told(providers: FarEnd, count: int) -> None:
    async with asyncio.timeout(LONGEST_S):
        while count > 0:
            count -= len(providers.arrivals_ns().webhook)
            await asyncio.sleep(0.1)


async def behind_a_slow_smsc(scale: Scale, home: Path) -> list[Sample]:
    """An SMSC that takes 20 ms for each answer, a window of 100: at most 5,000 messages a second can pass."""
    with far_end(answer_delay_s=SLOW_S) as providers:
        gateway = Gateway(home, traffic.settings(providers.ports, receipts="none"))
        await gateway.prepare({})
        await gateway.start()
        try:
            count = scale.slow_messages
            await ask_all(gateway.port, list(traffic.batches(gateway.key, count, BATCH)), CONNECTIONS)
            arrived_ns: list[int] = []
            async with asyncio.timeout(LONGEST_S):
                while len(arrived_ns) < count:
                    arrived_ns += providers.arrivals_ns().smsc
                    await asyncio.sleep(0.1)
            # Those that went out while the batches came in are not counted.
            first, last = arrived_ns[count // 2], arrived_ns[-1]
            return [Sample("delivery_slow_smsc", (count - count // 2 - 1) / (last - first) * 1e9, "messages/s")]
        finally:
            await gateway.kill()


async def through_telegram(scale: Scale, home: Path) -> list[Sample]:
    with far_end() as providers:
        walk = Walk("telegram_bot", "telegram_bot", "delivered", traffic.settings(providers.ports, sms=False))
        return await _measure(walk, providers, home, scale.telegram_messages)


async def _measure(walk: Walk, providers: FarEnd, home: Path, count: int) -> list[Sample]:
    gateway = Gateway(home, walk.settings)
    is_bot = walk.channel == "telegram_bot"
    await gateway.prepare({"telegram_bot": traffic.TELEGRAM_TOKEN} if is_bot else {})
    await gateway.start()
    try:
        if is_bot:
            await traffic.subscribe(gateway, 0, count)
        requests = list(traffic.batches(gateway.key, count, BATCH))
        began_s, cpu_s, far_cpu_s = time.perf_counter(), gateway.cpu_s(), providers.cpu_s()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask_all(gateway.port, requests, CONNECTIONS))
            tasks.create_task(
                gateway.until_metric("cascade_attempts_total", count, LONGEST_S, channel=walk.channel, mark=walk.mark)
            )
        return _samples(walk.name, count, began_s, gateway.cpu_s() - cpu_s, providers.cpu_s() - far_cpu_s)
    finally:
        await gateway.kill()


def _samples(name: str, count: int, began_s: float, cpu_s: float, far_cpu_s: float) -> list[Sample]:
    return [
        Sample(f"delivery_{name}", count / (time.perf_counter() - began_s), "messages/s"),
        Sample(f"delivery_{name}_cpu", cpu_s / count * 1e6, "us/message"),
        Sample(f"delivery_{name}_provider_cpu", far_cpu_s / count * 1e6, "us/message"),
    ]
