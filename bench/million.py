"""A store in which a million messages wait: what they cost the start and an idle gateway, and whether what is urgent
waits behind them."""

import asyncio
import statistics
import time
from pathlib import Path

import orjson
import psutil

from bench import traffic
from bench.far_end import URGENT, FarEnd, Ports, far_end
from bench.figures import Sample, percentile
from bench.gateway import Gateway
from bench.http_client import Connection, request
from bench.ports import free_port
from bench.scale import Scale
from cascade.core.directory import PlannedStep, resolve
from cascade.core.machine import Begun, decide
from cascade.core.message import Message
from cascade.core.timeline import Entry
from cascade.core.words import Channel, MessageType
from cascade.serve import now_ms
from cascade.store import messages
from cascade.store.eras import Eras
from cascade.store.ids import new_ids
from cascade.store.messages import Key, NewMessage
from cascade.store.sqlite import SqliteDatabase

BATCH = 5_000
SETTLE_S = 3.0
IDLE_S = 5.0
POLL_S = 0.02
LONGEST_S = 60.0
TTL_MS = 3 * 86_400_000
LINK = "sms.smpp"


async def once(scale: Scale, home: Path) -> list[Sample]:
    nobody = Gateway(home, traffic.settings(Ports(free_port(), free_port())))
    await nobody.prepare({})
    await fill(home / "cascade.db", scale.waiting_messages)
    samples = await _waiting(nobody)
    with far_end() as providers:
        gateway = Gateway(home, traffic.settings(providers.ports, receipts="none"))
        gateway.key = nobody.key
        gateway.configure()
        await gateway.start()
        try:
            samples += await _urgent(gateway, scale.urgent_messages, providers)
        finally:
            await gateway.kill()
    return samples


async def fill(path: Path, count: int) -> None:
    """Queue `count` messages of type promo for the SMSC, as the send door would have."""
    database = SqliteDatabase(path)
    await database.open(owner=True)
    at_ms = now_ms()
    route = resolve([PlannedStep(Channel.SMS, None)], {Channel.SMS: (LINK,)})
    message, entries = decide(Message(MessageType.PROMO, route, at_ms + TTL_MS), Begun(at_ms))
    eras = Eras()
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        era = eras.take(1, at_ms, len(numbers))
        ids = new_ids(at_ms, len(numbers))
        new = [
            _new(Key(1, id_), number, at_ms, message, entries, era) for number, id_ in zip(numbers, ids, strict=True)
        ]
        async with database.transaction() as tx:
            await messages.add(tx, new)
    await database.close()


def _new(key: Key, number: int, at_ms: int, message: Message, entries: list[Entry], era: int) -> NewMessage:
    phone = traffic.phone(number)
    return NewMessage(key, f"promo-{number}", "YourBrand", phone, traffic.TEXT, None, at_ms, message, entries, era=era)


async def _waiting(gateway: Gateway) -> list[Sample]:
    """With its link down nothing moves: what is used then is what waiting costs."""
    start_s = await gateway.start()
    try:
        await asyncio.sleep(SETTLE_S)
        cpu_s, began_s = gateway.cpu_s(), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        idle = (gateway.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
        return [
            Sample("waiting_start", start_s, "s"),
            Sample("waiting_memory", psutil.Process(gateway.pid).memory_info().rss / 1e6, "MB"),
            Sample("waiting_idle_cpu", idle * 100, "%"),
        ]
    finally:
        await gateway.terminate()


async def _urgent(gateway: Gateway, count: int, providers: FarEnd) -> list[Sample]:
    """From just before each request to its submit_sm, while the queue drains as fast as it can."""
    await asyncio.sleep(SETTLE_S)
    waits_ms = []
    async with await Connection.open(gateway.port) as connection:
        for number in range(count):
            body = [
                {
                    "id": f"urgent-{number}",
                    "fromName": "YourBrand",
                    "toPhone": traffic.phone(9_000_000 + number),
                    "messageType": "transaction",
                    "text": f"{URGENT.decode()} {number:06d}.",
                }
            ]
            posted_ns = time.monotonic_ns()
            answer = await connection.ask(request("POST", traffic.SEND_PATH, gateway.key, orjson.dumps(body)))
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:300]!r}")
            waits_ms.append((await _arrival_ns(providers) - posted_ns) / 1e6)
    return [
        Sample("urgent_behind_promo_p50", statistics.median(waits_ms), "ms"),
        Sample("urgent_behind_promo_p99", percentile(waits_ms, 0.99), "ms"),
    ]


async def _arrival_ns(providers: FarEnd) -> int:
    """When the one that is under way arrived at the SMSC."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            for arrived_ns in providers.arrivals_ns().urgent:
                return arrived_ns
            await asyncio.sleep(POLL_S)
