"""Viber REST Bot API: one message to one subscriber of the bot, and the signed callbacks about it and of people.

How content is fitted:
- a picture or a video goes as such with the text beside it; where Viber would not take it (text over 512, a link that
  does not end as Viber wants it, a video of unknown size or over 26 MB or 180 s) it becomes a link under the text;
- a file is always a link, since Viber's file message has no text, unless there is no text to lose;
- a button is a keyboard button that opens the link without posting it to the chat, which takes Viber 7.6 (API level 3);
- what the client wrote for Viber alone (`native`) goes as it is: a link, a contact, a place, a sticker, a rich message,
  its own keyboard, the sender's avatar;
- a survey's options are keyboard buttons: the person is seen to answer with the option's own words, and `tracking_data`
  brings the message's id back with the answer;
- who has a Viber too old for any of that (status 11 or 13) gets the text alone, once.

Nothing proves that a contact is the sender's own. One is believed only as the answer to our own question, which is
known by a mark in `tracking_data` that is made for that person.

Viber answers HTTP 200 whatever happens: the result is the body's `status`.

Sources: https://developers.viber.com/docs/api/rest-bot-api, https://developers.viber.com/docs/tools/keyboards,
https://creators.viber.com/docs/bots-api.
"""

import hashlib
import hmac
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import orjson
import structlog

from cascade.channels.base import Answer, Callback, Capabilities, Health, Heard
from cascade.channels.fitting import Change, Fitted
from cascade.channels.http import HttpRequest, HttpResponse, header, redact, whole
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Content, Media, plain_text
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL = "https://chatapi.viber.com"
MAX_TEXT = 7000
MAX_CAPTION = 512
MAX_URL = 2000
MAX_SENDER = 28
MAX_USER_ID = 255
MAX_BUTTON = 250
MAX_FILE_NAME = 256
MAX_REQUEST_BYTES = 30 * 1024
MAX_VIDEO_BYTES = 26 * 1024 * 1024
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_VIDEO_S = 180
PICTURES = (".jpg", ".jpeg", ".png", ".gif")
VIDEOS = (".mp4",)
SILENT_API_VERSION = 3
RICH_API_VERSION = 2

OWN_TYPES = {  # `type` of the contract's viberMessage that no other channel has -> its fields there and at Viber
    "url": {"media": "media"},
    "contact": {"contact": "contact"},
    "location": {"location": "location"},
    "sticker": {"stickerId": "sticker_id"},
    "rich_media": {"richMedia": "rich_media", "altText": "alt_text"},
}

REFUSALS = {  # `status` -> what it means; any other is a general error
    1: Reason.MISCONFIGURED,  # invalidUrl
    2: Reason.MISCONFIGURED,  # invalidAuthToken
    3: Reason.INVALID_CONTENT,  # badData
    4: Reason.INVALID_CONTENT,  # missingData
    5: Reason.UNKNOWN_RECIPIENT,  # receiverNotRegistered
    6: Reason.NOT_SUBSCRIBED,  # receiverNotSubscribed
    7: Reason.MISCONFIGURED,  # publicAccountBlocked
    8: Reason.MISCONFIGURED,  # publicAccountNotFound
    9: Reason.MISCONFIGURED,  # publicAccountSuspended
    10: Reason.MISCONFIGURED,  # webhookNotSet
    11: Reason.CONTENT_UNFIT,  # receiverNoSuitableDevice
    13: Reason.CONTENT_UNFIT,  # apiVersionNotSupported
    14: Reason.INVALID_CONTENT,  # incompatibleWithVersion
    15: Reason.MISCONFIGURED,  # publicAccountNotAuthorized
    23: Reason.NO_CREDIT,  # the free messages outside a session are used up
    24: Reason.NO_CREDIT,  # no balance
}
OK = 0
OLD_CLIENTS = frozenset({11, 13})
TOO_MANY_REQUESTS = 12  # also after 100 messages to one person in an hour without a reply

ASK_TEXT = "To get our messages here, please share your phone number."
ASK_BUTTON = "Share my number"
THANKS_TEXT = "Thank you!"
ASKED = "phone:"  # how the tracking data of our question for a phone begins

STATES = {"delivered": ReceiptState.DELIVERED, "seen": ReceiptState.READ, "failed": ReceiptState.FAILED}
OTHER_EVENTS = frozenset({"webhook"})


