"""A twin of Google's RCS for Business: agent messages, capabilities, revocations, tokens, and its signed events.

It lies under `/google-rbm`. Its console is `PUT /google-rbm/webhook` with `{"url"}`, which asks the challenge as Google
does, and `GET /google-rbm/service-account.json`, a key that it takes.

Source: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
import uuid
from functools import cached_property
from typing import Any, ClassVar

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import AnswerLostError, Behaviour, People, Person, Received, iso_now, normal_phone
from cascade.sandbox.twin import (
    MalformedError,
    PhoneTwin,
    ProviderDownError,
    ThrottledError,
    TwinSettings,
    counted,
    form_of,
    is_web_url,
)

PATH = "/google-rbm"
CLIENT_EMAIL = "agent@sandbox.iam.gserviceaccount.com"
TOKEN_S = 3599
TEXT_LIMIT = 3072
TITLE_LIMIT = 200
DESCRIPTION_LIMIT = 2000
SUGGESTION_LIMIT = 25
POSTBACK_LIMIT = 2048
MOST_SUGGESTIONS = 11
MOST_CARD_SUGGESTIONS = 4
REQUEST_LIMIT_BYTES = 250 * 1024
LONGEST_TTL_S = 15 * 86_400
TTL = re.compile(r"([0-9]+(?:\.[0-9]{1,9})?)s")
TRAFFIC = frozenset({"AUTHENTICATION", "TRANSACTION", "PROMOTION", "SERVICEREQUEST", "ACKNOWLEDGEMENT"})
FEATURES = ("RICHCARD_STANDALONE", "RICHCARD_CAROUSEL", "ACTION_OPEN_URL", "ACTION_DIAL", "PDF_IN_RICH_CARDS")
FORMS = ("text", "richCard", "contentInfo", "uploadedRbmFile")

Body = dict[str, Any]


class RefusedError(Exception):
    """Google's answer when it does not do as asked."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Body = {"error": {"code": status, "status": name, "message": message}}


def invalid(message: str) -> RefusedError:
    return RefusedError(400, "INVALID_ARGUMENT", message)


NOT_FOUND = "Requested entity was not found."


