"""A twin of Vonage's Messages API for Viber, RCS and SMS: its checks, its answers, and its signed webhooks.

Paths: `/vonage/v1/messages`. Statuses go to the message's `webhook_url`, and so does what the person answers, as if the
application's inbound URL were the same.

Sources: https://developer.vonage.com/en/api/messages and https://developer.vonage.com/en/messages/concepts.
"""

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

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

ERROR_PAGE = "https://developer.vonage.com/api-errors/messages#"
CHANNELS = {"viber_service": "viber_business", "rcs": "rcs", "sms": "sms"}
TYPES = {
    "viber_service": {"text", "image", "video", "file"},
    "rcs": {"text", "image", "video", "file", "card"},
    "sms": {"text"},
}
TEXT_LIMITS = {"viber_service": 1000, "rcs": 3072, "sms": 3200}
TTLS = {"viber_service": (30, 259_200), "rcs": (20, 259_200), "sms": (20, 604_800)}
UNREACHED = {  # how a status says that the person cannot be had
    Behaviour.ABSENT: ("1300", "Not a user of this network"),
    Behaviour.BLOCKED: ("1240", "The recipient has opted out"),
}
SUGGESTIONS = frozenset({"reply", "open_url", "dial", "view_location", "share_location", "create_calendar_event"})

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VonageAccount:
    """Who may send, by key and secret or by a token of the application's private key (`public_key` is its other half,
    in PEM; None: no token is taken). `signature_secret` signs the webhooks."""

    api_key: str = "your-vonage-key"
    api_secret: str = field(default="your-vonage-secret", repr=False)
    signature_secret: str = field(default="your-vonage-signature-secret", repr=False)
    application_id: str = "your-vonage-application"
    public_key: str | None = None


