"""What a person sees in Viber, what its answers and callbacks mean. Judged by Viber's own library, viberbot."""

import hashlib
import hmac
import html
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs
from viberbot import Api, BotConfiguration
from viberbot.api.messages import (
    ContactMessage,
    FileMessage,
    LocationMessage,
    PictureMessage,
    RichMediaMessage,
    StickerMessage,
    TextMessage,
    URLMessage,
    VideoMessage,
)
from viberbot.api.messages.data_types.contact import Contact
from viberbot.api.messages.data_types.location import Location
from viberbot.api.messages.message import Message

from cascade.channels.base import Callback
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.viber_bot import ViberBot
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Button, Content, Media, plain_text
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

TOKEN = "44dafb7e0f40021e-61a47a1e6778d187-f2c5a676a07050b3"
JUDGE = Api(BotConfiguration(TOKEN, "Shop", None))
BOT = ViberBot(Secret(TOKEN))
USER = "01234567890A="
MESSAGE_ID = bytes(range(16))

IMAGE = "https://cdn.example/sale.jpg?v=2"
THUMBNAIL = "https://cdn.example/small.jpg"
PAGE = "https://cdn.example/sale"
VIDEO = "https://cdn.example/sale.mp4"
FILE = "https://cdn.example/terms.pdf"
LONG = "x" * 513


def an_attempt(content: Content, sender: str = "Shop") -> Attempt:
    return Attempt(1, MESSAGE_ID, 1, USER, sender, MessageType.PROMO, content, window_s=30)


def request_for(content: Content, sender: str = "Shop") -> HttpRequest:
    request = BOT.request(an_attempt(content, sender))
    assert isinstance(request, HttpRequest)
    return request


def keyboard(*buttons: dict[str, Any]) -> dict[str, Any]:
    whole_row = {"Columns": 6, "Rows": 1}
    return {"Type": "keyboard", "DefaultHeight": False, "Buttons": [whole_row | button for button in buttons]}


def opens(text: str, url: str) -> dict[str, Any]:
    return {"Text": text, "ActionType": "open-url", "ActionBody": url, "Silent": True}


def replies(text: str) -> dict[str, Any]:
    return {"Text": text, "ActionType": "reply", "ActionBody": text}


