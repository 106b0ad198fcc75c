"""Telegram Bot API: one message to one chat, and what people tell the bot. It sends no receipts, so its acceptance
counts as delivery.

How content is fitted:
- a video, else a picture, else a file goes as such, with the text as its caption; a picture given beside a video
  becomes its cover, any other medium a link under the text;
- what Telegram would not take that way (a caption over 1,024, a file that is neither PDF nor ZIP, anything over 20 MB)
  becomes a text message with the link under the text. A picture or video is then shown large above the text
  by the link's preview, so the person still sees it; no other link is previewed, or the fetch would count as a click;
- what Telegram could not fetch by its link goes once more, as that text;
- a button is an inline link button; a survey's options are inline buttons, one a row, that call back with the
  message's id and the option's place.

Updates come by webhook, which carries a secret made of the bot's token, or are asked for. Of them count: texts, taps
on inline buttons, a contact that is surely the sender's own, and who blocks or unblocks the bot; all in private chats.

Sources: https://core.telegram.org/bots/api#sendmessage (also #sendphoto, #sendvideo, #senddocument, #sending-files,
#linkpreviewoptions, #update, #setwebhook, #getupdates, #contact, #answercallbackquery),
https://github.com/tdlib/telegram-bot-api (wordings of errors).
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import orjson

from cascade.channels.base import Callback, Capabilities, Health, Heard
from cascade.channels.fitting import Change, Fitted
from cascade.channels.http import HttpRequest, HttpResponse, Polled, header, whole
from cascade.core.attempt import Attempt, Delivered, Outcome, Rejected, Retry
from cascade.core.content import Content, Media
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

BASE_URL = "https://api.telegram.org"
MAX_TEXT = 4096  # in UTF-16 units, as is the caption's
MAX_CAPTION = 1024
MAX_FETCHED_BYTES = 20 * 1024 * 1024  # of a video or file that Telegram fetches by its link
FETCHED_FILES = (".pdf", ".zip")
NO_PREVIEW: dict[str, Any] = {"is_disabled": True}

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a name
UPDATES = ("message", "callback_query", "my_chat_member")
POLL_S = 10  # less than a request may take
POLL_LIMIT = 20
"""Updates a look. One may have 100 KB: two texts of 4,096 letters, six octets each, with what stands under them."""
TAP = "tap:"  # how the id of a tap begins; the rest is the callback query's own
GONE = frozenset({"kicked", "left"})
ASK_TEXT = "To get our messages here, please share your phone number."
ASK_BUTTON = "Share my number"
THANKS_TEXT = "Thank you!"

UNFETCHED = (  # what Telegram says of a medium that it cannot fetch or does not take
    "http url",
    "failed to get",
    "wrong type of the web page content",
    "wrong file identifier",
    "webpage_",
    "image_process_failed",
    "photo_invalid_dimensions",
)

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
    """`base_url` may name a self-hosted Bot API server. `asks_phone`: who is asked to share their phone, when the bot
    does not know it: nobody, those who press Start, or all who write."""

    token: Secret
    base_url: str = BASE_URL
    asks_phone: Literal["never", "start", "always"] = "start"
    ask_text: str = ASK_TEXT
    ask_button: str = ASK_BUTTON
    thanks_text: str = THANKS_TEXT

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.TELEGRAM_BOT, has_receipts=False)
    most_polled_bytes: ClassVar[int] = POLL_LIMIT * 100 * 1024

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
        return self._call(method, body)

    def second_try(self, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        """The text with the link, where the medium was refused and the message was not."""
        media = attempt.content.media
        if media is None or response.status != 400 or message(attempt.content)[0] == "sendMessage":
            return None
        said = response.json()["description"].lower()
        text = with_links(attempt.content.text, links(media))
        if not any(part in said for part in UNFETCHED) or utf16_units(text) > MAX_TEXT:
            return None
        body: dict[str, Any] = {"chat_id": attempt.address, "text": text, "link_preview_options": NO_PREVIEW}
        if rows := keyboard(attempt):
            body["reply_markup"] = {"inline_keyboard": rows}
        return self._call("sendMessage", body)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if answer["ok"] is True:
            return Delivered(provider_id=str(whole(answer["result"]["message_id"])))
        description = str(answer["description"])
        match whole(answer.get("error_code", response.status)):
            case 429:
                after_s = answer.get("parameters", {}).get("retry_after")
                return Retry(Reason.THROTTLED, None if after_s is None else float(after_s), description)
            case 401 | 404:
                return Rejected(Reason.MISCONFIGURED, description)
            case 400 | 403:
                return Rejected(meaning(description), description)
            case code if code >= 500:
                return Retry(Reason.PROVIDER_DOWN, detail=description)
        return Rejected(Reason.PROVIDER_REFUSED, description)

    @property
    def webhook_secret(self) -> str:
        """What Telegram shows with each update, so that nobody else can bring one."""
        return hmac.new(self.token.reveal().encode(), b"cascade webhook", hashlib.sha256).hexdigest()

    def set_webhook(self, url: str) -> HttpRequest:
        """Ask Telegram to call `url`. It must be https, unless the Bot API server is one's own."""
        fields = {"url": url, "secret_token": self.webhook_secret, "allowed_updates": UPDATES}
        return self._call("setWebhook", fields)

    def webhook_refusal(self, response: HttpResponse) -> str | None:
        """Why Telegram did not take the webhook; None when it did. Raises `ValueError` when the answer is no JSON."""
        answer = response.json()
        return None if answer.get("ok") is True else str(answer.get("description"))

    def hear(self, callback: Callback) -> Heard:
        """What one update says.

        Raises `ForgedCallbackError` without the webhook's secret, `MalformedCallbackError` on what is no update.
        """
        given = header(callback.headers, SECRET_HEADER) or ""
        if not hmac.compare_digest(given.encode(), self.webhook_secret.encode()):
            raise ForgedCallbackError(f"{SECRET_HEADER} is not the webhook's")
        try:
            return heard([orjson.loads(callback.body)])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise MalformedCallbackError(f"not a Telegram update: {type(error).__name__}") from error

    def before_polls(self) -> HttpRequest:
        """While there is a webhook, Telegram answers no polls."""
        return self._call("deleteWebhook", {})

    def poll_request(self, next: int | None) -> HttpRequest:  # noqa: A002
        fields: dict[str, Any] = {"timeout": POLL_S, "limit": POLL_LIMIT, "allowed_updates": UPDATES}
        return self._call("getUpdates", fields if next is None else fields | {"offset": next})

    def polled(self, response: HttpResponse) -> Polled:
        answer = response.json()
        if answer["ok"] is not True:
            return Polled(problem=f"{answer['error_code']} {answer['description']}")
        updates = answer["result"]
        found: list[Heard] = []
        last = -1
        for update in updates:
            try:
                last = max(last, int(update["update_id"]))
                found.append(heard([update]))
            except (ValueError, TypeError, LookupError, AttributeError):  # it would come again for ever
                found.append(Heard(ignored=["malformed"]))
        return Polled(
            Heard(
                inbound=[one for each in found for one in each.inbound],
                ignored=[word for each in found for word in each.ignored],
            ),
            last + 1 or None,
        )

    def reply_request(self, inbound: Inbound, *, is_known: bool) -> HttpRequest | None:
        """An end to the tapped button's spinner; thanks for a contact; a request for one from whom we cannot know."""
        match inbound.kind:
            case InboundKind.TAP:
                return self._call("answerCallbackQuery", {"callback_query_id": inbound.id.removeprefix(TAP)})
            case InboundKind.CONTACT:
                markup: dict[str, Any] = {"remove_keyboard": True}
                return self._say(inbound.address, self.thanks_text, markup)
            case InboundKind.STARTED | InboundKind.TEXT if not is_known and self._asks(inbound):
                button = {"text": self.ask_button, "request_contact": True}
                markup = {"keyboard": [[button]], "resize_keyboard": True, "one_time_keyboard": True}
                return self._say(inbound.address, self.ask_text, markup)
        return None

    def _asks(self, inbound: Inbound) -> bool:
        return self.asks_phone == "always" or (self.asks_phone == "start" and inbound.kind is InboundKind.STARTED)

    def _say(self, chat_id: str, text: str, markup: dict[str, Any]) -> HttpRequest:
        return self._call("sendMessage", {"chat_id": chat_id, "text": text, "reply_markup": markup})

    def _call(self, method: str, fields: dict[str, Any]) -> HttpRequest:
        return HttpRequest("POST", self._url(method), json=fields)

    def _url(self, method: str) -> str:
        return f"{self.base_url.rstrip('/')}/bot{self.token.reveal()}/{method}"

    def account_request(self) -> HttpRequest:
        return HttpRequest("GET", self._url("getMe"))

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