class RefusedError(Exception):
    def __init__(self, status: int, code: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = {
            "type": f"{ERROR_PAGE}{code}",
            "title": title,
            "detail": detail,
            "instance": uuid.uuid4().hex,
        }


def invalid(field_name: str, why: str) -> RefusedError:
    refusal = RefusedError(422, "1020", "Invalid params", "The value of one or more parameters is invalid.")
    refusal.problem["invalid_parameters"] = [{"name": field_name, "reason": why}]  # type: ignore[assignment]
    return refusal


class Vonage(PhoneTwin):
    def __init__(self, people: People, callbacks: Callbacks, settings: TwinSettings, account: VonageAccount) -> None:
        super().__init__(people, callbacks, settings)
        self._account = account
        self._public_key = None if account.public_key is None else load_pem_public_key(account.public_key.encode())
        self._sent: dict[str, Body] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/vonage/v1/messages", counted(self._send)),
            web.patch("/vonage/v1/messages/{message_uuid}", counted(self._update)),
        ]

    def answer(self, person: Person, received: Received, option: str) -> None:
        sent = self._sent[received.provider_id]
        said: Body = {
            "to": sent["from"],
            "from": sent["to"],
            "channel": sent["channel"],
            "message_uuid": str(uuid.uuid4()),
            "timestamp": now(),
            "context_status": "none",
        }
        if sent["channel"] == "rcs":
            said |= {"message_type": "reply", "reply": {"id": received.replies[option], "title": option}}
        else:
            said |= {"message_type": "text", "text": received.replies[option]}
        if url := sent.get("webhook_url"):
            self.callbacks.post(self._signed(url, said))

    async def _send(self, request: web.Request) -> web.Response:
        return await self._answered(request, self._take)

    async def _update(self, request: web.Request) -> web.Response:
        return await self._answered(request, self._revoke)

    async def _answered(self, request: web.Request, do: Callable[[web.Request, Body], web.Response]) -> web.Response:
        try:
            self._authorize(request)
            try:
                body = orjson.loads(await request.read())
            except ValueError as error:
                raise invalid("body", "not JSON") from error
            if not isinstance(body, dict):
                raise invalid("body", "not an object")
            return do(request, body)
        except RefusedError as refusal:
            return said(refusal.problem, refusal.status)
        except MalformedError:
            return said(invalid("body", "has a field of another type").problem, 422)
        except ThrottledError:
            throttled = RefusedError(429, "1000", "Throttled", "You have exceeded the submission capacity.")
            return said(throttled.problem, 429)
        except ProviderDownError:
            return said({"title": "Internal error"}, 500)

    def _authorize(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        account = self._account
        if scheme == "Basic":
            pair = base64.b64encode(f"{account.api_key}:{account.api_secret}".encode()).decode()
            if hmac.compare_digest(given.encode(), pair.encode()):
                return
        if scheme == "Bearer" and isinstance(self._public_key, RSAPublicKey):
            claims = rs256_claims(given, self._public_key)
            now_s = time.time()
            if claims.get("application_id") == account.application_id and claims.get("exp", 0) > now_s:
                return
        raise RefusedError(401, "unauthorized", "Unauthorized", "You did not provide correct credentials.")

    def _take(self, request: web.Request, body: Body) -> web.Response:
        with reading():
            check(body)
        channel = CHANNELS[body["channel"]]
        person = self.people.get(f"+{body['to']}")
        behaviour = self.behaviour(person, channel)
        if behaviour is Behaviour.REJECTS:
            raise invalid("to", "not allowed")
        message_uuid = str(uuid.uuid4())
        if behaviour in UNREACHED:
            code, detail = UNREACHED[behaviour]
            error = {"type": f"{ERROR_PAGE}{code}", "title": code, "detail": detail, "instance": uuid.uuid4().hex}
            self._post(self._status(message_uuid, body, "submitted"))
            self._post(self._status(message_uuid, body, "rejected", error=error))
            return said({"message_uuid": message_uuid}, 202)
        if self.settings.keep_inbox:
            self._sent[message_uuid] = body
        self.reach(person, received_of(body, channel, message_uuid))
        delivered = self._status(message_uuid, body, "delivered")
        if delivered is not None:
            read = None if channel == "sms" else self._status(message_uuid, body, "read")
            self.report(behaviour, delivered, read)
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return said({"message_uuid": message_uuid}, 202)

    def _revoke(self, request: web.Request, body: Body) -> web.Response:
        message_uuid = request.match_info["message_uuid"]
        sent = self._sent.get(message_uuid)
        if body.get("status") != "revoked":
            raise invalid("status", "only revoked")
        if sent is None or sent["channel"] != "rcs":
            raise RefusedError(404, "not-found", "Not found", "No such message")
        for received in self.people.get(f"+{sent['to']}").inbox:
            if received.provider_id == message_uuid:
                received.revoked = True
        return web.Response()

    def _status(self, message_uuid: str, body: Body, status: str, **more: Any) -> Callback | None:
        """None: nobody asked to be told."""
        url = body.get("webhook_url")
        if url is None:
            return None
        about = {
            "message_uuid": message_uuid,
            "to": body["to"],
            "from": body["from"],
            "timestamp": now(),
            "status": status,
            "channel": body["channel"],
        }
        if "client_ref" in body:
            about["client_ref"] = body["client_ref"]
        if status == "delivered":
            about |= {"usage": {"currency": "EUR", "price": "0.0333"}, "destination": {"network_code": "25501"}}
        return self._signed(url, about | more)

    def _post(self, callback: Callback | None) -> None:
        if callback is not None:
            self.callbacks.post(callback)

    def _signed(self, url: str, content: Body) -> Callback:
        body = orjson.dumps(content)
        claims = {
            "iat": int(time.time()),
            "jti": str(uuid.uuid4()),
            "iss": "Vonage",
            "payload_hash": hashlib.sha256(body).hexdigest(),
            "api_key": self._account.api_key,
            "application_id": self._account.application_id,
        }
        token = hs256(claims, self._account.signature_secret)
        return Callback(url, body, {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})


def check(body: Body) -> None:
    """Refuse what Vonage's server refuses."""
    channel, kind = body.get("channel"), body.get("message_type")
    if channel not in CHANNELS:
        raise invalid("channel", f"one of {', '.join(CHANNELS)}")
    if kind not in TYPES[channel]:
        raise invalid("message_type", f"one of {', '.join(sorted(TYPES[channel]))}")
    to = body.get("to")
    if not isinstance(to, str) or to.startswith("+") or normal_phone(to) is None:
        raise invalid("to", "an E.164 number without a leading +")
    sender = body.get("from")
    if not isinstance(sender, str) or not 1 <= len(sender) <= 50:
        raise invalid("from", "1 to 50 characters")
    if len(str(body.get("client_ref", ""))) > 100:
        raise invalid("client_ref", "at most 100 characters")
    options = body.get("viber_service", {}) if channel == "viber_service" else body
    ttl = options.get("ttl")
    least, most = TTLS[channel]
    if ttl is not None and not (isinstance(ttl, int) and least <= ttl <= most):
        raise invalid("ttl", f"{least} to {most}")
    content = body.get(kind)
    if kind == "text":
        if not isinstance(content, str) or not 1 <= len(content) <= TEXT_LIMITS[channel]:
            raise invalid("text", f"1 to {TEXT_LIMITS[channel]} characters")
    elif not isinstance(content, dict):
        raise invalid(kind, "required")
    elif kind == "card":
        check_card(content)
    elif not is_web_url(content.get("url")):
        raise invalid(f"{kind}.url", "a URL")
    check_suggestions(body.get("suggestions", ()), 11)
    if channel == "viber_service":
        check_viber(kind, options, content)
    if not isinstance(body.get("webhook_url"), str | None):
        raise invalid("webhook_url", "a URL")
    plain(received_of(body, CHANNELS[channel], ""))


def check_viber(kind: str, options: Body, content: Any) -> None:
    if options.get("category") not in ("transaction", "promotion"):
        raise invalid("viber_service.category", "transaction or promotion")
    if kind == "video":
        for name, most in (("duration", 600), ("file_size", 200)):
            value = options.get(name)
            if not isinstance(value, str) or not value.isdigit() or not 1 <= int(value) <= most:
                raise invalid(f"viber_service.{name}", f"1 to {most}, as a string")
        if not is_web_url(content.get("thumb_url")):
            raise invalid("video.thumb_url", "a URL")
    action = options.get("action")
    if action is not None and (
        kind not in ("text", "image") or len(action["text"]) > 30 or not is_web_url(action["url"])
    ):
        raise invalid("viber_service.action", "a URL and at most 30 characters, beside a text or an image")
    if options["category"] == "transaction" and (kind not in ("text", "file") or action is not None):
        raise invalid("viber_service.category", "a transaction is text or a file")


def check_card(card: Body) -> None:
    if not 1 <= len(card.get("title", "")) <= 200 or not 1 <= len(card.get("text", "")) <= 2000:
        raise invalid("card", "a title of 1 to 200 and a text of 1 to 2000 characters")
    if not is_web_url(card.get("media_url")):
        raise invalid("card.media_url", "a URL")
    check_suggestions(card.get("suggestions", ()), 4)


def check_suggestions(suggestions: Any, most: int) -> None:
    if len(suggestions) > most:
        raise invalid("suggestions", f"at most {most}")
    for one in suggestions:
        if one.get("type") not in SUGGESTIONS or not 1 <= len(one.get("text", "")) <= 25:
            raise invalid("suggestions", "a known type and 1 to 25 characters")
        if not one.get("postback_data") or (one["type"] == "open_url" and not one.get("description")):
            raise invalid("suggestions", "postback_data, and a description of what opens a URL")


def received_of(body: Body, channel: str, message_uuid: str) -> Received:
    """The message as the phone shows it."""
    kind = body["message_type"]
    content = body[kind]
    received = Received(channel, body["from"], "", iso_now(), provider_id=message_uuid, account="vonage")
    suggestions = body.get("suggestions", [])
    match kind:
        case "text":
            received.text = content
        case "card":
            received.text = content["text"]
            received.media["image"] = content["media_url"]
            suggestions = content.get("suggestions", [])
        case _:
            received.text = content.get("caption", "")
            received.media[kind] = content["url"]
            for name, source in (("thumbnail", "thumb_url"), ("file_name", "name")):
                if content.get(source):
                    received.media[name] = content[source]
    for one in suggestions:
        if one["type"] == "reply":
            received.options.append(one["text"])
            received.replies[one["text"]] = one["postback_data"]
        else:
            received.buttons.append({"text": one["text"], "url": one.get("url", "")})
    if action := body.get("viber_service", {}).get("action"):
        received.buttons.append({"text": action["text"], "url": action["url"]})
    if not received.replies:
        received.replies = options_in(received.text)
    return received


def said(body: Mapping[str, Any], status: int) -> web.Response:
    kind = "application/json" if status < 400 else "application/problem+json"
    return web.Response(status=status, body=orjson.dumps(body), headers={"Content-Type": kind})


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hs256(claims: Mapping[str, Any], secret: str) -> str:
    signed = f"{encoded(orjson.dumps({'typ': 'JWT', 'alg': 'HS256'}))}.{encoded(orjson.dumps(claims))}"
    return f"{signed}.{encoded(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def rs256_claims(token: str, key: RSAPublicKey) -> Body:
    """What a token says that the key's other half signed; nothing when it did not."""
    signed, _, signature = token.rpartition(".")
    try:
        key.verify(decoded(signature), signed.encode(), PKCS1v15(), hashes.SHA256())
        claims = orjson.loads(decoded(signed.partition(".")[2]))
    except (InvalidSignature, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
