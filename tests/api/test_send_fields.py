"""What a message may ask for beyond a text and a phone, from the door to the phone."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from cascade.core.words import Channel
from cascade.settings import PriceEntry, RouteStep

from .doors import AUTH, CASCADE, PATIENCE_S, PHONE, POLL_S, SEND, Doors, message, opened

PRICES = [
    PriceEntry(channel=Channel.VIBER_BOT, price=Decimal("0.002")),
    PriceEntry(channel=Channel.SMS, price=Decimal("0.05")),
    PriceEntry(channel=Channel.SMS, price=Decimal("0.03"), prefix="+38067"),
]
STEPS = [RouteStep(channel=channel, window_s=1) for channel in CASCADE]
ROUTES = {"standard": STEPS, "tg-viber": STEPS, "sms-only": [RouteStep(channel=Channel.SMS)]}
IMAGE = "https://example.com/a.png"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway with people to reach, prices, and a third route."""
    async with opened(tmp_path, has_sandbox=True, prices=PRICES, routes=ROUTES) as doors:
        await doors.gateway.webhooks_settled()
        yield doors


async def inbox(doors: Doors, phone: str = PHONE) -> list[dict[str, Any]]:
    assert doors.sandbox is not None
    async with doors.session.get(f"{doors.sandbox.url}/people/{phone}/inbox") as answer:
        return list(orjson.loads(await answer.read()))


async def address(doors: Doors, channel: Channel, phone: str = PHONE) -> str:
    """The person's address with the bot, which the gateway is not told of."""
    async with doors.gateway.database.transaction() as tx:
        rows = await tx.rows("SELECT address FROM subscriber WHERE phone = ? AND link LIKE ?", (phone, f"{channel}%"))
        await tx.execute("DELETE FROM subscriber WHERE phone = ?", (phone,))
    return str(rows[0][0])


async def preview(doors: Doors, *messages: Any, query: str = "validate=true") -> list[dict[str, Any]]:
    answer = await doors.call("POST", f"{SEND}?{query}", list(messages))
    assert answer.status == 200, answer.body
    return list(answer.json)


# On the way


async def test_a_named_route_is_taken(shop: Doors) -> None:
    await shop.people(telegram_bot="delivers", sms="delivers")
    status = await shop.until(await shop.send_one(route="sms-only"), "delivered")
    assert list(status["extendedStatuses"]) == ["sms"]


async def test_the_message_s_own_steps_are_taken_with_their_text_and_sender(shop: Doors) -> None:
    await shop.people(viber_bot="rejects", sms="delivers")
    route = [
        {"channel": "viber_bot", "windowS": 1, "text": "for Viber"},
        {"channel": "sms", "text": "for SMS", "from": "Info"},
    ]
    status = await shop.until(await shop.send_one(route=route), "delivered")
    assert (status["channel"], list(status["extendedStatuses"])) == ("sms", ["viber_bot", "sms"])
    assert [(one["channel"], one["text"], one["from"]) for one in await inbox(shop)] == [("sms", "for SMS", "Info")]


READERS = {
    "who reads gets no more": ("reads", ["viber_bot"]),
    "who does not gets an SMS": ("delivers", ["viber_bot", "sms"]),
}


@pytest.mark.parametrize(("behaviour", "reached"), READERS.values(), ids=READERS.keys())
async def test_a_step_may_wait_for_a_reader(shop: Doors, behaviour: str, reached: list[str]) -> None:
    await shop.people(viber_bot=behaviour, sms="delivers")
    message_id = await shop.send_one(route=[{"channel": "viber_bot", "windowS": 1, "until": "read"}, "sms"])
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if (await shop.status(message_id))["finishedAt"] is not None:
                break
            await asyncio.sleep(POLL_S)
    assert [one["channel"] for one in await inbox(shop)] == reached


