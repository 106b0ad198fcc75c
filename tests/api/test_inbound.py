"""What people tell the account, from their phones to its webhook and back into what it may send: over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import standardwebhooks
from aiohttp import web

from cascade.core.directory import ApiKey
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.serve import now_ms
from cascade.store import accounts

from .doors import HOST, OTHER_KEY, PATIENCE_S, PHONE, POLL_S, TELEGRAM, VIBER, Answer, Doors

OPTIONS = ["Good", "Bad", "So so"]
BOTS = {"telegram_bot": TELEGRAM, "viber_bot": VIBER}


class Shop:
    """The account's server; it keeps what it was told, by type, once each signature has been checked."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.told: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.told.append(standardwebhooks.Webhook(self.secret).verify(await request.read(), headers))
        return web.Response(status=204)

    async def hears(self, type_: str, **data: Any) -> dict[str, Any]:
        """The first event of that type with such data."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for event in self.told:
                if event["type"] == type_ and data.items() <= event["data"].items():
                    return dict(event["data"])
            assert time.monotonic() < deadline, [event["type"] for event in self.told]
            await asyncio.sleep(POLL_S)

    def count(self, type_: str) -> int:
        return sum(event["type"] == type_ for event in self.told)


class Town:
    """A gateway, the phones of a sandbox, and an account that listens."""

    def __init__(self, doors: Doors, shop: Shop) -> None:
        self.doors = doors
        self.shop = shop

    async def act(self, act: str, **body: Any) -> None:
        assert self.doors.sandbox is not None
        url = f"{self.doors.sandbox.url}/people/{PHONE}/{act}"
        async with self.doors.session.post(url, data=orjson.dumps(body)) as answer:
            assert answer.status == 200, await answer.text()

    async def inbox(self, phone: str = PHONE) -> list[dict[str, Any]]:
        assert self.doors.sandbox is not None
        async with self.doors.session.get(f"{self.doors.sandbox.url}/people/{phone}/inbox") as answer:
            return list(await answer.json())

    async def survey(self, *channels: str, **fields: Any) -> str:
        asked = {
            "messageType": "viber_survey",
            "text": "How was it?",
            "surveyOptions": OPTIONS,
            "route": list(channels),
        }
        return await self.doors.send_one(**{**asked, **fields})

    async def get(self, path: str) -> Any:
        answer = await self.doors.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    async def subscribed(self, phone: str = PHONE) -> dict[str, bool]:
        """The bots that know the phone, and whether the person is still there."""
        found = await self.get(f"/v1/subscribers?phone=%2B{phone[1:]}")
        return {one["channel"]: "stoppedAt" not in one for one in found["subscribers"]}

    async def becomes(self, so: Any, expected: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await so() != expected:  # noqa: ASYNC110 - anything may be what is waited for
                await asyncio.sleep(POLL_S)


async def listening(doors: Doors, shop: Shop) -> None:
    answer = await doors.call("POST", "/v1/webhooks", {"url": shop.url})
    assert answer.status in (200, 201), answer.body
    shop.secret = answer.json["secret"]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/hook", shop.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    shop.url = f"http://{HOST}:{runner.addresses[0][1]}/hook"
    yield shop
    await runner.cleanup()


@pytest.fixture
async def town(city: Doors, shop: Shop) -> Town:
    await listening(city, shop)
    return Town(city, shop)


@pytest.fixture
async def town_of_each(city_of_each: Doors, shop: Shop) -> Town:
    await listening(city_of_each, shop)
    return Town(city_of_each, shop)


@pytest.mark.parametrize("channel", ["telegram_bot", "viber_bot", "sms"])
async def test_an_answer_to_a_survey_comes_back(town_of_each: Town, channel: str) -> None:
    """By whatever channel: told once, shown in the status and in the results; a second one changes nothing."""
    town = town_of_each
    await town.doors.people(telegram_bot="delivers", viber_bot="delivers")
    id_ = await town.survey(channel, tags=["spring"])
    await town.doors.until(id_, "delivered")
    await town.act("answer", channel=channel, option="Bad")
    told = await town.shop.hears("survey.answered")
    assert (told["messageId"], told["answer"], told["answerNumber"]) == (id_, "Bad", 2)
    assert told["channel"] == channel
    status = await town.doors.status(id_)
    assert (status["survey"], status["read"]) == ("Bad", True)

    await town.act("answer", channel=channel, option="Good")
    await town.becomes(lambda: repeated(town, "spring"), 1)
    expected = {"asked": 1, "delivered": 1, "answered": 1, "repeated": 1, "late": 0}
    for survey in ("spring", id_):
        results = await town.get(f"/v1/surveys/{survey}")
        assert expected.items() <= results.items()
        assert [(one["number"], one["option"], one["answers"]) for one in results["options"]] == [
            (1, "Good", 0),
            (2, "Bad", 1),
            (3, "So so", 0),
        ]
        assert results["options"][1]["channels"] == {channel: 1}
    assert (await town.doors.status(id_))["survey"] == "Bad"
    assert town.shop.count("survey.answered") == 1


async def repeated(town: Town, survey: str) -> int:
    return int((await town.get(f"/v1/surveys/{survey}"))["repeated"])


async def test_an_answer_stops_the_cascade(town: Town) -> None:
    """Viber's receipt does not come, but the person answers: no SMS follows."""
    await town.doors.people(viber_bot="silent")
    id_ = await town.survey({"channel": "viber_bot", "windowS": 30}, "sms")  # type: ignore[arg-type]
    await town.doors.until(id_, "accepted")
    await town.act("answer", channel="viber_bot", option="Good")
    status = await town.doors.until(id_, "delivered", "read")
    assert (status["deliverystatus"], status["survey"]) == ("delivered", "Good")
    assert [shown["channel"] for shown in await town.inbox()] == ["viber_bot"]


