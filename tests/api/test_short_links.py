"""`GET /s/{code}`: where it leads, what is counted, who hears of it, and what it does when the store is away."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from cascade.api.short_links import GONE
from cascade.core.errors import StoreUnavailableError
from cascade.engine import clicks
from cascade.store.database import Transaction

from .doors import OTHER_KEY, PATIENCE_S, POLL_S, Answer, Doors

URL = "https://shop.example/sale?utm_source=sms&x=%20#top"
HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
IPHONE = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"}
TELEGRAM = {"User-Agent": "TelegramBot (like TwitterBot)"}
LINK = re.compile(r"http://127\.0\.0\.1:[0-9]+(/s/[2-9A-HJ-NP-Za-km-z]{8})(?![0-9A-Za-z])")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clicks are written down at once."""
    monkeypatch.setattr(clicks, "GATHER_S", 0.01)


class Clock:
    """The doors' own; it goes on by itself, and further when a test says so."""

    def __init__(self, doors: Doors) -> None:
        self.ahead_ms = 0
        now_ms = doors.parts.now_ms
        doors.replace_parts(dataclasses.replace(doors.parts, now_ms=lambda: now_ms() + self.ahead_ms))


@pytest.fixture
def clock(doors: Doors) -> Clock:
    return Clock(doors)


async def accept(doors: Doors, *urls: str) -> tuple[str, list[str]]:
    """A message's id, and the path of the link to each of `urls` in its text."""
    variables = [{"id": place, "type": "short_url", "value": url} for place, url in enumerate(urls)]
    text = " ".join(f"%short_url={place}%" for place in range(len(urls)))
    message_id = await doors.send_one(text=text, variables=variables)
    async with doors.gateway.database.reading() as reader:
        rows = await reader.rows("SELECT text FROM message ORDER BY id DESC LIMIT 1")
    paths = LINK.findall(rows[0][0])
    assert len(paths) == len(urls)
    return message_id, paths


async def follow(doors: Doors, path: str, headers: dict[str, str] = IPHONE, method: str = "GET") -> Answer:
    return await doors.call(method, path, headers=headers)


async def until_counted(doors: Doors, message_id: str, people: int, machines: int) -> dict[str, Any]:
    """The status object once it shows these clicks."""
    status: dict[str, Any] = {}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (status.get("clicks"), status.get("machineClicks")) != (people, machines):
                status = await doors.status(message_id)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(status) from None
    return status


TARGETS = {
    "as it was written": (URL, URL),
    "a URL within it": ("http://e.com/?to=https://evil.example//", "http://e.com/?to=https://evil.example//"),
    "signs that a library would encode": ("https://e.com/a|b?c={d}^`\"<>'~", "https://e.com/a|b?c={d}^`\"<>'~"),
    "Ukrainian": ("https://e.com/знижка", "https://e.com/%D0%B7%D0%BD%D0%B8%D0%B6%D0%BA%D0%B0"),
}


async def test_a_link_leads_to_its_url(doors: Doors) -> None:
    _, paths = await accept(doors, *(url for url, _ in TARGETS.values()))
    answers = [await follow(doors, path) for path in paths]
    assert [answer.headers["Location"] for answer in answers] == [location for _, location in TARGETS.values()]
    for answer in answers:
        assert (answer.status, answer.body) == (302, b"")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


ASKED = {
    "by another query": ("?to=https://evil.example", {}),
    "by another host": ("", {"Host": "evil.example"}),
    "by a proxy's headers": (
        "",
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp", "X-Original-URL": "/x"},
    ),
    "by a line break": ("?a=%0d%0aLocation:%20https://evil.example", {}),
}


async def test_nobody_is_led_elsewhere(doors: Doors) -> None:
    _, (path,) = await accept(doors, URL)
    led = {}
    for case, (query, headers) in ASKED.items():
        answer = await follow(doors, path + query, IPHONE | headers)
        led[case] = (answer.status, [value for name, value in answer.headers.items() if name == "Location"])
    assert led == {case: (302, [URL]) for case in ASKED}


NOWHERE = {
    "an unknown code": "/s/mPq7XkZ2",
    "a code too short": "/s/mPq7XkZ",
    "a code too long": "/s/mPq7XkZ2a",
    "a letter that no code has": "/s/mPq7XkZ0",
    "a line break": "/s/mPq7%0d%0aX:y",
    "markup": "/s/%3Cscript%3E",
    "bytes that are no text": "/s/%FF%FE",
    "NUL": "/s/%00",
}


async def test_any_other_code_gets_a_small_page(doors: Doors) -> None:
    answers = {case: await follow(doors, path) for case, path in NOWHERE.items()}
    assert {answer.body for answer in answers.values()} == {GONE.encode()}
    for answer in answers.values():
        assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
        assert "Location" not in answer.headers


async def test_another_path_leads_nowhere(doors: Doors) -> None:
    for path in ("/s/https:%2F%2Fevil.example", "/s/%2Fevil.example", "/s//evil.example", "/s/", "/s"):
        answer = await follow(doors, path)
        assert (path, answer.status, answer.headers.get("Location")) == (path, 404, None)


async def test_a_link_ends_a_year_after_its_message(doors: Doors, clock: Clock) -> None:
    _, (path,) = await accept(doors, URL)
    clock.ahead_ms = YEAR_MS - HOUR_MS
    assert (await follow(doors, path)).status == 302
    clock.ahead_ms = YEAR_MS + HOUR_MS
    assert (await follow(doors, path)).status == 404


async def test_each_message_has_links_of_its_own(doors: Doors) -> None:
    _, first = await accept(doors, URL, URL, "http://e.com")
    _, second = await accept(doors, URL)
    assert len({*first, *second}) == 4


