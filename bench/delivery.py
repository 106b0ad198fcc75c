"""The whole walk at full speed: HTTP in by batches of 1,000, out to a provider, and back with its word."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from cryptography.fernet import Fernet

from bench import traffic
from bench.far_end import FarEnd, far_end
from bench.figures import Sample
from bench.gateway import Gateway
from bench.http_client import ask_all
from bench.postgres import Postgres
from bench.scale import Scale

BATCH = 1_000
CONNECTIONS = 4
LONGEST_S = 120.0
SLOW_S = 0.02
WIDE = 500


class Walk(NamedTuple):
    """`mark` is what the timeline says of a message whose walk has ended. `again`: the name of a second walk, to the
    same phones through the same gateway."""

    name: str
    channel: str
    mark: str
    settings: str
    again: str | None = None


async def through_smpp(scale: Scale, home: Path) -> list[Sample]:
    """`wide`: with a window of 500. What is done once a set is then shared by more messages."""
    samples = []
    for name, receipts, mark, window in (
        ("smpp_with_receipts", "every", "delivered", 100),
        ("smpp", "none", "accepted", 100),
        ("smpp_wide", "none", "accepted", WIDE),
    ):
        with far_end() as providers:
            walk = Walk(name, "sms", mark, traffic.settings(providers.ports, receipts=receipts, window=window))
            samples += await _measure(walk, providers, home / name, scale.smpp_messages)
    return samples


async def through_webhooks(scale: Scale, home: Path) -> list[Sample]:
    """By SMPP with receipts, and a signed event of each delivery to one webhook. `wide`: as above."""
    samples = []
    for name, window in (("smpp_with_webhooks", 100), ("smpp_wide_with_webhooks", WIDE)):
        samples += await _told(name, home / name, scale.webhook_messages, window)
    return samples


async def through_webhooks_on_postgres(scale: Scale, home: Path) -> list[Sample]:
    """The same by a window of 100, with PostgreSQL's own CPU beside the gateway's."""
    home.mkdir(parents=True)  # noqa: ASYNC240 - nothing else runs here
    postgres = Postgres(home / "postgres.log")
    await postgres.prepare()
    try:
        await postgres.start()
        return await _told("smpp_with_webhooks_on_postgres", home / "gateway", scale.webhook_messages, 100, postgres)
    finally:
        await postgres.stop()


async def _told(name: str, home: Path, count: int, window: int, postgres: Postgres | None = None) -> list[Sample]:
    with far_end() as providers:
        store_url = None if postgres is None else postgres.url
        seal = None if postgres is None else Fernet.generate_key().decode()
        gateway = Gateway(home, traffic.settings(providers.ports, window=window), store_url=store_url, seal=seal)
        await gateway.prepare({})
        await gateway.start()
        try:
            await traffic.listen(gateway, providers.ports.webhook)
            await _all_told(providers, 1)
            requests = list(traffic.batches(gateway.key, count, BATCH))
            began_s, cpu_s, far_cpu_s = time.monotonic(), gateway.cpu_s(), providers.cpu_s()
            store_cpu_s = 0.0 if postgres is None else postgres.cpu_s()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask_all(gateway.port, requests, CONNECTIONS))
                told = tasks.create_task(_all_told(providers, count))
            took_s = told.result() - began_s
            samples = _samples(name, count, took_s, gateway.cpu_s() - cpu_s, providers.cpu_s() - far_cpu_s)
            if postgres is not None:
                store_us = (postgres.cpu_s() - store_cpu_s) / count * 1e6
                samples.append(Sample(f"delivery_{name}_postgres_cpu", store_us, "us/message"))
            return samples
        finally:
            await gateway.kill()


async def _all_told(providers: FarEnd, count: int) -> float:
    """When the last event came, in seconds of `time.monotonic`."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            came_ns = providers.arrivals_ns().webhook
            count -= len(came_ns)
            if count <= 0:
                return came_ns[-1] / 1e9
            await asyncio.sleep(0.1)


class Binds(NamedTuple):
    """Of one SMSC account, each a provider of its own; they share the messages."""

    name: str
    binds: int
    window: int


