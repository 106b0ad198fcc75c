"""Vonage Messages API for Viber Business, RCS and SMS: `POST /v1/messages`, and the signed webhooks about them.

`channels.viber_business` and `channels.rcs.content` say how content is fitted. Here a survey on Viber is numbered
lines, a button beside a video is a link, and a card of RCS has the sender's name as its title; SMS is text alone.

One webhook URL serves statuses and what people write. Vonage signs both with a token that holds a digest of the body.

Sources: https://developer.vonage.com/en/api/messages, https://developer.vonage.com/en/messages/concepts (signed
webhooks, status callbacks), https://developer.vonage.com/en/messages/guides/rcs (suggestions, revocation),
https://developer.vonage.com/en/api-errors/messages.
"""

import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cascade.channels import jwt, viber_business
from cascade.channels.base import Callback, Capabilities, Heard
from cascade.channels.fitting import Fitted, as_sms
from cascade.channels.http import HttpRequest, HttpResponse, basic, header, redact, text
from cascade.channels.rcs import content as rcs
from cascade.channels.viber_business import Kind, Partner
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry, Revocation, Sent
from cascade.core.content import Content
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL = "https://api.nexmo.com"
REGION_URL = "https://api-eu.nexmo.com"
TOKEN_S = 900
TOKEN_USED_S = 600  # a request under way must not see its token end
OLDEST_CALL_S = 900
FARTHEST_AHEAD_S = 120  # of a clock that is not ours
MAX_SMS = 3200
LONGEST_TTL_S = 259_200
LONGEST_SMS_TTL_S = 604_800
SHORTEST_TTL_S = 20
MAX_SENDER = 50
MAX_TITLE = 200
MAX_DESCRIPTION = 500
MB = 1024 * 1024
VIBER = Partner(buttons_on_videos=False, needs_video_size=True, max_file_name=25)

ERRORS = {  # of an answer and of a status
    1000: Reason.THROTTLED,
    1010: Reason.INVALID_CONTENT,  # a parameter is missing
    1020: Reason.INVALID_CONTENT,  # a parameter is wrong
    1022: Reason.INVALID_CONTENT,
    1030: Reason.PROVIDER_DOWN,
    1050: Reason.BLOCKED,  # the number is barred
    1070: Reason.NO_CREDIT,
    1100: Reason.PROVIDER_DOWN,
    1120: Reason.INVALID_SENDER,
    1130: Reason.INVALID_CONTENT,  # time to live
    1170: Reason.UNKNOWN_RECIPIENT,  # no number
    1180: Reason.UNDELIVERABLE,  # out of reach for now
    1190: Reason.UNKNOWN_RECIPIENT,  # out of reach for good
    1220: Reason.UNDELIVERABLE,  # busy
    1230: Reason.PROVIDER_DOWN,
    1240: Reason.BLOCKED,  # opted out
    1260: Reason.UNDELIVERABLE,
    1300: Reason.UNKNOWN_RECIPIENT,  # not on this network
    1310: Reason.CONTENT_UNFIT,  # the device cannot show it
    1320: Reason.PROVIDER_REFUSED,  # sent before
    1340: Reason.PROVIDER_REFUSED,  # outside the window in which it is allowed
    1360: Reason.EXPIRED_AT_PROVIDER,
}
STATES = {
    "delivered": ReceiptState.DELIVERED,
    "read": ReceiptState.READ,
    "rejected": ReceiptState.FAILED,
    "undeliverable": ReceiptState.FAILED,
}
OTHER_STATES = frozenset({"submitted"})


