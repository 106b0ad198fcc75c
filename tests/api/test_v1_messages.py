"""`/v1/messages`: what is listed and looked up, and what can still be changed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from cascade.api.v1.messages import Found, MessageShown, Page

from .doors import OTHER_KEY, PHONE, Doors, message

OTHER = {"X-Authorization-Key": OTHER_KEY}
NOBODY = "0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b"


def hours_ahead(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def page(doors: Doors, query: str = "", **given: Any) -> dict[str, Any]:
    """A page of the list; it is checked to be what the OpenAPI document says."""
    answer = await doors.call("GET", f"/v1/messages{query}", **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(Page).validate_python(answer.json) == answer.json
    return dict(answer.json)


async def ids(doors: Doors, query: str) -> list[str]:
    return [one["trackinId"] for one in (await page(doors, query))["messages"]]


async def change(doors: Doors, message_id: str, what: str, body: Any = None, **given: Any) -> dict[str, Any]:
    answer = await doors.call("POST", f"/v1/messages/{message_id}/{what}", body, **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(MessageShown).validate_python(answer.json) == answer.json
    return dict(answer.json)


async def test_a_list_shows_what_was_sent_newest_first(doors: Doors) -> None:
    first = await doors.send_one(id="first")
    second, third = await doors.send(
        message(id="second", messageType="promo", scheduledSent=hours_ahead(1)), message(id="third")
    )
    shown = await page(doors)
    assert shown["nextCursor"] is None
    assert {one["messageId"] for one in shown["messages"][:2]} == {second["messageId"], third["messageId"]}
    assert shown["messages"][2]["messageId"] == first
    by_id = {one["trackinId"]: one for one in shown["messages"]}
    scheduled = by_id["second"]
    assert (scheduled["deliverystatus"], scheduled["messageType"]) == ("scheduled", "promo")
    assert (scheduled["toPhone"], scheduled["fromName"]) == (PHONE, "YourStore")
    assert scheduled["scheduledSent"] is not None
    assert scheduled["messagelistId"] == by_id["third"]["messagelistId"] != by_id["first"]["messagelistId"]
    assert (by_id["first"]["deliverystatus"], by_id["first"]["scheduledSent"]) == ("permanenterror", None)


FILTERS: dict[str, Callable[[dict[str, Any]], str]] = {  # each finds `wanted`, and nothing else
    "status": lambda one: "status=scheduled",
    "type": lambda one: "messageType=promo",
    "phone": lambda one: f"phone={quote(one['toPhone'])}",
    "phone with a plus that nobody escaped": lambda one: f"phone={one['toPhone']}",
    "tracking id": lambda one: "trackinId=wanted",
    "all of them": lambda one: f"status=scheduled&messageType=promo&trackinId=wanted&phone={quote(one['toPhone'])}",
}


@pytest.mark.parametrize("query", FILTERS.values(), ids=FILTERS.keys())
async def test_a_filter_narrows_the_list(doors: Doors, query: Callable[[dict[str, Any]], str]) -> None:
    wanted = message(id="wanted", toPhone="+380509999999", messageType="promo", scheduledSent=hours_ahead(1))
    await doors.send(message(id="other"), wanted)
    assert await ids(doors, f"?{query(wanted)}") == ["wanted"]


async def test_the_channel_that_delivered_is_a_filter(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="delivers")
    await city.people("+380501112234", sms="delivers")
    by_bot, by_sms = await city.send_one(id="by bot"), await city.send_one(id="by sms", toPhone="+380501112234")
    await city.until(by_bot, "delivered")
    await city.until(by_sms, "delivered")
    assert await ids(city, "?channel=telegram_bot") == ["by bot"]
    assert await ids(city, "?channel=sms&status=delivered") == ["by sms"]
    assert await ids(city, "?channel=rcs") == []


async def test_times_are_those_of_acceptance(doors: Doors) -> None:
    await doors.send_one()
    (one,) = (await page(doors))["messages"]
    at = quote(one["acceptedAt"])
    assert len((await page(doors, f"?from={at}"))["messages"]) == 1
    assert (await page(doors, f"?to={at}"))["messages"] == []
    assert len((await page(doors, f"?from=2026-01-01T00:00:00%2B02:00&to={quote(hours_ahead(1))}"))["messages"]) == 1


async def test_pages_hold_every_message_once(doors: Doors) -> None:
    for start in range(0, 90, 30):
        await doors.send(*(message(id=f"order-{n}") for n in range(start, start + 30)))
    seen: list[str] = []
    query = "?limit=25"
    sizes = []
    while True:
        shown = await page(doors, query)
        seen += [one["trackinId"] for one in shown["messages"]]
        sizes.append(len(shown["messages"]))
        if shown["nextCursor"] is None:
            break
        query = f"?limit=25&cursor={shown['nextCursor']}"
    assert sizes == [25, 25, 25, 15]
    assert sorted(seen) == sorted(f"order-{n}" for n in range(90))


async def test_a_full_last_page_says_that_there_is_no_more(doors: Doors) -> None:
    await doors.send(*(message(id=f"order-{n}") for n in range(4)))
    first = await page(doors, "?limit=2")
    assert (await page(doors, f"?limit=2&cursor={first['nextCursor']}"))["nextCursor"] is None


REFUSED = {  # query, code, field
    "a filter twice": ("tag=a&tag=b", "INVALID_FIELD", "tag"),
    "limit 0": ("limit=0", "INVALID_FIELD", "limit"),
    "limit 501": ("limit=501", "INVALID_FIELD", "limit"),
    "limit no number": ("limit=many", "INVALID_FIELD", "limit"),
    "status": ("status=lost", "INVALID_FIELD", "status"),
    "channel": ("channel=pigeon", "INVALID_FIELD", "channel"),
    "type": ("messageType=letter", "INVALID_FIELD", "messageType"),
    "phone": ("phone=380501112233", "INVALID_PHONE", "phone"),
    "phone and a line end": ("phone=%2B380501112233%0A", "INVALID_PHONE", "phone"),
    "tracking id empty": ("trackinId=", "INVALID_FIELD", "trackinId"),
    "tracking id with NUL": ("trackinId=a%00b", "INVALID_FIELD", "trackinId"),
    "from": ("from=yesterday", "INVALID_FIELD", "from"),
    "from, a date alone": ("from=2026-11-23", "INVALID_FIELD", "from"),
    "from before 1970": ("from=0001-01-01T00:00:00Z", "INVALID_FIELD", "from"),
    "to after the year 9999": ("to=9999-12-31T23:59:59-05:00", "INVALID_FIELD", "to"),
    "a filter that is not known": ("stauts=delivered", "UNKNOWN_FIELD", "stauts"),
    "cursor empty": ("cursor=", "INVALID_FIELD", "cursor"),
    "cursor of nonsense": ("cursor=nonsense", "INVALID_FIELD", "cursor"),
    "cursor with signs": ("cursor=%C3%A9!", "INVALID_FIELD", "cursor"),
}


@pytest.mark.parametrize(("query", "code", "field"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_query_is_refused(doors: Doors, query: str, code: str, field: str) -> None:
    answer = await doors.call("GET", f"/v1/messages?{query}")
    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, code, field)


@pytest.mark.parametrize(
    ("query", "words"),
    {
        "phone=0501112233": "phone must be E.164 with the plus: + and 7 to 15 digits",
        "stauts=delivered": "stauts is not known here: correct or remove it",
    }.items(),
)
async def test_a_wrong_query_is_told_what_to_mend(doors: Doors, query: str, words: str) -> None:
    assert (await doors.call("GET", f"/v1/messages?{query}")).error["message"] == words


async def test_every_fault_of_a_query_is_said_at_once(doors: Doors) -> None:
    error = (await doors.call("GET", "/v1/messages?limit=0&status=lost")).error
    assert [error["field"], *(detail["field"] for detail in error["details"])] == ["status", "limit"]


async def test_a_cursor_that_was_changed_or_is_another_lists_is_refused(doors: Doors) -> None:
    await doors.send(*(message(id=f"order-{n}") for n in range(3)))
    cursor = (await page(doors, "?limit=1"))["nextCursor"]
    changed = ("A" if cursor[8] != "A" else "B").join((cursor[:8], cursor[9:]))
    for path in (f"/v1/messages?cursor={changed}", f"/v1/messages?cursor={cursor[:-2]}"):
        assert (await doors.call("GET", path)).error["field"] == "cursor"
    assert (await doors.call("GET", f"/v1/subscribers?cursor={cursor}")).error["field"] == "cursor"


async def look_up(doors: Doors, body: Any, **given: Any) -> tuple[list[str], list[str]]:
    answer = await doors.call("POST", "/v1/messages/status", body, **given)
    assert answer.status == 200, answer.body
    assert TypeAdapter(Found).validate_python(answer.json) == answer.json
    return [one["trackinId"] for one in answer.json["messages"]], answer.json["unknown"]


async def test_messages_are_looked_up_in_the_order_of_the_request(doors: Doors) -> None:
    sent = await doors.send(*(message(id=f"order-{n}") for n in range(3)))
    message_ids = [one["messageId"] for one in reversed(sent)]
    names = ["order-2", "order-1", "order-0"]
    unknown = [NOBODY, "no-uuid", ""]
    assert await look_up(doors, {"messageIds": message_ids + unknown + message_ids}) == (names, unknown)
    assert await look_up(doors, {"messageIds": [message_ids[0].upper()]}) == (["order-2"], [])
    assert await look_up(doors, {"trackinIds": [*names, "nobody", "order-2"]}) == (names, ["nobody"])
    assert await look_up(doors, {"messageIds": message_ids}, headers=OTHER) == ([], message_ids)
    assert await look_up(doors, {"trackinIds": names}, headers=OTHER) == ([], names)


LOOK_UPS_REFUSED = {  # body, code, field
    "neither": ({}, "INVALID_FIELD", None),
    "both": ({"messageIds": [NOBODY], "trackinIds": ["a"]}, "INVALID_FIELD", None),
    "none": ({"messageIds": []}, "INVALID_FIELD", "messageIds"),
    "more than 1,000": ({"messageIds": [NOBODY] * 1_001}, "INVALID_FIELD", "messageIds"),
    "a number": ({"trackinIds": ["a", 5]}, "INVALID_FIELD", "trackinIds.1"),
    "another name": ({"trackingIds": ["a"]}, "UNKNOWN_FIELD", "trackingIds"),
    "an array": (["a"], "INVALID_FIELD", None),
}


@pytest.mark.parametrize(("body", "code", "field"), LOOK_UPS_REFUSED.values(), ids=LOOK_UPS_REFUSED.keys())
async def test_a_wrong_look_up_is_refused(doors: Doors, body: Any, code: str, field: str | None) -> None:
    answer = await doors.call("POST", "/v1/messages/status", body)
    assert answer.status == 400
    faults = [answer.error, *answer.error["details"]]
    assert (code, field) in [(fault["code"], fault["field"]) for fault in faults]


@pytest.mark.parametrize("raw", [b"", b"{", b'{"trackinIds": ["\\ud800"]}', b"\xff"])
async def test_what_is_no_json_is_refused(doors: Doors, raw: bytes) -> None:
    answer = await doors.call("POST", "/v1/messages/status", raw=raw)
    assert (answer.status, answer.error["code"]) == (400, "INVALID_JSON")


async def test_one_message_in_full(doors: Doors) -> None:
    message_id = await doors.send_one(messageType="promo")
    answer = await doors.call("GET", f"/v1/messages/{message_id}")
    assert TypeAdapter(MessageShown).validate_python(answer.json) == answer.json
    ours = {"messageType": "promo", "fromName": "YourStore", "toPhone": PHONE, "scheduledSent": None}
    assert answer.json == await doors.status(message_id) | ours
    assert answer.json["rateCurrency"] == "USD"


CHANGES = {"cancel": None, "hasten": None, "reschedule": {"scheduledSent": "2026-11-23T09:30:00Z"}}


@pytest.mark.parametrize(("what", "body"), CHANGES.items(), ids=CHANGES.keys())
async def test_a_message_of_nobody_and_one_of_another_account_are_answered_alike(
    doors: Doors, what: str, body: Any
) -> None:
    message_id = await doors.send_one(scheduledSent=hours_ahead(1))
    before = await doors.status(message_id)
    for path in (f"/{NOBODY}", f"/{message_id}", "/nonsense"):
        read = await doors.call("GET", f"/v1/messages{path}", headers=OTHER)
        changed = await doors.call("POST", f"/v1/messages{path}/{what}", body, headers=OTHER)
        assert (read.status, changed.status) == (404, 404)
        assert read.body == changed.body
    assert await doors.status(message_id) == before


async def test_a_scheduled_message_is_cancelled_once_and_for_all(doors: Doors) -> None:
    message_id = await doors.send_one(scheduledSent=hours_ahead(1))
    cancelled = await change(doors, message_id, "cancel")
    assert (cancelled["deliverystatus"], cancelled["scheduledSent"]) == ("permanenterror", None)
    assert [entry["event"] for entry in cancelled["timeline"]] == ["cancelled"]
    assert cancelled["finishedAt"] is not None
    assert await change(doors, message_id, "cancel") == cancelled
    for what in ("hasten", "reschedule"):
        answer = await doors.call("POST", f"/v1/messages/{message_id}/{what}", {"scheduledSent": hours_ahead(2)})
        assert (answer.status, answer.error["code"]) == (400, "NOT_CANCELLABLE")


async def test_a_hastened_message_is_sent_now(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    message_id = await city.send_one(scheduledSent=hours_ahead(24), ttl=3600)
    hastened = await change(city, message_id, "hasten")
    assert hastened["timeline"][0]["event"] == "rescheduled"
    assert (await city.until(message_id, "delivered"))["channel"] == "sms"
    expires_at = datetime.fromisoformat(hastened["expiresAt"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


async def test_a_rescheduled_message_waits_for_its_new_hour(doors: Doors) -> None:
    message_id = await doors.send_one(scheduledSent=hours_ahead(1), ttl=3600)
    then = hours_ahead(48)
    moved = await change(doors, message_id, "reschedule", {"scheduledSent": then})
    assert (moved["deliverystatus"], moved["scheduledSent"]) == ("scheduled", then)
    assert datetime.fromisoformat(moved["expiresAt"]) == datetime.fromisoformat(then) + timedelta(hours=1)
    assert (await page(doors))["messages"][0]["scheduledSent"] == then


async def test_a_rescheduled_message_goes_when_its_new_hour_comes(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    message_id = await city.send_one(scheduledSent=hours_ahead(24))
    await change(city, message_id, "reschedule", {"scheduledSent": "2020-01-01T00:00:00Z"})
    await city.until(message_id, "delivered")


RESCHEDULES_REFUSED = {
    "no time": ({"scheduledSent": "soon"}, "INVALID_SCHEDULE", "scheduledSent"),
    "a number": ({"scheduledSent": 5}, "INVALID_SCHEDULE", "scheduledSent"),
    "more than 30 days ahead": ({"scheduledSent": hours_ahead(24 * 31)}, "INVALID_SCHEDULE", "scheduledSent"),
    "nothing": ({}, "MISSING_FIELD", "scheduledSent"),
    "another name": ({"scheduledTime": "x", "scheduledSent": hours_ahead(1)}, "UNKNOWN_FIELD", "scheduledTime"),
}


@pytest.mark.parametrize(("body", "code", "field"), RESCHEDULES_REFUSED.values(), ids=RESCHEDULES_REFUSED.keys())
async def test_a_wrong_hour_is_refused(doors: Doors, body: Any, code: str, field: str) -> None:
    message_id = await doors.send_one(scheduledSent=hours_ahead(1))
    before = await doors.status(message_id)
    answer = await doors.call("POST", f"/v1/messages/{message_id}/reschedule", body)
    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, code, field)
    assert await doors.status(message_id) == before


@pytest.mark.parametrize(("what", "body"), CHANGES.items(), ids=CHANGES.keys())
async def test_what_has_begun_is_not_changed(city: Doors, what: str, body: Any) -> None:
    await city.people(PHONE, sms="silent")
    message_id = await city.send_one()
    await city.until(message_id, "accepted")
    answer = await city.call("POST", f"/v1/messages/{message_id}/{what}", body)
    assert (answer.status, answer.error["code"]) == (400, "NOT_CANCELLABLE")
    assert "cancelled" not in [entry["event"] for entry in (await city.status(message_id))["timeline"]]


async def test_a_message_that_waits_in_its_lane_is_cancelled_and_keeps_its_place_when_hastened(doors: Doors) -> None:
    path = "/api/tg_bot/111111:first-telegram-of-acme"
    assert (await doors.call("POST", path, {"id": 7, "phone": PHONE})).status == 200
    await doors.gateway._worker.stop(0)  # nobody takes it from its lane
    message_id = await doors.send_one()
    before = await doors.status(message_id)
    assert before["deliverystatus"] == "scheduled"
    hastened = await change(doors, message_id, "hasten")
    assert {name: hastened[name] for name in before} == before
    assert (await change(doors, message_id, "cancel"))["deliverystatus"] == "permanenterror"
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT state, link FROM message") == [("final", "telegram_bot.1")]


async def test_cancelling_races_with_sending_and_one_of_them_wins(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    sent = await city.send(*(message(id=f"order-{n}", messageType="promo") for n in range(20)))
    message_ids = [one["messageId"] for one in sent]
    answers = await asyncio.gather(*(city.call("POST", f"/v1/messages/{id_}/cancel") for id_ in message_ids))
    cancelled = {id_ for id_, answer in zip(message_ids, answers, strict=True) if answer.status == 200}
    for id_ in set(message_ids) - cancelled:
        await city.until(id_, "delivered")
    assert city.sandbox is not None
    assert len(city.sandbox.people.look(PHONE).inbox) == len(message_ids) - len(cancelled)


async def test_changes_are_counted(doors: Doors) -> None:
    sample = 'cascade_messages_changed_total{change="cancel"}'
    before = await doors.metric(sample)
    message_id = await doors.send_one(scheduledSent=hours_ahead(1))
    for _ in range(2):
        await change(doors, message_id, "cancel")
    assert await doors.metric(sample) == before + 1