SENT: dict[str, tuple[Content, Message]] = {  # content, viberbot's message that says the same
    "text": (Content("Привіт 👋"), TextMessage(text="Привіт 👋")),
    "text with a button": (
        Content("Sale", buttons=(Button("Open", PAGE),)),
        TextMessage(text="Sale", keyboard=keyboard(opens("Open", PAGE)), min_api_version=3),
    ),
    "survey": (
        Content("How was it?", options=("Good", "Bad")),
        TextMessage(
            text="How was it?", keyboard=keyboard(replies("Good"), replies("Bad")), tracking_data=MESSAGE_ID.hex()
        ),
    ),
    "picture with a button": (
        Content("Sale", media=Media(image=IMAGE, thumbnail=THUMBNAIL), buttons=(Button("Open", PAGE),)),
        PictureMessage(
            text="Sale",
            media=IMAGE,
            thumbnail=THUMBNAIL,
            keyboard=keyboard(opens("Open", PAGE)),
            min_api_version=3,
        ),
    ),
    "picture without text": (Content("", media=Media(image=IMAGE)), PictureMessage(media=IMAGE)),
    "picture, text too long beside it: a link": (
        Content(LONG, media=Media(image=IMAGE)),
        TextMessage(text=f"{LONG}\n\n{IMAGE}"),
    ),
    "picture whose link does not say so: a link": (
        Content("Sale", media=Media(image=PAGE)),
        TextMessage(text=f"Sale\n\n{PAGE}"),
    ),
    "video": (
        Content("Sale", media=Media(video=VIDEO, size_bytes=10_000, duration_s=9, thumbnail=THUMBNAIL)),
        VideoMessage(text="Sale", media=VIDEO, size=10_000, duration=9, thumbnail=THUMBNAIL),
    ),
    "video and picture: the picture is its thumbnail": (
        Content("Sale", media=Media(video=VIDEO, image=IMAGE, size_bytes=10_000)),
        VideoMessage(text="Sale", media=VIDEO, size=10_000, thumbnail=IMAGE),
    ),
    "video of unknown size: a link": (
        Content("Sale", media=Media(video=VIDEO)),
        TextMessage(text=f"Sale\n\n{VIDEO}"),
    ),
    "video of unknown size and picture: the picture, with a link": (
        Content("Sale", media=Media(video=VIDEO, image=IMAGE)),
        PictureMessage(text=f"Sale\n\n{VIDEO}", media=IMAGE),
    ),
    "video too large: a link": (
        Content("Sale", media=Media(video=VIDEO, size_bytes=27 * 1024 * 1024)),
        TextMessage(text=f"Sale\n\n{VIDEO}"),
    ),
    "video too long: a link": (
        Content("Sale", media=Media(video=VIDEO, size_bytes=10_000, duration_s=181)),
        TextMessage(text=f"Sale\n\n{VIDEO}"),
    ),
    "file with text: a link, since a file message has no text": (
        Content("Terms", media=Media(file=FILE, file_name="terms.pdf", size_bytes=10_000)),
        TextMessage(text=f"Terms\n\n{FILE}"),
    ),
    "file without text": (
        Content("", media=Media(file=FILE, file_name="terms.pdf", size_bytes=10_000)),
        FileMessage(media=FILE, file_name="terms.pdf", size=10_000),
    ),
}


@pytest.mark.parametrize(("content", "message"), SENT.values(), ids=SENT)
def test_content_is_sent_as_the_judge_would(content: Content, message: Message) -> None:
    assert message.validate()
    expected = {name: value for name, value in message.to_dict().items() if value is not None}

    request = request_for(content)

    assert request.json == expected | {"receiver": USER, "sender": {"name": "Shop"}}
    assert (request.method, request.url) == ("POST", "https://chatapi.viber.com/pa/send_message")
    assert request.headers["X-Viber-Auth-Token"] == TOKEN


RICH = {"Type": "rich_media", "ButtonsGroupColumns": 6, "ButtonsGroupRows": 1, "Buttons": []}
KEYBOARD = {"Type": "keyboard", "Buttons": [{"Text": "Call me", "ActionBody": "call", "BgColor": "#fff"}]}
NATIVE: dict[str, tuple[Content, Message]] = {  # what the client wrote for Viber alone goes as it is
    "a link": (Content("", native={"type": "url", "media": PAGE}), URLMessage(media=PAGE)),
    "a contact": (
        Content("", native={"type": "contact", "contact": {"name": "Ann", "phone_number": "+380501112233"}}),
        ContactMessage(contact=Contact("Ann", "+380501112233")),
    ),
    "a place": (
        Content("", native={"type": "location", "location": {"lat": 50.45, "lon": 30.52}}),
        LocationMessage(location=Location(50.45, 30.52)),
    ),
    "a sticker": (Content("", native={"type": "sticker", "stickerId": 46_105}), StickerMessage(sticker_id=46_105)),
    "a rich message, which takes API level 2": (
        Content("", native={"type": "rich_media", "richMedia": RICH, "altText": "Sale"}),
        RichMediaMessage(rich_media=RICH, alt_text="Sale", min_api_version=2),
    ),
    "a keyboard of its own, in place of the button": (
        Content("Sale", buttons=(Button("Open", PAGE),), native={"keyboard": KEYBOARD}),
        TextMessage(text="Sale", keyboard=KEYBOARD),
    ),
    "an API level and tracking data": (
        Content("Sale", native={"minApiVersion": 7, "trackingData": "sale-1"}),
        TextMessage(text="Sale", min_api_version=7, tracking_data="sale-1"),
    ),
    "a survey keeps its own tracking data: the answer must find its message": (
        Content("?", options=("a", "b"), native={"trackingData": "sale-1"}),
        TextMessage(text="?", keyboard=keyboard(replies("a"), replies("b")), tracking_data=MESSAGE_ID.hex()),
    ),
}