def heard(updates: Sequence[dict[str, Any]]) -> Heard:
    """What updates say. Raises `ValueError`, `TypeError`, `LookupError` or `AttributeError` when one is none."""
    inbound: list[Inbound] = []
    ignored: list[str] = []
    for update in updates:
        number = int(update["update_id"])
        if "message" in update:
            said = _message(f"update:{number}", update["message"])
        elif "callback_query" in update:
            said = _tap(update["callback_query"])
        elif "my_chat_member" in update:
            said = _membership(f"update:{number}", update["my_chat_member"])
        else:
            said = "other_update"
        if isinstance(said, Inbound):
            inbound.append(said)
        else:
            ignored.append(said)
    return Heard(inbound=inbound, ignored=ignored)


def _message(id_: str, given: dict[str, Any]) -> Inbound | str:
    if given["chat"]["type"] != "private":
        return "not_private"
    person = given["from"]
    address, profile = str(int(given["chat"]["id"])), profile_of(person)
    if (contact := given.get("contact")) is not None:
        # Anybody's contact can be sent. Whose it is the server says, not the app, and of a forwarded one, too.
        if contact.get("user_id") != person["id"] or "forward_origin" in given or "forward_date" in given:
            return "foreign_contact"
        return Inbound(id_, InboundKind.CONTACT, address, phone=str(contact["phone_number"]), profile=profile)
    text = given.get("text", given.get("caption"))
    if not isinstance(text, str):
        return "no_text"
    answered = given.get("reply_to_message")
    reply_to = None if answered is None else str(int(answered["message_id"]))
    command, _, payload = text.partition(" ")
    if command.partition("@")[0] == "/start":
        return Inbound(id_, InboundKind.STARTED, address, payload=payload.strip() or None, profile=profile)
    return Inbound(id_, InboundKind.TEXT, address, text, reply_to=reply_to, profile=profile)


def _tap(query: dict[str, Any]) -> Inbound:
    tapped = query.get("message")  # absent when it is too old
    return Inbound(
        f"{TAP}{query['id']}",
        InboundKind.TAP,
        str(int(query["from"]["id"])),
        payload=str(query.get("data", "")),
        reply_to=None if tapped is None else str(int(tapped["message_id"])),
        profile=profile_of(query["from"]),
    )


def _membership(id_: str, change: dict[str, Any]) -> Inbound | str:
    if change["chat"]["type"] != "private":
        return "not_private"
    is_gone = change["new_chat_member"]["status"] in GONE
    kind = InboundKind.STOPPED if is_gone else InboundKind.STARTED
    return Inbound(id_, kind, str(int(change["chat"]["id"])), profile=profile_of(change["from"]))


PROFILE = {"first_name": "firstName", "last_name": "lastName", "username": "userName", "language_code": "languageCode"}
"""Telegram's names and the contract's."""


def profile_of(user: dict[str, Any]) -> dict[str, str]:
    return {ours: str(user[theirs])[:255] for theirs, ours in PROFILE.items() if user.get(theirs)}
