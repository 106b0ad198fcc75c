"""A twin of Viber's REST Bot API: its methods, its limits, its status codes, and its signed callbacks.

Sources: https://developers.viber.com/docs/api/rest-bot-api and https://creators.viber.com/docs/bots-api.
Like Viber it answers HTTP 200 to whatever it understands, and sends only for a bot that has set a webhook.
"""

import base64
import hashlib
import hmac
import itertools
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

import orjson
from aiohttp import web

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import (
    COUNTRY,
    LANGUAGE,
    AnswerLostError,
    Behaviour,
    Counters,
    People,
    Person,
    Received,
    iso_now,
)
from cascade.sandbox.twin import is_web_url

JSON_HEADERS = {"Content-Type": "application/json"}
CHAT_HOSTNAME = "SN-CHAT-01_"
EVENT_TYPES = ("delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started")
ALWAYS_SENT = frozenset({"subscribed", "unsubscribed"})  # whatever the bot asked for

REQUEST_LIMIT_BYTES = 30 * 1024
BROADCAST_LIMIT = 300
ONLINE_LIMIT = 100
TEXT_LIMIT = 7000
CAPTION_LIMIT = 512
URL_LIMIT = 2000
NAME_LIMIT = 28
TRACKING_LIMIT = 4000
BUTTON_TEXT_LIMIT = 250
BUTTON_ACTIONS = ("reply", "open-url", "share-phone", "location-picker", "none")
RICH_MEDIA_API_VERSION = 2
SHARE_PHONE_API_VERSION = 3

REQUIRED = {  # type -> fields it cannot do without
    "text": ("text",),
    "picture": ("media",),
    "video": ("media", "size"),
    "file": ("media", "size", "file_name"),
    "url": ("media",),
    "contact": ("contact",),
    "location": ("location",),
    "sticker": ("sticker_id",),
    "rich_media": ("rich_media",),
}
SHOWN_AS = {"picture": "image", "video": "video", "file": "file", "url": "url"}

Body = dict[str, Any]
Method = Callable[["ViberBot", "Bot", Body], Awaitable[Body]]


class Status(IntEnum):
    OK = 0
    INVALID_URL = 1
    INVALID_AUTH_TOKEN = 2
    BAD_DATA = 3
    MISSING_DATA = 4
    RECEIVER_NOT_REGISTERED = 5
    RECEIVER_NOT_SUBSCRIBED = 6
    WEBHOOK_NOT_SET = 10
    TOO_MANY_REQUESTS = 12

    @property
    def message(self) -> str:
        """Viber's name of the code, such as `receiverNotSubscribed`."""
        first, *rest = self.name.lower().split("_")
        return first + "".join(map(str.capitalize, rest))

    def answer(self, **fields: Any) -> Body:
        return {"status": self.value, "status_message": self.message} | fields


class RefusedError(Exception):
    """Viber's answer when it does not do as asked."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(detail or status.message)
        self.answer: Body = {"status": status.value, "status_message": detail or status.message}


class ProviderDownError(Exception):
    """Viber itself has failed: HTTP 500."""


@dataclass(slots=True)
class Bot:
    """One token's side of the API."""

    token: str = field(repr=False)
    id: str
    webhook: str = ""
    event_types: tuple[str, ...] = EVENT_TYPES
    tracking: dict[str, str] = field(default_factory=dict)  # user id -> tracking_data of the newest message

    @classmethod
    def of(cls, token: str) -> "Bot":
        return cls(token, f"pa:{zlib.crc32(token.encode())}")


def user_id_of(phone: str) -> str:
    """The Viber user id of a phone: 16 bytes in base64 as Viber's are, always the same for one phone."""
    return base64.b64encode(hashlib.sha256(f"viber {phone}".encode()).digest()[:16]).decode()


def signature(token: str, body: bytes) -> str:
    """`X-Viber-Content-Signature`: hex HMAC-SHA256 of the raw body under the bot's token."""
    return hmac.new(token.encode(), body, hashlib.sha256).hexdigest()


