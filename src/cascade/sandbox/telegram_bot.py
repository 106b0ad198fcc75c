"""A twin of the Telegram Bot API: the methods a gateway calls, Telegram's limits, its errors in its words.

Sources: https://core.telegram.org/bots/api and https://github.com/tdlib/telegram-bot-api (descriptions of errors).
It does not parse entities (`parse_mode` is checked by name only) and does not fetch media by URL.
"""

import asyncio
import itertools
import secrets
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from cascade.sandbox.people import LANGUAGE, AnswerLostError, Behaviour, Counters, People, Person, Received, iso_now
from cascade.sandbox.twin import MalformedError, form_of, is_web_url

log = structlog.get_logger()

TEXT_LIMIT = 4096  # UTF-16 units
CAPTION_LIMIT = 1024
BUTTON_DATA_LIMIT_BYTES = 64
BUTTONS_IN_ROW = 8
BUTTONS_IN_ALL = 100
DELETABLE = timedelta(hours=48)
WEBHOOK_TIMEOUT = ClientTimeout(total=10)
LONGEST_RETRY_S = 60.0
LONGEST_POLL_S = 50
LARGEST_NUMBER = (1 << 63) - 1

JSON_HEADERS = {"Content-Type": "application/json"}
PARSE_MODES = ("", "html", "markdown", "markdownv2", "none")
BUTTON_ACTIONS = (
    "url",
    "callback_data",
    "copy_text",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
)
SECRET_TOKEN_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")

Fields = dict[str, Any]
Method = Callable[["TelegramBot", "Bot", Fields], Awaitable[Any]]


class RefusedError(Exception):
    """Telegram's answer when it does not do as asked. `description` is in Telegram's words."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.answer: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
        if parameters:
            self.answer["parameters"] = parameters


@dataclass(slots=True)
class Bot:
    """One token's side of the API: who it is, and the updates it has not yet confirmed."""

    token: str = field(repr=False)
    id: int
    username: str
    updates: deque[dict[str, Any]] = field(default_factory=deque)
    allowed: frozenset[str] = frozenset()  # kinds of updates wanted; empty: all
    webhook_url: str = ""
    secret_token: str = field(default="", repr=False)
    max_connections: int = 40
    last_error: str = ""
    last_error_at_s: int = 0
    poller: asyncio.Future[bool] | None = None  # True: an update came; False: another poller took over
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    courier: asyncio.Task[None] | None = None  # carries updates to the webhook

    @classmethod
    def of(cls, token: str) -> "Bot":
        number = token.partition(":")[0]
        bot_id = int(number) if number.isdecimal() else zlib.crc32(token.encode())
        return cls(token, bot_id, f"sandbox_{bot_id}_bot")

    def as_user(self) -> dict[str, Any]:
        return {"id": self.id, "is_bot": True, "first_name": "Sandbox bot", "username": self.username}


def chat_id_of(phone: str) -> str:
    """The chat id of a phone: its digits, so that a test can be repeated. At most 15, hence within 52 bits."""
    return phone.removeprefix("+")