@pytest.mark.parametrize(("content", "message"), NATIVE.values(), ids=NATIVE)
def test_what_is_vibers_alone_is_sent_as_the_judge_would(content: Content, message: Message) -> None:
    assert message.validate()
    assert BOT.fits(content, MessageType.PROMO) is None
    assert request_for(content).json == _without_none(message.to_dict()) | {
        "receiver": USER,
        "sender": {"name": "Shop"},
    }


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


def test_the_clients_own_avatar_wins() -> None:
    bot = ViberBot(Secret(TOKEN), avatar=THUMBNAIL)
    request = bot.request(an_attempt(Content("hi", native={"avatar": IMAGE})))
    assert isinstance(request, HttpRequest)
    assert request.json["sender"] == {"name": "Shop", "avatar": IMAGE}


def test_the_senders_name_is_cut() -> None:
    assert request_for(Content("hi"), "A shop whose name is longer than Viber's").json["sender"] == {
        "name": "A shop whose name is longer "
    }


def test_an_avatar_goes_with_the_sender() -> None:
    bot = ViberBot(Secret(TOKEN), "http://127.0.0.1:1", avatar=IMAGE)
    request = bot.request(an_attempt(Content("hi")))
    assert isinstance(request, HttpRequest)
    assert request.json["sender"] == {"name": "Shop", "avatar": IMAGE}
    assert request.url == "http://127.0.0.1:1/pa/send_message"


LABELS = ["Tom &amp; Jerry", "under <b>18", "x" * 255, "&" * 255, "😀" * 255]


@pytest.mark.parametrize("option", LABELS)
def test_an_option_is_shown_as_html_and_answered_as_it_is(option: str) -> None:
    (button,) = request_for(Content("?", options=(option,))).json["keyboard"]["Buttons"]

    assert button["ActionBody"] == option
    assert len(button["Text"]) <= 250
    assert "<" not in button["Text"]
    shown = html.unescape(button["Text"])
    assert shown == option or (shown.endswith("…") and option.startswith(shown[:-1]))


def of_length(url: str, length: int) -> str:
    return url.replace("cdn.example", "cdn.example/" + "x" * (length - len(url) - 1))


def film(**media: Any) -> Content:
    return Content("Sale", media=Media(**{"video": VIDEO, "size_bytes": 10_000, **media}))


def paper(**media: Any) -> Content:
    return Content("", media=Media(**{"file": FILE, "file_name": "a.pdf", "size_bytes": 10_000, **media}))


MB = 1024 * 1024
TYPES: dict[str, tuple[Content, str]] = {  # at Viber's limits and one beyond, the type that carries it
    "512 signs beside a picture": (Content("x" * 512, media=Media(image=IMAGE)), "picture"),
    "513 signs beside a picture": (Content("x" * 513, media=Media(image=IMAGE)), "text"),
    "a link of 2,000 signs": (Content("", media=Media(image=of_length(IMAGE, 2_000))), "picture"),
    "a link of 2,001 signs": (Content("", media=Media(image=of_length(IMAGE, 2_001))), "text"),
    "a file's link of 2,000 signs": (paper(file=of_length(FILE, 2_000)), "file"),
    "a file's link of 2,001 signs": (paper(file=of_length(FILE, 2_001)), "text"),
    "JPEG by its longer name": (Content("", media=Media(image="https://cdn.example/a.JPEG")), "picture"),
    "PNG": (Content("", media=Media(image="https://cdn.example/a.png")), "picture"),
    "GIF": (Content("", media=Media(image="https://cdn.example/a.gif")), "picture"),
    "WebP": (Content("", media=Media(image="https://cdn.example/a.webp")), "text"),
    "a video of 26 MB": (film(size_bytes=26 * MB), "video"),
    "a larger video": (film(size_bytes=26 * MB + 1), "text"),
    "a video of 180 s": (film(duration_s=180), "video"),
    "a longer video": (film(duration_s=181), "text"),
    "a video of unknown size": (film(size_bytes=None), "text"),
    "a file of 50 MB": (paper(size_bytes=50 * MB), "file"),
    "a larger file": (paper(size_bytes=50 * MB + 1), "text"),
    "a file name of 256 signs": (paper(file_name="x" * 256), "file"),
    "a longer file name": (paper(file_name="x" * 257), "text"),
    "a file of unknown size": (paper(size_bytes=None), "text"),
}


