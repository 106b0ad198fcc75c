"""An account may ask so often and no more, and is told where it stands."""

import asyncio
import dataclasses
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cascade.api import rates as doors_rates
from cascade.api.rates import OwnRates, RedisRates, SharedRates
from cascade.core.directory import Rate
from cascade.core.errors import ConfigError
from cascade.serve import Gateway
from cascade.settings import Limits, Settings
from cascade.store import rates
from cascade.store.postgres import PostgresDatabase
from cascade.store.redis_buckets import RedisBuckets
from conftest import on_server
from programs import program

from .doors import AUTH, OTHER_KEY, SEND, Doors, message

T0 = 1_000_000


def limited(doors: Doors, *, send_rate: Rate, read_rate: Rate = Rate(0, 1)) -> None:  # noqa: B008 - frozen
    doors.replace_parts(dataclasses.replace(doors.parts, send_rate=send_rate, read_rate=read_rate, now_ms=lambda: T0))


async def test_over_the_rate_is_429_with_the_time_to_wait(doors: Doors) -> None:
    limited(doors, send_rate=Rate(1, 2))
    answers = [await doors.call("POST", SEND, [message()]) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert refused.error["code"] == "RATE_LIMITED"
    assert refused.headers["Retry-After"] == "1"
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"2"}
    assert await doors.stored() == 2


async def test_sending_and_reading_are_counted_apart_and_so_are_accounts(doors: Doors) -> None:
    limited(doors, send_rate=Rate(1, 1), read_rate=Rate(1, 1))
    (sent,) = await doors.send(message())
    assert (await doors.call("GET", f"/bat/message/{sent['messageId']}")).status == 200
    assert (await doors.call("GET", f"/bat/message/{sent['messageId']}")).status == 429
    assert (await doors.call("POST", SEND, [message()])).status == 429
    await doors.send(message(), headers={"X-Authorization-Key": OTHER_KEY})


async def test_a_refused_credential_costs_nobody_anything(doors: Doors) -> None:
    limited(doors, send_rate=Rate(1, 1))
    for _ in range(3):
        assert (await doors.call("POST", SEND, [message()], headers={"X-Authorization-Key": "wrong"})).status == 401
    assert (await doors.call("POST", SEND, [message()], headers=AUTH)).status == 200


REFILLS = {  # ms later: how many of 10 more requests pass, of a bucket of 5 that refills with 2 a second
    "at once": (0, 0),
    "half a second": (500, 1),
    "a second": (1_000, 2),
    "long after: the burst": (60_000, 5),
    "a clock set back": (-1_000, 0),
}


@pytest.mark.parametrize("name", REFILLS)
async def test_a_bucket_refills(name: str) -> None:
    later_ms, passing = REFILLS[name]
    rates, rate = OwnRates(), Rate(2, 5)
    assert [(await rates.check(1, "send", rate, T0)).retry_after_s for _ in range(5)] == [None] * 5
    verdicts = [await rates.check(1, "send", rate, T0 + later_ms) for _ in range(10)]
    assert sum(verdict.retry_after_s is None for verdict in verdicts) == passing


async def test_no_rate_no_limit_and_no_headers() -> None:
    rates = OwnRates()
    assert {tuple((await rates.check(1, "send", Rate(0, 1), T0)).headers) for _ in range(1_000)} == {()}


