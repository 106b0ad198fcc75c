"""What people tell a Viber bot: the callbacks are read by Viber's own library, too."""

from typing import Any

import orjson
import pytest
from viberbot import Api, BotConfiguration
from viberbot.api.messages import TextMessage
from viberbot.api.viber_requests import ViberMessageRequest, create_request

from cascade.channels.base import Callback, Heard
from cascade.channels.viber_bot import ViberBot
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.secret import Secret

TOKEN = "44dafb7e0f40021e-61a47a1e6778d187-f2c5a676a07050b3"
JUDGE = Api(BotConfiguration(TOKEN, "Shop", None))
BOT = ViberBot(Secret(TOKEN), welcome="Hello!", asks_phone="start")
USER = "01234567890A="
PERSON = {"id": USER, "name": "Olena", "avatar": "", "country": "UA", "language": "uk", "api_version": 10}
PROFILE = {"name": "Olena", "country": "UA", "language": "uk"}
HEX = bytes(range(16)).hex()


def callback(event: str, **fields: Any) -> bytes:
    return orjson.dumps({"event": event, "timestamp": 1, "message_token": 4912661846655238145, **fields})


def said(**message: Any) -> bytes:
    return callback("message", sender=PERSON, message={"type": "text", **message}, silent=False, chat_hostname="x")


def hear(body: bytes) -> Heard:
    headers = {"x-viber-content-signature": signature(body)}
    return BOT.hear(Callback("POST", "https://gateway.example/callbacks/viber", headers, body))


def signature(body: bytes) -> str:
    made: str = JUDGE._calculate_message_signature(body)
    return made


def person(kind: InboundKind, event: str = "", **fields: Any) -> Inbound:
    """Of a message the id is the token that Viber's receipts for it will carry."""
    return Inbound(f"{event}4912661846655238145", kind, USER, profile=PROFILE, **fields)


def mark() -> str:
    """What our question for the phone carries."""
    request = BOT.reply_request(Inbound("x", InboundKind.STARTED, USER), is_known=False)
    assert request is not None
    return str(request.json["tracking_data"])


CONTACT = {"name": "Olena", "phone_number": "380501112233"}
HEARD: dict[str, tuple[bytes, Inbound | str | None]] = {
    "a text": (said(text="Where is it?"), person(InboundKind.TEXT, text="Where is it?")),
    "a tap on an option": (
        said(text="Bad", tracking_data=HEX),
        person(InboundKind.TEXT, text="Bad", payload=HEX),
    ),
    "a text after our question for the phone": (
        said(text="why?", tracking_data=mark()),
        person(InboundKind.TEXT, text="why?"),
    ),
    "the contact that we asked for": (
        said(type="contact", contact=CONTACT, tracking_data=mark()),
        person(InboundKind.CONTACT, phone="380501112233"),
    ),
    "a contact that nobody asked for": (said(type="contact", contact=CONTACT), "foreign_contact"),
    "a contact with another person's mark": (
        said(type="contact", contact=CONTACT, tracking_data=mark()[:-1] + "!"),
        "foreign_contact",
    ),
    "a sticker": (said(type="sticker", sticker_id=40100), "no_text"),
    "subscribed": (callback("subscribed", user=PERSON), person(InboundKind.STARTED, "subscribed:")),
    "unsubscribed": (
        callback("unsubscribed", user_id=USER),
        Inbound("unsubscribed:4912661846655238145", InboundKind.STOPPED, USER),
    ),
}


@pytest.mark.parametrize(("body", "expected"), HEARD.values(), ids=HEARD)
def test_what_a_callback_says(body: bytes, expected: Inbound | str) -> None:
    heard = hear(body)
    assert [*heard.inbound, *heard.ignored] == [expected]
    judged = create_request(orjson.loads(body))
    if isinstance(expected, Inbound) and isinstance(judged, ViberMessageRequest):
        assert judged.sender.id == expected.address
        if isinstance(judged.message, TextMessage):
            assert judged.message.text == expected.text


def test_the_mark_is_made_for_the_person() -> None:
    request = BOT.reply_request(Inbound("x", InboundKind.STARTED, "another"), is_known=False)
    assert request is not None
    body = said(type="contact", contact=CONTACT, tracking_data=request.json["tracking_data"])
    assert hear(body).ignored == ["foreign_contact"]


def test_who_opens_the_bot_is_welcomed_in_the_answer() -> None:
    """Not subscribed yet, so nothing else may be sent; the welcome asks for the phone."""
    body = callback("conversation_started", type="open", user=PERSON, subscribed=False)
    shown = orjson.loads(hear(body).answer.body)
    assert (shown["text"], shown["type"]) == ("Hello!", "text")
    assert shown["keyboard"]["Buttons"][0]["ActionType"] == "share-phone"
    assert "receiver" not in shown
    assert hear(body).inbound == ()
    silent = ViberBot(Secret(TOKEN)).hear(
        Callback("POST", "https://gateway.example", {"x-viber-content-signature": signature(body)}, body)
    )
    assert silent.answer.body == b""
