"""Twilio Programmable Messaging: `POST …/Accounts/{AccountSid}/Messages.json`, and the signed callbacks about it.

Everything becomes text: media, buttons and options as `plain_text` writes them; over 1,600 characters does not fit.

Sources: https://www.twilio.com/docs/messaging/api/message-resource, https://www.twilio.com/docs/usage/security (the
signature), https://www.twilio.com/docs/api/errors.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import structlog

from cascade.channels.base import Answer, Callback, Capabilities, Health, Heard
from cascade.channels.fitting import Fitted, as_sms
from cascade.channels.http import HttpRequest, HttpResponse, basic, header, redact
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Content, plain_text
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL = "https://api.twilio.com"
MAX_TEXT = 1600
LONGEST_VALIDITY_S = 36_000
SERVICE = "MG"  # how the id of a messaging service begins
NOTHING_TO_SAY = Answer(body=b"<Response/>", content_type="text/xml")

ERRORS = {  # of an answer and of a callback
    20003: Reason.MISCONFIGURED,  # authentication
    20404: Reason.MISCONFIGURED,  # no such account
    21211: Reason.UNKNOWN_RECIPIENT,  # invalid `To`
    21212: Reason.INVALID_SENDER,
    21265: Reason.UNKNOWN_RECIPIENT,  # a short code
    21408: Reason.PROVIDER_REFUSED,  # not enabled for the region
    21602: Reason.INVALID_CONTENT,  # no body
    21603: Reason.INVALID_SENDER,
    21606: Reason.INVALID_SENDER,
    21610: Reason.BLOCKED,  # opted out
    21611: Reason.THROTTLED,  # the sender's queue is full
    21612: Reason.PROVIDER_REFUSED,  # no way from this sender to that phone
    21614: Reason.UNKNOWN_RECIPIENT,  # no mobile phone
    21617: Reason.INVALID_CONTENT,  # too long
    30001: Reason.THROTTLED,
    30002: Reason.MISCONFIGURED,  # account suspended
    30003: Reason.UNDELIVERABLE,  # off or out of reach
    30004: Reason.BLOCKED,
    30005: Reason.UNKNOWN_RECIPIENT,
    30006: Reason.UNKNOWN_RECIPIENT,  # a landline
    30007: Reason.PROVIDER_REFUSED,  # filtered as spam
    30036: Reason.EXPIRED_AT_PROVIDER,
}
STATES = {
    "delivered": ReceiptState.DELIVERED,
    "read": ReceiptState.READ,
    "undelivered": ReceiptState.FAILED,
    "failed": ReceiptState.FAILED,
    "canceled": ReceiptState.FAILED,
}
OTHER_STATES = frozenset({"accepted", "scheduled", "queued", "sending", "sent", "partially_delivered"})
INBOUND_STATES = frozenset({"receiving", "received"})
WORDS = {"STOP": "STOP", "START": "START"}
"""`OptOutType`: what Twilio itself made of a person's words, which it no longer lets us write against."""


