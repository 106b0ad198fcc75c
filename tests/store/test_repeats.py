"""What was asked before is forgotten when it is too old to be repeated, the oldest first."""

from cascade.store import repeats
from cascade.store.database import Database
from cascade.store.repeats import Sent

from .given import HOUR_MS, T0


async def send(database: Database, now_ms: int, *digests: bytes) -> None:
    async with database.transaction() as tx:
        sent = [Sent(digest, b"%d" % now_ms) for digest in digests]
        assert await repeats.remember(tx, 1, sent, now_ms, now_ms - HOUR_MS) == {}


async def ask(database: Database, now_ms: int, *keys: bytes) -> None:
    async with database.transaction() as tx:
        for key in keys:
            assert await repeats.begin_request(tx, 1, key, b"body", now_ms, now_ms - HOUR_MS) is None


async def test_a_message_sent_again_in_time_does_not_keep_older_ones(database: Database) -> None:
    await send(database, T0, b"weekly")
    await send(database, T0 + 1, b"once", b"twice")
    await send(database, T0 + 2 * HOUR_MS, b"weekly")
    async with database.transaction() as tx:
        assert [await repeats.purge(tx, 1, T0 + 1) for _ in range(3)] == [1, 1, 0]
    async with database.reading() as reader:
        assert await reader.rows("SELECT digest FROM recent_message") == [(b"weekly",)]


async def test_old_requests_are_forgotten_a_few_at_once(database: Database) -> None:
    await ask(database, T0 + 1, b"second")
    await ask(database, T0, b"first")
    await ask(database, T0 + 2, b"third")
    async with database.transaction() as tx:
        assert await repeats.purge_requests(tx, 1, T0 + 1) == 1
        assert await tx.rows("SELECT key_digest FROM recent_request ORDER BY at_ms") == [(b"second",), (b"third",)]
        assert [await repeats.purge_requests(tx, 1, T0 + 1) for _ in range(2)] == [1, 0]