# Several nodes


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[list[SharedRates]]:
    """The rates of three nodes on one store."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(3):
            database = PostgresDatabase(postgres_url, 4)
            await database.open(owner=False)
            stack.push_async_callback(database.close)
            opened.append(SharedRates(database, lambda: 3))
        yield opened


async def test_nodes_together_let_no_more_through_than_one_would(nodes: list[SharedRates]) -> None:
    rate = Rate(20, 50)

    async def ask(node: SharedRates) -> int:
        """How many of 40 requests pass, which come within a moment."""
        verdicts = await asyncio.gather(*(node.check(1, "send", rate, T0) for _ in range(40)))
        return sum(verdict.retry_after_s is None for verdict in verdicts)

    began_s = time.monotonic()
    passed = sum(await asyncio.gather(*map(ask, nodes)))
    refilled = (time.monotonic() - began_s) * rate.per_s
    assert rate.burst - 3 <= passed <= rate.burst + refilled + 1  # each node may have kept one bite of 2 to itself


async def test_accounts_and_kinds_are_counted_apart_on_several_nodes_too(nodes: list[SharedRates]) -> None:
    for account_id, kind in ((1, "send"), (1, "read"), (2, "send")):
        verdicts = [await nodes[0].check(account_id, kind, Rate(1, 1), T0) for _ in range(2)]
        assert [verdict.retry_after_s for verdict in verdicts] == [None, 1]
        assert verdicts[1].headers["RateLimit-Remaining"] == "0"


async def test_a_node_that_wastes_no_time_asks_the_store_once_for_many(
    nodes: list[SharedRates], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = 0
    take = rates.take

    async def counting(*given: Any) -> rates.Taken:
        nonlocal takes
        takes += 1
        return await take(*given)

    monkeypatch.setattr(rates, "take", counting)
    verdicts = await asyncio.gather(*(nodes[0].check(1, "send", Rate(1_000, 1_000), T0) for _ in range(500)))
    assert {verdict.retry_after_s for verdict in verdicts} == {None}
    assert takes == 5


async def test_a_bucket_in_the_store_refills(nodes: list[SharedRates], postgres_url: str) -> None:
    rate = Rate(1, 3)
    assert [(await nodes[0].check(1, "send", rate, T0)).retry_after_s for _ in range(4)] == [None, None, None, 1]
    await on_server(postgres_url, "UPDATE request_bucket SET filled_at_ms = filled_at_ms - 2000")
    later_ms = T0 + 2_000
    assert [(await nodes[1].check(1, "send", rate, later_ms)).retry_after_s for _ in range(3)] == [None, None, 1]


# Through a Redis

PASSWORD = "redis-secret"
PATIENCE_S = 10.0


class RedisServer:
    def __init__(self, home: Path) -> None:
        self._socket = home / "redis.sock"
        self.url = f"unix://:{PASSWORD}@{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        places = ("--unixsocket", str(self._socket), "--dir", str(self._socket.parent))
        command = [program("redis-server"), "--port", "0", *places, "--save", "", "--requirepass", PASSWORD]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until_s = time.monotonic() + PATIENCE_S
        while not self._socket.exists():
            assert time.monotonic() < until_s
            time.sleep(0.005)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._socket.unlink(missing_ok=True)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def beside_redis(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[RedisRates]]:
    """The rates of three nodes that share a Redis, each with buckets of its own for when it is away."""
    monkeypatch.setattr(doors_rates, "LOOK_S", 0.02)
    opened = [RedisRates(RedisBuckets(redis_server.url), OwnRates(), lambda: False) for _ in range(3)]
    yield opened
    for one in opened:
        await one.close()


async def passing(node: RedisRates, rate: Rate, requests: int, account_id: int = 1, kind: str = "send") -> int:
    """How many of so many requests pass that come at once."""
    verdicts = await asyncio.gather(*(node.check(account_id, kind, rate, T0) for _ in range(requests)))
    return sum(verdict.retry_after_s is None for verdict in verdicts)


async def test_with_a_redis_nodes_are_exact_together(beside_redis: list[RedisRates]) -> None:
    slow = Rate(1, 50)
    began_s = time.monotonic()
    passed = sum(await asyncio.gather(*(passing(node, slow, 40) for node in beside_redis)))
    assert 50 <= passed <= 50 + (time.monotonic() - began_s) * slow.per_s
    for account_id, kind in ((1, "read"), (2, "send")):
        assert await passing(beside_redis[0], Rate(1, 3), 5, account_id, kind) == 3


async def test_a_bucket_in_a_redis_refills_and_says_how_it_stands(beside_redis: list[RedisRates]) -> None:
    rate = Rate(50, 3)
    first = [await beside_redis[0].check(1, "send", Rate(1, 3), T0) for _ in range(4)]
    assert [verdict.retry_after_s for verdict in first] == [None, None, None, 1]
    assert [verdict.headers["RateLimit-Remaining"] for verdict in first] == ["2", "1", "0", "0"]
    await asyncio.sleep(0.1)
    assert await passing(beside_redis[1], rate, 5) == 3


async def test_many_at_once_are_one_question(
    beside_redis: list[RedisRates], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    take = RedisBuckets.take

    async def counting(buckets: RedisBuckets, wanted: list[rates.Wanted]) -> list[rates.Taken]:
        asked.append(sum(one.tokens for one in wanted))
        return await take(buckets, wanted)

    monkeypatch.setattr(RedisBuckets, "take", counting)
    assert await passing(beside_redis[0], Rate(1_000, 1_000), 500) == 500
    assert asked == [500]


async def test_while_the_redis_is_away_the_other_buckets_count_and_the_log_says_so_once(
    beside_redis: list[RedisRates], redis_server: RedisServer
) -> None:
    node, rate = beside_redis[0], Rate(1, 5)
    assert await passing(node, rate, 3) == 3
    redis_server.stop()
    with capture_logs() as logs:
        assert await passing(node, rate, 3) == 3
        assert await passing(node, rate, 3) == 2  # of the five that the node itself counts
        redis_server.start()
        async with asyncio.timeout(PATIENCE_S):
            while len(logs) < 2:  # noqa: ASYNC110 - any log line will do
                await asyncio.sleep(0.005)
        assert await passing(node, rate, 9) == 5  # it was started empty: all buckets are full
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("redis_away", "warning"),
        ("redis_back", "info"),
    ]
    assert PASSWORD not in str(logs)


async def test_a_redis_that_hangs_delays_one_moment_and_no_more(
    beside_redis: list[RedisRates], redis_server: RedisServer
) -> None:
    node, rate = beside_redis[0], Rate(1, 5)
    assert await passing(node, rate, 1) == 1
    assert redis_server._process is not None
    redis_server._process.send_signal(signal.SIGSTOP)
    try:
        with capture_logs() as logs:
            assert await passing(node, rate, 9) == 5
    finally:
        redis_server._process.send_signal(signal.SIGCONT)
    assert [entry["event"] for entry in logs] == ["redis_away"]


WRONG_PASSWORD = {"a wrong password": "unix://:wrong@", "no password": "unix://"}


@pytest.mark.parametrize("start", WRONG_PASSWORD.values(), ids=WRONG_PASSWORD.keys())
async def test_one_that_refuses_us_is_away(redis_server: RedisServer, start: str) -> None:
    place = redis_server.url.rpartition("@")[2]
    node = RedisRates(RedisBuckets(f"{start}{place}"), OwnRates(), lambda: False)
    with capture_logs() as logs:
        assert await passing(node, Rate(1, 5), 9) == 5
    assert [entry["event"] for entry in logs] == ["redis_away"]
    assert "wrong@" not in str(logs)
    await node.close()


async def test_a_redis_beside_sqlite_is_refused(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"store": {"url": f"sqlite:///{tmp_path / 'cascade.db'}"}, "limits": {"redis_url": "redis://h"}}
    )
    assert PASSWORD not in repr(Limits(redis_url=f"redis://:{PASSWORD}@h"))
    with pytest.raises(ConfigError, match=r"limits\.redis_url: SQLite has no other nodes"):
        Gateway(settings)


async def test_a_url_that_names_no_redis_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"limits\.redis_url"):
        RedisBuckets("redis://host:port")
