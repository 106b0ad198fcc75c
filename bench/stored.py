"""Fills a store with finished messages, as if it had been at work for months: for figures of large stores.

python -m bench.stored sqlite:////tmp/large.db 1000000
"""

import argparse
import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from cascade.store import engines
from cascade.store.eras import ERA_MESSAGES
from cascade.store.ids import new_ids

CHUNK = 20_000
UNTIL_MS = 1_800_000_000_000
EVERY_MS = 40
"""Between two messages: a million are eleven hours, ten million four and a half days."""
ACCOUNT = 1
SENDER, TEXT = "Shop", "Your order is on its way. " * 3
"""Who compares what new messages cost behind these gives them the same size: shorter ones would go, each version into a
page of its own, where the old pages have a little room left."""
LINK = "sms.smpp"
TIMELINE = '[{0},0,1,"accepted",null,"{1:x}"],[{0},0,1,"delivered"],'
MESSAGE_COLUMNS = (
    *("account_id", "id", "tracking_id", "sender", "phone", "type", "is_urgent", "text", "route"),
    *("accepted_at_ms", "expires_at_ms", "state", "status", "step", "attempt", "tries", "due_at_ms"),
    *("step_ends_at_ms", "fence", "delivered_step", "delivered", "delivered_by", "finished_at_ms", "timeline"),
    *("batch_id", "era"),
)
PART_COLUMNS = ("link", "provider_id", "account_id", "message_id", "attempt", "step", "part")
Rows = list[tuple[Any, ...]]


def chunks(count: int, until_ms: int = UNTIL_MS) -> Iterator[tuple[Rows, Rows]]:
    """Messages in the order of their acceptance, the last just before `until_ms`, and the parts they were sent as."""
    for start in range(0, count, CHUNK):
        stored: Rows = []
        parts: Rows = []
        for number in range(start, min(start + CHUNK, count)):
            at_ms = until_ms - (count - number) * EVERY_MS
            era = until_ms - (count - number // ERA_MESSAGES * ERA_MESSAGES) * EVERY_MS
            (id_,) = new_ids(at_ms, 1)
            phone = f"+38050{number * 2_654_435_761 % 10_000_000:07}"
            stored.append(
                (
                    *(ACCOUNT, id_, f"order-{number}", SENDER, phone, "promo", False, TEXT),
                    *('[["sms","sms.smpp",null]]', at_ms, at_ms + 86_400_000, "final", "delivered", 0, 1, 1, at_ms),
                    *(
                        at_ms + 3_600_000,
                        3,
                        0,
                        "0",
                        "sms",
                        at_ms + 2_000,
                        TIMELINE.format(at_ms, number),
                        number // 100,
                        era,
                    ),
                )
            )
            parts.append((LINK, f"{number:x}", ACCOUNT, id_, 1, 0, 0))
        yield stored, parts


def on_sqlite(url: str, count: int, until_ms: int = UNTIL_MS) -> None:
    file = sqlite3.connect(engines.sqlite_path(url))
    file.execute("PRAGMA synchronous = OFF")
    file.execute("PRAGMA cache_size = -400000")
    for stored, parts in chunks(count, until_ms):
        with file:
            file.executemany(_insert("message", MESSAGE_COLUMNS), stored)
            file.executemany(_insert("sent_part", PART_COLUMNS), parts)
    file.close()


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


async def on_postgres(url: str, count: int, until_ms: int = UNTIL_MS) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("SET synchronous_commit = off")
    for stored, parts in chunks(count, until_ms):
        await connection.copy_records_to_table("message", records=stored, columns=MESSAGE_COLUMNS)
        await connection.copy_records_to_table("sent_part", records=parts, columns=PART_COLUMNS)
    for statement in ("VACUUM ANALYZE", "CHECKPOINT"):  # or their cost would be taken for that of what comes after
        await connection.execute(statement)
    await connection.close()


async def fill(url: str, count: int, until_ms: int = UNTIL_MS) -> None:
    """Make the store if it is not there, and add so many messages to it."""
    database = engines.database(url, 4)
    await database.open(owner=True)
    await database.close()
    if engines.is_postgres(url):
        await on_postgres(url, count, until_ms)
    else:
        await asyncio.to_thread(on_sqlite, url, count, until_ms)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    begun_s = time.perf_counter()
    asyncio.run(fill(given.url, given.count))
    print(f"{given.count} messages in {time.perf_counter() - begun_s:.1f} s")
