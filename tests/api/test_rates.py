"""An account may ask so often and no more, and is told where it stands."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from cascade.api.rates import OwnRates, SharedRates
from cascade.core.directory import Rate
from cascade.store import rates
from cascade.store.postgres import PostgresDatabase
from conftest import on_server

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
