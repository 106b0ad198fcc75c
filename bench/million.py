"""A store in which a million messages wait: what they cost the start and an idle gateway, and who waits behind them."""

import asyncio
import random
import statistics
import time
from pathlib import Path

import orjson

from bench import traffic
from bench.far_end import WATCHED, FarEnd, Ports, far_end
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
FLOW_S = 1.0
"""Until the queue drains at its pace."""
POLL_S = 0.02
LONGEST_S = 60.0
TTL_MS = 3 * 86_400_000
LINK = "sms.smpp"
ALONE, BESIDE_PACED, BESIDE = "alone", "beside_paced_promo", "beside_promo"
OTHER = {ALONE: 8_000_000, BESIDE_PACED: 8_100_000, BESIDE: 8_200_000}
URGENT_ONES = 9_000_000
"""Where the numbers of phones begin that nobody else writes to, as those of `OTHER`."""
PACE = "rate_per_s = 1000"
"""Of an SMSC that sets the pace; without it, the machine does."""


async def once(scale: Scale, home: Path) -> list[Sample]:
    nobody = Gateway(home, traffic.settings(Ports(free_port(), free_port())))
    await nobody.prepare({})
    other_key = await nobody.add_account("other")
    with far_end() as providers:
        samples = await _out(nobody, providers, other_key, scale, ALONE)
        await fill(home / "cascade.db", scale.waiting_messages)
        nobody.configure()  # the one before had an SMSC
        samples += await _waiting(nobody, scale.idle_s)
        for when, pace in ((BESIDE_PACED, PACE), (BESIDE, "")):
            samples += await _out(nobody, providers, other_key, scale, when, pace)
    return samples


async def _out(
    nobody: Gateway, providers: FarEnd, other_key: str, scale: Scale, when: str, pace: str = ""
) -> list[Sample]:
    """The link comes up: how long another account's messages take, and beside the million of `promo` at full speed,
    what is urgent of the same account."""
    gateway = Gateway(nobody.home, traffic.settings(providers.ports, receipts="none") + pace)
    gateway.key = nobody.key
    gateway.configure()
    await gateway.start()
    try:
        await asyncio.sleep(FLOW_S)
        rate_per_s = scale.calm_rate_per_s
        waits_ms = await _waits_ms(gateway, other_key, "promo", scale.calm_messages, providers, OTHER[when], rate_per_s)
        samples = _figures(f"other_account_{when}", waits_ms)
        if when == BESIDE:
            waits_ms = await _waits_ms(
                gateway, gateway.key, "transaction", scale.urgent_messages, providers, URGENT_ONES, rate_per_s
            )
            samples += _figures("urgent_behind_promo", waits_ms)
        return samples
    finally:
        await gateway.kill()


async def fill(path: Path, count: int) -> None:
    """Queue `count` messages of type promo for the SMSC, as the send door would have."""
    database = SqliteDatabase(path)
    await database.open(owner=True)
    at_ms = now_ms()
    route = resolve([PlannedStep(Channel.SMS, None)], {Channel.SMS: (LINK,)})
    eras = Eras()
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        at_ms += 1  # as the batches of a campaign come one after the other
        message, entries = decide(Message(MessageType.PROMO, route, at_ms + TTL_MS), Begun(at_ms))
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


async def _waiting(gateway: Gateway, idle_s: float) -> list[Sample]:
    """With its link down nothing moves: what is used then is what waiting costs."""
    start_s = await gateway.start()
    try:
        await asyncio.sleep(SETTLE_S)
        cpu_s, began_s = gateway.cpu_s(), time.perf_counter()
        await asyncio.sleep(idle_s)
        idle = (gateway.cpu_s() - cpu_s) / (time.perf_counter() - began_s)
        return [
            Sample("waiting_start", start_s, "s"),
            Sample("waiting_memory", gateway.memory_bytes() / 1e6, "MB"),
            Sample("waiting_idle_cpu", idle * 100, "%"),
        ]
    finally:
        await gateway.terminate()


async def _waits_ms(
    gateway: Gateway, key: str, message_type: str, count: int, providers: FarEnd, first: int, rate_per_s: float
) -> list[float]:
    """From just before each request to its submit_sm, one after the other, no more than so many a second."""
    waits_ms = []
    async with await Connection.open(gateway.port) as connection:
        for number in range(first, first + count):
            body = [
                {
                    "id": f"{message_type}-{number}",
                    "fromName": "YourBrand",
                    "toPhone": traffic.phone(number),
                    "messageType": message_type,
                    "text": f"{WATCHED.decode()} {number:07d}.",
                }
            ]
            # Not in step with any timer of the gateway.
            await asyncio.sleep(random.uniform(0.5, 1.5) / rate_per_s)
            posted_ns = time.monotonic_ns()
            answer = await connection.ask(request("POST", traffic.SEND_PATH, key, orjson.dumps(body)))
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:300]!r}")
            waits_ms.append((await _arrival_ns(providers) - posted_ns) / 1e6)
    return waits_ms


def _figures(name: str, waits_ms: list[float]) -> list[Sample]:
    return [
        Sample(f"{name}_p50", statistics.median(waits_ms), "ms"),
        Sample(f"{name}_p99", percentile(waits_ms, 0.99), "ms"),
    ]


async def _arrival_ns(providers: FarEnd) -> int:
    """When the one that is under way arrived at the SMSC."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            for arrived_ns in providers.arrivals_ns().watched:
                return arrived_ns
            await asyncio.sleep(POLL_S)
