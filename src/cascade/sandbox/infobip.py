"""A twin of Infobip for Viber, RCS and SMS: its checks, its answers, its reports, and what people answer.

Paths: `/infobip/viber/2/messages`, `/infobip/rcs/2/messages`, `/infobip/sms/3/messages`. What a person answers goes
where the message's delivery report does, as if the sender's inbound configuration named the same address.

Sources: https://www.infobip.com/docs/api/channels (viber, rcs, sms; version 3.245 of the specification).
"""

import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import AnswerLostError, Behaviour, People, Person, Received, iso_now, normal_phone
from cascade.sandbox.twin import (
    MalformedError,
    PhoneTwin,
    ProviderDownError,
    ThrottledError,
    TwinSettings,
    counted,
    is_web_url,
    options_in,
    plain,
    reading,
)

JSON_HEADERS = {"Content-Type": "application/json"}
CHANNELS = {"viber/2": "viber_business", "rcs/2": "rcs", "sms/3": "sms"}
INTEGRATIONS = {"viber_business": "VIBER", "rcs": "RCS", "sms": "SMS"}
MAX_MESSAGE_ID = 200
TIME_UNITS = {"SECONDS", "MINUTES", "HOURS"}
PICTURES = (".jpg", ".jpeg", ".png")
VIDEOS = (".3gp", ".m4v", ".mov", ".mp4")

Body = dict[str, Any]


class Status(NamedTuple):
    group_id: int
    group: str
    id: int
    name: str

    @property
    def body(self) -> Body:
        words = self.name.capitalize().replace("_", " ")
        return {
            "groupId": self.group_id,
            "groupName": self.group,
            "id": self.id,
            "name": self.name,
            "description": words,
        }


class Fault(NamedTuple):
    """What a report says went wrong."""

    group_id: int
    group: str
    id: int
    name: str
    is_permanent: bool

    @property
    def body(self) -> Body:
        status = Status(*self[:4]).body
        return status | {"permanent": self.is_permanent}


PENDING = Status(1, "PENDING", 26, "PENDING_ACCEPTED")
DELIVERED = Status(3, "DELIVERED", 5, "DELIVERED_TO_HANDSET")
DUPLICATE = Status(5, "REJECTED", 23, "REJECTED_DUPLICATE_MESSAGE_ID")
REFUSED = Status(5, "REJECTED", 52, "REJECTED_DESTINATION")
NO_FAULT = Fault(0, "OK", 0, "NO_ERROR", False)
UNREACHED = {  # how a report says that the person cannot be had
    Behaviour.ABSENT: (
        Status(2, "UNDELIVERABLE", 9, "UNDELIVERABLE_NOT_DELIVERED"),
        Fault(1, "HANDSET_ERRORS", 7002, "EC_UNKNOWN_USER", True),
    ),
    Behaviour.BLOCKED: (Status(5, "REJECTED", 14, "REJECTED_DESTINATION_BLOCKLISTED"), NO_FAULT),
}