async def test_telegram_gets_what_is_written_for_it(shop: Doors) -> None:
    await shop.people(telegram_bot="delivers")
    buttons = [{"text": "Shop", "action": "https://example.com/1"}, {"text": "Help", "action": "https://example.com/2"}]
    telegram = {"text": "Hi, Telegram", "photoUrl": IMAGE, "buttons": buttons}
    await shop.until(await shop.send_one(tgMessage=telegram), "delivered")
    (got,) = await inbox(shop)
    assert (got["channel"], got["text"]) == ("telegram_bot", "Hi, Telegram")
    assert IMAGE in orjson.dumps(got["media"]).decode()
    assert [button["text"] for button in got["buttons"]] == ["Shop", "Help"]


async def test_a_chat_id_needs_no_directory(shop: Doors) -> None:
    await shop.people(telegram_bot="delivers", sms="delivers")
    chat_id = await address(shop, Channel.TELEGRAM_BOT)
    status = await shop.until(await shop.send_one(tgMessage={"chatId": int(chat_id)}), "delivered")
    assert status["channel"] == "telegram_bot"


async def test_a_receiver_at_a_later_step_needs_no_directory_either(shop: Doors) -> None:
    await shop.people(telegram_bot="blocked", viber_bot="delivers", sms="delivers")
    receiver = await address(shop, Channel.VIBER_BOT)
    route = ["telegram_bot", "viber_bot"]
    fields: dict[str, Any] = {
        "route": route,
        "tgMessage": {"chatId": 1},
        "viberMessage": {"receiver": receiver, "text": "Hi, Viber"},
    }
    status = await shop.until(await shop.send_one(**fields), "delivered")
    assert status["extendedStatuses"] == {"telegram_bot": "rejected", "viber_bot": "delivered"}
    assert [one["text"] for one in await inbox(shop) if one["channel"] == "viber_bot"] == ["Hi, Viber"]


async def test_the_channels_after_viber_say_its_fallback_text(shop: Doors) -> None:
    await shop.people(viber_bot="blocked", sms="delivers")
    viber = {"text": "Hi, Viber", "fallbackText": "Hi by SMS"}
    await shop.until(await shop.send_one(viberMessage=viber), "delivered")
    assert [(one["channel"], one["text"]) for one in await inbox(shop)] == [("sms", "Hi by SMS")]


async def test_a_flash_call_that_cannot_be_made_falls_back_to_the_route(shop: Doors) -> None:
    await shop.people(sms="delivers")
    fields: dict[str, Any] = {
        "messageType": "flashcall",
        "text": None,
        "fallback": {"messageType": "transaction", "text": "Code 1234"},
    }
    status = await shop.until(await shop.send_one(**fields), "delivered")
    assert (status["channel"], status["extendedStatuses"]["flashcall"]) == ("sms", "skipped")
    assert [one["text"] for one in await inbox(shop)] == ["Code 1234"]


async def test_a_flash_call_without_a_fallback_is_over_when_it_fails(shop: Doors) -> None:
    status = await shop.until(await shop.send_one(messageType="flashcall", text=None), "permanenterror")
    assert status["extendedStatuses"] == {"flashcall": "skipped"}


async def test_a_survey_passes_telegram_and_rcs_over(shop: Doors) -> None:
    await shop.people(telegram_bot="delivers", viber_bot="absent", sms="delivers")
    survey: dict[str, Any] = {"messageType": "viber_survey", "text": "Well?", "surveyOptions": ["Yes", "No"]}
    status = await shop.until(await shop.send_one(**survey), "delivered")
    assert list(status["extendedStatuses"]) == ["viber_bot", "viber_business", "sms"]
    assert [one["text"] for one in await inbox(shop)] == ["Well?\n1. Yes\n2. No\nReply 1-2"]


async def test_what_was_delivered_is_what_it_costs(shop: Doors) -> None:
    await shop.people(viber_bot="rejects", sms="delivers")
    status = await shop.until(await shop.send_one(text="x" * 161), "delivered")
    assert (status["channel"], status["cost"], status["rateCurrency"]) == ("sms", 0.1, "USD")


