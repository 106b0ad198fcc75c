"""What a person sees in Telegram, and what Telegram's answers mean. Judged by python-telegram-bot's own requests."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message
from telegram.constants import InlineKeyboardButtonLimit, MessageLimit
from telegram.request import BaseRequest, RequestData

from cascade.channels.http import HttpRequest, HttpResponse
from cascade.channels.telegram_bot import MAX_CAPTION, MAX_TEXT, TelegramBot, utf16_units
from cascade.core.attempt import Attempt, Delivered, Outcome, Rejected, Retry
from cascade.core.content import Button, Content, Media
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

TOKEN = "123456:AAH-very-secret"
CHAT = "5000000001"
MESSAGE_ID = bytes(range(16))
HEX = MESSAGE_ID.hex()
BOT = TelegramBot(Secret(TOKEN))

IMAGE = "https://cdn.example/sale.jpg"
VIDEO = "https://cdn.example/sale.mp4"
PDF = "https://cdn.example/Terms.PDF?v=2"
ZIP = "https://cdn.example/all.zip"
DOCX = "https://cdn.example/terms.docx"
LONG = "x" * 1025
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


def preview_of(url: str) -> LinkPreviewOptions:
    return LinkPreviewOptions(url=url, prefer_large_media=True, show_above_text=True)


def rows(*buttons: InlineKeyboardButton) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[button] for button in buttons])


def an_attempt(content: Content, kind: MessageType = MessageType.PROMO) -> Attempt:
    return Attempt(1, MESSAGE_ID, 1, CHAT, "Shop", kind, content, window_s=30)


def request_for(content: Content) -> HttpRequest:
    return BOT.request(an_attempt(content))


class Recorder(BaseRequest):
    """python-telegram-bot's way out, kept instead of sent."""

    read_timeout = None

    def __init__(self) -> None:
        self.url = ""
        self.fields: dict[str, Any] = {}

    async def initialize(self) -> None: ...

    async def shutdown(self) -> None: ...

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_: object, **__: object
    ) -> tuple[int, bytes]:
        assert request_data is not None
        self.url, self.fields = url, request_data.parameters
        return 200, b'{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":1,"type":"private"}}}'