async def test_by_sms_the_question_says_how_to_answer(town: Town) -> None:
    await town.survey("sms")
    await town.survey("sms", id="two", text="Як вам?", surveyOptions=["Добре", "Погано"])

    async def shown() -> list[str]:
        return sorted(one["text"] for one in await town.inbox())

    await town.becomes(
        shown,
        [
            "How was it?\n1. Good\n2. Bad\n3. So so\nReply 1-3",
            "Як вам?\n1. Добре\n2. Погано\nНадішліть 1-2",
        ],
    )


SAID = {
    "its number": ("2", "Bad"),
    "its words": ("so SO!", "So so"),
    "both": ("1. Good", "Good"),
    "too large a number": ("4", None),
    "something else": ("leave me", None),
}


@pytest.mark.parametrize(("text", "option"), SAID.values(), ids=SAID)
async def test_what_is_written_by_sms(town: Town, text: str, option: str | None) -> None:
    id_ = await town.survey("sms")
    await town.doors.until(id_, "delivered")
    await town.act("write", channel="sms", text=text)
    if option is None:
        told = await town.shop.hears("inbound.received")
        assert (told["kind"], told["text"], told["phone"], told["channel"]) == ("text", text, PHONE, "sms")
        assert "survey" not in await town.doors.status(id_)
    else:
        assert (await town.shop.hears("survey.answered"))["answer"] == option


async def test_a_long_sms_is_one_text(town: Town) -> None:
    await town.doors.until(await town.doors.send_one(route=["sms"]), "delivered")
    text = "Дуже довга відповідь 🙂 " * 12
    await town.act("write", channel="sms", text=text)
    assert (await town.shop.hears("inbound.received"))["text"] == text
    assert town.shop.count("inbound.received") == 1


