"""Telegram Bot API: one message to one chat. It sends no receipts, so its acceptance counts as delivery.

How content is fitted:
- a video, else a picture, else a file goes as such, with the text as its caption; a picture given beside a video
  becomes its cover, any other medium a link under the text;
- what Telegram would not take that way (a caption over 1,024, a file that is neither PDF nor ZIP, anything over 20 MB)
  becomes a text message with the link under the text. A picture or video is then shown large above the text
  by the link's preview, so the person still sees it; no other link is previewed, or the fetch would count as a click;
- a button is an inline link button; a survey's options are inline buttons, one a row, that call back with the
  message's id and the option's place.

Sources: https://core.telegram.org/bots/api#sendmessage (also #sendphoto, #sendvideo, #senddocument, #sending-files,
#linkpreviewoptions), https://github.com/tdlib/telegram-bot-api (wordings of errors).
"""

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cascade.channels.base import Capabilities, Health
from cascade.channels.fitting import Change, Fitted
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.core.attempt import Attempt, Delivered, Outcome, Rejected, Retry
from cascade.core.content import Content, Media
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

BASE_URL = "https://api.telegram.org"
MAX_TEXT = 4096  # in UTF-16 units, as is the caption's
MAX_CAPTION = 1024
MAX_FETCHED_BYTES = 20 * 1024 * 1024  # of a video or file that Telegram fetches by its link
FETCHED_FILES = (".pdf", ".zip")
NO_PREVIEW: dict[str, Any] = {"is_disabled": True}

MEANINGS = {  # part of the description, in lower case -> what it means. Telegram has no finer codes than 400 and 403
    "chat not found": Reason.UNKNOWN_RECIPIENT,
    "user is deactivated": Reason.UNKNOWN_RECIPIENT,
    "bot can't initiate conversation": Reason.UNKNOWN_RECIPIENT,
    "bot was blocked by the user": Reason.BLOCKED,
    "bot was kicked": Reason.BLOCKED,
    "is too long": Reason.INVALID_CONTENT,
    "text is empty": Reason.INVALID_CONTENT,
    "can't parse": Reason.INVALID_CONTENT,
    "button_": Reason.INVALID_CONTENT,
    "inline keyboard button": Reason.INVALID_CONTENT,
    "http url": Reason.INVALID_CONTENT,
    "wrong type of the web page content": Reason.INVALID_CONTENT,
}


@dataclass(frozen=True)
class TelegramBot:
    """`base_url` may name a self-hosted Bot API server."""

    token: Secret
    base_url: str = BASE_URL

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.TELEGRAM_BOT, has_receipts=False)

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        if type is MessageType.FLASHCALL:
            return Reason.CONTENT_UNFIT
        method, fields = message(content)
        if method == "sendMessage" and not 0 < utf16_units(fields["text"].strip()) <= MAX_TEXT:
            return Reason.CONTENT_UNFIT
        return None

    def request(self, attempt: Attempt) -> HttpRequest:
        method, fields = message(attempt.content)
        body = {"chat_id": attempt.address} | fields
        if rows := keyboard(attempt):
            body["reply_markup"] = {"inline_keyboard": rows}
        return HttpRequest("POST", f"{self.base_url}/bot{self.token.reveal()}/{method}", json=body)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if answer["ok"] is True:
            return Delivered(provider_id=str(answer["result"]["message_id"]))
        description = answer["description"]
        match answer["error_code"]:
            case 429:
                after_s = answer.get("parameters", {}).get("retry_after")
                return Retry(Reason.THROTTLED, None if after_s is None else float(after_s), description)
            case 401 | 404:
                return Rejected(Reason.MISCONFIGURED, description)
            case 400 | 403:
                return Rejected(meaning(description), description)
        return Rejected(Reason.PROVIDER_REFUSED, description)

    def account_request(self) -> HttpRequest:
        return HttpRequest("GET", f"{self.base_url}/bot{self.token.reveal()}/getMe")

    def account(self, response: HttpResponse) -> Health:
        answer = response.json()
        if answer["ok"] is True:
            return Health(True, f"@{answer['result']['username']}")
        return Health(False, answer["description"])


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    if TelegramBot(Secret("")).fits(content, type) is not None:
        return None
    _, fields = message(content)
    text = fields.get("text", fields.get("caption", ""))
    return Fitted(text, (Change.MEDIA_AS_LINKS,) if text != content.text else ())


def message(content: Content) -> tuple[str, dict[str, Any]]:
    """The method that carries the content best, and its fields but for the chat and the keyboard."""
    media = content.media
    if media is None:
        return "sendMessage", {"text": content.text, "link_preview_options": NO_PREVIEW}
    shown, fields = native(media)
    caption = with_links(content.text, [link for link in links(media) if link not in fields.values()])
    if shown and utf16_units(caption) <= MAX_CAPTION:
        return f"send{shown.capitalize()}", fields | ({"caption": caption} if caption else {})
    seen = media.video or media.image
    preview = {"url": seen, "prefer_large_media": True, "show_above_text": True} if seen else NO_PREVIEW
    return "sendMessage", {"text": with_links(content.text, links(media)), "link_preview_options": preview}


def native(media: Media) -> tuple[str | None, dict[str, Any]]:
    """What goes as itself (`video`, `photo` or `document`; None where nothing can) and the fields that carry it."""
    is_small = (media.size_bytes or 0) <= MAX_FETCHED_BYTES
    if media.video and is_small:
        fields = {"video": media.video, "cover": media.thumbnail or media.image, "duration": media.duration_s}
        return "video", {name: value for name, value in fields.items() if value}
    if media.image:
        return "photo", {"photo": media.image}
    if media.file and is_small and urlsplit(media.file).path.lower().endswith(FETCHED_FILES):
        return "document", {"document": media.file}
    return None, {}


def links(media: Media) -> list[str]:
    return [link for link in (media.video, media.image, media.file) if link]


def with_links(text: str, urls: list[str]) -> str:
    return "\n\n".join(part for part in (text, "\n".join(urls)) if part)


def keyboard(attempt: Attempt) -> list[list[dict[str, str]]]:
    """One button a row. The callback data is opaque: it says nothing of its own and is checked when it comes back."""
    content = attempt.content
    rows = [
        [{"text": option, "callback_data": f"{attempt.message_id.hex()}:{place}"}]
        for place, option in enumerate(content.options)
    ]
    return rows + [[{"text": button.text, "url": button.url}] for button in content.buttons]


def meaning(description: str) -> Reason:
    said = description.lower()
    return next((reason for part, reason in MEANINGS.items() if part in said), Reason.PROVIDER_REFUSED)


def utf16_units(text: str) -> int:
    """How long Telegram takes a text to be: a sign beyond the Basic Multilingual Plane (most emoji) counts twice."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