@dataclass(frozen=True)
class TwilioSms:
    """One account. `auth_token` signs what Twilio tells us, and is the password unless an API key (`api_key_sid`,
    `api_key_secret`) is. `senders` maps a client's sender to a number, a name or the id of a messaging service (MG…);
    any other goes out as `default_sender`, or where that is None under its own name."""

    account_sid: str
    auth_token: Secret
    api_key_sid: str | None = None
    api_key_secret: Secret | None = None
    senders: Mapping[str, str] = field(default_factory=dict)
    default_sender: str | None = None
    base_url: str = BASE_URL
    callback_url: str | None = None

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.SMS, has_receipts=True)

    def __post_init__(self) -> None:
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            raise ConfigError("api_key_secret", "an API key is its sid and its secret", "Write both or neither")

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return Reason.CONTENT_UNFIT if fitted(content, type) is None else None

    def request(self, attempt: Attempt) -> HttpRequest:
        sender = self.senders.get(attempt.sender) or self.default_sender or attempt.sender
        form = {
            "To": attempt.address,
            "MessagingServiceSid" if sender.startswith(SERVICE) and len(sender) == 34 else "From": sender,
            "Body": plain_text(attempt.content),
            "ValidityPeriod": str(min(max(attempt.window_s, 1), LONGEST_VALIDITY_S)),
        }
        if self.callback_url is not None:
            form["StatusCallback"] = self.callback_url
        return HttpRequest(
            "POST", f"{self._account}/Messages.json", {"Authorization": self._authorization()}, form=form
        )

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.is_success:
            return Accepted((answer["sid"],))
        code = int(answer["code"])
        detail = f"{code} {answer.get('message')}"
        reason = ERRORS.get(code)
        if response.status == 429 or reason is Reason.THROTTLED:
            return Retry(Reason.THROTTLED, detail=detail)
        if response.status in (401, 403) and reason is None:
            reason = Reason.MISCONFIGURED
        return Rejected(reason or Reason.PROVIDER_REFUSED, detail)

    def hear(self, callback: Callback) -> Heard:
        """A receipt, or what a person wrote.

        Raises `ForgedCallbackError` without a valid signature, `MalformedCallbackError` on anything undocumented.
        """
        try:
            fields = parse_qsl(callback.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=200)
        except ValueError as error:
            raise MalformedCallbackError("not a form") from error
        if not self._is_signed(callback, fields):
            raise ForgedCallbackError("the signature fits neither URL nor form")
        form = dict(fields)
        try:
            return self._said(form)
        except (LookupError, ValueError) as error:
            raise MalformedCallbackError(f"not a callback of Twilio: {type(error).__name__}") from error

    def _said(self, form: Mapping[str, str]) -> Heard:
        status = form.get("MessageStatus") or form["SmsStatus"]
        provider_id = form["MessageSid"]
        if status in INBOUND_STATES:
            text = WORDS.get(form.get("OptOutType", ""), form.get("Body", ""))
            sender = form["From"].removeprefix("+")
            return Heard(inbound=[Inbound(provider_id, InboundKind.TEXT, sender, text)], answer=NOTHING_TO_SAY)
        state = STATES.get(status)
        if state is None:
            if status not in OTHER_STATES:
                log.warning("event_unknown", channel=Channel.SMS.value, event_name=redact(status))
            return Heard(answer=NOTHING_TO_SAY)
        recipient = form["To"].removeprefix("+")
        if state is not ReceiptState.FAILED:
            return Heard([Receipt(provider_id, state, recipient=recipient)], answer=NOTHING_TO_SAY)
        code = int(form.get("ErrorCode") or 0)
        reason = ERRORS.get(code, Reason.UNDELIVERABLE)
        return Heard([Receipt(provider_id, state, reason, f"{status} {code}", recipient)], answer=NOTHING_TO_SAY)

    def _is_signed(self, callback: Callback, fields: list[tuple[str, str]]) -> bool:
        given = (header(callback.headers, "X-Twilio-Signature") or "").encode()
        how = header(callback.headers, "X-Twilio-Webhooks-Signature-Settings") or ""
        algorithm = hashlib.sha256 if "HMAC_SHA256" in how else hashlib.sha1
        # Twilio sorts names, and the values of one name; a value that is there twice counts once.
        said = "".join(name + value for name, value in sorted(set(fields)))
        for url in _as_called(callback.url):
            expected = hmac.new(self.auth_token.reveal().encode(), (url + said).encode(), algorithm).digest()
            if hmac.compare_digest(base64.b64encode(expected), given):
                return True
        return False

    def account_request(self) -> HttpRequest:
        """By the account's own token: a standard API key may send, and may not look at accounts."""
        return HttpRequest("GET", f"{self._account}.json", {"Authorization": basic(self.account_sid, self.auth_token)})

    def account(self, response: HttpResponse) -> Health:
        answer = response.json()
        if response.status != 200:
            return Health(False, f"{answer['code']} {answer['message']}")
        return Health(answer["status"] == "active", f"{answer['friendly_name']}, {answer['status']}")

    @property
    def _account(self) -> str:
        return f"{self.base_url.rstrip('/')}/2010-04-01/Accounts/{quote(self.account_sid, safe='')}"

    def _authorization(self) -> str:
        if self.api_key_sid is not None and self.api_key_secret is not None:
            return basic(self.api_key_sid, self.api_key_secret)
        return basic(self.account_sid, self.auth_token)


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    if len(plain_text(content)) > MAX_TEXT:
        return None
    return as_sms(content, type)


def _as_called(url: str) -> Iterator[str]:
    """Twilio signs some URLs with the port and some without, whatever it was given."""
    parts = urlsplit(url)
    yield url
    host = parts.hostname or ""
    if parts.port is not None:
        yield urlunsplit(parts._replace(netloc=host))
    else:
        yield urlunsplit(parts._replace(netloc=f"{host}:{443 if parts.scheme == 'https' else 80}"))
