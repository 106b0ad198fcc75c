"""What lists and sums cost in a store of a million messages, and what their indexes cost the accept path.

`python -m bench.queries`: one JSON line a figure. It takes minutes and is not part of `make bench`; docs/api.md has
what it said.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cascade.core.message import Message, State, Status
from cascade.core.route import Route, Step
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.store import messages, queries, tags
from cascade.store.eras import Eras
from cascade.store.ids import new_ids
from cascade.store.messages import Key, NewMessage
from cascade.store.queries import DAY_MS, HOUR_MS, Filter
from cascade.store.sqlite import SqliteDatabase
from cascade.store.tags import Tagged

BATCH = 1_000
DAYS = 10
BEGIN_MS = 1_790_000_000_000
VIBER = Step(Channel.VIBER_BOT, "viber_bot.1", 60, cost_micros=20_000)
SMS = Step(Channel.SMS, "sms.smpp", None, cost_micros=50_000)
ROUTE: Route = (Step(Channel.TELEGRAM_BOT, None, 60), VIBER, SMS)
BY_ERA = ("message_by_tracking_id", "message_by_phone")
INDEXES = {  # instead of those by era
    "without_indexes_of_phones": (),
    "with_plain_indexes": (
        "CREATE INDEX plain_tracking_id ON message (account_id, tracking_id)",
        "CREATE INDEX plain_phone ON message (account_id, phone)",
    ),
    "with_indexes_by_era": None,
}
ENDED = """
    UPDATE message SET
        state = 'final', deadline_at_ms = NULL, link = NULL, attempt = 1, finished_at_ms = accepted_at_ms,
        status = CASE WHEN batch_id % 1000 = 7 THEN 'undeliverable' ELSE 'delivered' END,
        delivered_step = CASE WHEN batch_id % 1000 = 7 THEN NULL WHEN batch_id % 3 = 0 THEN 1 ELSE 2 END,
        delivered_by = CASE WHEN batch_id % 1000 = 7 THEN NULL WHEN batch_id % 3 = 0 THEN 'viber_bot' ELSE 'sms' END,
        delivered = CASE WHEN batch_id % 1000 = 7 THEN '' ELSE '1' END, cost_micros = 50000
"""
ENTRIES = [
    Entry(BEGIN_MS, 0, 0, Mark.SKIPPED, Reason.NO_CHANNEL),
    Entry(BEGIN_MS, 1, 1, Mark.ACCEPTED, None, "5923104857123445523"),
    Entry(BEGIN_MS, 1, 1, Mark.DELIVERED),
]
QUEUED = Message(
    MessageType.PROMO,
    ROUTE,
    expires_at_ms=BEGIN_MS + 3 * DAY_MS,
    state=State.QUEUED,
    status=Status.PROCESSING,
    step=2,
    due_at_ms=BEGIN_MS,
    deadline_at_ms=BEGIN_MS + DAY_MS,
    step_ends_at_ms=BEGIN_MS + DAY_MS,
)
TEXT = "Autumn sale in YourStore: minus 20 % on everything until Sunday. Show this message at the till. " * 2


def batch(first: int, at_ms: int, randomness: random.Random, eras: Eras) -> list[NewMessage]:
    """Phones and tracking ids come in no order, as those of many clients do."""
    era = eras.take(1, at_ms, BATCH)
    return [
        NewMessage(
            Key(1, id_),
            f"order-{randomness.getrandbits(40):x}",
            "YourStore",
            f"+38050{randomness.randrange(10**7):07}",
            TEXT,
            None,
            at_ms,
            QUEUED,
            ENTRIES,
            number,
            era,
        )
        for number, id_ in enumerate(new_ids(at_ms, BATCH), first)
    ]


def batches(count: int) -> Iterable[list[NewMessage]]:
    randomness, eras = random.Random(1), Eras()
    for first in range(0, count, BATCH):
        yield batch(first, BEGIN_MS + first * DAYS * DAY_MS // count, randomness, eras)


async def insert(home: Path, count: int, instead: tuple[str, ...] | None) -> tuple[float, float]:
    """CPU and elapsed microseconds a message, of adding and committing alone; those of the last third."""
    store = SqliteDatabase(home / "store.db")
    await store.open(owner=True)
    if instead is not None:
        for statement in (*(f"DROP INDEX {index}" for index in BY_ERA), *instead):
            store._writer.execute(statement)
    cpu_s = elapsed_s = 0.0
    counted = 0
    for some in batches(count):
        cpu_at_s, at_s = time.process_time(), time.perf_counter()
        async with store.transaction() as tx:
            await messages.add(tx, some)
        if some[0].batch_id >= count * 2 // 3:
            cpu_s += time.process_time() - cpu_at_s
            elapsed_s += time.perf_counter() - at_s
            counted += len(some)
    await store.close()
    return cpu_s / counted * 1e6, elapsed_s / counted * 1e6


async def fill(store: SqliteDatabase, count: int) -> list[list[NewMessage]]:
    """A store of messages that ended, one in ten with a tag; a sample of them."""
    sample = []
    for place, some in enumerate(batches(count)):
        async with store.transaction() as tx:
            await messages.add(tx, some)
            await tags.add(tx, [Tagged(1, f"tag-{one.batch_id // 1_000 % 10}", one.key.id) for one in some[::10]])
        if place % 100 == 0:
            sample.append(some)
    async with store.transaction() as tx:
        await tx.execute(ENDED)
    return sample


async def timed(ask: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds of the best of three."""
    times = []
    for _ in range(3):
        begun_at_s = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - begun_at_s) * 1_000)
    return min(times)