class RefusedError(Exception):
    def __init__(self, status: int, code: str, description: str, violations: Mapping[str, str] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.problem = {
            "errorCode": code,
            "description": description,
            "action": "Check the request against the documentation.",
            "violations": [{"property": name, "violation": why} for name, why in (violations or {}).items()],
            "resources": [],
        }


def invalid(name: str, why: str) -> RefusedError:
    return RefusedError(400, "E400", "Request cannot be processed.", {name: why})


class Infobip(PhoneTwin):
    def __init__(self, people: People, callbacks: Callbacks, settings: TwinSettings, api_keys: tuple[str, ...]) -> None:
        super().__init__(people, callbacks, settings)
        self._api_keys = api_keys
        self._sent: dict[str, Body] = {}  # the message that an id was given to

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"/infobip/{{path:{'|'.join(CHANNELS)}}}/messages", counted(self._send)),
            web.get("/infobip/account/1/balance", counted(self._balance)),
        ]

    def answer(self, person: Person, received: Received, option: str) -> None:
        message = self._sent[received.provider_id]
        reply = received.replies[option]
        about: Body = {
            "to": message["sender"],
            "integrationType": INTEGRATIONS[received.channel],
            "receivedAt": now(),
            "messageId": uuid.uuid4().hex,
            "pairedMessageId": received.provider_id,
            "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        }
        phone = person.phone.removeprefix("+")
        if received.channel == "sms":
            result = about | {"from": phone, "text": reply, "cleanText": reply, "keyword": "", "smsCount": 1}
        elif received.channel == "rcs":
            result = about | {"sender": phone, "message": {"type": "SUGGESTION", "text": option, "postbackData": reply}}
        else:
            said: Body = {"type": "TEXT", "text": reply}
            if tracking := message.get("options", {}).get("trackingData"):
                said["trackingData"] = tracking
            result = about | {"sender": phone, "message": said}
        self._post(message, "delivery", {"results": [result]})

    async def _send(self, request: web.Request) -> web.Response:
        try:
            try:
                body = orjson.loads(await request.read())
            except ValueError as error:
                raise invalid("body", "not JSON") from error
            if not isinstance(body, dict):
                raise invalid("body", "not an object")
            return answered(self._take(request, CHANNELS[request.match_info["path"]], body))
        except RefusedError as refusal:
            return answered(refusal.problem, refusal.status)
        except MalformedError:
            return answered(invalid("messages", "has a field of another type").problem, 400)
        except ThrottledError:
            throttled = RefusedError(429, "E429", "The request limit has been exceeded.")
            return answered(throttled.problem, 429)
        except ProviderDownError:
            return answered(RefusedError(500, "E500", "Something went wrong.").problem, 500)

    async def _balance(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
        except RefusedError as refusal:
            return answered(refusal.problem, refusal.status)
        return answered({"balance": 47.79, "currency": "EUR"})

    def _admit(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if not any(hmac.compare_digest(given, f"App {key}".encode()) for key in self._api_keys):
            raise RefusedError(401, "E401", "The request lacks valid authentication credentials.")

    def _take(self, request: web.Request, channel: str, body: Body) -> Body:
        """Send each message of a request to each of its destinations."""
        self._admit(request)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise invalid("messages", "must not be empty")
        with reading():
            for message in messages:
                check(channel, message)
            is_shortened = body.get("options", {}).get("tracking", {}).get("shortenUrl", True)
        if is_shortened:
            raise invalid("options.tracking.shortenUrl", "this account has no domain for short links")
        answers = [
            self._deliver(channel, message, destination)
            for message in messages
            for destination in message["destinations"]
        ]
        return {"bulkId": uuid.uuid4().hex, "messages": answers}

    def _deliver(self, channel: str, message: Body, destination: Body) -> Body:
        provider_id = destination.get("messageId") or uuid.uuid4().hex
        about = {"messageId": provider_id, "destination": destination["to"]}
        if provider_id in self._sent:
            return about | {"status": DUPLICATE.body}
        person = self.people.get(f"+{destination['to']}")
        behaviour = self.behaviour(person, channel)
        if behaviour is Behaviour.REJECTS:
            return about | {"status": REFUSED.body}
        if self.settings.keep_inbox:
            self._sent[provider_id] = message
        report = partial(report_of, message, destination, provider_id)
        if behaviour in UNREACHED:
            self._post(message, "delivery", report(*UNREACHED[behaviour]))
            return about | {"status": PENDING.body}
        self.reach(person, received_of(channel, message, provider_id))
        delivered = self._callback(message, "delivery", report(DELIVERED, NO_FAULT))
        if delivered is not None:
            seen = {"messageId": provider_id, "from": message["sender"], "to": destination["to"]}
            seen |= {"sentAt": now(), "seenAt": now()}
            self.report(behaviour, delivered, self._callback(message, "seen", {"results": [seen]}))
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return about | {"status": PENDING.body}

    def _post(self, message: Body, which: str, content: Body) -> None:
        if (callback := self._callback(message, which, content)) is not None:
            self.callbacks.post(callback)

    def _callback(self, message: Body, which: str, content: Body) -> Callback | None:
        """None: the sender does not want to be told of that."""
        url = message.get("webhooks", {}).get(which, {}).get("url")
        return None if url is None else Callback(url, orjson.dumps(content), JSON_HEADERS)


def report_of(message: Body, destination: Body, provider_id: str, status: Status, fault: Fault) -> Body:
    result: Body = {
        "bulkId": uuid.uuid4().hex,
        "messageId": provider_id,
        "to": destination["to"],
        "sender": message["sender"],
        "sentAt": now(),
        "doneAt": now(),
        "messageCount": 1,
        "mccMnc": "25501",
        "price": {"pricePerMessage": 0.02, "currency": "EUR"},
        "status": status.body,
        "error": fault.body,
    }
    if callback_data := message.get("webhooks", {}).get("callbackData"):
        result["callbackData"] = callback_data
    return {"results": [result]}


def check(channel: str, message: Any) -> None:
    """Refuse what Infobip's server refuses."""
    if not isinstance(message, dict) or not isinstance(message.get("sender"), str):
        raise invalid("messages.sender", "must not be null")
    destinations = message.get("destinations")
    if not isinstance(destinations, list) or not destinations:
        raise invalid("messages.destinations", "must not be empty")
    for destination in destinations:
        to = destination.get("to")
        if not isinstance(to, str) or to.startswith("+") or normal_phone(to) is None:
            raise invalid("messages.destinations.to", "must be an international number without its plus")
        message_id = destination.get("messageId", "-")
        if not isinstance(message_id, str) or not 1 <= len(message_id) <= MAX_MESSAGE_ID:
            raise invalid("messages.destinations.messageId", f"must be 1 to {MAX_MESSAGE_ID} characters")
    validity = message.get("options", {}).get("validityPeriod")
    if validity is not None and (
        not isinstance(validity.get("amount"), int) or validity.get("timeUnit", "MINUTES") not in TIME_UNITS
    ):
        raise invalid("messages.options.validityPeriod", "must be a whole number and its unit")
    content = message.get("content")
    if not isinstance(content, dict):
        raise invalid("messages.content", "must not be null")
    CHECKS[channel](content)
    webhooks = message.get("webhooks", {})
    for which in ("delivery", "seen"):
        url = webhooks.get(which, {}).get("url")
        if not isinstance(url, str | None):
            raise invalid(f"messages.webhooks.{which}.url", "must be a URL")
    plain(received_of(channel, message, ""))


def check_viber(content: Body) -> None:
    kind, text = content.get("type"), content.get("text", "")
    if not isinstance(text, str) or len(text) > (85 if kind == "LIST" else 1000):
        raise invalid("messages.content.text", "is too long")
    match kind:
        case "TEXT" | "LIST":
            require(bool(text), "text")
        case "IMAGE":
            require(is_link(content.get("mediaUrl"), PICTURES), "mediaUrl")
            require("button" not in content or bool(text), "text")
        case "VIDEO":
            require(is_link(content.get("mediaUrl"), VIDEOS), "mediaUrl")
            require(is_link(content.get("thumbnailUrl"), PICTURES), "thumbnailUrl")
            require(str(content.get("mediaDuration", "")).startswith("PT"), "mediaDuration")
        case "FILE":
            require(is_link(content.get("mediaUrl")) and "." in str(content.get("fileName")), "fileName")
        case _:
            raise invalid("messages.content.type", "is unknown")
    if kind == "LIST":
        options = content.get("options", ())
        require(2 <= len(options) <= 5 and all(1 <= len(option) <= 50 for option in options), "options")
    if (button := content.get("button")) is not None:
        require(1 <= len(button.get("title", "")) <= 30 and is_link(button.get("action")), "button")


def check_rcs(content: Body) -> None:
    match content.get("type"):
        case "TEXT":
            require(1 <= len(content.get("text", "")) <= 3072, "text")
        case "FILE":
            require(is_link(content.get("file", {}).get("url")), "file.url")
        case "CARD":
            inside = content.get("content", {})
            require(content.get("orientation") in ("VERTICAL", "HORIZONTAL"), "orientation")
            require("title" in inside or "media" in inside, "content")
            require(len(inside.get("title", "")) <= 200 and len(inside.get("description", "")) <= 2000, "content")
            require(inside.get("media", {}).get("height") in ("SHORT", "MEDIUM", "TALL"), "content.media.height")
            check_suggestions(inside.get("suggestions", ()), 4)
        case _:
            raise invalid("messages.content.type", "is unknown")
    check_suggestions(content.get("suggestions", ()), 11)


def check_sms(content: Body) -> None:
    require(isinstance(content.get("text"), str) and 1 <= len(content["text"].encode()) <= 4000, "text")


def check_suggestions(suggestions: Any, most: int) -> None:
    require(len(suggestions) <= most, "suggestions")
    for one in suggestions:
        require(1 <= len(one.get("text", "")) <= 25 and bool(one.get("postbackData")), "suggestions")
        require(one.get("type") == "REPLY" or is_link(one.get("url"), most=2048), "suggestions")


def require(is_right: bool, name: str) -> None:
    if not is_right:
        raise invalid(f"messages.content.{name}", "is missing, too long or wrong")


CHECKS = {"viber_business": check_viber, "rcs": check_rcs, "sms": check_sms}


def is_link(url: Any, endings: tuple[str, ...] = ("",), most: int = 1000) -> bool:
    if not isinstance(url, str) or len(url) > most or not is_web_url(url):
        return False
    return urlsplit(url).path.lower().endswith(endings)


def received_of(channel: str, message: Body, provider_id: str) -> Received:
    """The message as the phone shows it."""
    content = message["content"]
    received = Received(channel, message["sender"], content.get("text", ""), iso_now(), provider_id=provider_id)
    received.account = "infobip"
    suggestions = content.get("suggestions", [])
    match content.get("type"):
        case "IMAGE":
            received.media["image"] = content["mediaUrl"]
        case "VIDEO":
            received.media |= {"video": content["mediaUrl"], "thumbnail": content["thumbnailUrl"]}
        case "FILE" if "mediaUrl" in content:
            received.media |= {"file": content["mediaUrl"], "file_name": content["fileName"]}
        case "FILE":
            received.media["file"] = content["file"]["url"]
        case "CARD":
            inside = content["content"]
            received.text = "\n".join(inside[part] for part in ("title", "description") if part in inside)
            received.media["image"] = inside["media"]["file"]["url"]
            suggestions = suggestions + inside.get("suggestions", [])
        case "LIST":
            received.options = list(content["options"])
            received.replies = {option: option for option in received.options}
    if button := content.get("button"):
        received.buttons.append({"text": button["title"], "url": button["action"]})
    for one in suggestions:
        if one["type"] == "REPLY":
            received.options.append(one["text"])
            received.replies[one["text"]] = one["postbackData"]
        else:
            received.buttons.append({"text": one["text"], "url": one["url"]})
    if not received.replies:
        received.replies = options_in(received.text)
    return received


def answered(body: Body, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers=JSON_HEADERS)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