class ViberBot:
    """`/pa/{method}` for a set of tokens. `late_s` is how long a `late` person's receipt takes, in seconds.

    With `keep_inbox` off no message is remembered: for benchmarks.
    """

    channel: ClassVar[str] = "viber_bot"

    def __init__(
        self,
        people: People,
        tokens: Iterable[str],
        callbacks: Callbacks,
        *,
        late_s: float = 10.0,
        keep_inbox: bool = True,
    ) -> None:
        self.counters = Counters()
        self._people = people
        self._callbacks = callbacks
        self._late_s = late_s
        self._keep_inbox = keep_inbox
        self._bots = {token: Bot.of(token) for token in tokens}
        # Over 2^53 as Viber's are, and going on from the clock, so that no two runs give one token twice.
        self._message_tokens = itertools.count(4_000_000_000_000_000_000 + time.time_ns())

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/pa/{method}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        self.counters.requests += 1
        method = METHODS.get(request.match_info["method"])
        if method is None:
            return web.Response(status=404)
        try:
            body = parse(await request.read())
            token = request.headers.get("X-Viber-Auth-Token") or body.get("auth_token")
            bot = self._bots.get(token) if isinstance(token, str) else None
            if bot is None:
                raise RefusedError(Status.INVALID_AUTH_TOKEN)
            answer = await method(self, bot, body)
        except RefusedError as refusal:
            answer = refusal.answer
        except ProviderDownError:
            return web.Response(status=500)
        except AnswerLostError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.Response(body=orjson.dumps(answer), headers=JSON_HEADERS)

    # The people's side

    def join(self, phone: str) -> Person:
        """The person subscribes to the bots, which then know their user id."""
        return self._people.meet(phone, self.channel, user_id_of(phone))

    def directory_entries(self, person: Person) -> list[tuple[str, Body]]:
        """Token and entry for the gateway's subscriber directory, one for each bot."""
        entry = {
            "id": user_id_of(person.phone),
            "name": person.name,
            "phone": person.phone,
            "country": COUNTRY,
            "language": LANGUAGE,
            "avatar": "",
        }
        return [(token, entry) for token in self._bots]

    def turn(self, person: Person, before: Behaviour) -> None:
        """Tell the bots that a person they know has left them or come back: `unsubscribed`, `subscribed`."""
        after = person.on(self.channel)
        was_blocked, is_blocked = before is Behaviour.BLOCKED, after is Behaviour.BLOCKED
        if was_blocked == is_blocked or Behaviour.ABSENT in (before, after):
            return
        for bot in self._bots.values():
            if is_blocked:
                self._post(bot, person, ("unsubscribed", {"user_id": user_id_of(person.phone)}))
            else:
                self._post(bot, person, ("subscribed", {"user": user_of(person)}))

    def answer(self, person: Person, received: Received, option: str) -> None:
        """Tap the button `option` of a message: its bot gets a `message` whose text is the ActionBody."""
        bot = next(bot for bot in self._bots.values() if bot.id == received.account)
        self._say(bot, person, {"type": "text", "text": received.replies[option]})

    def say(self, person: Person, text: str) -> None:
        """Write to the bots."""
        for bot in self._bots.values():
            self._say(bot, person, {"type": "text", "text": text})

    def share_contact(self, person: Person, owner: Person) -> None:
        """Send a contact to the bots. Nothing in it proves whose it is, as with Viber."""
        contact = {"name": owner.name, "phone_number": owner.phone.removeprefix("+")}
        for bot in self._bots.values():
            self._say(bot, person, {"type": "contact", "contact": contact})

    # The API's methods

    async def _set_webhook(self, bot: Bot, body: Body) -> Body:
        url = body.get("url")
        if not isinstance(url, str):
            raise RefusedError(Status.MISSING_DATA)
        wanted = body.get("event_types")
        if wanted is None:
            wanted = EVENT_TYPES
        elif not isinstance(wanted, list) or any(event not in (*EVENT_TYPES, "message") for event in wanted):
            raise RefusedError(Status.BAD_DATA)
        if url:
            if not is_web_url(url):
                raise RefusedError(Status.INVALID_URL)
            if not await self._callbacks.ask(self._callback(bot, "webhook", {}, url=url)):
                raise RefusedError(Status.INVALID_URL, "webhook did not answer 200")
        bot.webhook, bot.event_types = url, tuple(wanted)
        return Status.OK.answer(chat_hostname=CHAT_HOSTNAME, event_types=bot.event_types)

    async def _send_message(self, bot: Bot, body: Body) -> Body:
        fault = self._check(bot, body)
        receiver = body.get("receiver")
        if not isinstance(receiver, str) or not receiver:
            raise RefusedError(Status.MISSING_DATA)
        token = next(self._message_tokens)
        if self._deliver(bot, receiver, body, token, fault) is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return Status.OK.answer(message_token=token, chat_hostname=CHAT_HOSTNAME, billing_status=1)

    async def _broadcast_message(self, bot: Bot, body: Body) -> Body:
        fault = self._check(bot, body)
        receivers = body.get("broadcast_list")
        if not isinstance(receivers, list) or not receivers:
            raise RefusedError(Status.MISSING_DATA)
        if len(receivers) > BROADCAST_LIMIT:
            raise RefusedError(Status.BAD_DATA)
        token = next(self._message_tokens)
        failed, behaviours = [], set()
        for receiver in map(str, receivers):
            try:
                behaviours.add(self._deliver(bot, receiver, body, token, fault))
            except RefusedError as refusal:
                failed.append({"receiver": receiver} | refusal.answer)
        if Behaviour.ANSWER_LOST in behaviours:
            raise AnswerLostError
        return Status.OK.answer(message_token=token, chat_hostname=CHAT_HOSTNAME, failed_list=failed, billing_status=1)

    async def _get_account_info(self, bot: Bot, body: Body) -> Body:
        return Status.OK.answer(
            id=bot.id,
            name="Sandbox bot",
            uri=f"sandbox{bot.id.removeprefix('pa:')}",
            icon="",
            background="",
            category="Companies",
            subcategory="",
            country=COUNTRY,
            webhook=bot.webhook,
            event_types=bot.event_types,
            subscribers_count=sum(self._is_subscribed(person) for person in self._people),
            members=[],
        )

    async def _get_user_details(self, bot: Bot, body: Body) -> Body:
        user_id = body.get("id")
        if not isinstance(user_id, str) or not user_id:
            raise RefusedError(Status.MISSING_DATA)
        details = {
            "primary_device_os": "Android 14",
            "viber_version": "24.0.0",
            "mcc": 255,
            "mnc": 1,
            "device_type": "sandbox",
        }
        user = user_of(self._person(user_id)) | details
        return Status.OK.answer(message_token=next(self._message_tokens), user=user)

    async def _get_online(self, bot: Bot, body: Body) -> Body:
        ids = body.get("ids")
        if not isinstance(ids, list) or not ids:
            raise RefusedError(Status.MISSING_DATA)
        if len(ids) > ONLINE_LIMIT:
            raise RefusedError(Status.BAD_DATA)
        return Status.OK.answer(users=[self._presence(str(user_id)) for user_id in ids])

    # How it is done

    def _is_subscribed(self, person: Person) -> bool:
        return self.channel in person.addresses and person.on(self.channel) not in (
            Behaviour.ABSENT,
            Behaviour.BLOCKED,
        )

    def _presence(self, user_id: str) -> Body:
        person = self._people.find(self.channel, user_id)
        if person is None or not self._is_subscribed(person):
            return {"id": user_id, "online_status": 4, "online_status_message": "unavailable"}
        return {"id": user_id, "online_status": 0, "online_status_message": "online"}

    def _person(self, user_id: str) -> Person:
        person = self._people.find(self.channel, user_id)
        if person is None or person.on(self.channel) is Behaviour.ABSENT:
            raise RefusedError(Status.RECEIVER_NOT_REGISTERED)
        if person.on(self.channel) is Behaviour.BLOCKED:
            raise RefusedError(Status.RECEIVER_NOT_SUBSCRIBED)
        return person

    def _check(self, bot: Bot, body: Body) -> str:
        """Refuse what Viber's server refuses. What only the app will not show comes back in words; empty: nothing."""
        if not bot.webhook:
            raise RefusedError(Status.WEBHOOK_NOT_SET)
        check_message(body)
        return keyboard_fault(body)

    def _deliver(self, bot: Bot, user_id: str, body: Body, token: int, fault: str) -> Behaviour:
        """Put a message on the phone and its receipts on their way, as the person behaves."""
        person = self._person(user_id)
        behaviour = person.on(self.channel)
        if behaviour is Behaviour.REJECTS:
            raise RefusedError(Status.BAD_DATA)
        if behaviour is Behaviour.THROTTLED and person.is_first_try(self.channel):
            raise RefusedError(Status.TOO_MANY_REQUESTS)
        if behaviour is Behaviour.DOWN:
            raise ProviderDownError
        self.counters.accepted += 1
        about = {"user_id": user_id}
        if fault:
            self._post(bot, person, ("failed", about | {"desc": fault}), token=token)
            return behaviour
        bot.tracking[user_id] = body.get("tracking_data", "")
        if self._keep_inbox:
            person.inbox.append(received_of(body, str(token), bot.id))
        if behaviour is Behaviour.READS:
            self._post(bot, person, ("delivered", about), ("seen", about), token=token)
        elif behaviour is not Behaviour.SILENT:
            after_s = self._late_s if behaviour is Behaviour.LATE else 0.0
            self._post(bot, person, ("delivered", about), token=token, after_s=after_s)
        return behaviour

    def _say(self, bot: Bot, person: Person, message: Body) -> None:
        if tracking := bot.tracking.get(user_id_of(person.phone)):
            message["tracking_data"] = tracking
        self._post(bot, person, ("message", {"sender": user_of(person), "message": message, "silent": False}))

    def _post(
        self, bot: Bot, person: Person, *events: tuple[str, Body], token: int | None = None, after_s: float = 0.0
    ) -> None:
        """Send events to the bot's webhook, in order; every one twice from a person who `repeats`."""
        if not bot.webhook:
            return
        times = 2 if person.on(self.channel) is Behaviour.REPEATED else 1
        callbacks = [
            self._callback(bot, event, fields, token=token)
            for event, fields in events
            if event not in EVENT_TYPES or event in ALWAYS_SENT or event in bot.event_types
        ]
        repeated = [callback for callback in callbacks for _ in range(times)]
        if repeated:
            self._callbacks.post(*repeated, after_s=after_s)

    def _callback(self, bot: Bot, event: str, fields: Body, *, token: int | None = None, url: str = "") -> Callback:
        content = {
            "event": event,
            "timestamp": time.time_ns() // 1_000_000,
            "chat_hostname": CHAT_HOSTNAME,
            "message_token": token or next(self._message_tokens),
        }
        body = orjson.dumps(content | fields)
        headers = {**JSON_HEADERS, "X-Viber-Content-Signature": signature(bot.token, body)}
        return Callback(url or bot.webhook, body, headers)