Call = Callable[[Bot], Awaitable[Message]]
SENT: dict[str, tuple[Content, Call]] = {  # content, the call of python-telegram-bot that says the same
    "text": (
        Content("Привіт 👋 *a* <b>"),
        lambda bot: bot.send_message(CHAT, "Привіт 👋 *a* <b>", link_preview_options=NO_PREVIEW),
    ),
    "text with a button": (
        Content("Sale", buttons=(Button("Open", "https://shop.example/a?b=1&c=2"),)),
        lambda bot: bot.send_message(
            CHAT,
            "Sale",
            link_preview_options=NO_PREVIEW,
            reply_markup=rows(InlineKeyboardButton("Open", url="https://shop.example/a?b=1&c=2")),
        ),
    ),
    "survey": (
        Content("How was it?", options=("Good", "Bad")),
        lambda bot: bot.send_message(
            CHAT,
            "How was it?",
            link_preview_options=NO_PREVIEW,
            reply_markup=rows(
                InlineKeyboardButton("Good", callback_data=f"{HEX}:0"),
                InlineKeyboardButton("Bad", callback_data=f"{HEX}:1"),
            ),
        ),
    ),
    "picture with a button": (
        Content("Sale", media=Media(image=IMAGE), buttons=(Button("Open", "https://shop.example"),)),
        lambda bot: bot.send_photo(
            CHAT, IMAGE, caption="Sale", reply_markup=rows(InlineKeyboardButton("Open", url="https://shop.example"))
        ),
    ),
    "picture without text": (Content("", media=Media(image=IMAGE)), lambda bot: bot.send_photo(CHAT, IMAGE)),
    "picture, text too long for a caption: shown above a text": (
        Content(LONG, media=Media(image=IMAGE)),
        lambda bot: bot.send_message(CHAT, f"{LONG}\n\n{IMAGE}", link_preview_options=preview_of(IMAGE)),
    ),
    "picture, caption just short enough": (
        Content("😀" * 512, media=Media(image=IMAGE)),
        lambda bot: bot.send_photo(CHAT, IMAGE, caption="😀" * 512),
    ),
    "picture, caption too long in UTF-16 units only": (
        Content("😀" * 513, media=Media(image=IMAGE)),
        lambda bot: bot.send_message(CHAT, "😀" * 513 + f"\n\n{IMAGE}", link_preview_options=preview_of(IMAGE)),
    ),
    "video": (
        Content("Sale", media=Media(video=VIDEO, duration_s=7, size_bytes=1_000_000)),
        lambda bot: bot.send_video(CHAT, VIDEO, caption="Sale", duration=timedelta(seconds=7)),
    ),
    "video and picture: the picture is its cover": (
        Content("Sale", media=Media(video=VIDEO, image=IMAGE)),
        lambda bot: bot.send_video(CHAT, VIDEO, caption="Sale", cover=IMAGE),
    ),
    "video as large as Telegram fetches": (
        Content("Sale", media=Media(video=VIDEO, size_bytes=20 * 1024 * 1024)),
        lambda bot: bot.send_video(CHAT, VIDEO, caption="Sale"),
    ),
    "video too large for Telegram to fetch: the picture, with a link": (
        Content("Sale", media=Media(video=VIDEO, image=IMAGE, size_bytes=20 * 1024 * 1024 + 1)),
        lambda bot: bot.send_photo(CHAT, IMAGE, caption=f"Sale\n\n{VIDEO}"),
    ),
    "video too large and no picture: a link, shown above": (
        Content("Sale", media=Media(video=VIDEO, size_bytes=21 * 1024 * 1024)),
        lambda bot: bot.send_message(CHAT, f"Sale\n\n{VIDEO}", link_preview_options=preview_of(VIDEO)),
    ),
    "PDF": (
        Content("Terms", media=Media(file=PDF, file_name="Terms.pdf")),
        lambda bot: bot.send_document(CHAT, PDF, caption="Terms"),
    ),
    "ZIP": (Content("", media=Media(file=ZIP)), lambda bot: bot.send_document(CHAT, ZIP)),
    "file that Telegram does not fetch: a link": (
        Content("Terms", media=Media(file=DOCX)),
        lambda bot: bot.send_message(CHAT, f"Terms\n\n{DOCX}", link_preview_options=NO_PREVIEW),
    ),
    "picture and file: the file is a link": (
        Content("Sale", media=Media(image=IMAGE, file=PDF)),
        lambda bot: bot.send_photo(CHAT, IMAGE, caption=f"Sale\n\n{PDF}"),
    ),
}


@pytest.mark.parametrize(("content", "call"), SENT.values(), ids=SENT)
async def test_content_is_sent_as_the_judge_would(content: Content, call: Call) -> None:
    recorder = Recorder()
    await call(Bot(TOKEN, request=recorder))

    request = request_for(content)

    assert request.method == "POST"
    assert request.url == recorder.url
    assert request.json == recorder.fields


def test_a_server_of_ones_own_is_asked() -> None:
    request = TelegramBot(Secret("1:x"), "http://127.0.0.1:8081").request(an_attempt(Content("hi")))
    assert request.url == "http://127.0.0.1:8081/bot1:x/sendMessage"


def test_callback_data_fits() -> None:
    options = tuple("x" * 255 for _ in range(5))
    markup = InlineKeyboardMarkup.de_json(request_for(Content("?", options=options)).json["reply_markup"], None)
    for (button,) in markup.inline_keyboard:
        assert len(str(button.callback_data).encode()) <= InlineKeyboardButtonLimit.MAX_CALLBACK_DATA


def test_the_limits_are_telegrams() -> None:
    assert (MAX_TEXT, MAX_CAPTION) == (MessageLimit.MAX_TEXT_LENGTH, MessageLimit.CAPTION_LENGTH)
    assert not BOT.capabilities.has_receipts


UNITS = {"": 0, "abc": 3, "Привіт": 6, "😀": 2, "a😀б": 4, "👨‍👩‍👧": 8}


@pytest.mark.parametrize(("text", "units"), UNITS.items())
def test_text_is_counted_in_utf16_units(text: str, units: int) -> None:
    assert utf16_units(text) == units