async def test_a_url_used_twice_in_a_text_is_one_link(doors: Doors) -> None:
    await doors.send_one(
        text="%short_url=1% or %short_url=1%", variables=[{"id": 1, "type": "short_url", "value": URL}]
    )
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT target FROM short_link") == [(URL,)]


async def test_validating_makes_no_link(doors: Doors) -> None:
    variables = [{"id": 1, "type": "short_url", "value": URL}]
    path = "/api/CascadeMessage/send_message/async?validate=true"
    answer = await doors.call(
        "POST",
        path,
        [
            {"id": "a", "fromName": "S", "toPhone": "+380501112233", "messageType": "promo"}
            | {"text": "%short_url=1%", "variables": variables}
        ],
    )
    assert answer.status == 200
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT count(*) FROM short_link") == [(0,)]


async def test_a_link_can_only_be_read(doors: Doors) -> None:
    _, (path,) = await accept(doors, URL)
    answers = [await follow(doors, path, method=method) for method in ("POST", "PUT", "DELETE", "PATCH")]
    assert [answer.status for answer in answers] == [405] * 4


# Clicks


async def test_a_message_without_links_shows_no_clicks(doors: Doors) -> None:
    status = await doors.status(await doors.send_one())
    assert {"clicks", "machineClicks"} & status.keys() == set()


async def test_people_and_machines_are_counted_apart(doors: Doors, clock: Clock) -> None:
    message_id, (path, other) = await accept(doors, URL, "http://e.com")
    await until_counted(doors, message_id, 0, 0)
    clock.ahead_ms = HOUR_MS
    for headers, target in ((TELEGRAM, path), (IPHONE, path), (IPHONE, path), (IPHONE, other)):
        assert (await follow(doors, target, headers)).status == 302
    status = await until_counted(doors, message_id, 3, 1)
    clicked = [entry for entry in status["timeline"] if entry["event"] == "clicked"]
    assert {entry["url"]: entry["clicks"] for entry in clicked} == {URL: 2, "http://e.com": 1}


async def test_to_ask_for_the_head_is_no_click(doors: Doors, clock: Clock) -> None:
    message_id, (path,) = await accept(doors, URL)
    clock.ahead_ms = HOUR_MS
    head = await follow(doors, path, method="HEAD")
    assert (head.status, head.headers["Location"]) == (302, URL)
    await follow(doors, path)
    await until_counted(doors, message_id, 1, 0)


async def test_a_click_at_once_is_a_preview_s(doors: Doors) -> None:
    message_id, (path,) = await accept(doors, URL)
    await follow(doors, path)
    await until_counted(doors, message_id, 0, 1)


async def test_many_clicks_at_once(doors: Doors, clock: Clock) -> None:
    message_id, (path,) = await accept(doors, URL)
    clock.ahead_ms = HOUR_MS
    await asyncio.gather(*(follow(doors, path) for _ in range(60)))
    await until_counted(doors, message_id, 60, 0)


async def test_another_account_sees_no_clicks(doors: Doors) -> None:
    message_id, _ = await accept(doors, URL)
    answer = await doors.call("GET", f"/bat/message/{message_id}", headers={"X-Authorization-Key": OTHER_KEY})
    assert answer.status == 404


async def test_a_person_s_click_is_told_by_webhook(doors: Doors, clock: Clock) -> None:
    hook = {"url": f"http://127.0.0.1:{doors.port}/nothing", "types": ["link.clicked"]}
    assert (await doors.call("POST", "/v1/webhooks", hook)).status == 201
    message_id, (path,) = await accept(doors, URL)
    await follow(doors, path, TELEGRAM)
    await until_counted(doors, message_id, 0, 1)
    clock.ahead_ms = HOUR_MS
    await follow(doors, path)
    await until_counted(doors, message_id, 1, 1)
    async with doors.gateway.database.reading() as reader:
        bodies = [orjson.loads(body) for (body,) in await reader.rows("SELECT body FROM event")]
    assert [(body["type"], body["data"]["messageId"]) for body in bodies] == [("link.clicked", message_id)]
    assert (bodies[0]["data"]["url"], bodies[0]["data"]["clicks"]) == (URL, 1)


# The store away


@asynccontextmanager
async def _no_transaction() -> AsyncIterator[Transaction]:
    raise StoreUnavailableError("disk is full")
    yield


async def test_while_nothing_can_be_written_people_get_there_and_are_counted_later(
    doors: Doors, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id, (path,) = await accept(doors, URL)
    clock.ahead_ms = HOUR_MS
    monkeypatch.setattr(clicks, "STORE_RETRY_S", 0.01)
    with monkeypatch.context() as away:
        away.setattr(doors.gateway.database, "transaction", _no_transaction)
        for _ in range(3):
            assert (await follow(doors, path)).headers["Location"] == URL
    await until_counted(doors, message_id, 3, 0)


async def test_while_nothing_can_be_read_people_are_asked_to_come_back(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (path,) = await accept(doors, URL)
    with monkeypatch.context() as away:
        away.setattr(doors.gateway.database, "reading", _no_transaction)
        answer = await follow(doors, path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_the_person_gets_the_link_that_leads_to_the_url(city: Doors) -> None:
    """From the client's request to the phone, and back by its browser."""
    await city.people(sms="delivers")
    variables = [{"id": 4, "type": "short_url", "value": URL}]
    message_id = await city.send_one(text="Sale: %short_url=4%", variables=variables)
    await city.until(message_id, "delivered")
    assert city.sandbox is not None
    (received,) = city.sandbox.people.look("+380501112233").inbox
    (path,) = LINK.findall(received.text)
    assert (await follow(city, path, TELEGRAM)).headers["Location"] == URL
    await until_counted(city, message_id, 0, 1)