async def test_a_forged_tap_counts_for_nothing(town: Town) -> None:
    """What the app sends back is checked against what was sent: another place, another message, another person."""
    await town.doors.people(telegram_bot="delivers")
    other = "+380501112299"
    await town.doors.people(other, telegram_bot="delivers")
    id_ = await town.survey("telegram_bot")
    await town.doors.until(id_, "delivered")
    assert town.doors.sandbox is not None
    person, stranger = town.doors.sandbox.people.look(PHONE), town.doors.sandbox.people.look(other)
    [received] = person.inbox
    genuine = received.replies["Bad"]
    before = await town.doors.metric('cascade_survey_answers_total{standing="forged"}')
    for who, data in (
        (person, genuine[:-1] + "7"),
        (person, "f" * 32 + ":1"),
        (person, "a word"),
        (stranger, genuine),
    ):
        received.replies["Bad"] = data
        town.doors.sandbox.telegram_bot.answer(who, received, "Bad")

    async def forged() -> float:
        return await town.doors.metric('cascade_survey_answers_total{standing="forged"}') - before

    await town.becomes(forged, 4.0)
    assert "survey" not in await town.doors.status(id_)
    assert not [event for event in town.shop.told if event["type"] in ("survey.answered", "inbound.received")]


async def test_who_shares_their_contact_can_be_written_to(town: Town) -> None:
    """Pressing Start brings the question for the phone, sharing it an entry; somebody else's contact brings nothing."""
    await town.act("write", channel="telegram_bot", text="/start spring-sale")
    started = await town.shop.hears("inbound.received", kind="started")
    assert (started["payload"], started["phone"]) == ("spring-sale", None)

    async def asked() -> list[Any]:
        return [one["buttons"] for one in await town.inbox()][:1]

    await town.becomes(asked, [[{"text": "Share my number", "action": "share-contact"}]])
    link = town.doors.bot(Channel.TELEGRAM_BOT, TELEGRAM).link
    ignored = f'cascade_inbound_ignored_total{{link="{link}",why="foreign_contact"}}'
    before = await town.doors.metric(ignored)
    await town.act("share-contact", channel="telegram_bot", phone="+380501112299")

    async def foreign() -> float:
        return await town.doors.metric(ignored) - before

    await town.becomes(foreign, 1.0)
    assert await town.subscribed("+380501112299") == {}
    await town.act("share-contact", channel="telegram_bot")
    await town.shop.hears("inbound.received", kind="contact", phone=PHONE)
    assert await town.subscribed() == {"telegram_bot": True}
    await town.doors.until(await town.doors.send_one(route=["telegram_bot"]), "delivered")


@pytest.mark.parametrize("channel", BOTS)
async def test_who_leaves_is_passed_over_at_once(town: Town, channel: str) -> None:
    await town.doors.people(**{channel: "delivers"})
    await town.doors.people(**{channel: "blocked"})
    await town.shop.hears("inbound.received", kind="stopped", phone=PHONE)
    status = await town.doors.status(await town.doors.send_one(route=[channel]))
    assert [(one["state"], one["reason"]) for one in status["attempts"]] == [("skipped", "not_subscribed")]
    assert await town.subscribed() == {channel: False}


async def test_stop_and_start(town: Town) -> None:
    """After STOP no advertising goes out, and what is no advertising goes as before; START undoes it."""
    await town.doors.until(await town.doors.send_one(route=["sms"]), "delivered")
    await town.act("write", channel="sms", text=" Стоп. ")
    told = await town.shop.hears("inbound.received")
    assert (told["optOut"], told["text"]) == ("stop", " Стоп. ")
    [entered] = (await town.get("/v1/opt-outs"))["optOuts"]
    assert (entered["phone"], entered["link"]) == (PHONE, "sms.smpp")
    for type_ in ("promo", "viber_survey"):
        fields: dict[str, Any] = {"surveyOptions": OPTIONS} if type_ == "viber_survey" else {}
        id_ = await town.doors.send_one(messageType=type_, id=type_, text="Sale!", **fields)
        status = await town.doors.status(id_)
        assert status["deliverystatus"] == "permanenterror"
        assert [entry["reason"] for entry in status["timeline"]] == ["opted_out"]
    await town.doors.until(await town.doors.send_one(id="code", text="Your code is 1"), "delivered")
    await town.act("write", channel="sms", text="START")
    await town.shop.hears("inbound.received", optOut="start")
    await town.doors.until(await town.doors.send_one(messageType="promo", id="again", text="Sale!"), "delivered")


