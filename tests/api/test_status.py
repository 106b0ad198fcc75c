"""The status object: where a message stands, and everything that was tried."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from cascade.core.words import Channel
from cascade.settings import RouteStep

from .doors import AUTH, OTHER_KEY, PHONE, Doors, opened

INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


class Case(NamedTuple):
    """How the person behaves, what is sent, and until when to wait; then what the object says."""

    person: dict[str, str]
    fields: dict[str, Any]
    until: str
    says: dict[str, Any]
    words: dict[str, str]


UNUSED = {"viber_business": "not_used", "rcs": "not_used"}
SKIPPED = {"viber_business": "skipped", "rcs": "skipped"}
HOUR = timedelta(hours=1)

CASES = {
    "scheduled: nothing was tried": Case(
        {"sms": "delivers"},
        {"scheduledSent": (datetime.now(UTC) + HOUR).isoformat()},
        "scheduled",
        {"deliverystatus": "scheduled", "channel": None, "finishedAt": None},
        {"telegram_bot": "not_used", "viber_bot": "not_used", "sms": "not_used"} | UNUSED,
    ),
    "processing: the provider has it": Case(
        {"sms": "silent"},
        {},
        "accepted",
        {"deliverystatus": "processing", "channel": None, "finishedAt": None, "partscount": 1},
        {"telegram_bot": "skipped", "viber_bot": "skipped", "sms": "accepted"} | SKIPPED,
    ),
    "delivered by the first channel: the others were not used": Case(
        {"telegram_bot": "delivers", "viber_bot": "delivers"},
        {},
        "delivered",
        {"deliverystatus": "delivered", "channel": "telegram_bot", "read": False},
        {"telegram_bot": "delivered", "viber_bot": "not_used", "sms": "not_used"} | UNUSED,
    ),
    "delivered by the last": Case(
        {"viber_bot": "blocked"},
        {},
        "delivered",
        {"deliverystatus": "delivered", "channel": "sms", "deliveredVia": "sms"},
        {"telegram_bot": "skipped", "viber_bot": "rejected", "sms": "delivered"} | SKIPPED,
    ),
    "read": Case(
        {"viber_bot": "reads"},
        {},
        "read",
        {"deliverystatus": "delivered", "channel": "viber_bot", "read": True},
        {"telegram_bot": "skipped", "viber_bot": "read", "sms": "not_used"} | UNUSED,
    ),
    "undeliverable: everything was tried": Case(
        {"sms": "rejects"},
        {},
        "undeliverable",
        {"deliverystatus": "undeliverable", "channel": None, "deliveredVia": None},
        {"telegram_bot": "skipped", "viber_bot": "skipped", "sms": "rejected"} | SKIPPED,
    ),
    "a long text: its parts are counted": Case(
        {"sms": "delivers"},
        {"text": "Ваш код 1234. " * 10},
        "delivered",
        {"deliverystatus": "delivered", "channel": "sms", "partscount": 3},
        {"telegram_bot": "skipped", "viber_bot": "skipped", "sms": "delivered"} | SKIPPED,
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_says(city: Doors, case: str) -> None:
    person, fields, until, says, words = CASES[case]
    await city.people(PHONE, **person)
    status = await city.until(await city.send_one(**fields), until)
    assert status.items() >= says.items()
    assert status["extendedStatuses"] == words


async def test_no_channel_at_all_is_a_permanent_error_with_its_reasons(doors: Doors) -> None:
    with capture_logs() as said:
        status = await doors.status(await doors.send_one(id="order-1"))
    assert said == []  # a channel that a person lacks is no failure, and fills no log
    assert status["deliverystatus"] == "permanenterror"
    assert (status["trackinId"], status["attempts"][0]["attempt"]) == ("order-1", None)
    assert {attempt["channel"]: (attempt["state"], attempt["reason"]) for attempt in status["attempts"]} == {
        "telegram_bot": ("skipped", "not_subscribed"),
        "viber_bot": ("skipped", "not_subscribed"),
        "viber_business": ("skipped", "no_channel"),
        "rcs": ("skipped", "no_channel"),
        "sms": ("skipped", "no_channel"),
    }
    assert INSTANT.fullmatch(status["finishedAt"])


async def test_a_survey_on_a_route_without_surveys_is_a_permanent_error_with_its_reason(tmp_path: Path) -> None:
    steps = [RouteStep(channel=Channel.TELEGRAM_BOT)]
    async with opened(tmp_path, routes={"standard": steps, "tg-viber": steps}) as doors:
        status = await doors.status(await doors.send_one(messageType="viber_survey", surveyOptions=["Yes", "No"]))
    assert (status["deliverystatus"], status["rate"], status["attempts"]) == ("permanenterror", 0.0, [])
    assert [(entry["event"], entry["reason"]) for entry in status["timeline"]] == [("skipped", "content_unfit")]


async def test_attempts_say_when_and_why(city: Doors) -> None:
    await city.people(PHONE, viber_bot="blocked", sms="delivers")
    status = await city.until(await city.send_one(), "delivered")
    viber, sms = (attempt for attempt in status["attempts"] if attempt["attempt"])
    assert (viber["channel"], viber["attempt"], viber["state"], viber["reason"]) == (
        "viber_bot",
        1,
        "rejected",
        "not_subscribed",
    )
    assert (sms["channel"], sms["attempt"], sms["state"], sms["reason"]) == ("sms", 2, "delivered", None)
    times = [
        status["acceptedAt"],
        viber["startedAt"],
        viber["endedAt"],
        sms["startedAt"],
        sms["endedAt"],
        status["finishedAt"],
    ]
    assert all(INSTANT.fullmatch(at) for at in times)
    assert sorted(times) == times
    assert sms["providerId"]


async def test_telegram_never_confirms_and_sms_does(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="delivers")
    by_telegram = await city.until(await city.send_one(), "delivered")
    await city.people(PHONE, sms="delivers")
    by_sms = await city.until(await city.send_one(), "delivered")
    assert [attempt["confirmed"] for attempt in by_telegram["attempts"]] == [False]
    assert [attempt["confirmed"] for attempt in by_sms["attempts"] if attempt["channel"] == "sms"] == [True]
    assert [entry["confirmed"] for entry in by_telegram["timeline"] if entry["event"] == "delivered"] == [False]


async def test_fallbacks_are_the_channels_that_were_left(city: Doors) -> None:
    await city.people(PHONE, viber_bot="delivers")
    status = await city.until(await city.send_one(), "delivered")
    assert status["fallbacks"] == [
        {"type": "viber_business", "status": "not_used"},
        {"type": "rcs", "status": "not_used"},
        {"type": "sms", "status": "not_used"},
    ]


async def test_a_late_delivery_makes_an_undeliverable_message_delivered(city: Doors) -> None:
    await city.people(PHONE, viber_bot="silent", sms="rejects")
    message_id = await city.send_one()
    status = await city.until(message_id, "undeliverable")
    (viber,) = (attempt for attempt in status["attempts"] if attempt["channel"] == "viber_bot" and attempt["attempt"])
    assert (viber["state"], viber["reason"]) == ("timed_out", "no_receipt")
    await city.viber_callback({"event": "delivered", "timestamp": 1, "message_token": int(viber["providerId"])})
    status = await city.until(message_id, "delivered")
    assert (status["deliverystatus"], status["channel"]) == ("delivered", "viber_bot")
    assert status["extendedStatuses"]["viber_bot"] == "delivered"


async def test_another_accounts_message_and_none_at_all_are_answered_alike(doors: Doors) -> None:
    message_id = await doors.send_one()
    wanted = {
        "another account's": (message_id, {"X-Authorization-Key": OTHER_KEY}),
        "nobody's": ("0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b", AUTH),
        "no id": ("nonsense", AUTH),
        "an id cut off": (message_id[:-1], AUTH),
    }
    answers = {
        case: await doors.call("GET", f"/bat/message/{path}", headers=headers)
        for case, (path, headers) in wanted.items()
    }
    assert {case: answer.status for case, answer in answers.items()} == dict.fromkeys(wanted, 404)
    assert len({answer.body for answer in answers.values()}) == 1
    assert (await doors.call("GET", f"/bat/message/{message_id}")).status == 200
