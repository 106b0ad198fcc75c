"""Infobip for Viber Business, RCS and SMS: `POST /<channel>/…/messages`, reports of delivery and sight, and what people
write.

`channels.viber_business` and `channels.rcs.content` say how content is fitted: a survey on Viber is a list whose answer
comes back as a text, on RCS chips. SMS is text alone.

The id of a message is ours and depends on message and step alone: Infobip refuses a second one with the same id, so a
repeat of a send whose answer was lost reaches nobody twice. Reports are not signed: they call a path that ends in a
secret.

Sources: https://www.infobip.com/docs/api/channels/viber (also /rcs, /sms; version 3.245 of the specification),
https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
import structlog

from cascade.channels import viber_business
from cascade.channels.base import Callback, Capabilities, Health, Heard
from cascade.channels.fitting import Fitted, as_sms
from cascade.channels.http import HttpRequest, HttpResponse, redact, text
from cascade.channels.rcs import content as rcs
from cascade.channels.viber_business import Kind, Partner
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Button, Content
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

VIBER = Partner(has_lists=True)
MAX_SMS = 4000  # bytes
LONGEST_VALIDITY_S = 172_800
DUPLICATE = "REJECTED_DUPLICATE_MESSAGE_ID"

DELIVERED = "DELIVERED"
STATES = {  # by the group of a status
    DELIVERED: ReceiptState.DELIVERED,
    "UNDELIVERABLE": ReceiptState.FAILED,
    "EXPIRED": ReceiptState.FAILED,
    "REJECTED": ReceiptState.FAILED,
}
WAITING = frozenset({"PENDING", "ACCEPTED", "OK"})
TO_OPERATOR = "DELIVERED_TO_OPERATOR"  # of the group DELIVERED, and yet not on the phone
REASONS = {  # by the name of a status or of an error: the error knows more, so it is asked first
    "REJECTED_PREFIX_MISSING": Reason.UNKNOWN_RECIPIENT,
    "REJECTED_DESTINATION": Reason.UNKNOWN_RECIPIENT,
    "MISSING_TO": Reason.UNKNOWN_RECIPIENT,
    "REJECTED_DND": Reason.BLOCKED,
    "REJECTED_DESTINATION_BLOCKLISTED": Reason.BLOCKED,
    "REJECTED_SOURCE": Reason.INVALID_SENDER,
    "REJECTED_SENDER": Reason.INVALID_SENDER,
    "REJECTED_NOT_ENOUGH_CREDITS": Reason.NO_CREDIT,
    "REJECTED_PREPAID_PACKAGE_EXPIRED": Reason.NO_CREDIT,
    "REJECTED_DESTINATION_NOT_REGISTERED": Reason.MISCONFIGURED,  # an account on trial
    "REJECTED_ROUTE_NOT_AVAILABLE": Reason.MISCONFIGURED,
    "REJECTED_MESSAGE_TOO_LONG": Reason.INVALID_CONTENT,
    "REJECTED_INVALID_UDH": Reason.INVALID_CONTENT,
    "EXPIRED_EXPIRED": Reason.EXPIRED_AT_PROVIDER,
    "EXPIRED_DLR_UNKNOWN": Reason.EXPIRED_AT_PROVIDER,
    "UNDELIVERABLE_NOT_DELIVERED": Reason.UNDELIVERABLE,
    "UNDELIVERABLE_REJECTED_OPERATOR": Reason.UNDELIVERABLE,
    "EC_UNKNOWN_SUBSCRIBER": Reason.UNKNOWN_RECIPIENT,
    "EC_UNKNOWN_USER": Reason.UNKNOWN_RECIPIENT,
    "EC_UNIDENTIFIED_SUBSCRIBER": Reason.UNKNOWN_RECIPIENT,
    "EC_ILLEGAL_SUBSCRIBER": Reason.BLOCKED,
    "EC_CALL_BARRED": Reason.BLOCKED,
    "EC_USER_BLOCKED": Reason.BLOCKED,
    "EC_ABSENT_SUBSCRIBER": Reason.UNDELIVERABLE,
    "EC_UNSUPPORTED_DEVICE": Reason.CONTENT_UNFIT,
    "EC_UNSUPPORTED_MOBILE_APP_VERSION": Reason.CONTENT_UNFIT,
    "EC_BAD_REQUEST": Reason.INVALID_CONTENT,
    "EC_BLOCKED_CONTENT": Reason.INVALID_CONTENT,
    "EC_MEDIA_UNSUPPORTED": Reason.INVALID_CONTENT,
    "EC_ILLEGAL_TRAFFIC_TYPE": Reason.INVALID_CONTENT,
    "EC_ACCOUNT_ISSUE": Reason.MISCONFIGURED,
    "EC_CONFIGURATION_ERROR": Reason.MISCONFIGURED,
    "EC_SERVICE_NOT_ACTIVATED": Reason.MISCONFIGURED,
}
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
GROUPS = {"EXPIRED": Reason.EXPIRED_AT_PROVIDER, "UNDELIVERABLE": Reason.UNDELIVERABLE}


@dataclass(frozen=True)
class Infobip:
    """One account: `base_url` is its own. `callback_secret` ends the path that Infobip calls. `senders` maps a client's
    sender to the one registered there; any other goes out as `default_sender`, or where that is None under its own
    name."""

    base_url: str
    api_key: Secret
    callback_secret: Secret
    senders: Mapping[str, str] = field(default_factory=dict)
    default_sender: str | None = None
    callback_url: str | None = None

    capabilities: ClassVar[Capabilities]
    path: ClassVar[str]

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return Reason.CONTENT_UNFIT if self.shown(content, type) is None else None

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        """How the channel would show it; None: it cannot carry it."""
        raise NotImplementedError

    def content(self, attempt: Attempt) -> dict[str, Any]:
        """Asked only about what fits."""
        raise NotImplementedError

    def options(self, attempt: Attempt) -> dict[str, Any]:
        """What this channel wants to know of a message beside its content."""
        return {}

    def request(self, attempt: Attempt) -> HttpRequest:
        amount_s = min(max(attempt.window_s, 1), LONGEST_VALIDITY_S)
        message: dict[str, Any] = {
            "sender": self.senders.get(attempt.sender) or self.default_sender or attempt.sender,
            "destinations": [
                {"to": attempt.address.removeprefix("+"), "messageId": message_id(attempt.message_id, attempt.step)}
            ],
            "content": self.content(attempt),
            "options": {"validityPeriod": {"amount": amount_s, "timeUnit": "SECONDS"}} | self.options(attempt),
        }
        if self.callback_url is not None:
            message["webhooks"] = self.webhooks(f"{self.callback_url}/{self.callback_secret.reveal()}")
        body = {"messages": [message], "options": {"tracking": {"shortenUrl": False, "trackClicks": False}}}
        headers = {"Authorization": f"App {self.api_key.reveal()}", "Accept": "application/json"}
        return HttpRequest("POST", f"{self.base_url.rstrip('/')}{self.path}", headers, json=body)

    def webhooks(self, url: str) -> dict[str, Any]:
        return {"delivery": {"url": url}, "contentType": "application/json"}

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.is_success:
            (message,) = answer["messages"]
            return _taken(message)
        detail = _wording(answer)
        match response.status:
            case 429:
                return Retry(Reason.THROTTLED, detail=detail)
            case 401 | 403:
                return Rejected(Reason.MISCONFIGURED, detail)
            case 400 | 422:
                return Rejected(Reason.INVALID_CONTENT, detail)
        return Rejected(Reason.PROVIDER_REFUSED, detail)

    def account_request(self) -> HttpRequest:
        headers = {"Authorization": f"App {self.api_key.reveal()}", "Accept": "application/json"}
        return HttpRequest("GET", f"{self.base_url.rstrip('/')}/account/1/balance", headers)

    def account(self, response: HttpResponse) -> Health:
        """A key that may only send may not look at the balance, and yet is a right one."""
        answer = response.json()
        match response.status:
            case 200:
                return Health(True, f"{answer['balance']} {answer['currency']} left")
            case 403:
                return Health(True, "takes the key, which may not look at the account's balance")
        return Health(False, _wording(answer))

    def hear(self, callback: Callback) -> Heard:
        """Delivery reports, seen reports, or what people wrote and tapped.

        Raises `ForgedCallbackError` on a path without our secret, `MalformedCallbackError` on anything undocumented.
        """
        if not hmac.compare_digest(callback.tail.encode(), self.callback_secret.reveal().encode()):
            raise ForgedCallbackError("the path does not end in our secret")
        heard: list[Receipt | Inbound] = []
        read, fault = 0, None
        try:
            for result in orjson.loads(callback.body)["results"]:
                try:
                    heard += self._result(result)
                    read += 1
                except UNREADABLE as error:  # the others must not wait for it: it would come again with them
                    fault = error
        except UNREADABLE as error:
            fault = error
        if fault is not None and not read:
            raise MalformedCallbackError(f"no report of Infobip: {type(fault).__name__}") from fault
        return Heard(
            [each for each in heard if isinstance(each, Receipt)],
            [each for each in heard if isinstance(each, Inbound)],
            ignored=() if fault is None else ("malformed",),
        )

    def _result(self, result: dict[str, Any]) -> Sequence[Receipt | Inbound]:
        """Raises what is `UNREADABLE`."""
        if "status" in result:
            return self._report(result)
        if "seenAt" in result:
            return [Receipt(text(result["messageId"]), ReceiptState.READ, recipient=_digits(result["to"]))]
        return [_said(result)]

    def _report(self, result: dict[str, Any]) -> list[Receipt]:
        status, provider_id = result["status"], text(result["messageId"])
        group, name = text(status["groupName"]), text(status["name"])
        state = STATES.get(group)
        if state is None or name == TO_OPERATOR:
            if state is None and group not in WAITING:
                log.warning("event_unknown", channel=self.capabilities.channel.value, event_name=redact(group))
            return []
        recipient = _digits(result["to"])
        if state is not ReceiptState.FAILED:
            return [Receipt(provider_id, state, recipient=recipient)]
        error = str((result.get("error") or {}).get("name", ""))
        reason = REASONS.get(error) or REASONS.get(name) or GROUPS.get(group, Reason.PROVIDER_REFUSED)
        return [Receipt(provider_id, state, reason, redact(f"{name} {error}".strip()), recipient)]


@dataclass(frozen=True)
class InfobipViber(Infobip):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.VIBER_BUSINESS, has_receipts=True, takes_our_id=True)
    path: ClassVar[str] = "/viber/2/messages"

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        return viber_business.fitted(content, type, VIBER)

    def content(self, attempt: Attempt) -> dict[str, Any]:
        said = viber_business.shown(attempt.content, attempt.type, VIBER)
        assert said is not None  # noqa: S101 - it fits
        media = said.media
        caption = {"text": said.text} if said.text else {}
        button = {} if said.button is None else {"button": {"title": said.button.text, "action": said.button.url}}
        match said.kind:
            case Kind.IMAGE:
                return {"type": "IMAGE", "mediaUrl": media.image} | caption | button
            case Kind.VIDEO:
                video = {"mediaUrl": media.video, "mediaDuration": f"PT{media.duration_s}S"}
                return {"type": "VIDEO", "thumbnailUrl": media.thumbnail} | video | caption | button
            case Kind.FILE:
                return {"type": "FILE", "mediaUrl": media.file, "fileName": media.file_name}
            case Kind.LIST:
                return {"type": "LIST", "text": said.text, "options": list(said.options)}
        return {"type": "TEXT", "text": said.text} | button

    def options(self, attempt: Attempt) -> dict[str, Any]:
        label = "TRANSACTIONAL" if attempt.type is MessageType.TRANSACTION else "PROMOTIONAL"
        return {"label": label, "trackingData": attempt.message_id.hex()}

    def webhooks(self, url: str) -> dict[str, Any]:
        return super().webhooks(url) | {"seen": {"url": url}}


@dataclass(frozen=True)
class InfobipRcs(Infobip):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.RCS, has_receipts=True, takes_our_id=True)
    path: ClassVar[str] = "/rcs/2/messages"

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        return rcs.fitted(content, type)

    def content(self, attempt: Attempt) -> dict[str, Any]:
        said = rcs.shown(attempt.content, attempt.type)
        assert said is not None  # noqa: S101 - it fits
        chips = [
            *(_reply(option, rcs.payload(attempt.message_id, place)) for place, option in enumerate(said.options)),
            *(_open(button) for button in said.buttons),
        ]
        suggestions = {"suggestions": chips} if chips else {}
        if said.form is rcs.Form.TEXT:
            return {"type": "TEXT", "text": said.text} | suggestions
        file: dict[str, Any] = {"file": {"url": said.file}}
        if said.thumbnail is not None:
            file["thumbnail"] = {"url": said.thumbnail}
        if said.form is not rcs.Form.CARD:
            return {"type": "FILE"} | file
        inside = {"description": said.text, "media": file | {"height": "MEDIUM"}} | suggestions
        return {"type": "CARD", "orientation": "VERTICAL", "alignment": "LEFT", "content": inside}

    def webhooks(self, url: str) -> dict[str, Any]:
        return super().webhooks(url) | {"seen": {"url": url}}


@dataclass(frozen=True)
class InfobipSms(Infobip):
    capabilities: ClassVar[Capabilities] = Capabilities(Channel.SMS, has_receipts=True, takes_our_id=True)
    path: ClassVar[str] = "/sms/3/messages"

    @staticmethod
    def shown(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
        said = as_sms(content, type)
        return None if said is None or len(said.text.encode()) > MAX_SMS else said

    def content(self, attempt: Attempt) -> dict[str, Any]:
        said = self.shown(attempt.content, attempt.type)
        assert said is not None  # noqa: S101 - it fits
        return {"text": said.text}


def message_id(message: bytes, step: int) -> str:
    """Our message at a step, as Infobip shall call it: the same for every repeat."""
    return f"{message.hex()}-{step}"


def _taken(message: dict[str, Any]) -> Outcome:
    status, provider_id = message["status"], text(message["messageId"])
    group, name = text(status["groupName"]), status.get("name")
    if group in WAITING or group == DELIVERED or name == DUPLICATE:
        return Accepted((provider_id,))
    if group not in STATES:
        raise ValueError("a group that nobody knows")
    detail = f"{name} {status.get('description', '')}".strip()
    return Rejected(REASONS.get(str(name), Reason.PROVIDER_REFUSED), detail)


def _wording(answer: dict[str, Any]) -> str:
    """Either of the two forms of a problem: the newer has `errorCode`, the older a `serviceException`."""
    if "errorCode" in answer:
        return f"{answer['errorCode']} {answer.get('description', '')}"
    exception = answer["requestError"]["serviceException"]
    return f"{exception.get('messageId')} {exception.get('text')}"


def _said(result: dict[str, Any]) -> Inbound:
    """A person's message: Viber and RCS wrap it in `message`, SMS has its text bare."""
    id_ = text(result["messageId"])
    person = _digits(result["sender"] if "sender" in result else result["from"])
    paired = result.get("pairedMessageId")
    reply_to = paired if isinstance(paired, str) else None
    if "message" not in result:
        return Inbound(id_, InboundKind.TEXT, person, text(result["text"]), reply_to=reply_to)
    message = result["message"]
    match message["type"]:
        case "SUGGESTION":
            tapped = rcs.tapped(text(message["postbackData"]))
            return Inbound(id_, InboundKind.TAP, person, text(message["text"]), tapped, reply_to)
        case "TEXT":
            tracked = message.get("trackingData")
            payload = tracked if isinstance(tracked, str) else None
            return Inbound(id_, InboundKind.TEXT, person, text(message["text"]), payload, reply_to)
        case "LOCATION":
            place = f"{message['latitude']},{message['longitude']}"
            return Inbound(id_, InboundKind.TEXT, person, place, reply_to=reply_to)
    return Inbound(id_, InboundKind.TEXT, person, text(message["url"]), reply_to=reply_to)


def _reply(option: str, payload: str) -> dict[str, Any]:
    return {"type": "REPLY", "text": rcs.label(option), "postbackData": payload}


def _open(button: Button) -> dict[str, Any]:
    return {"type": "OPEN_URL", "text": rcs.label(button.text), "postbackData": "open", "url": button.url}


def _digits(phone: object) -> str:
    return text(phone).removeprefix("+")