async def test_stop_ends_what_waits(town: Town) -> None:
    await town.doors.until(await town.doors.send_one(route=["sms"]), "delivered")
    hour = "2026-12-01T00:00:00Z"
    promo = await town.doors.send_one(messageType="promo", id="later", scheduledSent=hour)
    code = await town.doors.send_one(id="code later", scheduledSent=hour)
    await town.act("write", channel="sms", text="STOP")
    await town.doors.until(promo, "permanenterror")
    assert (await town.doors.status(code))["deliverystatus"] == "scheduled"


async def test_opt_outs_are_listed_entered_and_undone(doors: Doors) -> None:
    phones = [f"+38050111220{digit}" for digit in range(3)]
    for phone in phones:
        assert (await doors.call("PUT", f"/v1/opt-outs/{phone}")).json["link"] is None
    first = (await doors.call("GET", "/v1/opt-outs?limit=2")).json
    second = (await doors.call("GET", f"/v1/opt-outs?limit=2&cursor={first['nextCursor']}")).json
    assert [one["phone"] for page in (first, second) for one in page["optOuts"]] == phones
    assert second["nextCursor"] is None
    assert (await doors.call("DELETE", f"/v1/opt-outs/{phones[0]}")).json == {"deleted": 1}
    gone: Answer = await doors.call("DELETE", f"/v1/opt-outs/{phones[0]}")
    assert (gone.status, gone.error["code"]) == (404, "NOT_FOUND")


async def test_a_survey_that_is_none(doors: Doors) -> None:
    id_ = await doors.send_one()
    for survey in (id_, "no-such-tag"):
        answer = await doors.call("GET", f"/v1/surveys/{survey}")
        assert (answer.status, answer.error["code"]) == (404, "NOT_FOUND")


async def test_on_a_shared_link_it_is_for_who_wrote_last(town: Town) -> None:
    """STOP concerns that account alone."""
    other = {"X-Authorization-Key": OTHER_KEY}
    async with town.doors.gateway.database.transaction() as tx:
        account_id = await accounts.add_account(tx, "other", now_ms())
        await accounts.add_key(tx, ApiKey(account_id, "first"), Secret(OTHER_KEY), now_ms())
    await town.doors.gateway.refresh()
    await town.doors.until(await town.doors.send_one(id="ours", route=["sms"]), "delivered")
    id_ = await town.doors.send_one(id="theirs", route=["sms"], headers=other)
    async with asyncio.timeout(PATIENCE_S):
        while (await town.doors.status(id_, other))["deliverystatus"] != "delivered":  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    await town.act("write", channel="sms", text="STOP")

    async def opted_out() -> list[int]:
        async with town.doors.gateway.database.reading() as reader:
            return [one for (one,) in await reader.rows("SELECT account_id FROM opt_out")]

    await town.becomes(opted_out, [account_id])
    await town.doors.until(await town.doors.send_one(id="ours again", messageType="promo", text="Sale!"), "delivered")


async def test_a_late_answer_changes_nothing(town: Town) -> None:
    id_ = await town.survey("sms", tags=["spring"])
    await town.doors.until(id_, "delivered")
    async with town.doors.gateway.database.transaction() as tx:
        await tx.execute("UPDATE message SET expires_at_ms = ?", (now_ms() - 1,))
    await town.act("write", channel="sms", text="2")

    async def late() -> int:
        return int((await town.get("/v1/surveys/spring"))["late"])

    await town.becomes(late, 1)
    assert "survey" not in await town.doors.status(id_)
    assert town.shop.count("survey.answered") == 0


async def test_a_webhook_that_somebody_set_is_taken_away(town: Town) -> None:
    """Telegram then answers polls with 409 and brings us nothing; what was written meanwhile comes once it is gone."""
    assert town.doors.sandbox is not None
    url = f"{town.doors.sandbox.url}/bot{TELEGRAM}/setWebhook"
    async with town.doors.session.post(url, json={"url": f"http://{HOST}:9/elsewhere"}) as answer:
        assert answer.status == 200
    await town.act("write", channel="telegram_bot", text="hello?")
    assert (await town.shop.hears("inbound.received", text="hello?"))["channel"] == "telegram_bot"