@pytest.mark.parametrize(("content", "type_"), TYPES.values(), ids=TYPES)
def test_the_limits_are_vibers(content: Content, type_: str) -> None:
    assert request_for(content).json["type"] == type_


def test_a_label_has_250_signs_as_html() -> None:
    for text, shown in {"x" * 250: "x" * 250, "x" * 251: "x" * 249 + "…", "&" * 51: "&amp;" * 49 + "…"}.items():
        (button,) = request_for(Content("?", buttons=(Button(text, PAGE),))).json["keyboard"]["Buttons"]
        assert button["Text"] == shown


def test_a_message_over_30_kb_is_unfit() -> None:
    def with_link(length: int) -> HttpRequest | Rejected:
        return BOT.request(an_attempt(Content("Sale", buttons=(Button("Open", "x" * length),))))

    short = with_link(1)
    assert isinstance(short, HttpRequest)
    room = 30 * 1024 - len(orjson.dumps(short.json))
    assert isinstance(with_link(1 + room), HttpRequest)
    assert with_link(2 + room) == Rejected(Reason.CONTENT_UNFIT, "over 30 KB")


FITS = {
    "7,000 signs": (Content("x" * 7000), None),
    "7,001 signs": (Content("x" * 7001), Reason.CONTENT_UNFIT),
    "a long text and a link": (Content("x" * 6990, media=Media(file=FILE)), Reason.CONTENT_UNFIT),
    "nothing but blanks": (Content("\n"), Reason.CONTENT_UNFIT),
    "a picture and no text": (Content("", media=Media(image=IMAGE)), None),
    "a survey": (Content("?", options=("a", "b")), None),
}


@pytest.mark.parametrize(("content", "expected"), FITS.values(), ids=FITS)
def test_what_fits(content: Content, expected: Reason | None) -> None:
    assert BOT.fits(content, MessageType.PROMO) == expected


def test_a_flash_call_does_not_fit() -> None:
    assert BOT.fits(Content("1234"), MessageType.FLASHCALL) is Reason.CONTENT_UNFIT


def answer(status: int, **fields: Any) -> HttpResponse:
    return HttpResponse(200, body=orjson.dumps({"status": status, "status_message": "said"} | fields))


REFUSALS = {
    **dict.fromkeys((1, 2, 7, 8, 9, 10, 15), Reason.MISCONFIGURED),
    **dict.fromkeys((3, 4, 14), Reason.INVALID_CONTENT),
    5: Reason.UNKNOWN_RECIPIENT,
    6: Reason.NOT_SUBSCRIBED,
    **dict.fromkeys((11, 13), Reason.CONTENT_UNFIT),
    **dict.fromkeys((16, 17, 18, 19, 20, 21, 22, 999), Reason.PROVIDER_REFUSED),
    **dict.fromkeys((23, 24), Reason.NO_CREDIT),
}


@pytest.mark.parametrize(("status", "reason"), REFUSALS.items())
def test_a_refusal_has_its_reason(status: int, reason: Reason) -> None:
    assert BOT.outcome(answer(status)) == Rejected(reason, f"{status} said")


