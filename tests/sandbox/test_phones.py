"""The people interface and the phones page."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cascade.sandbox.app import Sandbox, SandboxSettings
from cascade.sandbox.viber_bot import user_id_of
from sandbox.conftest import (
    GATEWAY_KEY,
    OTHER_PHONE,
    PHONE,
    TELEGRAM_TOKEN,
    VIBER_TOKEN,
    Client,
    Gateway,
)

CHAT = 380501112233
CHANNELS = ["telegram_bot", "viber_bot", "viber_business", "rcs", "sms", "flashcall"]
DEFAULTS = dict.fromkeys(CHANNELS, "delivers") | {"telegram_bot": "absent", "viber_bot": "absent"}


async def send(client: Client, text: str = "hello", **fields: Any) -> Any:
    body = {"chat_id": CHAT, "text": text} | fields
    status, answer = await client.call("POST", f"/bot{TELEGRAM_TOKEN}/sendMessage", body)
    assert status == 200, answer
    return answer["result"]


def options(*texts: str) -> dict[str, Any]:
    return {"inline_keyboard": [[{"text": text, "callback_data": text.lower()}] for text in texts]}


async def test_a_phone_never_set_is_on_no_bot_and_well_elsewhere(client: Client) -> None:
    status, person = await client.call("GET", f"/people/{PHONE}")
    assert (status, person["channels"]) == (200, DEFAULTS)
    assert await client.call("GET", "/people") == (200, [])


async def test_a_phone_behaves_as_put_and_by_default_where_not_named(client: Client) -> None:
    await client.put(PHONE, rcs="down")
    await client.put(PHONE, telegram_bot="blocked", sms="silent")
    expected = DEFAULTS | {"telegram_bot": "blocked", "sms": "silent"}
    assert (await client.call("GET", f"/people/{PHONE}"))[1]["channels"] == expected
    assert [person["phone"] for person in (await client.call("GET", "/people"))[1]] == [PHONE]


@pytest.mark.parametrize("spelling", ["+380501112233", "%2B380501112233", "380501112233"])
async def test_a_phone_in_the_path_comes_in_any_form(client: Client, spelling: str) -> None:
    await client.put(spelling, sms="silent")
    assert (await client.call("GET", f"/people/{PHONE}"))[1]["channels"]["sms"] == "silent"


REFUSED = {  # method, path after /people, body, status, field, an allowed word
    "an unknown channel": ("PUT", f"/{PHONE}", {"pigeon": "delivers"}, 400, "pigeon", "telegram_bot"),
    "an unknown behaviour": ("PUT", f"/{PHONE}", {"sms": "sings"}, 400, "sms", "answer_lost"),
    "a behaviour that is no word": ("PUT", f"/{PHONE}", {"sms": ["silent"]}, 400, "sms", "delivers"),
    "a phone too short": ("PUT", "/+38050", {}, 400, "phone", None),
    "a phone with a leading 0": ("GET", "/0501112233", None, 400, "phone", None),
    "a phone with letters": ("GET", "/+38050call/inbox", None, 400, "phone", None),
    "a body that is no object": ("PUT", f"/{PHONE}", ["sms"], 400, "body", None),
    "no body": ("PUT", f"/{PHONE}", None, 400, "body", None),
    "an answer on no channel": (
        "POST", f"/{PHONE}/answer", {"channel": "fax", "option": "1"}, 400, "channel", "viber_bot",
    ),
    "an answer to nothing": (
        "POST", f"/{PHONE}/answer", {"channel": "telegram_bot", "option": "1"}, 409, "option", None,
    ),
    "a contact without a channel": ("POST", f"/{PHONE}/share-contact", {}, 400, "channel", "telegram_bot"),
    "a contact that is no phone": (
        "POST", f"/{PHONE}/share-contact", {"channel": "viber_bot", "phone": "12"}, 400, "phone", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_with_the_field_and_the_words_allowed(client: Client, case: str) -> None:
    method, path, body, expected, field, word = REFUSED[case]
    status, answer = await client.call(method, f"/people{path}", body)
    assert (status, answer["error"]["field"]) == (expected, field)
    assert word is None or word in answer["error"]["allowed"]
    assert await client.call("GET", "/people") == (200, [])


async def test_the_inbox_is_kept_in_order_until_it_is_emptied(client: Client) -> None:
    await client.put(PHONE, telegram_bot="delivers")
    for text in ("one", "two"):
        await send(client, text)
    assert [received["text"] for received in await client.inbox()] == ["one", "two"]
    assert (await client.call("DELETE", f"/people/{PHONE}/inbox"))[0] == 200
    assert await client.inbox() == []


ANSWERS = {  # texts of the options sent, revoked or not, oldest first; option; status, and what the bot gets
    "to the newest message": ([(["Yes"], False), (["Good", "Bad"], False)], "Bad", 200, "bad"),
    "to one not asked": ([(["Yes"], False), (["Good", "Bad"], False)], "Yes", 400, None),
    "past one without options": ([(["Good"], False), ([], False)], "Good", 200, "good"),
    "past one revoked": ([(["Yes"], False), (["Good"], True)], "Yes", 200, "yes"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer(client: Client, case: str) -> None:
    messages, option, expected, data = ANSWERS[case]
    await client.put(PHONE, telegram_bot="delivers")
    for texts, revoked in messages:
        sent = await send(client, reply_markup=options(*texts))
        if revoked:
            ids = {"chat_id": CHAT, "message_id": sent["message_id"]}
            await client.call("POST", f"/bot{TELEGRAM_TOKEN}/deleteMessage", ids)
    status, _ = await client.call("POST", f"/people/{PHONE}/answer", {"channel": "telegram_bot", "option": option})
    updates = (await client.call("POST", f"/bot{TELEGRAM_TOKEN}/getUpdates", {}))[1]["result"]
    assert status == expected
    assert [update["callback_query"]["data"] for update in updates] == ([] if data is None else [data])


async def test_sharing_a_contact_brings_an_absent_person_to_the_bot(client: Client) -> None:
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
    assert (await send(client))["chat"]["id"] == CHAT


@pytest.fixture
async def told(settings: SandboxSettings, gateway: Gateway, client: Client) -> AsyncIterator[Client]:
    """A client of a sandbox that tells a gateway who has talked to its bots."""
    settings = dataclasses.replace(
        settings, viber_tokens=(VIBER_TOKEN, "second"), gateway_url=gateway.url, gateway_key=GATEWAY_KEY
    )
    sandbox = Sandbox(settings)
    await sandbox.start()
    yield Client(client.session, sandbox.url)
    await sandbox.stop()


async def test_the_gateway_is_told_before_the_put_is_answered(told: Client, gateway: Gateway) -> None:
    await told.put(PHONE, telegram_bot="blocked", viber_bot="reads", sms="silent")
    posts = [gateway.posts.get_nowait() for _ in range(gateway.posts.qsize())]
    viber = {
        "id": user_id_of(PHONE),
        "name": "Person 2233",
        "phone": PHONE,
        "country": "UA",
        "language": "uk",
        "avatar": "",
    }
    telegram = {
        "id": CHAT,
        "firstName": "Person 2233",
        "lastName": "",
        "userName": "",
        "phone": PHONE,
        "languageCode": "uk",
    }
    assert {post.headers["X-Authorization-Key"] for post in posts} == {GATEWAY_KEY}
    assert [(post.path, post.json) for post in posts] == [
        (f"/api/tg_bot/{TELEGRAM_TOKEN}", telegram),
        (f"/api/viber_bot/{VIBER_TOKEN}", viber),
        ("/api/viber_bot/second", viber),
    ]


async def test_the_gateway_is_not_told_of_the_absent(told: Client, gateway: Gateway) -> None:
    await told.put(PHONE, telegram_bot="absent", sms="delivers")
    assert gateway.posts.empty()


async def test_a_put_the_gateway_refuses_changes_nothing(told: Client, gateway: Gateway) -> None:
    gateway.statuses = [403]
    status, answer = await told.call("PUT", f"/people/{PHONE}", {"telegram_bot": "delivers"})
    assert (status, answer["error"]["field"]) == (502, "telegram_bot")
    assert answer["error"]["message"].endswith("403 said the gateway")
    assert await told.call("GET", "/people") == (200, [])


async def test_a_gateway_that_is_away_is_a_refusal_too(settings: SandboxSettings, client: Client) -> None:
    sandbox = Sandbox(dataclasses.replace(settings, gateway_url="http://127.0.0.1:1"))
    await sandbox.start()
    away = Client(client.session, sandbox.url)
    status, answer = await away.call("PUT", f"/people/{PHONE}", {"viber_bot": "reads"})
    await sandbox.stop()
    assert (status, answer["error"]["field"]) == (502, "viber_bot")


async def test_the_counters_count_requests_and_accepted_messages(client: Client) -> None:
    await client.put(PHONE, telegram_bot="throttled")
    for _ in range(3):
        await client.call("POST", f"/bot{TELEGRAM_TOKEN}/sendMessage", {"chat_id": CHAT, "text": "hi"})
    counters = (await client.call("GET", "/counters"))[1]
    assert counters.pop("telegram_bot") == {"requests": 3, "accepted": 2}
    assert all(other == {"requests": 0, "accepted": 0} for other in counters.values())


async def page(client: Client, query: str = "") -> str:
    async with client.session.get(f"{client.url}/{query}") as response:
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        return await response.text()


async def test_the_page_lists_the_phones(client: Client) -> None:
    assert "Nobody yet" in await page(client)
    await client.put(PHONE)
    await client.put(OTHER_PHONE)
    shown = await page(client)
    assert PHONE in shown
    assert OTHER_PHONE in shown


@pytest.mark.parametrize("query", ["?phone=%2B380501112233", "?phone=+380501112233", "?phone=380501112233"])
async def test_the_page_shows_what_reached_a_phone(client: Client, query: str) -> None:
    await client.put(PHONE, telegram_bot="delivers")
    sent = await send(client, "first")
    await client.call(
        "POST", f"/bot{TELEGRAM_TOKEN}/deleteMessage", {"chat_id": CHAT, "message_id": sent["message_id"]}
    )
    await send(client, "second", reply_markup=options("Good"))
    await client.call(
        "POST",
        f"/bot{TELEGRAM_TOKEN}/sendPhoto",
        {
            "chat_id": CHAT,
            "photo": "https://example.com/cat.png",
            "reply_markup": {"inline_keyboard": [[{"text": "Shop", "url": "https://example.com/shop"}]]},
        },
    )
    shown = await page(client, query)
    assert 'class="message revoked"' in shown
    for part in ("first", "second", "Good</button>", 'href="https://example.com/cat.png"', ">Shop</a>"):
        assert part in shown


async def test_a_message_cannot_write_into_the_page(client: Client) -> None:
    await client.put(PHONE, telegram_bot="delivers")
    attack = '"><script>alert(1)</script>'
    await send(client, attack, reply_markup=options(attack[:40]))
    await client.call(
        "POST",
        f"/bot{TELEGRAM_TOKEN}/sendMessage",
        {
            "chat_id": CHAT,
            "text": "tg",
            "reply_markup": {"inline_keyboard": [[{"text": "tg", "url": "tg://user?id=1"}]]},
        },
    )
    shown = await page(client, "?phone=380501112233")
    assert "<script>alert" not in shown
    assert 'href="tg:' not in shown