METHODS: Mapping[str, Method] = {
    "set_webhook": ViberBot._set_webhook,
    "send_message": ViberBot._send_message,
    "broadcast_message": ViberBot._broadcast_message,
    "get_account_info": ViberBot._get_account_info,
    "get_user_details": ViberBot._get_user_details,
    "get_online": ViberBot._get_online,
}


def parse(raw: bytes) -> Body:
    """The body of a call; Viber's own SDK sends it without a content type."""
    if len(raw) > REQUEST_LIMIT_BYTES:
        raise RefusedError(Status.BAD_DATA, "request is larger than 30 KB")
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as error:
        raise RefusedError(Status.BAD_DATA) from error
    if not isinstance(body, dict):
        raise RefusedError(Status.BAD_DATA)
    return body


def check_message(body: Body) -> None:
    """Refuse a message that lacks a field of its type or breaks a limit."""
    kind = body.get("type")
    sender = body.get("sender")
    name = sender.get("name") if isinstance(sender, dict) else None
    if not kind or not name:
        raise RefusedError(Status.MISSING_DATA)
    required = REQUIRED.get(str(kind))
    if required is None:
        raise RefusedError(Status.BAD_DATA)
    if any(body.get(field) in (None, "") for field in required):
        raise RefusedError(Status.MISSING_DATA)
    text, media = body.get("text") or "", body.get("media") or ""
    if (
        not all(isinstance(one, str) for one in (name, text, body.get("thumbnail") or "", body.get("file_name") or ""))
        or len(name) > NAME_LIMIT
        or len(text) > (TEXT_LIMIT if kind == "text" else CAPTION_LIMIT)
        or len(str(body.get("tracking_data") or "")) > TRACKING_LIMIT
        or ("media" in required and not is_media_url(media))
        or ("size" in required and not isinstance(body["size"], int))
        or not isinstance(body.get("min_api_version") or 1, int)
    ):
        raise RefusedError(Status.BAD_DATA)


