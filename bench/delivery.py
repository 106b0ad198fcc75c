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
        elapsed_s = time.perf_counter() - began_s
        return [
            Sample(f"delivery_{walk.name}", count / elapsed_s, "messages/s"),
            Sample(f"delivery_{walk.name}_cpu", (gateway.cpu_s() - cpu_s) / count * 1e6, "us/message"),
            Sample(f"delivery_{walk.name}_provider_cpu", (providers.cpu_s() - far_cpu_s) / count * 1e6, "us/message"),
        ]
    finally:
        await gateway.kill()