@dataclass(frozen=True)
class Vonage:
    """One application at Vonage. It says who it is by its private key (`application_id` and `private_key` or
    `private_key_file`, in PEM), or by `api_key` and `api_secret`. `signature_secret` is the account's: it signs what
    Vonage tells us. `senders` maps a client's sender to a number, name, service or agent there; any other goes out as
    `default_sender`, or where that is None under its own name. Raises ConfigError when it cannot say who it is.
    """

    signature_secret: Secret
    application_id: str | None = None
    private_key: Secret | None = None
    private_key_file: str | None = None
    api_key: str | None = None
    api_secret: Secret | None = None
    senders: Mapping[str, str] = field(default_factory=dict)
    default_sender: str | None = None
    base_url: str = BASE_URL
    callback_url: str | None = None
    _lent: list[tuple[str, float]] = field(default_factory=list, init=False, repr=False, compare=False)

    capabilities: ClassVar[Capabilities]

    def __post_init__(self) -> None:
        if self.application_id is not None:
            _ = self._key
        elif self.api_key is None or self.api_secret is None:
            raise ConfigError(
                "application_id",
                "it is missing, and so is an api_key with its api_secret",
                "Write the application's id and its private_key_file",
            )

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return Reason.CONTENT_UNFIT if self.shown(content, type) is None else None

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        """How the channel would show it; None: it cannot carry it."""
        raise NotImplementedError

    def message(self, attempt: Attempt) -> dict[str, Any]:
        """What this channel's message has beside what all have. Asked only about what fits."""
        raise NotImplementedError

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        sender = self._sender(attempt.sender)
        if len(sender) > MAX_SENDER:
            return Rejected(Reason.INVALID_SENDER, f"Vonage takes at most {MAX_SENDER} characters")
        body = {
            "to": attempt.address.removeprefix("+"),
            "from": sender,
            "client_ref": f"{attempt.message_id.hex()}-{attempt.number}",
        } | self.message(attempt)
        if self.callback_url is not None:
            body |= {"webhook_url": self.callback_url, "webhook_version": "v1"}
        url = f"{self.base_url.rstrip('/')}/v1/messages"
        return HttpRequest("POST", url, {"Authorization": self._authorization()}, json=body)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.is_success:
            return Accepted((text(answer["message_uuid"]),))
        code = _code(answer.get("title"), answer.get("type"))
        detail = f"{answer.get('title')} {answer.get('detail')}"
        reason = ERRORS.get(code)
        if response.status == 429 or reason in (Reason.THROTTLED, Reason.PROVIDER_DOWN):
            why = Reason.PROVIDER_DOWN if reason is Reason.PROVIDER_DOWN else Reason.THROTTLED
            return Retry(why, detail=detail)
        match response.status:
            case 401 | 403:
                return Rejected(reason or Reason.MISCONFIGURED, detail)
            case 402:
                return Rejected(Reason.NO_CREDIT, detail)
            case 400 | 422:
                return Rejected(reason or Reason.INVALID_CONTENT, detail)
        return Rejected(reason or Reason.PROVIDER_REFUSED, detail)

    def hear(self, callback: Callback) -> Heard:
        """A receipt, or what a person wrote or tapped.

        Raises `ForgedCallbackError` without a fresh token that fits the body, `MalformedCallbackError` on anything
        undocumented.
        """
        self._check(callback)
        try:
            said = orjson.loads(callback.body)
            if "status" in said:
                return self._status(said)
            return Heard(inbound=[inbound(said)])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise MalformedCallbackError(f"not a webhook of Vonage: {type(error).__name__}") from error

    def _check(self, callback: Callback) -> None:
        scheme, _, token = (header(callback.headers, "Authorization") or "").partition(" ")
        try:
            claims = jwt.hs256_claims(token, self.signature_secret)
            age_s = time.time() - float(claims["iat"])
            digest = str(claims["payload_hash"])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ForgedCallbackError("no token that our signature secret signed") from error
        if scheme.lower() != "bearer" or not -FARTHEST_AHEAD_S <= age_s <= OLDEST_CALL_S:
            raise ForgedCallbackError("the token is not of now")
        if not hmac.compare_digest(digest.lower().encode(), hashlib.sha256(callback.body).hexdigest().encode()):
            raise ForgedCallbackError("payload_hash does not fit the body")

    def _status(self, said: dict[str, Any]) -> Heard:
        status, provider_id, to = said["status"], text(said["message_uuid"]), text(said["to"])
        state = STATES.get(text(status))
        if state is None:
            if status not in OTHER_STATES:
                log.warning("event_unknown", channel=self.capabilities.channel.value, event_name=redact(status))
            return Heard()
        recipient = to.removeprefix("+")
        if state is not ReceiptState.FAILED:
            return Heard([Receipt(provider_id, state, recipient=recipient)])
        error = said.get("error") or {}
        code = _code(error.get("title"), error.get("type"))
        default = Reason.UNDELIVERABLE if status == "undeliverable" else Reason.PROVIDER_REFUSED
        detail = redact(f"{code or status} {error.get('detail', '')}".strip())
        return Heard([Receipt(provider_id, state, ERRORS.get(code, default), detail, recipient)])

    def _sender(self, name: str) -> str:
        return self.senders.get(name) or self.default_sender or name

    def _authorization(self) -> str:
        if self.application_id is None:
            assert self.api_secret is not None  # noqa: S101 - checked when it was made
            return basic(self.api_key or "", self.api_secret)
        now_s = time.time()
        if not self._lent or now_s >= self._lent[0][1]:  # to sign takes a millisecond, a token lasts for minutes
            claims = {
                "application_id": self.application_id,
                "iat": int(now_s),
                "exp": int(now_s) + TOKEN_S,
                "jti": str(uuid.uuid4()),
            }
            self._lent[:] = [(jwt.rs256(claims, self._key), now_s + TOKEN_USED_S)]
        return f"Bearer {self._lent[0][0]}"

    @cached_property
    def _key(self) -> RSAPrivateKey:
        try:
            if self.private_key is not None:
                return jwt.rsa_key(self.private_key.reveal())
            if self.private_key_file is not None:
                return jwt.rsa_key(Path(self.private_key_file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                "private_key_file", f"it holds no private key of RSA ({type(error).__name__})", "Generate one anew"
            ) from error
        raise ConfigError("private_key_file", "it is missing", "Name the file that the application's key was saved in")


@dataclass(frozen=True)
class VonageViber(Vonage):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.VIBER_BUSINESS, has_receipts=True)

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        return viber_business.fitted(content, type, VIBER)

    def message(self, attempt: Attempt) -> dict[str, Any]:
        said = viber_business.shown(attempt.content, attempt.type, VIBER)
        assert said is not None  # noqa: S101 - it fits
        options: dict[str, Any] = {
            "category": "transaction" if attempt.type is MessageType.TRANSACTION else "promotion",
            "ttl": min(max(attempt.window_s, viber_business.SHORTEST_TTL_S), LONGEST_TTL_S),
        }
        if said.button is not None:
            options["action"] = {"url": said.button.url, "text": said.button.text}
        media = said.media
        body: dict[str, Any] = {"channel": "viber_service", "message_type": said.kind.value, "viber_service": options}
        match said.kind:
            case Kind.IMAGE:
                body["image"] = {"url": media.image} | _if_any(caption=said.text)
            case Kind.VIDEO:
                body["video"] = {"url": media.video, "thumb_url": media.thumbnail} | _if_any(caption=said.text)
                options["duration"] = str(media.duration_s)
                options["file_size"] = str(-(-(media.size_bytes or 0) // MB))
            case Kind.FILE:
                body["file"] = {"url": media.file} | _if_any(name=media.file_name)
            case _:
                body["text"] = said.text
        return body


@dataclass(frozen=True)
class VonageRcs(Vonage):
    """`region_url` is where the agent is launched: only that host takes a message back. `category` says what a
    `transaction` is: transaction, authentication, service-request or acknowledgement."""

    region_url: str = REGION_URL
    category: str = "transaction"

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.RCS, has_receipts=True, can_revoke=True)

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        return rcs.fitted(content, type)

    def message(self, attempt: Attempt) -> dict[str, Any]:
        said = rcs.shown(attempt.content, attempt.type)
        assert said is not None  # noqa: S101 - it fits
        options: dict[str, Any] = {
            "category": self.category if attempt.type is MessageType.TRANSACTION else "promotion"
        }
        body: dict[str, Any] = {
            "channel": "rcs",
            "ttl": min(max(attempt.window_s, SHORTEST_TTL_S), LONGEST_TTL_S),
            "rcs": options,
        }
        chips = [
            *(
                {"type": "reply", "text": rcs.label(option), "postback_data": rcs.payload(attempt.message_id, place)}
                for place, option in enumerate(said.options)
            ),
            *(
                {
                    "type": "open_url",
                    "text": rcs.label(button.text),
                    "postback_data": "open",
                    "url": button.url,
                    "description": button.text[:MAX_DESCRIPTION],
                }
                for button in said.buttons
            ),
        ]
        match said.form:
            case rcs.Form.CARD:
                card: dict[str, Any] = {
                    "title": attempt.sender[:MAX_TITLE],
                    "text": said.text,
                    "media_url": said.file,
                    "media_height": "MEDIUM",
                }
                card |= _if_any(thumbnail_url=said.thumbnail, suggestions=chips)
                options["card_orientation"] = "VERTICAL"
                return body | {"message_type": "card", "card": card}
            case rcs.Form.IMAGE | rcs.Form.VIDEO | rcs.Form.FILE:
                return body | {"message_type": said.form.value, said.form.value: {"url": said.file}}
        return body | {"message_type": "text", "text": said.text} | _if_any(suggestions=chips)

    def revocation_request(self, sent: Sent) -> HttpRequest:
        url = f"{self.region_url.rstrip('/')}/v1/messages/{quote(sent.provider_ids[0], safe='')}"
        return HttpRequest("PATCH", url, {"Authorization": self._authorization()}, json={"status": "revoked"})

    def revocation(self, response: HttpResponse) -> Revocation:
        """Vonage does not promise that 200 keeps the message from the phone: a late receipt still counts."""
        return Revocation.WITHDRAWN if response.status in (200, 202, 204) else Revocation.UNKNOWN


@dataclass(frozen=True)
class VonageSms(Vonage):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.SMS, has_receipts=True)

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        said = as_sms(content, type)
        return None if said is None or len(said.text) > MAX_SMS else said

    def message(self, attempt: Attempt) -> dict[str, Any]:
        said = self.shown(attempt.content, attempt.type)
        assert said is not None  # noqa: S101 - it fits
        return {
            "channel": "sms",
            "message_type": "text",
            "text": said.text,
            "ttl": min(max(attempt.window_s, SHORTEST_TTL_S), LONGEST_SMS_TTL_S),
        }

    def _sender(self, name: str) -> str:
        return super()._sender(name).removeprefix("+")


def inbound(said: dict[str, Any]) -> Inbound:
    """Raises `ValueError`, `TypeError`, `LookupError` or `AttributeError` when it is not what is documented."""
    id_, person, kind = text(said["message_uuid"]), text(said["from"]).removeprefix("+"), text(said["message_type"])
    match kind:
        case "reply":
            tap = said["reply"]
            return Inbound(id_, InboundKind.TAP, person, text(tap["title"]), rcs.tapped(text(tap["id"])))
        case "button":
            tap = said["button"]
            return Inbound(id_, InboundKind.TAP, person, text(tap["text"]), rcs.tapped(text(tap["payload"])))
        case "text":
            return Inbound(id_, InboundKind.TEXT, person, text(said["text"]))
        case "location":
            place = said["location"]
            return Inbound(id_, InboundKind.TEXT, person, f"{place['lat']},{place['long']}")
    return Inbound(id_, InboundKind.TEXT, person, text(said[kind]["url"]))  # a picture, a video, a file


def _code(*given: object) -> int:
    """The number of an error: a title that is one, or the end of its documentation's address; 0: it has none."""
    for each in given:
        digits = str(each).rpartition("#")[2]
        if digits.isascii() and digits.isdigit():
            return int(digits)
    return 0


def _if_any(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
