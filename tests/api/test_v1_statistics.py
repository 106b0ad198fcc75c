"""`GET /v1/statistics`: counts, shares and costs in the groups asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from cascade.api.v1 import statistics
from cascade.api.v1.statistics import Statistics

from .doors import AUTH, OTHER_KEY, PHONE, Doors, message

OTHER = {"X-Authorization-Key": OTHER_KEY}


async def ask(doors: Doors, query: str = "", **given: Any) -> dict[str, Any]:
    answer = await doors.call("GET", f"/v1/statistics{query}", **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(Statistics).validate_python(answer.json) == answer.json
    return dict(answer.json)


@pytest.fixture
async def busy(city: Doors) -> Doors:
    """A city where the bot delivered one message, SMS two, and one reached nobody."""
    await city.people(PHONE, telegram_bot="delivers")
    for phone, sms in (("+380500000001", "delivers"), ("+380500000002", "delivers"), ("+380500000003", "rejects")):
        await city.people(phone, sms=sms)
    sent = await city.send(
        message(id="bot", tags=["a", "b"]),
        message(id="sms", toPhone="+380500000001", tags=["a"]),
        message(id="promo", toPhone="+380500000002", messageType="promo"),
        message(id="nobody", toPhone="+380500000003"),
    )
    for one in sent:
        await city.until(one["messageId"], "delivered", "undeliverable")
    return city


async def test_the_last_week_by_days_is_what_is_summed(busy: Doors) -> None:
    shown = await ask(busy)
    (day,) = shown["groups"]
    begins_at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert datetime.fromisoformat(day["at"]) in (begins_at, begins_at - timedelta(days=1))
    expected = {"messages": 4, "scheduled": 0, "processing": 0, "delivered": 3, "undeliverable": 1, "permanenterror": 0}
    assert {name: day[name] for name in expected} == expected
    assert (day["deliveredShare"], day["doubles"], shown["rateCurrency"]) == (0.75, 0, "USD")
    span = datetime.fromisoformat(shown["to"]) - datetime.fromisoformat(shown["from"])
    assert span == timedelta(days=7)


GROUPS = {  # what it is asked by, and the messages of each group
    "channel": ("by=channel", {(None,): 1, ("sms",): 2, ("telegram_bot",): 1}),
    "status": ("by=status", {("delivered",): 3, ("undeliverable",): 1}),
    "type": ("by=type", {("promo",): 1, ("transaction",): 3}),
    "tag: a message counts under each of its tags": ("by=tag", {("a",): 2, ("b",): 1}),
    "two of them": ("by=type&by=status", {("promo", "delivered"): 1, ("transaction", "delivered"): 2}),
    "twice the same": ("by=type&by=type", {("promo",): 1, ("transaction",): 3}),
}


@pytest.mark.parametrize(("query", "groups"), GROUPS.values(), ids=GROUPS.keys())
async def test_groups(busy: Doors, query: str, groups: dict[tuple[str | None, ...], int]) -> None:
    by = list(dict.fromkeys(query.replace("by=", "").split("&")))
    shown = (await ask(busy, f"?{query}"))["groups"]
    found = {tuple(group[name] for name in by): group["messages"] for group in shown}
    assert groups.items() <= found.items()


async def test_filters_narrow_the_sums(busy: Doors) -> None:
    async def messages(query: str) -> int:
        return sum(group["messages"] for group in (await ask(busy, f"?{query}"))["groups"])

    assert await messages("channel=sms") == 2
    assert await messages("tag=a&messageType=transaction") == 2
    assert await messages("phone=%2B380500000003") == 1
    assert await messages("to=2026-01-01T00:00:00Z") == 0
    assert await messages("interval=hour") == 4


async def test_another_account_has_its_own(doors: Doors) -> None:
    await doors.send_one()
    assert [len((await ask(doors, headers=headers))["groups"]) for headers in (AUTH, OTHER)] == [1, 0]


REFUSED = {  # query, field
    "a year and more by days": ("from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
    "more than 31 days by hours": ("interval=hour&from=2025-11-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
    "no start so far back": ("from=1970-01-01T00:00:00Z", "from"),
    "another interval": ("interval=week", "interval"),
    "another dimension": ("by=sender", "by.0"),
    "a filter twice": ("tag=a&by=type&by=tag&tag=a", "tag"),
    "a cursor": ("cursor=abc", "cursor"),
}


@pytest.mark.parametrize(("query", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_query_is_refused(doors: Doors, query: str, field: str) -> None:
    answer = await doors.call("GET", f"/v1/statistics?{query}")
    assert (answer.status, answer.error["field"]) == (400, field)


async def test_too_many_groups_are_refused(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MOST_GROUPS", 2)
    await doors.send(message(tags=["a", "b", "c"]))
    answer = await doors.call("GET", "/v1/statistics?by=tag")
    assert (answer.status, answer.error["field"]) == (400, "by")
    assert len((await ask(doors, "?by=type"))["groups"]) == 1


async def test_a_query_that_takes_too_long_says_what_to_do(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cascade.store.sqlite.COLD_S", 0.2)
    endless = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT max(n), 1, 1, 1 FROM n"
    monkeypatch.setattr("cascade.store.queries.LANES", f"{endless} WHERE ? = 1")
    answer = await doors.call("GET", "/v1/channels")
    assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    assert "shorter time" in answer.error["message"]