async def test_a_campaigns_cost_by_channel_and_what_reached_nobody(shop: Doors) -> None:
    """Viber took the second and third message and was silent: that charge stands with what became of them after it."""
    await shop.people(telegram_bot="absent", viber_bot="delivers")
    await shop.people("+380500000001", telegram_bot="absent", viber_bot="silent", sms="delivers")
    await shop.people("+380500000002", telegram_bot="absent", viber_bot="silent", sms="silent")
    for phone in (PHONE, "+380500000001", "+380500000002"):
        id_ = await shop.send_one(toPhone=phone, tags=["sale"], messageType="promo")
        await shop.until(id_, "delivered", "undeliverable")
    answer = await shop.call("GET", "/v1/statistics?tag=sale&by=channel&by=status")
    assert {(one["channel"], one["status"], one["cost"]) for one in answer.json["groups"]} == {
        ("viber_bot", "delivered", 0.002),
        ("sms", "delivered", 0.052),
        (None, "undeliverable", 0.052),
    }


async def test_a_step_over_the_limit_of_cost_is_skipped(shop: Doors) -> None:
    await shop.people(sms="delivers")
    status = await shop.until(await shop.send_one(maxCost="0.049"), "permanenterror")
    assert status["attempts"][-1] | {"channel": "sms", "reason": "over_max_cost"} == status["attempts"][-1]


async def test_an_unknown_route_is_named_with_those_there_are(doors: Doors) -> None:
    answer = await doors.call("POST", SEND, [message(), message(route="cheap")])
    assert (answer.status, answer.error["code"], answer.error["index"]) == (400, "UNKNOWN_ROUTE", 1)
    assert "standard, tg-viber" in answer.error["message"]
    assert await doors.stored() == 0


# Part of a batch


async def test_the_good_messages_of_a_batch_are_stored_and_each_bad_one_gets_its_error(doors: Doors) -> None:
    body = [message(id="a"), message(id="b", toPhone="1", ttl=0), 5, message(id="d", text="%name=1%"), message(id="e")]
    answer = await doors.call("POST", f"{SEND}?partial=true", body)
    assert answer.status == 200
    first, second, third, fourth, fifth = answer.json
    assert (first["trackinId"], fifth["trackinId"]) == ("a", "e")
    assert first["messageId"] != fifth["messageId"]
    assert (second["trackinId"], second["error"]["code"], second["error"]["index"]) == ("b", "INVALID_PHONE", 1)
    assert [detail["code"] for detail in second["error"]["details"]] == ["INVALID_TTL"]
    assert (third["trackinId"], third["error"]["code"]) == (None, "INVALID_FIELD")
    assert (fourth["trackinId"], fourth["error"]["code"], fourth["error"]["index"]) == ("d", "UNKNOWN_VARIABLE", 3)
    assert await doors.stored() == 2


async def test_a_batch_of_bad_messages_alone_stores_nothing(doors: Doors) -> None:
    answer = await doors.call("POST", f"{SEND}?partial=true", [message(toPhone="1")])
    assert (answer.status, answer.json[0]["error"]["code"]) == (200, "INVALID_PHONE")
    assert await doors.stored() == 0


async def test_a_body_that_is_no_batch_is_refused_whole(doors: Doors) -> None:
    assert (await doors.call("POST", f"{SEND}?partial=true", [])).error["code"] == "BATCH_EMPTY"
    perhaps = await doors.call("POST", f"{SEND}?partial=perhaps", [message()])
    assert (perhaps.status, perhaps.error["message"]) == (400, "partial must be true or false")


async def test_a_key_for_the_whole_batch_is_not_one_for_a_part(doors: Doors) -> None:
    headers = {**AUTH, "Idempotency-Key": "k-1"}
    first = await doors.call("POST", SEND, [message()], headers=headers)
    other = await doors.call("POST", f"{SEND}?partial=true", [message()], headers=headers)
    assert (first.status, other.status, other.error["field"]) == (200, 400, "Idempotency-Key")


# Before it is sent


async def test_a_preview_stores_and_sends_nothing(shop: Doors) -> None:
    await shop.people(telegram_bot="delivers")
    shown = await preview(shop, message(customerData=1))
    assert "messageId" not in shown[0]
    assert shown[0]["ignored"] == ["customerData"]
    assert await shop.stored() == 0
    assert await inbox(shop) == []


