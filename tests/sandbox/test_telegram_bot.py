"""The Telegram twin, driven by python-telegram-bot wherever that can say it, else by plain HTTP."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import FormData
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from cascade.sandbox.app import Sandbox
from sandbox.conftest import OTHER_PHONE, PATIENCE_S, PHONE, TELEGRAM_TOKEN, Client, Gateway

CHAT = 380501112233
PICTURE = "https://example.com/cat.png"
METHOD = f"/bot{TELEGRAM_TOKEN}"
TLS = ssl.create_default_context()
"""One for all bots: each would read all certificates of the machine, twice, and speaks plain HTTP here."""


def connect(url: str, token: str = TELEGRAM_TOKEN) -> Bot:
    both = [HTTPXRequest(read_timeout=PATIENCE_S, httpx_kwargs={"verify": TLS}) for _ in ("calls", "get_updates")]
    return Bot(token, base_url=f"{url}/bot", request=both[0], get_updates_request=both[1])


@pytest.fixture
async def bot(sandbox: Sandbox, client: Client) -> AsyncIterator[Bot]:
    await client.put(PHONE, telegram_bot="delivers")
    async with connect(sandbox.url) as bot:
        yield bot


def keyboard(*rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"inline_keyboard": list(rows)}


def button(**action: Any) -> dict[str, Any]:
    return {"text": "Tap", **action}


async def test_the_bot_knows_itself(bot: Bot) -> None:
    assert (await bot.get_me()).username == "sandbox_123456_bot"
    assert bot.id == 123456


BEHAVIOURS = {  # behaviour -> what the first try raises and with what words, how the second ends, messages in the inbox
    "delivers": (None, "", None, 2),
    "reads": (None, "", None, 2),
    "silent": (None, "", None, 2),
    "late": (None, "", None, 2),
    "repeats": (None, "", None, 2),
    "absent": (BadRequest, "^Chat not found$", BadRequest, 0),
    "blocked": (Forbidden, "^Forbidden: bot was blocked by the user$", Forbidden, 0),
    "rejects": (BadRequest, "^Can't parse entities", BadRequest, 0),
    "throttled": (RetryAfter, "Retry in 1 ", None, 1),
    "down": (NetworkError, "^Bad Gateway$", NetworkError, 0),
    "answer_lost": (NetworkError, "RemoteProtocolError|ReadError", NetworkError, 2),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")  # of RetryAfter's argument type
async def test_behaviour(bot: Bot, client: Client, behaviour: str) -> None:
    first, words, second, in_inbox = BEHAVIOURS[behaviour]
    await client.put(PHONE, telegram_bot=behaviour)
    for error in (first, second):
        if error is None:
            assert (await bot.send_message(CHAT, "hello")).text == "hello"
        else:
            with pytest.raises(TelegramError, match=words) as raised:
                await bot.send_message(CHAT, "hello")
            assert type(raised.value) is error
    assert len(await client.inbox()) == in_inbox


async def test_a_message_reaches_the_phone_as_it_would_look(bot: Bot, client: Client) -> None:
    markup = InlineKeyboardMarkup(
        [
            [InlineKeyboardButton("Shop", url="https://example.com")],
            [InlineKeyboardButton("Good", callback_data="a1"), InlineKeyboardButton("Bad", callback_data="a2")],
        ]
    )
    sent = await bot.send_message(CHAT, "Привіт 👋", reply_markup=markup)
    assert sent.chat.id == CHAT
    assert sent.reply_markup == markup
    [received] = await client.inbox()
    assert received.pop("received_at")
    assert received == {
        "channel": "telegram_bot",
        "from": "sandbox_123456_bot",
        "text": "Привіт 👋",
        "media": {},
        "buttons": [{"text": "Shop", "url": "https://example.com"}],
        "options": ["Good", "Bad"],
        "revoked": False,
        "provider_id": str(sent.message_id),
    }


async def test_media_reaches_the_phone(bot: Bot, client: Client) -> None:
    photo = await bot.send_photo(CHAT, PICTURE, caption="cat")
    assert photo.caption == "cat"
    assert photo.photo
    assert (await bot.send_video(CHAT, "https://example.com/cat.mp4", duration=3)).video is not None
    assert (await bot.send_document(CHAT, b"%PDF-", filename="price.pdf")).document is not None
    assert [(received["text"], received["media"]) for received in await client.inbox()] == [
        ("cat", {"image": PICTURE}),
        ("", {"video": "https://example.com/cat.mp4"}),
        ("", {"file": "upload:price.pdf"}),
    ]


AS_TEXT = {
    "chat_id": str(CHAT),
    "text": "hi",
    "reply_markup": '{"inline_keyboard": [[{"text": "Tap", "url": "https://example.com"}]]}',
}

ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "json": (
        "POST",
        {"json": {"chat_id": CHAT, "text": "hi", "reply_markup": keyboard([button(url="https://example.com")])}},
    ),
    "form": ("POST", {"data": AS_TEXT}),
    "multipart": ("POST", {"data": FormData(AS_TEXT, default_to_multipart=True)}),
    "query": ("GET", {"params": AS_TEXT}),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_parameters_come_in_any_encoding_and_any_case(bot: Bot, client: Client, encoding: str) -> None:
    method, parameters = ENCODINGS[encoding]
    async with client.session.request(method, f"{client.url}{METHOD}/SENDMESSAGE", **parameters) as response:
        assert response.status == 200
    [received] = await client.inbox()
    assert received["buttons"] == [{"text": "Tap", "url": "https://example.com"}]


REFUSED = {  # method, body, code, description
    "no text": ("sendMessage", {"chat_id": CHAT}, 400, "Bad Request: message text is empty"),
    "no chat": ("sendMessage", {"text": "hi"}, 400, "Bad Request: chat_id is empty"),
    "a chat nobody has": ("sendMessage", {"chat_id": 1, "text": "hi"}, 400, "Bad Request: chat not found"),
    "4097 characters": ("sendMessage", {"chat_id": CHAT, "text": "x" * 4097}, 400, "Bad Request: message is too long"),
    "2049 emoji": ("sendMessage", {"chat_id": CHAT, "text": "👋" * 2049}, 400, "Bad Request: message is too long"),
    "an unknown parse mode": (
        "sendMessage",
        {"chat_id": CHAT, "text": "hi", "parse_mode": "BBCode"},
        400,
        "Bad Request: unsupported parse_mode",
    ),
    "a caption of 1025": (
        "sendPhoto",
        {"chat_id": CHAT, "photo": PICTURE, "caption": "x" * 1025},
        400,
        "Bad Request: message caption is too long",
    ),
    "no photo": ("sendPhoto", {"chat_id": CHAT}, 400, "Bad Request: there is no photo in the request"),
    "a photo by ftp": (
        "sendPhoto",
        {"chat_id": CHAT, "photo": "ftp://example.com/a.png"},
        400,
        "Bad Request: wrong HTTP URL specified",
    ),
    "an unknown method": ("sendCarrot", {}, 404, "Not Found"),
    "a number that is none": (
        "getUpdates",
        {"offset": "soon"},
        400,
        'Bad Request: parameter "offset" must be a number',
    ),
    "a forged callback": (
        "answerCallbackQuery",
        {"callback_query_id": "1"},
        400,
        "Bad Request: query is too old and response timeout expired or query ID is invalid",
    ),
    "a webhook that is no URL": (
        "setWebhook",
        {"url": "somewhere"},
        400,
        "Bad Request: bad webhook: An HTTPS URL must be provided for webhook",
    ),
    "a secret with a space": (
        "setWebhook",
        {"url": "https://example.com", "secret_token": "a b"},
        400,
        "Bad Request: secret token contains unallowed characters",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(bot: Bot, client: Client, case: str) -> None:
    method, body, code, description = REFUSED[case]
    answer = await client.call("POST", f"{METHOD}/{method}", body)
    assert answer == (code, {"ok": False, "error_code": code, "description": description})
    assert await client.inbox() == []


BUTTONS = {  # keyboard, start of the refusal; None: it is taken
    "a link": (keyboard([button(url="https://example.com")]), None),
    "a tg link": (keyboard([button(url="tg://user?id=1")]), None),
    "64 bytes of data": (keyboard([button(callback_data="x" * 64)]), None),
    "65 bytes of data": (keyboard([button(callback_data="x" * 65)]), "BUTTON_DATA_INVALID"),
    "33 Cyrillic letters are 66 bytes": (keyboard([button(callback_data="ї" * 33)]), "BUTTON_DATA_INVALID"),
    "no action": (keyboard([button()]), "can't parse inline keyboard button: Text buttons are unallowed"),
    "two actions": (keyboard([button(url="https://a.example", callback_data="a")]), "BUTTON_TYPE_INVALID"),
    "no text": (keyboard([{"url": "https://a.example"}]), "can't parse inline keyboard button: Can't find field"),
    "not a URL": (keyboard([button(url="example")]), "inline keyboard button URL 'example' is invalid"),
    "9 in a row": (keyboard([button(callback_data="a")] * 9), "reply markup is too long"),
    "101 in all": (keyboard(*[[button(callback_data="a")]] * 101), "reply markup is too long"),
    "not rows": ({"inline_keyboard": [button(callback_data="a")]}, "can't parse reply keyboard markup"),
    "a list": ([1], "object expected as reply markup"),
    "text that is no JSON": ("{", "can't parse JSON object"),
}


@pytest.mark.parametrize("case", BUTTONS)
async def test_button_rules(bot: Bot, client: Client, case: str) -> None:
    markup, refusal = BUTTONS[case]
    status, answer = await client.call(
        "POST", f"{METHOD}/sendMessage", {"chat_id": CHAT, "text": "hi", "reply_markup": markup}
    )
    if refusal is None:
        assert status == 200
        assert answer["result"]["reply_markup"] == markup
    else:
        assert status == 400
        assert answer["description"].startswith(f"Bad Request: {refusal}")


async def test_the_longest_text_is_taken(bot: Bot) -> None:
    assert (await bot.send_message(CHAT, "👋" * 2048)).text == "👋" * 2048


async def test_a_stranger_token_is_refused(bot: Bot, client: Client) -> None:
    async with HTTPXRequest() as request:
        with pytest.raises(InvalidToken, match="Unauthorized"):
            await Bot("123456:forged", base_url=f"{client.url}/bot", request=request).get_me()


async def test_a_deleted_message_is_shown_as_revoked(bot: Bot, client: Client) -> None:
    sent = await bot.send_message(CHAT, "oops")
    assert await bot.delete_message(CHAT, sent.message_id)
    assert [received["revoked"] for received in await client.inbox()] == [True]
    with pytest.raises(BadRequest, match="Message to delete not found"):
        await bot.delete_message(CHAT, sent.message_id)


async def test_a_message_of_two_days_cannot_be_deleted(bot: Bot, sandbox: Sandbox) -> None:
    sent = await bot.send_message(CHAT, "old")
    sandbox.people.get(PHONE).inbox[0].received_at = "2026-01-01T00:00:00+00:00"
    with pytest.raises(BadRequest, match="can't be deleted"):
        await bot.delete_message(CHAT, sent.message_id)


async def ask(bot: Bot) -> None:
    await bot.send_message(
        CHAT,
        "How was it?",
        reply_markup=InlineKeyboardMarkup([[InlineKeyboardButton("Good", callback_data="a1")]]),
    )


async def test_a_tap_comes_as_a_callback_query_and_is_answered_once(bot: Bot, client: Client) -> None:
    await ask(bot)
    assert (await client.call("POST", f"/people/{PHONE}/answer", {"channel": "telegram_bot", "option": "Good"}))[
        0
    ] == 200
    [update] = await bot.get_updates()
    query = update.callback_query
    assert query is not None
    assert (query.data, query.from_user.id) == ("a1", CHAT)
    assert query.message is not None
    assert await query.answer()
    with pytest.raises(BadRequest, match="Query is too old"):
        await query.answer()


CONTACTS = {  # whose contact is shared -> its user_id
    "their own": (PHONE, CHAT),
    "of somebody the bot knows": (OTHER_PHONE, 380671112233),
    "of a stranger": ("+380931112233", None),
}


@pytest.mark.parametrize("case", CONTACTS)
async def test_a_contact_is_vouched_for_by_its_user_id(bot: Bot, client: Client, case: str) -> None:
    owner, user_id = CONTACTS[case]
    await client.put(OTHER_PHONE, telegram_bot="delivers")
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot", "phone": owner})
    [update] = await bot.get_updates()
    message = update.message
    assert message is not None
    assert message.contact is not None
    assert message.from_user is not None
    assert (message.from_user.id, message.contact.user_id) == (CHAT, user_id)
    assert f"+{message.contact.phone_number}" == owner


async def test_blocking_and_unblocking_is_told(bot: Bot, client: Client) -> None:
    await client.put(PHONE, telegram_bot="blocked")
    await client.put(PHONE, telegram_bot="reads")
    changes = [update.my_chat_member for update in await bot.get_updates()]
    assert [change and change.new_chat_member.status for change in changes] == ["kicked", "member"]


async def test_a_poll_waits_for_news(bot: Bot, client: Client) -> None:
    await ask(bot)
    poll = asyncio.create_task(bot.get_updates(timeout=int(PATIENCE_S)))
    await requests_seen(client, 3)
    await client.call("POST", f"/people/{PHONE}/answer", {"channel": "telegram_bot", "option": "Good"})
    assert len(await asyncio.wait_for(poll, PATIENCE_S)) == 1


async def test_an_update_stays_until_confirmed(bot: Bot, client: Client) -> None:
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
    first, second = await bot.get_updates()
    assert [update.update_id for update in await bot.get_updates()] == [first.update_id, second.update_id]
    assert [update.update_id for update in await bot.get_updates(offset=second.update_id)] == [second.update_id]
    assert await bot.get_updates(offset=second.update_id + 1) == ()


async def test_a_second_poller_ends_the_first(bot: Bot, client: Client) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=int(PATIENCE_S)))
    await requests_seen(client, 2)
    await client.call("POST", f"{METHOD}/getUpdates", {})
    with pytest.raises(Conflict, match="terminated by other getUpdates"):
        await asyncio.wait_for(first, PATIENCE_S)


async def test_only_allowed_updates_come(bot: Bot, client: Client) -> None:
    await bot.get_updates(allowed_updates=["callback_query"])
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
    assert await bot.get_updates() == ()


async def test_the_webhook_gets_updates_with_its_secret_until_it_acknowledges(
    bot: Bot, client: Client, gateway: Gateway
) -> None:
    gateway.statuses = [500, 503]
    await bot.set_webhook(f"{gateway.url}/tg", secret_token="s3cret")
    await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
    tries = await gateway.take(3)
    assert {post.raw for post in tries} == {tries[0].raw}
    assert {post.headers["X-Telegram-Bot-Api-Secret-Token"] for post in tries} == {"s3cret"}
    update = Update.de_json(tries[0].json, bot)
    assert update.message is not None
    assert update.message.contact is not None


async def test_polling_and_a_webhook_exclude_each_other(bot: Bot, gateway: Gateway) -> None:
    await bot.set_webhook(f"{gateway.url}/tg")
    assert (await bot.get_webhook_info()).url == f"{gateway.url}/tg"
    with pytest.raises(Conflict, match="webhook is active"):
        await bot.get_updates()
    await bot.delete_webhook()
    assert (await bot.get_webhook_info()).url == ""
    assert await bot.get_updates() == ()


async def test_updates_of_before_the_webhook_are_kept_or_dropped_as_asked(
    bot: Bot, client: Client, gateway: Gateway
) -> None:
    for drop in (True, False):
        await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "telegram_bot"})
        await bot.set_webhook(f"{gateway.url}/tg", drop_pending_updates=drop)
        if not drop:
            await gateway.take(1)
        await bot.delete_webhook()
    assert gateway.posts.empty()


async def test_ids_of_messages_grow(bot: Bot) -> None:
    ids = [(await bot.send_message(CHAT, "hi")).message_id for _ in range(3)]
    assert ids == sorted(set(ids))


async def test_log_out_and_close(bot: Bot) -> None:
    assert await bot.log_out()
    assert await bot.close()


async def test_the_secret_is_not_in_what_a_person_sees(bot: Bot, client: Client) -> None:
    await bot.send_message(CHAT, "hi")
    assert not re.search("telegram-secret", str(await client.inbox()))


async def requests_seen(client: Client, count: int) -> None:
    """Wait until the twin has had so many requests, the bot's own getMe among them."""
    async with asyncio.timeout(PATIENCE_S):
        while (await client.call("GET", "/counters"))[1]["telegram_bot"]["requests"] < count:
            pass