SLOW = (Binds("slow_smsc", 1, 100), Binds("slow_smsc_4_binds", 4, 100), Binds("slow_smsc_4_binds_of_25", 4, 25))


async def behind_a_slow_smsc(scale: Scale, home: Path) -> list[Sample]:
    """An SMSC that takes 20 ms for each answer: by a window of 100 at most 5,000 messages a second can pass, by one of
    25 at most 1,250."""
    samples = []
    with far_end(answer_delay_s=SLOW_S) as providers:
        for name, binds, window in SLOW:
            settings = traffic.settings(providers.ports, sms=False)
            settings += "".join(traffic.smsc(providers.ports, f"providers.bind{n}", window) for n in range(binds))
            count = scale.slow_messages * binds * window // 100
            rate = await _rate_of_second_half(Gateway(home / name, settings), providers, count)
            samples.append(Sample(f"delivery_{name}", rate, "messages/s"))
    return samples


async def _rate_of_second_half(gateway: Gateway, providers: FarEnd, count: int) -> float:
    """Those that go out while the batches come in are not counted."""
    await gateway.prepare({})
    await gateway.start()
    try:
        await ask_all(gateway.port, list(traffic.batches(gateway.key, count, BATCH)), CONNECTIONS)
        arrived_ns: list[int] = []
        async with asyncio.timeout(LONGEST_S):
            while len(arrived_ns) < count:
                arrived_ns += providers.arrivals_ns().smsc
                await asyncio.sleep(0.1)
        first, last = arrived_ns[count // 2], arrived_ns[-1]
        return (count - count // 2 - 1) / (last - first) * 1e9
    finally:
        await gateway.kill()


async def through_telegram(scale: Scale, home: Path) -> list[Sample]:
    with far_end() as providers:
        walk = Walk("telegram_bot", "telegram_bot", "delivered", traffic.settings(providers.ports, sms=False))
        return await _measure(walk, providers, home, scale.http_messages)


async def over_http(scale: Scale, home: Path) -> list[Sample]:
    """Until each message is accepted: receipts come by callback, and are not sent. The first message by RCS asks
    whether the phone can be reached, so it is two requests."""
    samples = []
    with far_end() as providers:
        common = traffic.settings(providers.ports, sms=False)
        for walk in (
            Walk("viber_bot", "viber_bot", "accepted", common),
            Walk("viber_business", "viber_business", "accepted", common + traffic.infobip(providers.ports)),
            Walk("rcs_first", "rcs", "accepted", common + traffic.google(providers.ports), again="rcs"),
        ):
            samples += await _measure(walk, providers, home / walk.name, scale.http_messages)
    return samples


async def _measure(walk: Walk, providers: FarEnd, home: Path, count: int) -> list[Sample]:
    gateway = Gateway(home, walk.settings)
    bots = {channel: token for channel, token in traffic.BOTS.items() if channel == walk.channel}
    await gateway.prepare(bots)
    await gateway.start()
    samples = []
    try:
        for channel in bots:
            await traffic.subscribe(gateway, channel, 0, count)
        for name, reached in ((walk.name, count), (walk.again, 2 * count)):
            if name is None:
                break
            requests = list(traffic.batches(gateway.key, count, BATCH, name=name))
            began_s, cpu_s, far_cpu_s = time.monotonic(), gateway.cpu_s(), providers.cpu_s()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask_all(gateway.port, requests, CONNECTIONS))
                labels = {"channel": walk.channel, "mark": walk.mark}
                tasks.create_task(gateway.until_metric("cascade_attempts_total", reached, LONGEST_S, **labels))
            took_s = time.monotonic() - began_s
            samples += _samples(name, count, took_s, gateway.cpu_s() - cpu_s, providers.cpu_s() - far_cpu_s)
        return samples
    finally:
        await gateway.kill()


def _samples(name: str, count: int, took_s: float, cpu_s: float, far_cpu_s: float) -> list[Sample]:
    return [
        Sample(f"delivery_{name}", count / took_s, "messages/s"),
        Sample(f"delivery_{name}_cpu", cpu_s / count * 1e6, "us/message"),
        Sample(f"delivery_{name}_provider_cpu", far_cpu_s / count * 1e6, "us/message"),
    ]