async def test_a_preview_says_each_step_s_fate_times_text_and_cost(shop: Doors) -> None:
    await shop.people(viber_bot="delivers")
    button = {"text": "Shop", "url": "https://example.com"}
    (shown,) = await preview(
        shop, message(messageType="promo", text="Їжак " * 14, button=button, media={"image": IMAGE}, maxCost="1")
    )
    telegram, viber, business, rcs, sms = shown["steps"]
    assert (telegram["status"], telegram["reason"]) == ("skipped", "not_subscribed")
    assert (viber["status"], viber["text"], viber["changes"], viber["cost"]) == ("planned", "Їжак " * 14, [], "0.002")
    assert [step["reason"] for step in (business, rcs)] == ["no_channel", "no_channel"]
    assert (sms["parts"], sms["encoding"], sms["cost"]) == (2, "ucs2", "0.10")
    assert sms["changes"] == ["media_as_links", "buttons_as_links"]
    assert sms["text"].endswith(f"{IMAGE} Shop: https://example.com")
    assert viber["startsAt"] == shown["startsAt"]
    assert viber["endsAt"] == sms["startsAt"] < sms["endsAt"] <= shown["expiresAt"]
    assert (shown["costLow"], shown["costHigh"], shown["currency"]) == ("0.002", "0.102", "USD")


PREVIEWS = {  # fields, route, [(channel, status, reason)], cost low, cost high
    "a named route": ({"route": "sms-only"}, "sms-only", [("sms", "planned", None)], "0.05", "0.05"),
    "its own steps": (
        {"route": ["sms", "rcs"]},
        None,
        [("sms", "planned", None), ("rcs", "skipped", "no_channel")],
        "0.05",
        "0.05",
    ),
    "twice the same": ({"route": ["sms", "sms"]}, None, [("sms", "planned", None)] * 2, "0.05", "0.10"),
    "a limit for one of two": (
        {"route": ["sms", "sms"], "maxCost": "0.06"},
        None,
        [("sms", "planned", None)] * 2,
        "0.05",
        "0.05",
    ),
    "a limit for none": (
        {"route": ["sms"], "maxCost": "0.04"},
        None,
        [("sms", "skipped", "over_max_cost")],
        "0.00",
        "0.00",
    ),
    "a cheaper network": (
        {"route": ["sms"], "toPhone": "+380671112233"},
        None,
        [("sms", "planned", None)],
        "0.03",
        "0.03",
    ),
    "a call": (
        {"messageType": "flashcall", "text": None},
        "standard",
        [("flashcall", "skipped", "no_channel")],
        "0.00",
        "0.00",
    ),
    "a chat by its id": (
        {"route": ["telegram_bot"], "tgMessage": {"chatId": 1}},
        None,
        [("telegram_bot", "planned", None)],
        "0.00",
        "0.00",
    ),
}


@pytest.mark.parametrize(("fields", "route", "steps", "low", "high"), PREVIEWS.values(), ids=PREVIEWS.keys())
async def test_a_preview_follows_the_wishes(
    shop: Doors,
    fields: dict[str, Any],
    route: str | None,
    steps: list[tuple[str, str, str | None]],
    low: str,
    high: str,
) -> None:
    (shown,) = await preview(shop, message(**fields))
    assert shown["route"] == route
    assert [(step["channel"], step["status"], step.get("reason")) for step in shown["steps"]] == steps
    assert (shown["costLow"], shown["costHigh"]) == (low, high)


async def test_a_preview_of_what_is_scheduled_begins_at_its_hour(shop: Doors) -> None:
    (shown,) = await preview(shop, message(ttl=3600, scheduledSent="2024-01-01T00:00:00Z"))
    (later,) = await preview(shop, message(ttl=3600, scheduledSent=shown["expiresAt"]))
    assert later["startsAt"] == shown["expiresAt"] == later["steps"][-1]["startsAt"]


async def test_a_preview_refuses_what_sending_refuses(doors: Doors) -> None:
    assert (await doors.call("POST", f"{SEND}?validate=true", [message(text=None)])).error["code"] == "TEXT_REQUIRED"
    shown = await preview(doors, message(text=None), message(), query="validate=true&partial=true")
    assert (shown[0]["error"]["code"], "steps" in shown[1]) == ("TEXT_REQUIRED", True)
