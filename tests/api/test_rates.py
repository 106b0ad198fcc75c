"""An account may ask so often and no more, and is told where it stands."""

import dataclasses

import pytest

from cascade.api.rates import Rates
from cascade.core.directory import Rate

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
def test_a_bucket_refills(name: str) -> None:
    later_ms, passing = REFILLS[name]
    rates, rate = Rates(), Rate(2, 5)
    assert [rates.check(1, "send", rate, T0).retry_after_s for _ in range(5)] == [None] * 5
    verdicts = [rates.check(1, "send", rate, T0 + later_ms) for _ in range(10)]
    assert sum(verdict.retry_after_s is None for verdict in verdicts) == passing


def test_no_rate_no_limit_and_no_headers() -> None:
    rates = Rates()
    assert {tuple(rates.check(1, "send", Rate(0, 1), T0).headers) for _ in range(1_000)} == {()}
