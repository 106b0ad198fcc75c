"""What people tell a Telegram bot. The updates are made by aiogram and read by python-telegram-bot, too."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import telegram
from aiogram import types
from aiohttp import web

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse, HttpTransport
from cascade.channels.telegram_bot import TelegramBot, heard
from cascade.core.attempt import Attempt
from cascade.core.content import Button, Content, Media
from cascade.core.errors import MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.secret import Secret
from cascade.core.words import MessageType

BOT = TelegramBot(Secret("123456:AAH-very-secret"))
NOW = datetime(2026, 11, 24, tzinfo=UTC)
PERSON = types.User(id=5_000_000_001, is_bot=False, first_name="Olena", username="olena", language_code="uk")
OURSELVES = types.User(id=123_456, is_bot=True, first_name="Shop")
PRIVATE = types.Chat(id=PERSON.id, type="private", first_name="Olena")
GROUP = types.Chat(id=-100_123, type="supergroup", title="Everyone")
PROFILE = {"firstName": "Olena", "userName": "olena", "languageCode": "uk"}
ADDRESS = str(PERSON.id)
PAYLOAD = f"{bytes(range(16)).hex()}:1"
ASKED = types.Message(message_id=41, date=NOW, chat=PRIVATE, from_user=OURSELVES, text="How was it?")


def message(chat: types.Chat = PRIVATE, **fields: Any) -> types.Update:
    said = types.Message(message_id=42, date=NOW, chat=chat, from_user=PERSON, **fields)
    return types.Update(update_id=7, message=said)


def member(status: str, chat: types.Chat = PRIVATE) -> types.Update:
    states: dict[str, types.ChatMemberMember | types.ChatMemberBanned | types.ChatMemberLeft] = {
        "member": types.ChatMemberMember(user=OURSELVES),
        "kicked": types.ChatMemberBanned(user=OURSELVES, until_date=NOW),
        "left": types.ChatMemberLeft(user=OURSELVES),
    }
    before = "kicked" if status == "member" else "member"
    change = types.ChatMemberUpdated(
        chat=chat, from_user=PERSON, date=NOW, old_chat_member=states[before], new_chat_member=states[status]
    )
    return types.Update(update_id=7, my_chat_member=change)


def contact(user_id: int | None, **fields: Any) -> types.Update:
    return message(contact=types.Contact(phone_number="380501112233", first_name="Olena", user_id=user_id), **fields)


def person(kind: InboundKind, id_: str = "update:7", **fields: Any) -> Inbound:
    return Inbound(id_, kind, ADDRESS, profile=PROFILE, **fields)


FORWARD = types.MessageOriginHiddenUser(date=NOW, sender_user_name="Somebody")
HEARD: dict[str, tuple[types.Update, Inbound | str]] = {
    "a text": (message(text="Where is it?"), person(InboundKind.TEXT, text="Where is it?")),
    "a text that answers a message": (
        message(text="2", reply_to_message=ASKED),
        person(InboundKind.TEXT, text="2", reply_to="41"),
    ),
    "the words under a picture": (
        message(photo=[types.PhotoSize(file_id="a", file_unique_id="b", width=1, height=1)], caption="broken"),
        person(InboundKind.TEXT, text="broken"),
    ),
    "Start": (message(text="/start"), person(InboundKind.STARTED)),
    "Start by a link": (message(text="/start spring-sale"), person(InboundKind.STARTED, payload="spring-sale")),
    "a tap": (
        types.Update(
            update_id=7,
            callback_query=types.CallbackQuery(
                id="4382bfdwdsb", from_user=PERSON, chat_instance="1", message=ASKED, data=PAYLOAD
            ),
        ),
        person(InboundKind.TAP, "tap:4382bfdwdsb", payload=PAYLOAD, reply_to="41"),
    ),
    "a tap on a message of long ago": (
        types.Update(
            update_id=7, callback_query=types.CallbackQuery(id="9", from_user=PERSON, chat_instance="1", data=PAYLOAD)
        ),
        person(InboundKind.TAP, "tap:9", payload=PAYLOAD),
    ),
    "their own contact": (contact(PERSON.id), person(InboundKind.CONTACT, phone="380501112233")),
    "a contact of somebody who is on Telegram": (contact(PERSON.id + 1), "foreign_contact"),
    "a contact of somebody who is not": (contact(None), "foreign_contact"),
    "their own contact, forwarded": (contact(PERSON.id, forward_origin=FORWARD), "foreign_contact"),
    "a block": (member("kicked"), person(InboundKind.STOPPED)),
    "a parting": (member("left"), person(InboundKind.STOPPED)),
    "an unblock": (member("member"), person(InboundKind.STARTED)),
    "the bot in a group": (member("member", GROUP), "not_private"),
    "a text in a group": (message(GROUP, text="hello"), "not_private"),
    "a sticker": (message(dice=types.Dice(emoji="🎲", value=3)), "no_text"),
    "an edited text": (types.Update(update_id=7, edited_message=ASKED), "other_update"),
}


def as_sent(update: types.Update) -> dict[str, Any]:
    said: dict[str, Any] = seconds(orjson.loads(update.model_dump_json(by_alias=True, exclude_none=True)))
    return said


def seconds(value: Any) -> Any:
    """aiogram writes times as text; Telegram as seconds."""
    if isinstance(value, dict):
        return {
            name: int(NOW.timestamp()) if name in ("date", "until_date") else seconds(part)
            for name, part in value.items()
        }
    return [seconds(part) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("update", "expected"), HEARD.values(), ids=HEARD)
def test_what_an_update_says(update: types.Update, expected: Inbound | str) -> None:
    sent = as_sent(update)
    judged = telegram.Update.de_json(sent, None)
    assert judged is not None
    assert judged.update_id == 7
    told = heard([sent])
    assert [*told.inbound, *told.ignored] == [expected]
    if isinstance(expected, Inbound) and judged.effective_user is not None:
        assert expected.address == str(judged.effective_user.id)


def test_the_webhook_is_asked_for_as_the_judge_would() -> None:
    """With a secret that Telegram allows, another one for each bot."""
    request = BOT.set_webhook("https://gateway.example/callbacks/telegram_bot.1")
    assert request.url.endswith("/setWebhook")
    fields = dict(request.json)
    assert 1 <= len(fields["secret_token"]) <= 256
    assert fields["secret_token"].isalnum()
    assert fields["secret_token"] != TelegramBot(Secret("1:other")).webhook_secret
    assert set(fields["allowed_updates"]) == {"message", "callback_query", "my_chat_member"}
    assert set(fields["allowed_updates"]) <= set(telegram.Update.ALL_TYPES)
    assert "AAH" not in fields["secret_token"]


def test_what_is_no_update_is_malformed() -> None:
    for body in (b"", b"[]", b"null", b"{}", b'{"update_id":1,"message":{}}', b'{"update_id":1,"message":{"chat":7}}'):
        headers = {"x-telegram-bot-api-secret-token": BOT.webhook_secret}
        with pytest.raises(MalformedCallbackError):
            BOT.hear(Callback("POST", "https://gateway.example", headers, body))


async def test_the_longest_texts_in_a_burst_hold_up_no_poll() -> None:
    """Telegram writes each Cyrillic letter as six octets, and repeats what is answered: 100 such are ten megabytes."""
    long = {"message_id": 42, "date": 1, "chat": {"id": 1, "type": "private"}, "from": {"id": 1}, "text": "я" * 4_096}
    pending = [{"update_id": number, "message": long | {"reply_to_message": long}} for number in range(1, 101)]

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        after = [update for update in pending if update["update_id"] >= asked.get("offset", 0)]
        return web.json_response({"ok": True, "result": after[: asked.get("limit", 100)]})  # ASCII alone, as Telegram's

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bot = TelegramBot(Secret("1:a"), f"http://127.0.0.1:{runner.addresses[0][1]}")
    transport = HttpTransport(bot, "telegram_bot.1")
    heard_ids: list[str] = []
    offset = None
    while (polled := bot.polled(await transport.fetch(bot.poll_request(offset)))).next is not None:
        heard_ids += [one.id for one in polled.heard.inbound]
        offset = polled.next
    assert heard_ids == [f"update:{number}" for number in range(1, 101)]
    await transport.stop(0)
    await runner.cleanup()


def test_one_poll_brings_many_and_confirms_them_with_the_next() -> None:
    """One that cannot be read is counted and left behind: it would come again for ever."""
    updates = [as_sent(message(text="hello")), {"update_id": 9, "message": {}}, as_sent(member("kicked"))]
    polled = BOT.polled(HttpResponse(200, body=orjson.dumps({"ok": True, "result": updates})))
    assert [one.kind for one in polled.heard.inbound] == [InboundKind.TEXT, InboundKind.STOPPED]
    assert polled.heard.ignored == ["malformed"]
    assert polled.next == 10
    assert BOT.poll_request(polled.next).json["offset"] == 10
    odd = BOT.polled(
        HttpResponse(200, body=b'{"ok":true,"result":[{"update_id":11,"message":{}},null,{"update_id":"x"}]}')
    )
    assert (odd.heard.ignored, odd.next) == (["malformed"] * 3, 12)
    nothing = BOT.polled(HttpResponse(200, body=b'{"ok":true,"result":[]}'))
    assert (bool(nothing.heard), nothing.next, nothing.problem) == (False, None, None)
    conflict = b'{"ok":false,"error_code":409,"description":"Conflict: terminated by other getUpdates request"}'
    assert "409" in (BOT.polled(HttpResponse(409, body=conflict)).problem or "")


def test_who_is_asked_for_their_phone() -> None:
    started, said = person(InboundKind.STARTED), person(InboundKind.TEXT, text="hello")
    for asks, expected in (("never", (0, 0)), ("start", (1, 0)), ("always", (1, 1))):
        bot = TelegramBot(Secret("1:x"), asks_phone=asks)  # type: ignore[arg-type]
        asked = tuple(int(bot.reply_request(one, is_known=False) is not None) for one in (started, said))
        assert asked == expected
        assert bot.reply_request(started, is_known=True) is None
    request = BOT.reply_request(started, is_known=False)
    assert request is not None
    markup = request.json["reply_markup"]
    judged = telegram.ReplyKeyboardMarkup(
        [[telegram.KeyboardButton("Share my number", request_contact=True)]],
        resize_keyboard=True,
        one_time_keyboard=True,
    )
    assert markup.items() <= judged.to_dict().items()
    tapped = BOT.reply_request(person(InboundKind.TAP, "tap:9", payload=PAYLOAD), is_known=True)
    assert tapped is not None
    assert (tapped.url.rpartition("/")[2], tapped.json) == ("answerCallbackQuery", {"callback_query_id": "9"})


IMAGE = "https://cdn.example/gone.jpg"
UNFETCHED = "Bad Request: failed to get HTTP URL content"


def second(content: Content, description: str, status: int = 400) -> HttpRequest | None:
    answer = orjson.dumps({"ok": False, "error_code": status, "description": description})
    attempt = Attempt(1, bytes(16), 1, ADDRESS, "Shop", MessageType.PROMO, content, window_s=30)
    return BOT.second_try(attempt, HttpResponse(status, body=answer))


WORDINGS = [
    UNFETCHED,
    "Bad Request: wrong HTTP URL specified",
    "Bad Request: wrong type of the web page content",
    "Bad Request: wrong file identifier/HTTP URL specified",
    "Bad Request: WEBPAGE_CURL_FAILED",
    "Bad Request: IMAGE_PROCESS_FAILED",
    "Bad Request: PHOTO_INVALID_DIMENSIONS",
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_medium_that_telegram_cannot_fetch_goes_as_a_link(wording: str) -> None:
    content = Content("Sale!", media=Media(image=IMAGE), buttons=(Button("Buy", "https://shop.example"),))
    request = second(content, wording)
    assert request is not None
    assert request.url.endswith("/sendMessage")
    assert request.json["text"] == f"Sale!\n\n{IMAGE}"
    assert "inline_keyboard" in request.json["reply_markup"]


ONCE = {
    "it was a text already": (Content("Sale!"), UNFETCHED, 400),
    "the person is the trouble": (Content("Sale!", media=Media(image=IMAGE)), "Bad Request: chat not found", 400),
    "the person has blocked the bot": (Content("Sale!", media=Media(image=IMAGE)), "Forbidden: bot was blocked", 403),
}


@pytest.mark.parametrize(("content", "description", "status"), ONCE.values(), ids=ONCE)
def test_nothing_else_goes_twice(content: Content, description: str, status: int) -> None:
    assert second(content, description, status) is None