SURVEY = Content("How was it?", options=("Good", "Bad"))
PLAINER: dict[str, tuple[Content, dict[str, Any] | None]] = {  # content, what goes to a Viber too old for it
    "text": (Content("Hi"), None),
    "a button: a link": (
        Content("Sale", buttons=(Button("Open", PAGE),)),
        {"type": "text", "text": f"Sale Open: {PAGE}"},
    ),
    "a survey: numbered lines, and the answer still finds its message": (
        SURVEY,
        {"type": "text", "text": plain_text(SURVEY), "tracking_data": MESSAGE_ID.hex()},
    ),
    "a picture: a link": (
        Content("Sale", media=Media(image=IMAGE)),
        {"type": "text", "text": f"Sale\n{IMAGE}"},
    ),
    "a sticker: there is nothing to say": (Content("", native={"type": "sticker", "stickerId": 7}), None),
    "what is too long as a text": (Content("x" * 6_990, buttons=(Button("Open", PAGE),)), None),
}


@pytest.mark.parametrize(("content", "expected"), PLAINER.values(), ids=PLAINER)
def test_a_viber_too_old_gets_the_text_alone(content: Content, expected: dict[str, Any] | None) -> None:
    for status in (11, 13):
        plainer = BOT.second_try(an_attempt(content), answer(status))
        if expected is None:
            assert plainer is None
        else:
            assert plainer is not None
            assert plainer.json == {"receiver": USER, "sender": {"name": "Shop"}} | expected
    for status in (0, 3, 6, 12):
        assert BOT.second_try(an_attempt(content), answer(status)) is None


OTHER_ANSWERS: dict[str, tuple[HttpResponse, Outcome]] = {
    "accepted": (answer(0, message_token=4912661846655238145), Accepted(("4912661846655238145",))),
    "accepted, token as text": (answer(0, message_token="4912661846655238145"), Accepted(("4912661846655238145",))),
    "accepted, the largest token": (answer(0, message_token=2**64 - 1), Accepted((str(2**64 - 1),))),
    "throttled": (answer(12), Retry(Reason.THROTTLED, None, "12 said")),
}


@pytest.mark.parametrize(("response", "expected"), OTHER_ANSWERS.values(), ids=OTHER_ANSWERS)
def test_an_answer_has_its_outcome(response: HttpResponse, expected: Outcome) -> None:
    assert BOT.outcome(response) == expected


@pytest.mark.parametrize("token", [None, 4.9e18, "", "abc", True])
def test_an_acceptance_without_a_token_cannot_be_read(token: object) -> None:
    with pytest.raises(ValueError, match="message_token"):
        BOT.outcome(answer(0, message_token=token))


def signed(body: bytes, name: str = "X-Viber-Content-Signature") -> dict[str, str]:
    return {name: hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()}


def callback(event: str, **fields: Any) -> bytes:
    about = {"event": event, "timestamp": 1457764197627, "message_token": 4912661846655238145}
    return orjson.dumps(about | fields)


TOKEN_TEXT = "4912661846655238145"
RECEIPTS: dict[str, tuple[bytes, list[Receipt]]] = {
    "delivered": (
        callback("delivered", user_id=USER),
        [Receipt(TOKEN_TEXT, ReceiptState.DELIVERED, recipient=USER)],
    ),
    "seen": (
        callback("seen", user_id=USER),
        [Receipt(TOKEN_TEXT, ReceiptState.READ, recipient=USER)],
    ),
    "failed": (
        callback("failed", user_id=USER, desc="failure description for +380501112233"),
        [
            Receipt(
                TOKEN_TEXT,
                ReceiptState.FAILED,
                Reason.UNDELIVERABLE,
                "failure description for ***",
                USER,
            )
        ],
    ),
    "token as text, no time": (
        callback("delivered", message_token=TOKEN_TEXT, timestamp=None),
        [Receipt(TOKEN_TEXT, ReceiptState.DELIVERED)],
    ),
    "webhook": (callback("webhook"), []),
    "subscribed": (callback("subscribed", user={"id": USER}), []),
    "unsubscribed": (callback("unsubscribed", user_id=USER), []),
    "conversation_started": (callback("conversation_started", user={"id": USER}), []),
    "message": (callback("message", sender={"id": USER}, message={"type": "text", "text": "Good"}), []),
    "an event nobody told us of": (callback("client_status", user={"id": USER}), []),
}