def is_media_url(url: Any) -> bool:
    return isinstance(url, str) and len(url) <= URL_LIMIT and is_web_url(url)


def buttons_of(body: Body) -> list[Any]:
    """The buttons of a message: its keyboard's and its rich media's."""
    parts = (body.get("keyboard"), body.get("rich_media"))
    lists = [part.get("Buttons") for part in parts if isinstance(part, dict)]
    return [button for buttons in lists if isinstance(buttons, list) for button in buttons]


def keyboard_fault(body: Body) -> str:
    """Why the app will not show a message that the server took; empty when it will."""
    version = body.get("min_api_version") or 1
    if body.get("type") == "rich_media" and version < RICH_MEDIA_API_VERSION:
        return "rich_media needs min_api_version 2"
    if body.get("keyboard") and not buttons_of(body):
        return "keyboard has no Buttons"
    for button in buttons_of(body):
        if not isinstance(button, dict):
            return "a button is not an object"
        action = button.get("ActionType", "reply")
        if action not in BUTTON_ACTIONS:
            return f"unknown ActionType {action}"
        does = button.get("ActionBody")
        if action != "none" and not (does and isinstance(does, str)):
            return "a button has no ActionBody"
        if action == "share-phone" and version < SHARE_PHONE_API_VERSION:
            return "share-phone needs min_api_version 3"
        if len(str(button.get("Text", ""))) > BUTTON_TEXT_LIMIT:
            return "a button's Text is over 250 characters"
        if button.get("Columns", 6) not in range(1, 7) or button.get("Rows", 1) not in range(1, 8):
            return "a button's Columns or Rows are out of range"
    return ""


def received_of(body: Body, provider_id: str, account: str) -> Received:
    """The message as the phone shows it."""
    kind = body["type"]
    received = Received("viber_bot", body["sender"]["name"], body.get("text") or "", iso_now())
    received.provider_id, received.account = provider_id, account
    if kind in SHOWN_AS:
        received.media[SHOWN_AS[kind]] = body["media"]
    for part in ("thumbnail", "file_name"):
        if body.get(part):
            received.media[part] = body[part]
    for button in buttons_of(body):
        text, action = str(button.get("Text", "")), button.get("ActionType", "reply")
        if action == "reply":
            received.options.append(text)
            received.replies[text] = button["ActionBody"]
        elif action == "open-url":
            received.buttons.append({"text": text, "url": button["ActionBody"]})
        elif action != "none":
            received.buttons.append({"text": text, "action": action})
    return received


def user_of(person: Person) -> Body:
    return {
        "id": user_id_of(person.phone),
        "name": person.name,
        "avatar": "",
        "country": COUNTRY,
        "language": LANGUAGE,
        "api_version": 10,
    }
