"""`/v1/tags/{tag}`: all of a tag is changed, but for what has begun."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cascade.api.v1 import tags

from .doors import OTHER_KEY, PHONE, Doors, message

OTHER = {"X-Authorization-Key": OTHER_KEY}


def hours_ahead(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def campaign(doors: Doors, count: int, **fields: Any) -> list[str]:
    """The ids of scheduled messages with the tag `spring`."""
    given = {"scheduledSent": hours_ahead(1), "tags": ["spring"], "messageType": "promo"} | fields
    sent = await doors.send(*(message(id=f"order-{n}", **given) for n in range(count)))
    return [one["messageId"] for one in sent]


async def change(doors: Doors, what: str, body: Any = None, tag: str = "spring", **given: Any) -> dict[str, int]:
    answer = await doors.call("POST", f"/v1/tags/{tag}/{what}", body, **given)
    assert answer.status == 200, answer.body
    return dict(answer.json)


async def statuses(doors: Doors, message_ids: list[str]) -> set[str]:
    return {(await doors.status(message_id))["deliverystatus"] for message_id in message_ids}


async def test_a_tag_is_a_filter(doors: Doors) -> None:
    message_ids = await campaign(doors, 3)
    await doors.send(message(id="other", tags=["autumn"]), message(id="none"))
    listed = (await doors.call("GET", "/v1/messages?tag=spring")).json["messages"]
    assert {one["messageId"] for one in listed} == set(message_ids)
    assert (await doors.call("GET", "/v1/messages?tag=winter")).json["messages"] == []


async def test_a_campaign_of_many_sets_is_cancelled(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "SET", 4)
    message_ids = await campaign(doors, 10)
    apart = await campaign(doors, 1, tags=["autumn"])
    assert await change(doors, "cancel") == {"cancelled": 10, "tooLate": 0}
    assert await statuses(doors, message_ids) == {"permanenterror"}
    assert await statuses(doors, apart) == {"scheduled"}
    assert await change(doors, "cancel") == {"cancelled": 0, "tooLate": 10}


async def test_what_has_begun_goes_on_and_is_counted(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    message_ids = await campaign(city, 3)
    begun = await city.send_one(id="begun", tags=["spring"])
    await city.until(begun, "delivered")
    assert await change(city, "cancel") == {"cancelled": 3, "tooLate": 1}
    assert await statuses(city, message_ids) == {"permanenterror"}
    assert await statuses(city, [begun]) == {"delivered"}


async def test_a_hastened_campaign_is_sent_now(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    message_ids = await campaign(city, 5)
    assert await change(city, "hasten") == {"hastened": 5, "tooLate": 0}
    for message_id in message_ids:
        await city.until(message_id, "delivered")


async def test_a_campaign_moves_to_another_hour(doors: Doors) -> None:
    message_ids = await campaign(doors, 5)
    then = hours_ahead(30)
    assert await change(doors, "reschedule", {"scheduledSent": then}) == {"rescheduled": 5, "tooLate": 0}
    for message_id in message_ids:
        shown = (await doors.call("GET", f"/v1/messages/{message_id}")).json
        assert (shown["deliverystatus"], shown["scheduledSent"]) == ("scheduled", then)


async def test_another_accounts_tag_is_out_of_reach(doors: Doors) -> None:
    message_ids = await campaign(doors, 2)
    assert await change(doors, "cancel", headers=OTHER) == {"cancelled": 0, "tooLate": 0}
    assert await statuses(doors, message_ids) == {"scheduled"}


async def test_a_tag_with_every_sign_it_may_have_is_found(doors: Doors) -> None:
    await campaign(doors, 2, tags=["Spring.2026:north-west_1"])
    assert await change(doors, "cancel", tag="Spring.2026:north-west_1") == {"cancelled": 2, "tooLate": 0}


REFUSED = {  # path, body, code
    "no hour": ("/v1/tags/spring/reschedule", {}, "MISSING_FIELD"),
    "too far ahead": ("/v1/tags/spring/reschedule", {"scheduledSent": hours_ahead(24 * 31)}, "INVALID_SCHEDULE"),
    "a tag with a control character": ("/v1/tags/a%00b/cancel", None, "INVALID_FIELD"),
    "a tag too long": (f"/v1/tags/{'a' * 256}/cancel", None, "INVALID_FIELD"),
}


@pytest.mark.parametrize(("path", "body", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_request_is_refused(doors: Doors, path: str, body: Any, code: str) -> None:
    answer = await doors.call("POST", path, body)
    assert (answer.status, answer.error["code"]) == (400, code)
