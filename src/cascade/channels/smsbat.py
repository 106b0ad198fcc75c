"""An account at SMSBAT as a provider: `POST /bat/messagelist` for Viber Business, RCS and SMS, and its status webhook.

How content is fitted:
- Viber: a `transaction` is text, or one PDF; whatever else it has becomes links. A `promo` has a picture or a video (of
  known size and length, with a preview) and one button, or links. A survey has its options.
- RCS: one picture, video or PDF and up to four buttons beside the text.
- SMS: text alone.

Its webhook is not signed: it calls a path that holds a secret.

Sources: https://help.smsbat.com (sending, Viber, RCS, message status, webhooks); base URLs and types as its detailed
pages have them, which differ from its overview.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
import structlog

from cascade.channels.base import Callback, Capabilities, Heard
from cascade.channels.fitting import Change, Fitted, as_sms
from cascade.channels.http import HttpRequest, HttpResponse, redact, text
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Content, Media, plain_text
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL = "https://restapi.smsbat.com"
MAX_VIBER_TEXT = 1000
MAX_QUESTION = 85
MAX_VIBER_BUTTON = 30
OPTIONS = range(1, 6)
MAX_RCS_TEXT = 3072
MAX_RCS_BUTTONS = 4
MAX_RCS_BUTTON = 25
PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
RCS_MEDIA = PICTURES | {".gif": "image/gif", ".mp4": "video/mp4", ".pdf": "application/pdf"}

ERRORS = {
    "INVALID_RECIPIENT": Reason.UNKNOWN_RECIPIENT,
    "INVALID_PHONE": Reason.UNKNOWN_RECIPIENT,
    "INVALID_SENDER": Reason.INVALID_SENDER,
    "INSUFFICIENT_FUNDS": Reason.NO_CREDIT,
    "INSUFFICIENT_BALANCE": Reason.NO_CREDIT,
    "TEXT_TOO_LONG": Reason.INVALID_CONTENT,
    "TEXT_REQUIRED": Reason.INVALID_CONTENT,
}
STATES = {
    "delivered": (ReceiptState.DELIVERED, None),
    "undeliverable": (ReceiptState.FAILED, Reason.UNDELIVERABLE),
    "permanenterror": (ReceiptState.FAILED, Reason.PROVIDER_REFUSED),
}
OTHER_STATES = frozenset({"scheduled", "processing"})
TAKEN = OTHER_STATES | {"accepted", "delivered"}
NOT_TAKEN = frozenset({"rejected", "failed"})

Message = tuple[dict[str, Any], tuple[Change, ...]]
"""The fields that say the content, and what had to be changed for it."""


@dataclass(frozen=True)
class Smsbat:
    """One account. `callback_secret` is the end of the path that its webhook calls. `senders` maps a client's sender to
    the one registered there; any other goes out as `default_sender`, or where that is None under its own name."""

    api_key: Secret
    callback_secret: Secret
    senders: Mapping[str, str] = field(default_factory=dict)
    default_sender: str | None = None
    base_url: str = BASE_URL

    capabilities: ClassVar[Capabilities]

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return Reason.CONTENT_UNFIT if self.message(content, type) is None else None

    @staticmethod
    def message(content: Content, type: MessageType) -> Message | None:  # noqa: A002
        """None: the channel cannot carry it."""
        raise NotImplementedError

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        said = self.message(attempt.content, attempt.type)
        if said is None:
            return Rejected(Reason.CONTENT_UNFIT)
        message = {
            "from": self.senders.get(attempt.sender) or self.default_sender or attempt.sender,
            "to": attempt.address,
            "ttl": attempt.window_s,
            "customerMessageId": f"{attempt.message_id.hex()}-{attempt.number}",
        } | said[0]
        headers = {"X-Authorization-Key": self.api_key.reveal()}
        return HttpRequest(
            "POST", f"{self.base_url.rstrip('/')}/bat/messagelist", headers, json={"messages": [message]}
        )

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.is_success and answer.get("error") is None:
            (message,) = answer["messages"]
            return _taken(message)
        code = str(answer["error"]["code"])
        detail = f"{code} {answer['error'].get('message')}"
        match response.status:
            case 429:
                return Retry(Reason.THROTTLED, detail=detail)
            case 401 | 403:
                return Rejected(Reason.MISCONFIGURED, detail)
            case 402:
                return Rejected(Reason.NO_CREDIT, detail)
        return Rejected(ERRORS.get(code, Reason.PROVIDER_REFUSED), detail)

    def hear(self, callback: Callback) -> Heard:
        """The status of a message.

        Raises `ForgedCallbackError` on a path without our secret, `MalformedCallbackError` on anything undocumented.
        """
        if not hmac.compare_digest(callback.tail.encode(), self.callback_secret.reveal().encode()):
            raise ForgedCallbackError("the path does not end in our secret")
        try:
            said = orjson.loads(callback.body)
            provider_id, status = message_id(said), text(said["deliverystatus"])
        except (ValueError, TypeError, LookupError) as error:
            raise MalformedCallbackError(f"no status of a message: {type(error).__name__}") from error
        if status not in STATES:
            if status not in OTHER_STATES:
                log.warning("event_unknown", channel=self.capabilities.channel.value, event_name=redact(status))
            return Heard()
        state, reason = STATES[status]
        return Heard([Receipt(provider_id, state, reason)])


def message_id(said: Mapping[str, Any]) -> str:
    """Samples have it as a number and as a text. Raises LookupError or TypeError when there is none."""
    id_ = said["messageId"]
    return str(id_) if type(id_) is int else text(id_)


def _taken(message: Mapping[str, Any]) -> Outcome:
    """Of a message in an answer. Raises ValueError for a word that nobody knows: it may have been taken."""
    status = text(message["status"])
    if status in TAKEN:
        return Accepted((message_id(message),))
    if status in NOT_TAKEN:
        return Rejected(Reason.PROVIDER_REFUSED, status)
    raise ValueError("a status that nobody knows")


@dataclass(frozen=True)
class SmsbatViber(Smsbat):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.VIBER_BUSINESS, has_receipts=True)

    @staticmethod
    def message(content: Content, type: MessageType) -> Message | None:  # noqa: A002
        if type is MessageType.FLASHCALL:
            return None
        if content.options:
            if len(content.options) not in OPTIONS or not 0 < len(content.text) <= MAX_QUESTION:
                return None
            survey = {"type": "viber_survey", "text": content.text}
            return survey | {"messageData": {"survey": {"options": list(content.options)}}}, ()
        if type is MessageType.TRANSACTION:
            return _viber_transaction(content)
        return _viber_promo(content)


@dataclass(frozen=True)
class SmsbatRcs(Smsbat):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.RCS, has_receipts=True)

    @staticmethod
    def message(content: Content, type: MessageType) -> Message | None:  # noqa: A002
        if type is MessageType.FLASHCALL:
            return None
        media = content.media or Media()
        shown = next((url for url in (media.video, media.image, media.file) if url), None)
        given = [url for url in (media.video, media.image, media.file) if url]
        kind = _mime(shown)
        as_media = shown is not None and kind is not None and len(given) == 1
        as_buttons = len(content.buttons) <= MAX_RCS_BUTTONS and all(
            len(button.text) <= MAX_RCS_BUTTON for button in content.buttons
        )
        changes = tuple(
            change
            for change, is_so in (
                (Change.OPTIONS_AS_NUMBERED_LINES, bool(content.options)),
                (Change.MEDIA_AS_LINKS, bool(given) and not as_media),
                (Change.BUTTONS_AS_LINKS, bool(content.buttons) and not as_buttons),
            )
            if is_so
        )
        text = plain_text(
            Content(
                content.text,
                content.options,
                None if as_media else content.media,
                () if as_buttons else content.buttons,
            )
        )
        if len(text) > MAX_RCS_TEXT or not (text or as_media):
            return None
        data: dict[str, Any] = {}
        if as_media:
            data["media"] = {"url": shown, "type": kind} | ({"thumbnail": media.thumbnail} if media.thumbnail else {})
        if as_buttons and content.buttons:
            data["buttons"] = [
                {"text": button.text, "action": {"type": "openUrl", "url": button.url}} for button in content.buttons
            ]
        return {"type": "rcs", "text": text} | ({"messageData": data} if data else {}), changes


@dataclass(frozen=True)
class SmsbatSms(Smsbat):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.SMS, has_receipts=True)

    @staticmethod
    def message(content: Content, type: MessageType) -> Message | None:  # noqa: A002
        shown = as_sms(content, type)
        return None if shown is None else ({"type": "sms", "text": shown.text}, shown.changes)


def fitting(adapter: type[Smsbat], content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    """How the channel of that adapter would show a content."""
    if adapter is SmsbatSms:
        return as_sms(content, type)
    said = adapter.message(content, type)
    return None if said is None else Fitted(said[0].get("text", ""), said[1])


def _viber_transaction(content: Content) -> Message | None:
    media = content.media or Media()
    fields: dict[str, Any] = {"type": "viber_trans"}
    is_file = media.file is not None and urlsplit(media.file).path.lower().endswith(".pdf")
    if is_file and not (media.image or media.video or content.buttons):
        name = media.file_name or urlsplit(media.file or "").path.rpartition("/")[2]
        data = {"fileUrl": media.file, "fileName": name, "fileType": "pdf"}
        return _viber(fields | {"messageData": data}, content.text, ())
    return _viber(fields, plain_text(content), _as_links(content, has_button=False))


def _viber_promo(content: Content) -> Message | None:
    media = content.media or Media()
    data: dict[str, Any] = {}
    if media.file is None:
        if media.video and media.size_bytes and media.duration_s and (media.thumbnail or media.image):
            data = {"video": media.video, "thumbnail": media.thumbnail or media.image}
            data |= {"fileSize": media.size_bytes, "duration": media.duration_s}
        elif media.image and not media.video and _mime(media.image) in PICTURES.values():
            data = {"img": media.image}
    has_media = bool(data)
    has_button = len(content.buttons) == 1 and len(content.buttons[0].text) <= MAX_VIBER_BUTTON and bool(content.text)
    if has_button:
        data |= {"buttonText": content.buttons[0].text, "buttonAction": content.buttons[0].url}
    text = plain_text(
        Content(content.text, media=None if has_media else content.media, buttons=() if has_button else content.buttons)
    )
    fields: dict[str, Any] = {"type": "viber_promo"} | ({"messageData": data} if data else {})
    return _viber(fields, text, _as_links(content, has_media=has_media, has_button=has_button))


def _viber(fields: dict[str, Any], text: str, changes: tuple[Change, ...]) -> Message | None:
    if len(text) > MAX_VIBER_TEXT or not (text or "messageData" in fields):
        return None
    return fields | ({"text": text} if text else {}), changes


def _as_links(content: Content, *, has_media: bool = False, has_button: bool) -> tuple[Change, ...]:
    media = (Change.MEDIA_AS_LINKS,) if content.media is not None and not has_media else ()
    buttons = (Change.BUTTONS_AS_LINKS,) if content.buttons and not has_button else ()
    return media + buttons


def _mime(url: str | None) -> str | None:
    path = urlsplit(url).path.lower() if url else ""
    return next((kind for ending, kind in RCS_MEDIA.items() if path.endswith(ending)), None)