FITS = {
    "4,096 units": (Content("x" * 4096), None),
    "4,097 units": (Content("x" * 4097), Reason.CONTENT_UNFIT),
    "4,096 signs that are more units": (Content("x" * 4095 + "😀"), Reason.CONTENT_UNFIT),
    "nothing but blanks": (Content(" \n "), Reason.CONTENT_UNFIT),
    "a picture and no text": (Content("", media=Media(image=IMAGE)), None),
    "a long text and a picture": (Content("x" * 4000, media=Media(image=IMAGE)), None),
    "a text too long for the picture's link": (Content("x" * 4090, media=Media(image=IMAGE)), Reason.CONTENT_UNFIT),
    "a survey": (Content("?", options=("a", "b")), None),
}


@pytest.mark.parametrize(("content", "expected"), FITS.values(), ids=FITS)
def test_what_fits(content: Content, expected: Reason | None) -> None:
    assert BOT.fits(content, MessageType.PROMO) == expected


def test_a_flash_call_does_not_fit() -> None:
    assert BOT.fits(Content("1234"), MessageType.FLASHCALL) is Reason.CONTENT_UNFIT


def error(code: int, description: str, **parameters: Any) -> HttpResponse:
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        body["parameters"] = parameters
    content, _ = HttpRequest("POST", "", json=body).content()
    return HttpResponse(code, body=content or b"")


REFUSALS = {  # (code, description) -> reason
    (400, "Bad Request: chat not found"): Reason.UNKNOWN_RECIPIENT,
    (400, "Bad Request: private chat not found"): Reason.UNKNOWN_RECIPIENT,
    (403, "Forbidden: user is deactivated"): Reason.UNKNOWN_RECIPIENT,
    (403, "Forbidden: bot can't initiate conversation with a user"): Reason.UNKNOWN_RECIPIENT,
    (403, "Forbidden: bot was blocked by the user"): Reason.BLOCKED,
    (401, "Unauthorized"): Reason.MISCONFIGURED,
    (404, "Not Found"): Reason.MISCONFIGURED,
    (400, "Bad Request: message is too long"): Reason.INVALID_CONTENT,
    (400, "Bad Request: message caption is too long"): Reason.INVALID_CONTENT,
    (400, "Bad Request: message text is empty"): Reason.INVALID_CONTENT,
    (400, "Bad Request: can't parse entities: unclosed tag"): Reason.INVALID_CONTENT,
    (400, "Bad Request: BUTTON_URL_INVALID"): Reason.INVALID_CONTENT,
    (400, "Bad Request: reply markup is too long"): Reason.INVALID_CONTENT,
    (400, "Bad Request: Wrong HTTP URL specified"): Reason.INVALID_CONTENT,
    (400, "Bad Request: failed to get HTTP URL content"): Reason.INVALID_CONTENT,
    (400, "Bad Request: wrong type of the web page content"): Reason.INVALID_CONTENT,
    (400, "Bad Request: SOMETHING_NEW"): Reason.PROVIDER_REFUSED,
    (403, "Forbidden: something new"): Reason.PROVIDER_REFUSED,
    (409, "Conflict: terminated by other getUpdates request"): Reason.PROVIDER_REFUSED,
}


@pytest.mark.parametrize(("answer", "reason"), REFUSALS.items(), ids=lambda value: str(value))
def test_a_refusal_has_its_reason(answer: tuple[int, str], reason: Reason) -> None:
    assert BOT.outcome(error(*answer)) == Rejected(reason, answer[1])


OTHER_ANSWERS: dict[str, tuple[HttpResponse, Outcome]] = {
    "sent": (
        HttpResponse(200, body=b'{"ok":true,"result":{"message_id":4503599627370497}}'),
        Delivered("4503599627370497"),
    ),
    "throttled": (
        error(429, "Too Many Requests: retry after 35", retry_after=35),
        Retry(Reason.THROTTLED, 35.0, "Too Many Requests: retry after 35"),
    ),
    "throttled without a time": (
        error(429, "Too Many Requests"),
        Retry(Reason.THROTTLED, None, "Too Many Requests"),
    ),
}


@pytest.mark.parametrize(("answer", "expected"), OTHER_ANSWERS.values(), ids=OTHER_ANSWERS)
def test_an_answer_has_its_outcome(answer: HttpResponse, expected: Outcome) -> None:
    assert BOT.outcome(answer) == expected


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(BOT)
    assert TOKEN not in repr(request_for(Content("hi")))
