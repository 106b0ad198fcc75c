"""1, 2 and 4 engine processes on one PostgreSQL, with one process of doors: what a message costs as they become more.

There are as many links as the largest number of engines. Everything runs on one machine: the rate says what is left of
its cores, the CPU a message says what sharing costs. `…_growth` compares with the run of one engine just before, since
a machine may be slower a quarter of an hour later.
"""

import asyncio
import time
from pathlib import Path

from cryptography.fernet import Fernet

from bench import traffic
from bench.far_end import Ports, far_end
from bench.figures import Sample
from bench.gateway import Gateway
from bench.http_client import HOST, ask_all
from bench.postgres import Postgres
from bench.scale import Scale

ENGINES = (1, 2, 4)
LINKS = 4
BATCH = 1_000
CONNECTIONS = 4
LONGEST_S = 180.0
SETTLE_S = 2.0
"""Until each engine has its part of the links."""
WARM_MESSAGES = 40_000
"""Sent first and not counted: each engine opens its connections and prepares its statements on each."""
IDLE_S = 4.0
"""How long is measured what they cost when there is nothing to do."""


async def engines(scale: Scale, home: Path) -> list[Sample]:
    samples = []
    of_one: float | None = None
    for count in ENGINES:
        place = home / str(count)
        place.mkdir(parents=True)
        postgres = Postgres(place / "postgres.log")
        await postgres.prepare()
        try:
            await postgres.start()
            with far_end() as providers:
                some = await _measure(count, place, postgres, settings(providers.ports), scale.smpp_messages)
        finally:
            await postgres.stop()
        samples += some
        cpu_us = sum(sample.value for sample in some if sample.unit == "us/message")
        if of_one is None:
            of_one = cpu_us
        else:
            samples.append(Sample(f"{_name(count)}_growth", (cpu_us / of_one - 1) * 100, "%"))
    return samples


def _name(count: int) -> str:
    return f"nodes_{count}_engine{'s' if count > 1 else ''}"


def settings(ports: Ports) -> str:
    """TOML of a gateway with several accounts at the SMSC of the bench, which get equal parts of the messages."""
    accounts = [
        f'[providers.p{number}]\nkind = "sms.smpp"\nhost = "{HOST}"\nport = {ports.smsc}\nsystem_id = "bench{number}"\n'
        "window = 100\n"
        for number in range(LINKS)
    ]
    return '[log]\nlevel = "warning"\n' + "".join(accounts)


async def _measure(count: int, home: Path, postgres: Postgres, toml: str, messages: int) -> list[Sample]:
    seal = Fernet.generate_key().decode()
    doors = Gateway(home / "doors", toml, store_url=postgres.url, seal=seal, role="api")
    nodes = [
        Gateway(home / f"engine-{number}", toml, store_url=postgres.url, seal=seal, role="engine")
        for number in range(count)
    ]
    await doors.prepare({})
    for node in nodes:
        node.configure()
    try:
        await asyncio.gather(*(gateway.start() for gateway in (doors, *nodes)))
        await asyncio.sleep(SETTLE_S)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask_all(doors.port, list(traffic.batches(doors.key, WARM_MESSAGES, BATCH)), CONNECTIONS))
            tasks.create_task(_until_delivered(nodes, WARM_MESSAGES))
        idle_engine_s, idle_store_s = _cpu_s(nodes), postgres.cpu_s()
        await asyncio.sleep(IDLE_S)
        idle_engine_s, idle_store_s = _cpu_s(nodes) - idle_engine_s, postgres.cpu_s() - idle_store_s
        requests = list(traffic.batches(doors.key, messages, BATCH, first=WARM_MESSAGES))
        began_s, engine_s, doors_s, store_s = time.perf_counter(), _cpu_s(nodes), doors.cpu_s(), postgres.cpu_s()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask_all(doors.port, requests, CONNECTIONS))
            tasks.create_task(_until_delivered(nodes, WARM_MESSAGES + messages))
        elapsed_s = time.perf_counter() - began_s
        name = _name(count)
        return [
            Sample(name, messages / elapsed_s, "messages/s"),
            Sample(f"{name}_cpu", (_cpu_s(nodes) - engine_s) / messages * 1e6, "us/message"),
            Sample(f"{name}_doors_cpu", (doors.cpu_s() - doors_s) / messages * 1e6, "us/message"),
            Sample(f"{name}_postgres_cpu", (postgres.cpu_s() - store_s) / messages * 1e6, "us/message"),
            Sample(f"{name}_idle_cpu_each", idle_engine_s / count / IDLE_S * 1e3, "ms/s"),
            Sample(f"{name}_idle_postgres_cpu", idle_store_s / IDLE_S * 1e3, "ms/s"),
        ]
    finally:
        await asyncio.gather(*(gateway.kill() for gateway in (doors, *nodes)))


def _cpu_s(nodes: list[Gateway]) -> float:
    return sum(node.cpu_s() for node in nodes)


async def _until_delivered(nodes: list[Gateway], messages: int) -> None:
    """Return when the engines have counted as many. Raises TimeoutError.

    It asks often only when that is near: each answer costs an engine a millisecond, four of them four times.
    """
    labels = {"channel": "sms", "mark": "delivered"}
    began_s = time.perf_counter()
    first: float | None = None
    async with asyncio.timeout(LONGEST_S):
        while (count := sum([await node.metric("cascade_attempts_total", **labels) for node in nodes])) < messages:
            if first is None:
                first = count
            left_s = (time.perf_counter() - began_s) * (messages - count) / max(count - first, 1)
            await asyncio.sleep(min(max(left_s * 0.9, 0.2), 2.0))