def questions(store: SqliteDatabase, sample: list[list[NewMessage]]) -> dict[str, Callable[[], Awaitable[Any]]]:
    some = sample[len(sample) // 2]
    middle = some[0]

    def listing(wanted: Filter, before_id: bytes | None = None) -> Callable[[], Awaitable[Any]]:
        async def ask() -> None:
            async with store.cold_reading() as reader:
                await queries.find(reader, 1, wanted, before_id, 100)

        return ask

    def summing(wanted: Filter, interval_ms: int, *by: str) -> Callable[[], Awaitable[Any]]:
        async def ask() -> None:
            async with store.cold_reading() as reader:
                await queries.sums(reader, 1, wanted, interval_ms=interval_ms, by=by, limit=10_000)

        return ask

    async def by_ids() -> None:
        async with store.cold_reading() as reader:
            assert len(await queries.by_ids(reader, 1, [one.key.id for one in some])) == BATCH

    async def by_tracking_ids() -> None:
        async with store.cold_reading() as reader:
            assert len(await queries.by_tracking_ids(reader, 1, [one.tracking_id for one in some])) == BATCH

    day = Filter(middle.accepted_at_ms, middle.accepted_at_ms + DAY_MS)
    return {
        "list_newest": listing(Filter()),
        "list_from_the_middle": listing(Filter(), middle.key.id),
        "list_phone": listing(Filter(phone=middle.phone)),
        "list_tracking_id": listing(Filter(tracking_id=middle.tracking_id)),
        "list_tag": listing(Filter(tag="tag-3")),
        "list_channel": listing(Filter(channel=Channel.VIBER_BOT)),
        "list_status_one_in_1000": listing(Filter(status=Status.UNDELIVERABLE)),
        "list_status_nobody_has": listing(Filter(status=Status.PERMANENT_ERROR)),
        "list_status_nobody_has_in_a_day": listing(day._replace(status=Status.PERMANENT_ERROR)),
        "look_up_1000_ids": by_ids,
        "look_up_1000_tracking_ids": by_tracking_ids,
        "statistics_a_day_by_hour": summing(day, HOUR_MS),
        "statistics_10_days": summing(Filter(), DAY_MS),
        "statistics_10_days_by_channel_and_status": summing(Filter(), DAY_MS, "channel", "status"),
        "statistics_10_days_by_tag": summing(Filter(), DAY_MS, "tag"),
    }


async def latency(store: SqliteDatabase, ask: Callable[[], Awaitable[Any]] | None, count: int) -> float:
    """The 99th percentile, in ms, of a small accept's duration while `ask` is repeated beside it."""

    async def keep_asking() -> None:
        while ask is not None:
            await ask()

    asking = asyncio.create_task(keep_asking())
    randomness, eras = random.Random(2), Eras()
    times = []
    for number in range(count):
        some = batch(number, BEGIN_MS + DAYS * DAY_MS + number, randomness, eras)[:10]
        begun_at_s = time.perf_counter()
        async with store.transaction() as tx:
            await messages.add(tx, some)
        times.append((time.perf_counter() - begun_at_s) * 1_000)
        await asyncio.sleep(0.001)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    return sorted(times)[int(count * 0.99)]


def say(figure: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": figure, "value": round(value, 2), "unit": unit}), flush=True)


async def main(count: int, inserted: int) -> None:
    for name, instead in INDEXES.items():
        with tempfile.TemporaryDirectory(prefix="cascade-queries-", ignore_cleanup_errors=True) as home:
            cpu_us, elapsed_us = await insert(Path(home), inserted, instead)
        say(f"insert_{name}_cpu", cpu_us, "us/message")
        say(f"insert_{name}", elapsed_us, "us/message")
    with tempfile.TemporaryDirectory(prefix="cascade-queries-", ignore_cleanup_errors=True) as home:
        store = SqliteDatabase(Path(home) / "queries.db")
        await store.open(owner=True)
        sample = await fill(store, count)
        asked = questions(store, sample)
        for name, ask in asked.items():
            say(name, await timed(ask), "ms")
        say("accept_p99", await latency(store, None, 500), "ms")
        say("accept_p99_beside_statistics", await latency(store, asked["statistics_10_days"], 500), "ms")
        say("accept_p99_beside_lists", await latency(store, asked["list_newest"], 500), "ms")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.queries")
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the store that is asked")
    parser.add_argument("--inserted", type=int, default=600_000, help="into a store with each set of indexes")
    given = parser.parse_args()
    asyncio.run(main(given.messages, given.inserted))