class GoogleRbm(PhoneTwin):
    """`client_token` signs the events. `service_account` is the JSON of a key that it takes; None: one of its own."""

    channel: ClassVar[str] = "rcs"

    def __init__(
        self,
        people: People,
        callbacks: Callbacks,
        settings: TwinSettings,
        client_token: str,
        service_account: str | None = None,
    ) -> None:
        super().__init__(people, callbacks, settings)
        self._client_token = client_token
        self._given = service_account
        self._tokens: dict[str, float] = {}
        self._webhook = ""
        self._messages: dict[str, tuple[Person, Received, float | None]] = {}  # and when it is delivered

    def routes(self) -> list[web.RouteDef]:
        phones = f"{PATH}/v1/phones/{{phone}}"
        return [
            web.get(f"{PATH}/service-account.json", self._show_key),
            web.put(f"{PATH}/webhook", self._set_webhook),
            web.post(f"{PATH}/token", counted(self._token)),
            web.post(f"{phones}/agentMessages", counted(self._send)),
            web.delete(f"{phones}/agentMessages/{{id}}", counted(self._revoke)),
            web.get(f"{phones}/capabilities", counted(self._capabilities)),
        ]

    # The console

    @cached_property
    def _key(self) -> RSAPrivateKey:
        if self._given is None:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key = load_pem_private_key(orjson.loads(self._given)["private_key"].encode(), None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError("the service account's key is not of RSA")
        return key

    def service_account(self, url: str) -> Body:
        """The key as Google's console would give it to an agent's owner; `url` is where the sandbox is."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return {
            "type": "service_account",
            "client_email": CLIENT_EMAIL,
            "private_key": pem,
            "token_uri": f"{url}{PATH}/token",
        }

    async def _show_key(self, request: web.Request) -> web.Response:
        return answer(200, self.service_account(f"{request.scheme}://{request.host}"))

    async def set_webhook(self, url: str) -> bool:
        """Set it up as the console does: it must answer the challenge with its secret."""
        challenge = Callback(
            url,
            orjson.dumps({"clientToken": self._client_token, "secret": secrets.token_hex(8)}),
            {"Content-Type": "application/json"},
        )
        if not await self.callbacks.ask(challenge):
            return False
        self._webhook = url
        return True

    async def _set_webhook(self, request: web.Request) -> web.Response:
        try:
            url = (await body_of(request)).get("url")
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        if not isinstance(url, str) or not await self.set_webhook(url):
            return answer(400, {"error": {"message": "the webhook did not answer the challenge"}})
        return answer(200, {})

    # The API

    async def _token(self, request: web.Request) -> web.Response:
        try:
            form = await form_of(request)
            head, claims, signature = str(form["assertion"]).split(".")
            signed = f"{head}.{claims}".encode()
            self._key.public_key().verify(unpacked(signature), signed, PKCS1v15(), hashes.SHA256())
            said = orjson.loads(unpacked(claims))
            is_good = said["exp"] > time.time() and "rcsbusinessmessaging" in said["scope"] and bool(said["iss"])
        except (KeyError, MalformedError, TypeError, ValueError, InvalidSignature):
            is_good = False
        if not is_good:
            return answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._tokens[token] = time.monotonic() + TOKEN_S
        return answer(200, {"access_token": token, "expires_in": TOKEN_S, "token_type": "Bearer"})

    async def _send(self, request: web.Request) -> web.Response:
        try:
            person = self._admit(request)
            message_id = request.query.get("messageId", "")
            body = await body_of(request)
            if not is_uuid(message_id):
                raise invalid("messageId must be a UUID")
            name = f"phones/{person.phone}/agentMessages/{message_id}"
            if message_id in self._messages:
                return answer(200, {"name": name} | body)
            received = shown(body, request.query["agentId"])
            behaviour = self.behaviour(person, self.channel)
            if behaviour is Behaviour.ABSENT:
                raise RefusedError(404, "NOT_FOUND", NOT_FOUND)
            if behaviour is Behaviour.REJECTS:
                raise invalid("Invalid content")
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        except ThrottledError:
            return answer(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}})
        except ProviderDownError:
            return answer(503, {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Unavailable"}})
        received.provider_id = message_id
        self._take(person, received, behaviour)
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return answer(200, {"name": name, "sendTime": iso_now()} | body)

    def _take(self, person: Person, received: Received, behaviour: Behaviour) -> None:
        delivers_at: float | None = time.monotonic()
        if behaviour is Behaviour.LATE:
            delivers_at = time.monotonic() + self.settings.late_s
        elif behaviour in (Behaviour.SILENT, Behaviour.BLOCKED):  # Google tells no sender who has blocked it
            delivers_at = None
        if behaviour is Behaviour.BLOCKED:
            self.counters.accepted += 1
            return
        self.reach(person, received)
        if self.settings.keep_inbox:
            self._messages[received.provider_id] = (person, received, delivers_at)
        self.report(
            behaviour,
            self._event(self._user_event(person, received, "DELIVERED")),
            self._event(self._user_event(person, received, "READ")),
        )

    async def _revoke(self, request: web.Request) -> web.Response:
        try:
            person = self._admit(request)
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        owner, received, delivers_at = self._messages.get(request.match_info["id"], (None, None, None))
        is_delivered = delivers_at is not None and delivers_at <= time.monotonic()
        if received is None or owner is not person or is_delivered or received.revoked:
            return answer(404, RefusedError(404, "NOT_FOUND", NOT_FOUND).body)
        received.revoked = True
        return answer(200, {})

    async def _capabilities(self, request: web.Request) -> web.Response:
        try:
            person = self._admit(request)
            if not is_uuid(request.query.get("requestId", "")):
                raise invalid("requestId must be a UUID")
            if person.on(self.channel) is Behaviour.ABSENT:
                raise RefusedError(404, "NOT_FOUND", NOT_FOUND)
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        return answer(200, {"features": FEATURES})

    def _admit(self, request: web.Request) -> Person:
        """The person that a request is about, when it has a token and an agent."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or self._tokens.get(token, 0) < time.monotonic():
            raise RefusedError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if not request.query.get("agentId"):
            raise invalid("agentId is missing")
        phone = request.match_info["phone"]
        if not phone.startswith("+") or (normal := normal_phone(phone)) is None:
            raise invalid("the phone is not in E.164")
        return self.people.get(normal)

    # What Google tells of people

    def answer(self, person: Person, received: Received, option: str) -> None:
        """Tap a suggested reply."""
        message = self._user_message(person, received, option)
        self.callbacks.post(self._event(message))

    def _user_event(self, person: Person, received: Received, kind: str) -> Body:
        return {
            "senderPhoneNumber": person.phone,
            "eventType": kind,
            "eventId": secrets.token_hex(12),
            "messageId": received.provider_id,
            "agentId": received.sender,
            "sendTime": iso_now(),
        }

    def _user_message(self, person: Person, received: Received, option: str) -> Body:
        return {
            "senderPhoneNumber": person.phone,
            "messageId": secrets.token_hex(12),
            "agentId": received.sender,
            "sendTime": iso_now(),
            "suggestionResponse": {"postbackData": received.replies[option], "text": option, "type": "REPLY"},
        }

    def _event(self, said: Body) -> Callback:
        """In the envelope of a push by Pub/Sub, signed over what is inside."""
        data = orjson.dumps(said)
        envelope = {
            "message": {
                "attributes": {"type": "user_event", "message_type": said.get("eventType", "TEXT")},
                "data": base64.b64encode(data).decode(),
                "messageId": str(uuid.uuid4().int >> 64),
                "publishTime": iso_now(),
            },
            "subscription": "projects/rcs-business-messaging/subscriptions/sandbox",
        }
        digest = hmac.new(self._client_token.encode(), data, hashlib.sha512).digest()
        headers = {"Content-Type": "application/json", "X-Goog-Signature": base64.b64encode(digest).decode()}
        return Callback(self._webhook, orjson.dumps(envelope), headers)


def shown(body: Body, agent: str) -> Received:
    """A message as the phone shows it. Raises `RefusedError` where Google would refuse it."""
    traffic = body.get("messageTrafficType")
    if not isinstance(traffic, str) or traffic not in TRAFFIC:
        raise invalid("messageTrafficType is missing or unknown")
    ttl = body.get("ttl")
    if ttl is not None and not (
        isinstance(ttl, str) and (match := TTL.fullmatch(ttl)) and 0 < float(match[1]) <= LONGEST_TTL_S
    ):
        raise invalid("ttl is not a duration of up to 15 days")
    content = body.get("contentMessage")
    if not isinstance(content, dict) or sum(form in content for form in FORMS) != 1:
        raise invalid("contentMessage must hold exactly one of text, richCard, contentInfo, uploadedRbmFile")
    received = Received(GoogleRbm.channel, agent, "", iso_now())
    chips = content.get("suggestions", [])
    if not isinstance(chips, list) or len(chips) > MOST_SUGGESTIONS:
        raise invalid("suggestions are at most 11")
    if "text" in content:
        received.text = worded(content["text"], "text", TEXT_LIMIT)
    elif "contentInfo" in content:
        received.media = media_of(content["contentInfo"])
    elif "richCard" in content:
        inside = card_of(content["richCard"])
        title = worded(inside.get("title", ""), "title", TITLE_LIMIT, may_be_empty=True)
        description = worded(inside.get("description", ""), "description", DESCRIPTION_LIMIT, may_be_empty=True)
        if "media" not in inside and not title:
            raise invalid("a card needs media or a title")
        received.text = "\n".join(part for part in (title, description) if part)
        if "media" in inside:
            received.media = media_of(inside["media"].get("contentInfo"))
        own = inside.get("suggestions", [])
        if not isinstance(own, list) or len(own) > MOST_CARD_SUGGESTIONS:
            raise invalid("suggestions of a card are at most 4")
        chips = [*own, *chips]
    for chip in chips:
        add_suggestion(received, chip)
    return received


def card_of(rich: Any) -> Body:
    try:
        inside = rich["standaloneCard"]["cardContent"]
    except (TypeError, KeyError):
        raise invalid("only standalone cards are known here") from None
    if not isinstance(inside, dict):
        raise invalid("cardContent is not an object")
    if "media" in inside and not isinstance(inside["media"], dict):
        raise invalid("media is not an object")
    return inside


def media_of(info: Any) -> dict[str, str]:
    url = info.get("fileUrl") if isinstance(info, dict) else None
    if not isinstance(url, str) or not is_web_url(url):
        raise invalid("fileUrl is not a URL")
    path = url.partition("?")[0].lower()
    if path.endswith((".mp4", ".webm", ".3gp")):
        return {"video": url}
    return {"file": url} if path.endswith(".pdf") else {"image": url}


def add_suggestion(received: Received, chip: Any) -> None:
    kind = "reply" if isinstance(chip, dict) and "reply" in chip else "action"
    inside = chip.get(kind) if isinstance(chip, dict) else None
    if not isinstance(inside, dict):
        raise invalid("a suggestion is a reply or an action")
    text = worded(inside.get("text"), "text of a suggestion", SUGGESTION_LIMIT)
    postback = worded(inside.get("postbackData"), "postbackData", POSTBACK_LIMIT)
    if kind == "reply":
        received.options.append(text)
        received.replies[text] = postback
        return
    opens = inside.get("openUrlAction")
    if opens is None:
        received.buttons.append({"text": text})
        return
    url = opens.get("url") if isinstance(opens, dict) else None
    if not isinstance(url, str) or not is_web_url(url):
        raise invalid("openUrlAction has no URL")
    received.buttons.append({"text": text, "url": url})


def worded(value: Any, name: str, limit: int, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > limit or not (value or may_be_empty):
        raise invalid(f"{name} is not a text of up to {limit} characters")
    return value


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def answer(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers={"Content-Type": "application/json"})


async def body_of(request: web.Request) -> Body:
    raw = await request.read()
    try:
        body = orjson.loads(raw)
    except ValueError:
        raise invalid("Invalid JSON payload received.") from None
    if not isinstance(body, dict) or len(raw) > REQUEST_LIMIT_BYTES:
        raise invalid("Invalid JSON payload received.")
    return body