class TelegramBot:
    """`/bot{token}/{method}` for a set of tokens. `retry_s` is the first delay of the webhook, doubled each time.

    With `keep_inbox` off no message is remembered, hence none can be deleted: for benchmarks.
    """

    channel: ClassVar[str] = "telegram_bot"

    def __init__(
        self,
        people: People,
        tokens: Iterable[str],
        session: ClientSession,
        *,
        retry_s: float = 0.5,
        keep_inbox: bool = True,
    ) -> None:
        self.counters = Counters()
        self._people = people
        self._session = session
        self._retry_s = retry_s
        self._keep_inbox = keep_inbox
        self._bots = {token: Bot.of(token) for token in tokens}
        # Both numbers go on from the clock: a gateway that outlives the sandbox must never meet one of them again.
        self._message_ids = itertools.count(int(time.time()))
        self._update_ids = itertools.count(int(time.time()))
        self._queries: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        path = "/bot{token}/{method}"
        return [web.post(path, self.handle), web.get(path, self.handle, allow_head=False)]

    async def stop(self) -> None:
        """Let the long pollers go with an empty answer, and carry no more updates."""
        for bot in self._bots.values():
            if bot.poller is not None and not bot.poller.done():
                bot.poller.set_result(True)
            await self._dismiss(bot)

    async def handle(self, request: web.Request) -> web.Response:
        self.counters.requests += 1
        try:
            bot = self._bots.get(request.match_info["token"])
            if bot is None:
                raise RefusedError(401, "Unauthorized")
            method = METHODS.get(request.match_info["method"].lower())
            if method is None:
                raise RefusedError(404, "Not Found")
            answer = {"ok": True, "result": await method(self, bot, await read_fields(request))}
            return web.Response(body=orjson.dumps(answer), headers=JSON_HEADERS)
        except RefusedError as refusal:
            body = orjson.dumps(refusal.answer)
            return web.Response(status=refusal.answer["error_code"], body=body, headers=JSON_HEADERS)
        except AnswerLostError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    # The people's side

    def join(self, phone: str) -> Person:
        """The person talks to the bots, which then know their chat id."""
        return self._people.meet(phone, self.channel, chat_id_of(phone))

    def directory_entries(self, person: Person) -> list[tuple[str, dict[str, Any]]]:
        """Token and entry for the gateway's subscriber directory, one for each bot."""
        user = user_of(person)
        entry = {
            "id": user["id"],
            "firstName": user["first_name"],
            "lastName": "",
            "userName": "",
            "phone": person.phone,
            "languageCode": LANGUAGE,
        }
        return [(token, entry) for token in self._bots]

    def turn(self, person: Person, before: Behaviour) -> None:
        """Tell the bots that a person they know has blocked or unblocked them, as `my_chat_member`."""
        after = person.on(self.channel)
        memberships: dict[bool, dict[str, Any]] = {
            True: {"status": "kicked", "until_date": 0},
            False: {"status": "member"},
        }
        was_blocked, is_blocked = before is Behaviour.BLOCKED, after is Behaviour.BLOCKED
        if was_blocked == is_blocked or Behaviour.ABSENT in (before, after):
            return
        for bot in self._bots.values():
            change = {
                "chat": chat_of(person),
                "from": user_of(person),
                "date": int(time.time()),
                "old_chat_member": {"user": bot.as_user()} | memberships[was_blocked],
                "new_chat_member": {"user": bot.as_user()} | memberships[is_blocked],
            }
            self._update(bot, "my_chat_member", change)

    def answer(self, person: Person, received: Received, option: str) -> None:
        """Tap the inline button `option` of a message: its bot gets a `callback_query`."""
        query_id = str(secrets.randbits(63))
        self._queries.add(query_id)
        bot = next(bot for bot in self._bots.values() if str(bot.id) == received.account)
        sent_at_s = int(datetime.fromisoformat(received.received_at).timestamp())
        message = self._message(bot, person, int(received.provider_id), sent_at_s)
        message["caption" if received.media else "text"] = received.text
        query = {
            "id": query_id,
            "from": user_of(person),
            "message": message,
            "chat_instance": str(zlib.crc32(person.phone.encode())),
            "data": received.replies[option],
        }
        self._update(bot, "callback_query", query)

    def say(self, person: Person, text: str) -> None:
        """Write to the bots."""
        for bot in self._bots.values():
            message = {
                "message_id": next(self._message_ids),
                "from": user_of(person),
                "chat": chat_of(person),
                "date": int(time.time()),
                "text": text,
            }
            self._update(bot, "message", message)

    def share_contact(self, person: Person, owner: Person) -> None:
        """Send a contact to the bots. Telegram vouches for it, by `user_id`, only where it knows the owner."""
        contact: dict[str, Any] = {"phone_number": owner.phone.removeprefix("+"), "first_name": owner.name}
        if self.channel in owner.addresses:
            contact["user_id"] = int(owner.addresses[self.channel])
        for bot in self._bots.values():
            message = {
                "message_id": next(self._message_ids),
                "from": user_of(person),
                "chat": chat_of(person),
                "date": int(time.time()),
                "contact": contact,
            }
            self._update(bot, "message", message)

    # The API's methods

    async def _get_me(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        return bot.as_user() | {
            "can_join_groups": False,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    async def _send_message(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        text = fields.get("text")
        if not isinstance(text, str) or not text.strip():
            raise RefusedError(400, "Bad Request: message text is empty")
        self._check_parse_mode(fields)
        person = self._chat(fields)
        if is_longer(text, TEXT_LIMIT):
            raise RefusedError(400, "Bad Request: message is too long")
        return self._deliver(bot, person, fields, text, {}, {"text": text})

    async def _send_photo(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        sizes = {"width": 1280, "height": 720}
        return self._send_media(bot, fields, "photo", "image", lambda file: [file | sizes])

    async def _send_video(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        numbers = {name: number(fields, name) for name in ("width", "height", "duration")}
        return self._send_media(bot, fields, "video", "video", lambda file: file | numbers)

    async def _send_document(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        return self._send_media(bot, fields, "document", "file", lambda file: file)

    def _send_media(
        self, bot: Bot, fields: Fields, kind: str, shown_as: str, describe: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any]:
        source = media_source(fields, kind)
        self._check_parse_mode(fields)
        person = self._chat(fields)
        caption = str(fields.get("caption") or "")
        if is_longer(caption, CAPTION_LIMIT):
            raise RefusedError(400, "Bad Request: message caption is too long")
        mark = f"{zlib.crc32(source.encode()):08x}"
        content: dict[str, Any] = {kind: describe({"file_id": f"sandbox-{mark}", "file_unique_id": mark})}
        if caption:
            content["caption"] = caption
        return self._deliver(bot, person, fields, caption, {shown_as: source}, content)

    async def _delete_message(self, bot: Bot, fields: Fields) -> bool:
        person = self._chat(fields)
        if person.on(self.channel) is Behaviour.DOWN:
            raise RefusedError(502, "Bad Gateway")
        message_id, account = str(fields.get("message_id", "")), str(bot.id)
        for received in reversed(person.inbox):
            if received.provider_id == message_id and received.account == account and not received.revoked:
                if datetime.now(UTC) - datetime.fromisoformat(received.received_at) > DELETABLE:
                    raise RefusedError(400, "Bad Request: message can't be deleted for everyone")
                received.revoked = True
                return True
        raise RefusedError(400, "Bad Request: message to delete not found")

    async def _answer_callback_query(self, bot: Bot, fields: Fields) -> bool:
        query_id = str(fields.get("callback_query_id", ""))
        if query_id not in self._queries:
            raise RefusedError(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self._queries.discard(query_id)
        return True

    async def _set_webhook(self, bot: Bot, fields: Fields) -> bool:
        url, secret_token = str(fields.get("url") or ""), str(fields.get("secret_token") or "")
        if not url:
            return await self._delete_webhook(bot, fields)
        if not is_web_url(url):
            raise RefusedError(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if len(secret_token) > 256 or not SECRET_TOKEN_SIGNS.issuperset(secret_token):
            raise RefusedError(400, "Bad Request: secret token contains unallowed characters")
        self._note_allowed(bot, fields)
        self._drop_if_asked(bot, fields)
        await self._dismiss(bot)
        bot.webhook_url, bot.secret_token, bot.last_error = url, secret_token, ""
        bot.max_connections = number(fields, "max_connections") or 40
        if bot.poller is not None and not bot.poller.done():
            bot.poller.set_result(False)
        bot.courier = asyncio.create_task(self._carry(bot))
        return True

    async def _delete_webhook(self, bot: Bot, fields: Fields) -> bool:
        self._drop_if_asked(bot, fields)
        await self._dismiss(bot)
        bot.webhook_url = bot.secret_token = ""
        return True

    async def _get_webhook_info(self, bot: Bot, fields: Fields) -> dict[str, Any]:
        info: dict[str, Any] = {
            "url": bot.webhook_url,
            "has_custom_certificate": False,
            "pending_update_count": len(bot.updates),
            "max_connections": bot.max_connections,
        }
        if bot.allowed:
            info["allowed_updates"] = sorted(bot.allowed)
        if bot.last_error:
            info |= {"last_error_message": bot.last_error, "last_error_date": bot.last_error_at_s}
        return info

    async def _get_updates(self, bot: Bot, fields: Fields) -> list[dict[str, Any]]:
        if bot.webhook_url:
            raise RefusedError(
                409,
                "Conflict: can't use getUpdates method while webhook is active; "
                "use deleteWebhook to delete the webhook first",
            )
        self._note_allowed(bot, fields)
        offset = number(fields, "offset")
        limit = min(max(number(fields, "limit") or 100, 1), 100)
        timeout_s = min(number(fields, "timeout"), LONGEST_POLL_S)
        while bot.updates and (bot.updates[0]["update_id"] < offset if offset >= 0 else len(bot.updates) > -offset):
            bot.updates.popleft()
        if bot.poller is not None and not bot.poller.done():
            bot.poller.set_result(False)
        if not bot.updates and timeout_s > 0 and not await self._wait(bot, timeout_s):
            raise RefusedError(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        return list(itertools.islice(bot.updates, limit))

    async def _log_out(self, bot: Bot, fields: Fields) -> bool:
        return True

    # How it is done

    def _chat(self, fields: Fields) -> Person:
        chat_id = str(fields.get("chat_id", ""))
        if not chat_id:
            raise RefusedError(400, "Bad Request: chat_id is empty")
        person = self._people.find(self.channel, chat_id)
        if person is None or person.on(self.channel) is Behaviour.ABSENT:
            raise RefusedError(400, "Bad Request: chat not found")
        return person

    def _check_parse_mode(self, fields: Fields) -> None:
        if str(fields.get("parse_mode") or "").lower() not in PARSE_MODES:
            raise RefusedError(400, "Bad Request: unsupported parse_mode")

    def _deliver(
        self, bot: Bot, person: Person, fields: Fields, text: str, media: dict[str, str], content: dict[str, Any]
    ) -> dict[str, Any]:
        markup = reply_markup(fields)
        behaviour = person.on(self.channel)
        match behaviour:
            case Behaviour.BLOCKED:
                raise RefusedError(403, "Forbidden: bot was blocked by the user")
            case Behaviour.REJECTS:
                raise RefusedError(
                    400, "Bad Request: can't parse entities: Can't find end of the entity starting at byte offset 0"
                )
            case Behaviour.THROTTLED if person.is_first_try(self.channel):
                raise RefusedError(429, "Too Many Requests: retry after 1", retry_after=1)
            case Behaviour.DOWN:
                raise RefusedError(502, "Bad Gateway")
        self.counters.accepted += 1
        received = Received(self.channel, bot.username, text, iso_now(), media, account=str(bot.id))
        message = self._message(bot, person, next(self._message_ids), int(time.time())) | content
        received.provider_id = str(message["message_id"])
        if markup is not None:
            show_keyboard(markup, received)
            if "inline_keyboard" in markup:
                message["reply_markup"] = markup
        if self._keep_inbox:
            person.inbox.append(received)
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return message

    def _message(self, bot: Bot, person: Person, message_id: int, date: int) -> dict[str, Any]:
        return {"message_id": message_id, "from": bot.as_user(), "chat": chat_of(person), "date": date}

    def _update(self, bot: Bot, kind: str, content: dict[str, Any]) -> None:
        if bot.allowed and kind not in bot.allowed:
            return
        bot.updates.append({"update_id": next(self._update_ids), kind: content})
        bot.arrived.set()
        if bot.poller is not None and not bot.poller.done():
            bot.poller.set_result(True)

    async def _wait(self, bot: Bot, timeout_s: float) -> bool:
        """Wait for an update. False: another request took this poller's place."""
        poller = bot.poller = asyncio.get_running_loop().create_future()
        try:
            return await asyncio.wait_for(poller, timeout_s)
        except TimeoutError:
            return True

    def _note_allowed(self, bot: Bot, fields: Fields) -> None:
        allowed = from_json_text(fields.get("allowed_updates"))
        if isinstance(allowed, list):
            bot.allowed = frozenset(str(kind) for kind in allowed)

    def _drop_if_asked(self, bot: Bot, fields: Fields) -> None:
        if str(fields.get("drop_pending_updates", "")).lower() in ("true", "1"):
            bot.updates.clear()

    async def _dismiss(self, bot: Bot) -> None:
        courier, bot.courier = bot.courier, None
        if courier is not None:
            courier.cancel()
            await asyncio.gather(courier, return_exceptions=True)

    async def _carry(self, bot: Bot) -> None:
        """Bring the updates to the webhook, one after another, each until it is acknowledged with a 2xx."""
        retry_s = self._retry_s
        while True:
            if not bot.updates:
                bot.arrived.clear()
                await bot.arrived.wait()
            update = bot.updates[0]
            bot.last_error = await self._post(bot, update)
            if not bot.last_error:
                retry_s = self._retry_s
                if bot.updates and bot.updates[0] is update:
                    bot.updates.popleft()
                continue
            bot.last_error_at_s = int(time.time())
            log.info("update_refused", channel=self.channel, bot=bot.id, reason=bot.last_error)
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, LONGEST_RETRY_S)

    async def _post(self, bot: Bot, update: dict[str, Any]) -> str:
        """Post one update. What went wrong, in words; empty when it was acknowledged."""
        headers = dict(JSON_HEADERS)
        if bot.secret_token:
            headers["X-Telegram-Bot-Api-Secret-Token"] = bot.secret_token
        try:
            async with self._session.post(
                bot.webhook_url,
                data=orjson.dumps(update),
                headers=headers,
                timeout=WEBHOOK_TIMEOUT,
                allow_redirects=False,
            ) as response:
                return "" if response.ok else f"Wrong response from the webhook: {response.status} {response.reason}"
        except (ClientError, TimeoutError, ValueError) as error:  # ValueError: a host that no name can be
            return f"Connection failed: {type(error).__name__}"


METHODS: Mapping[str, Method] = {
    "getme": TelegramBot._get_me,
    "sendmessage": TelegramBot._send_message,
    "sendphoto": TelegramBot._send_photo,
    "sendvideo": TelegramBot._send_video,
    "senddocument": TelegramBot._send_document,
    "deletemessage": TelegramBot._delete_message,
    "answercallbackquery": TelegramBot._answer_callback_query,
    "setwebhook": TelegramBot._set_webhook,
    "deletewebhook": TelegramBot._delete_webhook,
    "getwebhookinfo": TelegramBot._get_webhook_info,
    "getupdates": TelegramBot._get_updates,
    "logout": TelegramBot._log_out,
    "close": TelegramBot._log_out,
}


async def read_fields(request: web.Request) -> Fields:
    """The parameters of a call, wherever it carries them; a file comes as `web.FileField`."""
    fields: Fields = dict(request.query) if request.query_string else {}
    if not request.body_exists:
        return fields
    match request.content_type:
        case "multipart/form-data":
            try:
                fields.update(await form_of(request))
            except MalformedError as error:
                raise RefusedError(400, "Bad Request: can't parse the form") from error
        case "application/x-www-form-urlencoded":
            fields.update(parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True))
        case _:
            if body := await request.read():
                try:
                    given = orjson.loads(body)
                except orjson.JSONDecodeError as error:
                    raise RefusedError(400, "Bad Request: can't parse JSON object") from error
                if not isinstance(given, dict):
                    raise RefusedError(400, "Bad Request: object expected as the request")
                fields.update(given)
    return fields


def from_json_text(value: Any) -> Any:
    """A nested value, which in a form is JSON text."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "Bad Request: can't parse JSON object") from error


def number(fields: Fields, name: str) -> int:
    """A whole number of 64 bits, 0 where it is not given."""
    try:
        value = int(fields.get(name) or 0)
    except (OverflowError, TypeError, ValueError):
        value = LARGEST_NUMBER + 1
    if abs(value) > LARGEST_NUMBER:
        raise RefusedError(400, f'Bad Request: parameter "{name}" must be a number')
    return value


def is_longer(text: str, limit: int) -> bool:
    """Whether a text has more UTF-16 units than `limit`."""
    return len(text) * 2 > limit and len(text.encode("utf-16-le")) > limit * 2


def media_source(fields: Fields, kind: str) -> str:
    """Where a photo, video or document comes from: its URL, its file id, or `upload:` and the file's name."""
    source = fields.get(kind)
    if isinstance(source, str) and source.startswith("attach://"):
        source = fields.get(source.removeprefix("attach://"))
    if isinstance(source, web.FileField):
        return f"upload:{source.filename}"
    if not isinstance(source, str) or not source:
        raise RefusedError(400, f"Bad Request: there is no {kind} in the request")
    if ":" in source and not is_web_url(source):
        raise RefusedError(400, "Bad Request: wrong HTTP URL specified")
    return source


def reply_markup(fields: Fields) -> dict[str, Any] | None:
    """The keyboard of a message, checked; None without one."""
    markup = from_json_text(fields.get("reply_markup"))
    if not markup:
        return None
    if not isinstance(markup, dict):
        raise RefusedError(400, "Bad Request: object expected as reply markup")
    if "inline_keyboard" in markup:
        rows = keyboard_rows(markup["inline_keyboard"])
        if sum(map(len, rows)) > BUTTONS_IN_ALL or any(len(row) > BUTTONS_IN_ROW for row in rows):
            raise RefusedError(400, "Bad Request: reply markup is too long")
        for button in itertools.chain.from_iterable(rows):
            check_inline_button(button)
    if "keyboard" in markup:
        keyboard_rows(markup["keyboard"])
    return markup


def keyboard_rows(rows: Any) -> list[list[dict[str, Any]]]:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise RefusedError(400, "Bad Request: can't parse reply keyboard markup JSON object")
    return rows


def check_inline_button(button: Any) -> None:
    problem = "Bad Request: can't parse inline keyboard button: "
    if not isinstance(button, dict):
        raise RefusedError(400, f"{problem}InlineKeyboardButton must be an Object")
    if not isinstance(button.get("text"), str) or not button["text"]:
        raise RefusedError(400, f'{problem}Can\'t find field "text"')
    actions = [action for action in BUTTON_ACTIONS if button.get(action)]
    if not actions:
        raise RefusedError(400, f"{problem}Text buttons are unallowed in the inline keyboard")
    if len(actions) > 1:
        raise RefusedError(400, "Bad Request: BUTTON_TYPE_INVALID")
    if len(str(button.get("callback_data") or "").encode()) > BUTTON_DATA_LIMIT_BYTES:
        raise RefusedError(400, "Bad Request: BUTTON_DATA_INVALID")
    url = button.get("url")
    if url and not is_web_url(str(url)) and not str(url).startswith("tg://"):
        raise RefusedError(400, f"Bad Request: inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")


def show_keyboard(markup: dict[str, Any], received: Received) -> None:
    """Put a keyboard's buttons where the person sees them: links and contact requests as buttons, others as options."""
    for button in itertools.chain.from_iterable(markup.get("inline_keyboard", ())):
        if data := button.get("callback_data"):
            received.options.append(button["text"])
            received.replies[button["text"]] = data
        else:
            received.buttons.append({"text": button["text"], "url": str(button.get("url") or "")})
    for button in itertools.chain.from_iterable(markup.get("keyboard", ())):
        shown = button if isinstance(button, dict) else {"text": str(button)}
        action = "share-contact" if shown.get("request_contact") else "say"
        received.buttons.append({"text": str(shown.get("text", "")), "action": action})


def user_of(person: Person) -> dict[str, Any]:
    return {
        "id": int(chat_id_of(person.phone)),
        "is_bot": False,
        "first_name": person.name,
        "language_code": LANGUAGE,
    }


def chat_of(person: Person) -> dict[str, Any]:
    return {"id": int(chat_id_of(person.phone)), "first_name": person.name, "type": "private"}
