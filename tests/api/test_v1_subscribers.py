"""`/v1/subscribers`: whom the account's bots can write to, and forgetting them."""

from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from cascade.api.v1.subscribers import Page
from cascade.core.words import Channel

from .doors import AUTH, OTHER_KEY, OTHER_TELEGRAM, PHONE, SECOND_TELEGRAM, TELEGRAM, VIBER, Doors

OTHER = {"X-Authorization-Key": OTHER_KEY}


async def tell(doors: Doors) -> None:
    """Three people at the first Telegram bot, one of them at the Viber bot, too; one at another account's."""
    people = [{"id": n, "phone": f"+38050000000{n}", "firstName": f"Person {n}"} for n in (3, 1, 2)]
    viber = {"id": "viber-1", "phone": "+380500000001", "name": "Person 1"}
    for path, body, headers in (
        (f"/api/tg_bot/{TELEGRAM}", people, AUTH),
        (f"/api/viber_bot/{VIBER}", viber, AUTH),
        (f"/api/tg_bot/{OTHER_TELEGRAM}", {"id": 9, "phone": "+380500000009"}, OTHER),
    ):
        assert (await doors.call("POST", path, body, headers=headers)).status == 200


async def page(doors: Doors, query: str = "", **given: Any) -> dict[str, Any]:
    answer = await doors.call("GET", f"/v1/subscribers{query}", **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(Page).validate_python(answer.json) == answer.json
    return dict(answer.json)


async def addresses(doors: Doors, query: str = "", **given: Any) -> list[str]:
    return [one["address"] for one in (await page(doors, query, **given))["subscribers"]]


async def test_the_directories_are_listed_bot_by_bot_and_by_phone(doors: Doors) -> None:
    await tell(doors)
    shown = (await page(doors))["subscribers"]
    assert [one["address"] for one in shown] == ["1", "2", "3", "viber-1"]
    assert shown[0] | {"updatedAt": ""} == {
        "link": doors.bot(Channel.TELEGRAM_BOT, TELEGRAM).link,
        "channel": "telegram_bot",
        "phone": "+380500000001",
        "address": "1",
        "profile": {"firstName": "Person 1"},
        "updatedAt": "",
    }
    assert await addresses(doors, headers=OTHER) == ["9"]


async def test_filters(doors: Doors) -> None:
    await tell(doors)
    second = doors.bot(Channel.TELEGRAM_BOT, SECOND_TELEGRAM).link
    assert await addresses(doors, "?channel=viber_bot") == ["viber-1"]
    assert await addresses(doors, f"?phone={quote('+380500000001')}") == ["1", "viber-1"]
    assert await addresses(doors, f"?link={doors.bot(Channel.TELEGRAM_BOT, TELEGRAM).link}") == ["1", "2", "3"]
    assert await addresses(doors, f"?link={second}") == []
    assert await addresses(doors, f"?link={second}&channel=viber_bot") == []


async def test_pages_hold_everybody_once(doors: Doors) -> None:
    await tell(doors)
    seen: list[str] = []
    query = "?limit=1"
    while query:
        shown = await page(doors, query)
        seen += [one["address"] for one in shown["subscribers"]]
        query = f"?limit=1&cursor={shown['nextCursor']}" if shown["nextCursor"] else ""
    assert seen == ["1", "2", "3", "viber-1"]


async def test_a_person_is_forgotten_by_every_bot_or_by_one(doors: Doors) -> None:
    await tell(doors)
    path = f"/v1/subscribers/{quote('+380500000001')}"
    for expected in (200, 404):
        answer = await doors.call("DELETE", f"{path}?channel=viber_bot")
        assert answer.status == expected
    assert await addresses(doors) == ["1", "2", "3"]
    assert (await doors.call("DELETE", path)).json == {"deleted": 1}
    assert await addresses(doors) == ["2", "3"]


async def test_a_forgotten_person_is_passed_over(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="delivers", sms="delivers")
    assert (await city.until(await city.send_one(id="before"), "delivered"))["channel"] == "telegram_bot"
    assert (await city.call("DELETE", f"/v1/subscribers/{quote(PHONE)}")).status == 200
    after = await city.until(await city.send_one(id="after"), "delivered")
    assert (after["channel"], after["extendedStatuses"]["telegram_bot"]) == ("sms", "skipped")


async def test_another_accounts_subscribers_are_out_of_reach(doors: Doors) -> None:
    await tell(doors)
    link = doors.bot(Channel.TELEGRAM_BOT, OTHER_TELEGRAM).link
    assert (await doors.call("GET", f"/v1/subscribers?link={link}")).error["field"] == "link"
    answer = await doors.call("DELETE", f"/v1/subscribers/{quote('+380500000009')}")
    nobody = await doors.call("DELETE", f"/v1/subscribers/{quote('+380500000008')}")
    assert (answer.status, answer.body) == (404, nobody.body)
    assert await addresses(doors, headers=OTHER) == ["9"]


REFUSED = {  # method, path, field
    "phone of nonsense": ("GET", "?phone=911", "phone"),
    "phone of nonsense to forget": ("DELETE", "/911", "phone"),
    "another bot": ("GET", "?link=telegram_bot.999", "link"),
    "a filter that is not known": ("GET", "?bot=1", "bot"),
    "a filter that is not known, to forget": ("DELETE", "/%2B380500000001?bot=1", "bot"),
    "a filter twice": ("GET", "?channel=viber_bot&channel=telegram_bot", "channel"),
    "a filter twice, to forget": ("DELETE", "/%2B380500000001?channel=viber_bot&channel=telegram_bot", "channel"),
    "a cursor of nonsense": ("GET", "?cursor=AAAAAAAA", "cursor"),
}


@pytest.mark.parametrize(("method", "path", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_request_is_refused(doors: Doors, method: str, path: str, field: str) -> None:
    answer = await doors.call(method, f"/v1/subscribers{path}")
    assert (answer.status, answer.error["field"]) == (400, field)
