"""The directories of the bots, as clients fill them."""

from typing import Any

import pytest

from cascade.core.words import Channel
from cascade.store import subscribers

from .doors import AUTH, OTHER_KEY, OTHER_TELEGRAM, OTHER_VIBER, PHONE, SECOND_TELEGRAM, TELEGRAM, VIBER, Doors

TG = f"/api/tg_bot/{TELEGRAM}"
VB = f"/api/viber_bot/{VIBER}"
OTHER_PHONE = "+380671112233"

STORED: dict[str, tuple[str, Any, dict[str, str]]] = {
    "one Telegram user": (TG, {"id": 42, "phone": PHONE}, {PHONE: "42"}),
    "a chat id as text": (TG, {"id": "42", "phone": PHONE}, {PHONE: "42"}),
    "a chat id beyond 32 bits": (TG, {"id": 7_300_000_000, "phone": PHONE}, {PHONE: "7300000000"}),
    "all that Telegram tells": (
        TG,
        {
            "id": 42,
            "firstName": "Олена",
            "lastName": "К",
            "userName": "olena",
            "phone": PHONE,
            "languageCode": "uk",
        },
        {PHONE: "42"},
    ),
    "several": (TG, [{"id": 1, "phone": PHONE}, {"id": 2, "phone": OTHER_PHONE}], {PHONE: "1", OTHER_PHONE: "2"}),
    "the same phone twice: the later": (TG, [{"id": 1, "phone": PHONE}, {"id": 2, "phone": PHONE}], {PHONE: "2"}),
    "fields we do not know": (TG, {"id": 42, "phone": PHONE, "isPremium": True}, {PHONE: "42"}),
    "nobody": (TG, [], {}),
    "a Viber user": (
        VB,
        {
            "id": "AbC+/=",
            "name": "Olena",
            "phone": PHONE,
            "country": "UA",
            "language": "uk",
            "avatar": "https://a.example/1",
        },
        {PHONE: "AbC+/="},
    ),
}
REFUSED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "no phone": (
        TG,
        {"id": 42},
        {
            "code": "MISSING_FIELD",
            "field": "phone",
            "index": 0,
            "message": "phone is required: it must be E.164 with the plus: + and 7 to 15 digits",
        },
    ),
    "a national phone": (TG, {"id": 42, "phone": "0501112233"}, {"code": "INVALID_PHONE", "field": "phone"}),
    "no id": (VB, [{"phone": PHONE}], {"code": "MISSING_FIELD", "field": "id", "index": 0}),
    "an id with a space": (VB, {"id": "a b", "phone": PHONE}, {"code": "INVALID_FIELD", "field": "id"}),
    "an id that is true, which is one fault": (
        TG,
        {"id": True, "phone": PHONE},
        {
            "code": "INVALID_FIELD",
            "field": "id",
            "message": "id must be 1 to 64 visible ASCII characters; Telegram's may be an integer",
            "details": [],
        },
    ),
    "the second one bad": (
        TG,
        [{"id": 1, "phone": PHONE}, {"id": 2, "phone": "+0"}],
        {"code": "INVALID_PHONE", "field": "phone", "index": 1},
    ),
    "a name that is none": (
        TG,
        {"id": 42, "phone": PHONE, "firstName": 5},
        {"field": "firstName", "message": "firstName must be a string of at most 255 characters"},
    ),
    "an entry that is no object": (TG, [1], {"code": "INVALID_FIELD", "index": 0}),
    "a text": (
        TG,
        "olena",
        {"message": "The body must be a subscriber, an object, or an array of them", "field": None, "index": None},
    ),
    "more than 5,000": (TG, [1] * 5_001, {"code": "BATCH_TOO_LARGE"}),
}


async def addresses(doors: Doors, channel: Channel, token: str) -> dict[str, str]:
    bot = doors.bot(channel, token)
    async with doors.gateway.database.reading() as reader:
        found = await subscribers.addresses(reader, bot.account_id, [bot.link], [PHONE, OTHER_PHONE])
    return {phone: by_link[bot.link] for phone, by_link in found.items()}


@pytest.mark.parametrize("case", STORED)
async def test_stores(doors: Doors, case: str) -> None:
    path, body, known = STORED[case]
    answer = await doors.call("POST", path, body)
    assert (answer.status, answer.json) == (200, {"stored": len(body) if isinstance(body, list) else 1})
    channel, token = (Channel.TELEGRAM_BOT, TELEGRAM) if path == TG else (Channel.VIBER_BOT, VIBER)
    assert await addresses(doors, channel, token) == known


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses_all_of_it(doors: Doors, case: str) -> None:
    path, body, error = REFUSED[case]
    answer = await doors.call("POST", path, body)
    assert answer.status == 400
    assert answer.error.items() >= error.items()
    assert await addresses(doors, Channel.TELEGRAM_BOT, TELEGRAM) == {}


async def test_names_every_bad_entry(doors: Doors) -> None:
    error = (await doors.call("POST", TG, [{"id": 1}, {"id": 2, "phone": PHONE}, {"phone": "+0"}])).error
    assert [(one["index"], one["field"]) for one in (error, *error["details"])] == [
        (0, "phone"),
        (2, "id"),
        (2, "phone"),
    ]


NOT_OURS = {
    "nobody's bot": "/api/tg_bot/999:nobodys",
    "another account's Telegram bot": f"/api/tg_bot/{OTHER_TELEGRAM}",
    "another account's Viber bot": f"/api/viber_bot/{OTHER_VIBER}",
    "a Viber token on Telegram's path": f"/api/tg_bot/{VIBER}",
}


async def test_a_bot_that_is_not_the_callers_is_no_bot(doors: Doors) -> None:
    answers = [await doors.call("POST", path, {"id": "1", "phone": PHONE}) for path in NOT_OURS.values()]
    assert [answer.status for answer in answers] == [404] * len(NOT_OURS)
    assert len({answer.body for answer in answers}) == 1


async def test_each_bot_has_its_own_directory(doors: Doors) -> None:
    await doors.call("POST", TG, {"id": 1, "phone": PHONE})
    assert await addresses(doors, Channel.TELEGRAM_BOT, SECOND_TELEGRAM) == {}
    other = {"X-Authorization-Key": OTHER_KEY}
    await doors.call("POST", f"/api/tg_bot/{OTHER_TELEGRAM}", {"id": 2, "phone": PHONE}, headers=other)
    assert await addresses(doors, Channel.TELEGRAM_BOT, TELEGRAM) == {PHONE: "1"}


async def test_whoever_was_told_of_is_reached_by_the_bot(city: Doors) -> None:
    assert city.sandbox is not None
    person = city.sandbox.telegram_bot.join(PHONE)
    await city.people(PHONE, sms="delivers")
    before = await city.until(await city.send_one(), "delivered")
    person.behaviours.clear()
    await city.call("POST", TG, {"id": person.addresses["telegram_bot"], "phone": PHONE}, headers=AUTH)
    after = await city.until(await city.send_one(), "delivered")
    assert before["extendedStatuses"]["telegram_bot"] == "skipped"
    assert after["extendedStatuses"]["telegram_bot"] != "skipped"