def heard(headers: dict[str, str], body: bytes) -> list[Receipt]:
    return list(BOT.hear(Callback("POST", "https://gateway.example/callbacks/viber", headers, body)).receipts)


@pytest.mark.parametrize(("body", "expected"), RECEIPTS.values(), ids=RECEIPTS)
def test_a_callback_has_its_receipts(body: bytes, expected: list[Receipt]) -> None:
    assert heard(signed(body), body) == expected


def test_only_an_unknown_event_is_logged() -> None:
    with capture_logs() as lines:
        for body, _ in RECEIPTS.values():
            heard(signed(body), body)
    assert [(line["event"], line["event_name"]) for line in lines] == [("event_unknown", "client_status")]


def test_the_signature_is_vibers() -> None:
    """The vector of Viber's own tests."""
    body = b'{"event":"webhook","timestamp":4977069964384421269,"message_token":1478683725125}'
    signature = "d21b343448c8aee33b8e93768ef6ceb64a6ba6163099973a2b8bd028fea510ef"

    assert JUDGE.verify_signature(body, signature)
    assert heard({"X-Viber-Content-Signature": signature}, body) == []


@pytest.mark.parametrize("name", ["X-Viber-Content-Signature", "x-viber-content-signature"])
def test_the_signature_is_found_in_any_case(name: str) -> None:
    body = callback("webhook")
    assert heard(signed(body, name), body) == []


GENUINE = callback("delivered")
FORGED = {
    "no signature": (GENUINE, {}),
    "an empty one": (GENUINE, {"X-Viber-Content-Signature": ""}),
    "another body's": (GENUINE + b" ", signed(GENUINE)),
    "one under another token": (
        GENUINE,
        {"X-Viber-Content-Signature": hmac.new(b"other", GENUINE, hashlib.sha256).hexdigest()},
    ),
    "no hex at all": (GENUINE, {"X-Viber-Content-Signature": "підпис"}),
}


@pytest.mark.parametrize(("body", "headers"), FORGED.values(), ids=FORGED)
def test_a_forged_callback_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(ForgedCallbackError):
        heard(headers, body)


MALFORMED = {
    "no JSON": b"delivered",
    "no object": b"[]",
    "a number": b"7",
    "no event": b"{}",
    "an event that is no word": b'{"event": {"a": 1}}',
    "delivered without a token": b'{"event": "delivered"}',
    "delivered with a token that is none": b'{"event": "delivered", "message_token": 4.9e18}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_callback_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedCallbackError):
        heard(signed(body), body)


def test_the_webhook_is_asked_for_with_its_receipts() -> None:
    request = BOT.set_webhook("https://gateway.example/callbacks/viber")

    assert request.url == "https://chatapi.viber.com/pa/set_webhook"
    assert request.headers["X-Viber-Auth-Token"] == TOKEN
    assert request.json == {
        "url": "https://gateway.example/callbacks/viber",
        "event_types": ["delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started"],
    }


def test_a_webhook_that_viber_did_not_take_has_its_reason() -> None:
    assert BOT.webhook_refusal(answer(0, event_types=[])) is None
    assert BOT.webhook_refusal(answer(1)) == "said"


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(BOT)
    assert TOKEN not in repr(request_for(Content("hi")))
