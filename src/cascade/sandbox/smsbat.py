"""A twin of an account at SMSBAT: `POST /bat/messagelist`, `GET /bat/message/{id}`, and its unsigned status webhook.

It lies under `/smsbat`. What its manager sets up by hand is `PUT /smsbat/webhooks/{channel}` with `{"url"}` here.

Source: https://help.smsbat.com
"""

import itertools
import re
import time
import uuid
from collections.abc import Iterable
from typing import Any

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
    options_in,
    reading,
)

PATH = "/smsbat"
SENDER = re.compile(r".{1,255}", re.DOTALL)
CHANNELS = {  # type -> channel, longest text
    "sms": ("sms", 10_000),
    "viber_trans": ("viber_business", 1000),
    "viber_promo": ("viber_business", 1000),
    "viber_survey": ("viber_business", 85),
    "rcs": ("rcs", 3072),
}
FAILING = (Behaviour.ABSENT, Behaviour.BLOCKED)

Body = dict[str, Any]


class RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message}}


class Smsbat(PhoneTwin):
    """`keys` are the API keys that it knows."""

    def __init__(self, people: People, callbacks: Callbacks, settings: TwinSettings, keys: Iterable[str]) -> None:
        super().__init__(people, callbacks, settings)
        self._keys = frozenset(keys)
        self._webhooks: dict[str, str] = {}
        self._statuses: dict[str, Body] = {}
        self._list_ids = itertools.count(int(time.time()))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put(f"{PATH}/webhooks/{{channel}}", self._set_webhook),
            web.post(f"{PATH}/bat/messagelist", counted(self._send)),
            web.get(f"{PATH}/bat/message/{{id}}", counted(self._status)),
        ]

    def set_webhook(self, channel: str, url: str) -> None:
        self._webhooks[channel] = url

    async def _set_webhook(self, request: web.Request) -> web.Response:
        try:
            body = await body_of(request)
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        self.set_webhook(request.match_info["channel"], str(body.get("url", "")))
        return answer(200, {})

    async def _send(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
            messages = (await body_of(request)).get("messages")
            if not isinstance(messages, list) or not messages:
                raise RefusedError(400, "INVALID_REQUEST", "messages is missing or empty")
            with reading():
                asked = [self._understand(message) for message in messages]
            taken = [self._take(person, received) for person, received in asked]
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        except MalformedError:
            return answer(400, RefusedError(400, "INVALID_REQUEST", "a field is of another type").body)
        except ThrottledError:
            return answer(429, RefusedError(429, "RATE_LIMITED", "Too many requests").body)
        except ProviderDownError:
            return answer(500, RefusedError(500, "INTERNAL_ERROR", "Internal error").body)
        if any(person.on(received.channel) is Behaviour.ANSWER_LOST for person, received in asked):
            raise AnswerLostError
        listed = [
            {
                "messageId": received.provider_id,
                "status": status,
                "parts": 1,
                "customerMessageId": message.get("customerMessageId"),
                "to": person.phone,
            }
            for message, (person, received), status in zip(messages, asked, taken, strict=True)
        ]
        return answer(200, {"messagelistId": next(self._list_ids), "messages": listed})

    async def _status(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        status = self._statuses.get(request.match_info["id"])
        if status is None:
            return answer(404, RefusedError(404, "NOT_FOUND", "No such message").body)
        return answer(200, status)

    def answer(self, person: Person, received: Received, option: str) -> None:
        """Who chose what is shown in its cabinet; no webhook tells of it."""

    def _admit(self, request: web.Request) -> None:
        if request.headers.get("X-Authorization-Key") not in self._keys:
            raise RefusedError(401, "UNAUTHORIZED", "Invalid API key")

    def _understand(self, message: Any) -> tuple[Person, Received]:
        """Whom a message is for and how their phone would show it; refused as SMSBAT refuses."""
        if not isinstance(message, dict):
            raise RefusedError(400, "INVALID_REQUEST", "a message is not an object")
        kind = message.get("type")
        if kind not in CHANNELS:
            raise RefusedError(400, "INVALID_TYPE", "type is unknown")
        channel, longest = CHANNELS[kind]
        to = message.get("to")
        phone = normal_phone(to) if isinstance(to, str) and to.startswith("+") else None
        if phone is None:
            raise RefusedError(400, "INVALID_RECIPIENT", "to is not a phone in E.164")
        sender = message.get("from")
        if not isinstance(sender, str) or not SENDER.fullmatch(sender):
            raise RefusedError(400, "INVALID_SENDER", "from is missing")
        text = message.get("text", "")
        data = message.get("messageData", {})
        if not isinstance(text, str) or not isinstance(data, dict) or not (text or data):
            raise RefusedError(400, "TEXT_REQUIRED", "text is missing")
        if len(text) > longest:
            raise RefusedError(400, "TEXT_TOO_LONG", f"text is over {longest} characters")
        received = Received(channel, sender, text, iso_now(), provider_id=str(uuid.uuid4()))
        show(received, kind, data)
        return self.people.get(phone), received

    def _take(self, person: Person, received: Received) -> str:
        behaviour = self.behaviour(person, received.channel)
        if behaviour is Behaviour.REJECTS:
            return "rejected"
        status = "undeliverable" if behaviour in FAILING else "delivered"
        if self.settings.keep_inbox:
            self._statuses[received.provider_id] = {
                "messagelistId": 1,
                "messageId": received.provider_id,
                "deliverystatus": "processing" if behaviour is Behaviour.SILENT else status,
                "partscount": 1,
                "cost": 0.05,
            }
        if behaviour in FAILING:
            self.counters.accepted += 1
        else:
            self.reach(person, received)
        self.report(behaviour, self._call(received, status))
        return "accepted"

    def _call(self, received: Received, status: str) -> Callback:
        said = {
            "messageId": received.provider_id,
            "deliverystatus": status,
            "timestamp": iso_now(),
            "cost": 0.05,
        }
        url = self._webhooks.get(received.channel, "")
        return Callback(url, orjson.dumps(said), {"Content-Type": "application/json"})


def show(received: Received, kind: str, data: Body) -> None:
    """What stands beside the text."""
    if kind == "viber_survey":
        survey = data.get("survey")
        options = survey.get("options") if isinstance(survey, dict) else None
        if not isinstance(options, list) or not 1 <= len(options) <= 5:
            raise RefusedError(400, "INVALID_SURVEY_OPTIONS", "a survey has 1 to 5 options")
        received.options = [str(option) for option in options]
        received.replies = {option: option for option in received.options}
        return
    if kind == "rcs":
        media = data.get("media")
        if isinstance(media, dict):
            received.media = {str(media.get("type", "")).partition("/")[0]: str(media.get("url"))}
        received.buttons = [
            {"text": str(button["text"]), "url": str(button["action"]["url"])} for button in data.get("buttons", [])
        ]
    else:
        names = {"img": "image", "video": "video", "fileUrl": "file"}
        received.media = {ours: str(data[theirs]) for theirs, ours in names.items() if theirs in data}
        if "buttonText" in data:
            received.buttons = [{"text": str(data["buttonText"]), "url": str(data.get("buttonAction"))}]
    options_ = options_in(received.text)
    received.options, received.replies = list(options_), options_


def answer(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers={"Content-Type": "application/json"})


async def body_of(request: web.Request) -> Body:
    try:
        body = orjson.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "INVALID_JSON", "not a JSON object")
    return body