@dataclass(frozen=True)
class ViberBot:
    """`avatar` is the https link of the picture beside the sender's name; None: the bot's own. `welcome` greets
    who opens the bot, before they can be written to; None: nothing does. `asks_phone`: who is asked to share their
    phone, when the bot does not know it: nobody, those who come, or all who write. `name` is the sender of these
    texts."""

    token: Secret
    base_url: str = BASE_URL
    avatar: str | None = None
    welcome: str | None = None
    asks_phone: Literal["never", "start", "always"] = "never"
    ask_text: str = ASK_TEXT
    ask_button: str = ASK_BUTTON
    thanks_text: str = THANKS_TEXT
    name: str = "Bot"

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.VIBER_BOT, has_receipts=True)

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        if type is MessageType.FLASHCALL:
            return Reason.CONTENT_UNFIT
        fields = message(content)
        if fields["type"] == "text" and not (fields["text"].strip() and len(fields["text"]) <= MAX_TEXT):
            return Reason.CONTENT_UNFIT
        return None

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        content = attempt.content
        native = content.native or {}
        sender = {"name": attempt.sender[:MAX_SENDER]}
        if avatar := native.get("avatar", self.avatar):
            sender["avatar"] = avatar
        body = {"receiver": attempt.address, "sender": sender} | message(content)
        needed = RICH_API_VERSION if body["type"] == "rich_media" else 1
        if "keyboard" in native:
            body["keyboard"] = native["keyboard"]
        elif buttons := keyboard_buttons(content):
            body["keyboard"] = {"Type": "keyboard", "DefaultHeight": False, "Buttons": buttons}
            needed = SILENT_API_VERSION if content.buttons else needed
        if (version := max(needed, native.get("minApiVersion", 1))) > 1:
            body["min_api_version"] = version
        if content.options:  # the answer must find its message, whatever else the client would have brought back
            body["tracking_data"] = attempt.message_id.hex()
        elif "trackingData" in native:
            body["tracking_data"] = native["trackingData"]
        if len(orjson.dumps(body)) > MAX_REQUEST_BYTES:
            return Rejected(Reason.CONTENT_UNFIT, "over 30 KB")
        return self._post("send_message", body)

    def second_try(self, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        """The text alone, with links, where the person's Viber is too old for more."""
        if whole(response.json()["status"]) not in OLD_CLIENTS:
            return None
        refused, text = self.request(attempt), plain_text(attempt.content)
        if isinstance(refused, Rejected) or not 0 < len(text.strip()) <= len(text) <= MAX_TEXT:
            return None
        fields = {name: refused.json[name] for name in ("receiver", "sender", "tracking_data") if name in refused.json}
        plain = fields | {"type": "text", "text": text}
        return None if plain == refused.json else self._post("send_message", plain)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        status = whole(answer["status"])
        if status == OK:
            return Accepted((token_text(answer["message_token"]),))
        detail = f"{status} {answer.get('status_message')}"
        if status == TOO_MANY_REQUESTS:
            return Retry(Reason.THROTTLED, detail=detail)
        return Rejected(REFUSALS.get(status, Reason.PROVIDER_REFUSED), detail)

    def hear(self, callback: Callback) -> Heard:
        """What a callback says: nothing, a receipt, or something of a person.

        Raises `ForgedCallbackError` without a valid signature, `MalformedCallbackError` on anything undocumented.
        """
        expected = hmac.new(self.token.reveal().encode(), callback.body, hashlib.sha256).hexdigest()
        given = header(callback.headers, "X-Viber-Content-Signature") or ""
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise ForgedCallbackError("X-Viber-Content-Signature does not fit the body")
        try:
            said = orjson.loads(callback.body)
            event = said["event"]
            if event in STATES:
                return Heard([receipt(said)])
            return self._hear_person(event, said)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise MalformedCallbackError(f"not a Viber callback: {type(error).__name__}") from error

    def _hear_person(self, event: str, said: dict[str, Any]) -> Heard:
        match event:
            case "message":
                one = self._message(said)
                return Heard(inbound=[one]) if isinstance(one, Inbound) else Heard(ignored=[one])
            case "subscribed":
                person = said["user"]
                started = Inbound(event_id(said), InboundKind.STARTED, user_id_of(person), profile=profile_of(person))
                return Heard(inbound=[started])
            case "unsubscribed":
                return Heard(
                    inbound=[Inbound(event_id(said), InboundKind.STOPPED, user_id_of({"id": said["user_id"]}))]
                )
            case "conversation_started":
                return Heard(answer=self._welcome(user_id_of(said["user"])), ignored=["conversation_started"])
        if event not in OTHER_EVENTS:
            log.warning("event_unknown", channel=Channel.VIBER_BOT.value, event_name=redact(str(event)))
        return Heard()

    def _message(self, said: dict[str, Any]) -> Inbound | str:
        person, given = said["sender"], said["message"]
        address, profile = user_id_of(person), profile_of(person)
        tracking = given.get("tracking_data") or None
        if given["type"] == "contact":
            if tracking is None or not hmac.compare_digest(str(tracking).encode(), self._mark_for(address).encode()):
                return "foreign_contact"
            phone = str(given["contact"]["phone_number"])
            return Inbound(event_id(said), InboundKind.CONTACT, address, phone=phone, profile=profile)
        text = given.get("text")
        if not isinstance(text, str) or not text:
            return "no_text"
        is_ours = isinstance(tracking, str) and not tracking.startswith(ASKED)
        payload = tracking if is_ours else None
        return Inbound(event_id(said), InboundKind.TEXT, address, text, payload=payload, profile=profile)

    def reply_request(self, inbound: Inbound, *, is_known: bool) -> HttpRequest | None:
        """Thanks for a contact; a request for one from whom we cannot know."""
        if inbound.kind is InboundKind.CONTACT:
            text = {"type": "text", "text": self.thanks_text}
            return self._post("send_message", {"receiver": inbound.address, "sender": self._sender} | text)
        is_asked = self.asks_phone == "always" or (self.asks_phone == "start" and inbound.kind is InboundKind.STARTED)
        if is_known or not is_asked or inbound.kind not in (InboundKind.STARTED, InboundKind.TEXT):
            return None
        question = self._question(inbound.address, self.ask_text)
        return self._post("send_message", {"receiver": inbound.address} | question)

    @property
    def _sender(self) -> dict[str, Any]:
        return {"name": self.name[:MAX_SENDER]} | ({"avatar": self.avatar} if self.avatar else {})

    def _welcome(self, address: str) -> Answer:
        """Viber shows one message that the answer to `conversation_started` holds."""
        if self.welcome is None:
            return Answer()
        plain = {"sender": self._sender, "type": "text", "text": self.welcome}
        shown = plain if self.asks_phone == "never" else self._question(address, self.welcome)
        return Answer(body=orjson.dumps(shown))

    def _question(self, address: str, text: str) -> dict[str, Any]:
        button = {"Columns": 6, "Rows": 1, "Text": label(self.ask_button)}
        button |= {"ActionType": "share-phone", "ActionBody": "share-phone"}
        return {
            "sender": self._sender,
            "type": "text",
            "text": text,
            "tracking_data": self._mark_for(address),
            "min_api_version": SILENT_API_VERSION,
            "keyboard": {"Type": "keyboard", "DefaultHeight": False, "Buttons": [button]},
        }

    def _mark_for(self, address: str) -> str:
        made = hmac.new(self.token.reveal().encode(), f"{ASKED}{address}".encode(), hashlib.sha256)
        return f"{ASKED}{made.hexdigest()[:32]}"

    def set_webhook(self, url: str) -> HttpRequest:
        """Ask Viber to call `url`, which must answer its `webhook` event with 200 before this request is answered.

        The answer's `status` is 0 when it did. `message` events come without being asked for.
        """
        events = [*STATES, "subscribed", "unsubscribed", "conversation_started"]
        return self._post("set_webhook", {"url": url, "event_types": events})

    def webhook_refusal(self, response: HttpResponse) -> str | None:
        """Why Viber did not take the webhook; None when it did. Raises `ValueError` when the answer is no JSON."""
        answer = response.json()
        return None if answer.get("status") == 0 else str(answer.get("status_message"))

    def account_request(self) -> HttpRequest:
        return self._post("get_account_info", {})

    def account(self, response: HttpResponse) -> Health:
        answer = response.json()
        if answer["status"] != 0:
            return Health(False, answer["status_message"])
        where = f"calls us at {answer['webhook']}" if answer.get("webhook") else "knows no address to call us at"
        return Health(True, f"{answer['name']}; {where}")

    def _post(self, method: str, body: dict[str, Any]) -> HttpRequest:
        headers = {"X-Viber-Auth-Token": self.token.reveal()}
        return HttpRequest("POST", f"{self.base_url.rstrip('/')}/pa/{method}", headers, json=body)


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    if ViberBot(Secret("")).fits(content, type) is not None:
        return None
    text = message(content).get("text", "")
    return Fitted(text, (Change.MEDIA_AS_LINKS,) if text and text != content.text else ())


def message(content: Content) -> dict[str, Any]:
    """The type that carries the content best, and its fields but for sender, receiver and keyboard."""
    native = content.native or {}
    if (own := OWN_TYPES.get(native.get("type", ""))) is not None:
        return {"type": native["type"]} | {theirs: native[ours] for ours, theirs in own.items() if ours in native}
    media = content.media or Media()
    fields: dict[str, Any] = {}
    caption = ""
    if is_video(media):
        caption = with_links(content.text, media.file)
        fields = {"type": "video", "media": media.video, "size": media.size_bytes}
        fields |= {"duration": media.duration_s, "thumbnail": media.thumbnail or media.image}
    elif ends_with(media.image, PICTURES):
        caption = with_links(content.text, media.video, media.file)
        fields = {"type": "picture", "media": media.image, "thumbnail": media.thumbnail}
    elif is_file(media) and not content.text:
        return {"type": "file", "media": media.file, "size": media.size_bytes, "file_name": media.file_name}
    if fields and len(caption) <= MAX_CAPTION:
        return {name: value for name, value in fields.items() if value} | {"text": caption}
    return {"type": "text", "text": with_links(content.text, media.video, media.image, media.file)}


def is_video(media: Media) -> bool:
    return (
        ends_with(media.video, VIDEOS)
        and 0 < (media.size_bytes or 0) <= MAX_VIDEO_BYTES
        and (media.duration_s or 0) <= MAX_VIDEO_S
    )


def is_file(media: Media) -> bool:
    return (
        media.file is not None
        and len(media.file) <= MAX_URL
        and 0 < (media.size_bytes or 0) <= MAX_FILE_BYTES
        and 0 < len(media.file_name or "") <= MAX_FILE_NAME
    )


def ends_with(url: str | None, extensions: tuple[str, ...]) -> bool:
    return url is not None and len(url) <= MAX_URL and urlsplit(url).path.lower().endswith(extensions)


def with_links(text: str, *urls: str | None) -> str:
    return "\n\n".join(part for part in (text, "\n".join(url for url in urls if url)) if part)


def keyboard_buttons(content: Content) -> list[dict[str, Any]]:
    whole_row = {"Columns": 6, "Rows": 1}
    buttons: list[dict[str, Any]] = [
        whole_row | {"Text": label(option), "ActionType": "reply", "ActionBody": option} for option in content.options
    ]
    for button in content.buttons:
        opens = {"ActionType": "open-url", "ActionBody": button.url, "Silent": True}
        buttons.append(whole_row | {"Text": label(button.text)} | opens)
    return buttons


def label(text: str) -> str:
    """A button's `Text`, which is HTML of at most 250 characters."""
    html = escape(text, quote=False)
    while len(html) > MAX_BUTTON:
        text = text[:-2] + "…"
        html = escape(text, quote=False)
    return html


def receipt(callback: dict[str, Any]) -> Receipt:
    """Raises `ValueError`, `TypeError` or `LookupError` when a field is missing or not what it should be."""
    state, user_id = STATES[callback["event"]], callback.get("user_id")
    has_failed = state is ReceiptState.FAILED
    return Receipt(
        provider_id=token_text(callback["message_token"]),
        state=state,
        reason=Reason.UNDELIVERABLE if has_failed else None,
        detail=redact(str(callback.get("desc", ""))) if has_failed else None,
        recipient=user_id if isinstance(user_id, str) else None,
    )


def token_text(token: object) -> str:
    """A `message_token` as text: 64 bits, more than a double holds; samples show it as a number and as a string.

    Raises `ValueError` for anything else.
    """
    if type(token) is int or (isinstance(token, str) and token.isascii() and token.isdigit()):
        return str(token)
    raise ValueError("message_token is neither a number nor digits")


def event_id(said: dict[str, Any]) -> str:
    """Of what a person wrote it is the token alone, so that Viber's receipts for it are known as such."""
    token = token_text(said["message_token"])
    return token if said["event"] == "message" else f"{said['event']}:{token}"


def user_id_of(user: dict[str, Any]) -> str:
    """Raises `ValueError` when there is none."""
    id_ = user["id"]
    if not isinstance(id_, str) or not id_ or len(id_) > MAX_USER_ID:
        raise ValueError("the user has no id")
    return id_


def profile_of(user: dict[str, Any]) -> dict[str, str]:
    fields = ("name", "country", "language", "avatar")
    return {name: user[name][:2048] for name in fields if isinstance(user.get(name), str) and user[name]}
