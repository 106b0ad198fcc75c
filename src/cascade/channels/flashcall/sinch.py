"""Flash calls by Sinch Verification: one request a call, and a signed event when the person's digits are known.

Who calls is Sinch's choice, unless it asks us first (`VerificationRequestEvent`): then it is the number that we wrote
into `custom` when we asked for the call. Ringing is no event, so each call is asked after until its `callResult` is
there.

Source: https://developers.sinch.com/docs/verification/api-reference (SDK 1.4.0)
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

import orjson
import structlog

from cascade.channels.base import Answer, Callback, Capabilities, Health, Heard, Settle, TakeHeard
from cascade.channels.http import (
    HttpRequest,
    HttpResponse,
    HttpSettings,
    HttpTransport,
    basic,
    header,
    redact,
    text,
)
from cascade.core.attempt import Accepted, Attempt, Outcome, Rejected, Retry
from cascade.core.content import Content
from cascade.core.errors import (
    CascadeError,
    ConfigError,
    ForgedCallbackError,
    MalformedCallbackError,
    ProviderUnreachableError,
)
from cascade.core.flashcalls import is_caller
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL: Final = "https://verification.api.sinch.com"
PATH: Final = "/verification/v1/verifications"
METHOD: Final = "flashcall"
JSON: Final = "application/json; charset=UTF-8"
"""Sent, and signed, with a GET as well: so does Sinch's own SDK."""
OLDEST_S: Final = 300.0
"""How old a signed callback may be: Sinch repeats none for so long."""
FOLLOW_S: Final = (6.0, 10.0, 20.0, 40.0)
"""The pauses before each question after a call."""

RANG: Final = frozenset({"NO_ANSWER", "CANCEL"})
"""Results of a call that was dropped while it rang."""
RESULTS: Mapping[str, Reason] = {
    "ANSWERED": Reason.ANSWERED,
    "COMPLETED": Reason.ANSWERED,
    "BUSY": Reason.BUSY,
    "FAILED": Reason.UNDELIVERABLE,
}
CAME_ALL_THE_SAME: Final = frozenset({"Invalid CLI", "Invalid code"})
"""Failures of the person who typed: they saw a call."""
FAILURES: Mapping[str, Reason] = {
    "Fraud": Reason.BLOCKED,
    "Blocked": Reason.BLOCKED,
    "Not enough credit": Reason.NO_CREDIT,
    "Denied by callback": Reason.PROVIDER_REFUSED,
    "Invalid callback": Reason.MISCONFIGURED,
    "Destination denied": Reason.PROVIDER_REFUSED,
    "Network error or number unreachable": Reason.UNDELIVERABLE,
    "Expired": Reason.EXPIRED_AT_PROVIDER,
}
"""Every other one is PROVIDER_REFUSED."""
REFUSALS: Mapping[int, Reason] = {
    400: Reason.INVALID_CONTENT,
    401: Reason.MISCONFIGURED,
    402: Reason.NO_CREDIT,
    403: Reason.MISCONFIGURED,
    404: Reason.MISCONFIGURED,
    422: Reason.MISCONFIGURED,
}
"""Every other 4xx is PROVIDER_REFUSED."""


@dataclass(frozen=True)
class SinchFlashcall:
    """One application. `application_secret` as its page shows it, in base64. `signed`: requests are signed with it;
    off, it is sent as a password. `callers`: numbers that Sinch may call from for us, with their plus; none: it
    chooses. `dial_timeout_s`: how long it lets the phone ring, where requests are signed; None: as it likes."""

    application_key: str
    application_secret: Secret
    signed: bool = True
    callers: tuple[str, ...] = field(default=(), repr=False)
    dial_timeout_s: int | None = None
    base_url: str = BASE_URL

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.FLASHCALL, has_receipts=True)

    def __post_init__(self) -> None:
        try:
            base64.b64decode(self.application_secret.reveal(), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(
                "sinch.application_secret", "it is not base64", "Copy it from the application's page, with its =="
            ) from None
        for number in self.callers:
            if not is_caller(number):
                raise ConfigError(
                    "sinch.callers", f"{number!r} is no phone", "Write numbers with their plus: +380441234567"
                )

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return None if type is MessageType.FLASHCALL else Reason.CONTENT_UNFIT

    def request(self, attempt: Attempt) -> HttpRequest:
        body: dict[str, Any] = {
            "identity": {"type": "number", "endpoint": attempt.address},
            "method": METHOD,
            "reference": f"{attempt.message_id.hex()}-{attempt.number}",
        }
        if attempt.sender in self.callers:
            body["custom"] = attempt.sender
        if self.signed and self.dial_timeout_s is not None:
            body["flashCallOptions"] = {"dialTimeout": self.dial_timeout_s}
        return self._request("POST", PATH, body)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.is_success:
            return Accepted((text(answer["id"]),))
        detail = f"{answer.get('errorCode', response.status)} {answer.get('message')}"
        if response.status == 429:
            return Retry(Reason.THROTTLED, detail=detail)
        return Rejected(REFUSALS.get(response.status, Reason.PROVIDER_REFUSED), detail)

    def hear(self, callback: Callback) -> Heard:
        """What became of a verification, or the question who shall call.

        Raises `ForgedCallbackError` without a valid signature of the last minutes, `MalformedCallbackError` on anything
        undocumented.
        """
        if not self._is_signed(callback):
            raise ForgedCallbackError("no signature of this application, or an old one")
        try:
            event = orjson.loads(callback.body)
            match event["event"]:
                case "VerificationRequestEvent":
                    return Heard(answer=Answer(body=orjson.dumps(self._who_calls(event))))
                case "VerificationResultEvent":
                    receipt = self._result(event)
                    return Heard([receipt] if receipt is not None else [])
                case other:
                    log.warning("event_unknown", channel=Channel.FLASHCALL.value, event_name=redact(str(other)))
                    return Heard()
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedCallbackError(f"not a callback of Sinch: {type(error).__name__}") from error

    def account_request(self) -> HttpRequest:
        """About a verification that is none: who is known is told so."""
        return self.status_request("none")

    def account(self, response: HttpResponse) -> Health:
        if response.status in (401, 403):
            return Health(False, f"it does not take our credentials: HTTP {response.status}")
        return Health(True, "it takes our credentials")

    def status_request(self, provider_id: str) -> HttpRequest:
        return self._request("GET", f"{PATH}/id/{quote(provider_id, safe='')}")

    def report_request(self, provider_id: str, typed: str) -> HttpRequest:
        """Ask whether the person typed the number that called."""
        body = {"method": METHOD, "flashCall": {"cli": f"+{typed}"}}
        return self._request("PUT", f"{PATH}/id/{quote(provider_id, safe='')}", body)

    def came_of(self, provider_id: str, answer: Mapping[str, Any], recipient: str) -> Receipt | None:
        """What the status of a call says; None: nothing yet."""
        result = str(answer.get("callResult") or "")
        if answer.get("status") == "SUCCESSFUL" or result in RANG:
            return Receipt(provider_id, ReceiptState.DELIVERED, recipient=recipient)
        if result in RESULTS:
            return Receipt(provider_id, ReceiptState.FAILED, RESULTS[result], result, recipient)
        return None

    def _who_calls(self, event: Mapping[str, Any]) -> dict[str, Any]:
        if not _is_flashcall(event):
            return {"action": "allow"}
        caller = event.get("custom")
        return {"action": "allow", "flashCall": {"cli": caller}} if caller in self.callers else {"action": "allow"}

    def _result(self, event: Mapping[str, Any]) -> Receipt | None:
        provider_id, status = event["id"], event["status"]
        if not isinstance(provider_id, str) or not provider_id or not isinstance(status, str):
            raise ValueError("an id and a status are texts")
        if not _is_flashcall(event) or status == "PENDING":
            return None
        recipient = str(event["identity"]["endpoint"]).removeprefix("+")
        reason = str(event.get("reason") or "")
        if status == "SUCCESSFUL" or reason in CAME_ALL_THE_SAME:
            return Receipt(provider_id, ReceiptState.DELIVERED, recipient=recipient)
        failure = FAILURES.get(reason, Reason.PROVIDER_REFUSED)
        return Receipt(provider_id, ReceiptState.FAILED, failure, redact(f"{status} {reason}".strip()), recipient)

    def _request(self, method: str, path: str, body: Any = None) -> HttpRequest:
        raw = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": JSON}
        base = self.base_url.rstrip("/")
        if self.signed:
            stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            signature = self._signature(method, raw, JSON, stamp, urlsplit(base).path + path)
            headers |= {"Authorization": f"Application {self.application_key}:{signature}", "x-timestamp": stamp}
        else:
            headers["Authorization"] = basic(self.application_key, self.application_secret)
        return HttpRequest(method, base + path, headers, body=raw or None)

    def _signature(self, method: str, body: bytes, content_type: str, stamp: str, path: str) -> str:
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
        said = "\n".join((method, digest, content_type, f"x-timestamp:{stamp}", path))
        key = base64.b64decode(self.application_secret.reveal())
        return base64.b64encode(hmac.new(key, said.encode(), hashlib.sha256).digest()).decode()

    def _is_signed(self, callback: Callback) -> bool:
        scheme, _, given = (header(callback.headers, "Authorization") or "").partition(" ")
        key, _, signature = given.partition(":")
        stamp = header(callback.headers, "x-timestamp") or ""
        content_type = header(callback.headers, "Content-Type") or ""
        expected = self._signature(callback.method, callback.body, content_type, stamp, urlsplit(callback.url).path)
        is_ours = hmac.compare_digest(signature.encode(), expected.encode()) and key == self.application_key
        return scheme.lower() == "application" and is_ours and _is_fresh(stamp)


def _is_flashcall(event: Mapping[str, Any]) -> bool:
    """Sinch's own programs write it `flashcall` or `flashCall`."""
    return str(event["method"]).lower() == METHOD


def _is_fresh(stamp: str) -> bool:
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return False
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return abs(time.time() - at.timestamp()) <= OLDEST_S


class SinchTransport(HttpTransport):
    """Asks after each call until it is known how it ended: without a report of digits Sinch tells nobody that it rang.

    A restart ends the asking; the event at the verification's end comes all the same.
    """

    adapter: SinchFlashcall

    def __init__(
        self,
        adapter: SinchFlashcall,
        link: str,
        settings: HttpSettings | None = None,
        *,
        follow_s: Sequence[float] = FOLLOW_S,
    ) -> None:
        super().__init__(adapter, link, settings or HttpSettings())
        self._follow_s = follow_s
        self._take: TakeHeard | None = None
        self._followers: set[asyncio.Task[None]] = set()

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        self._take = take
        super().start(on_room, take)

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        def settled(attempt: Attempt, outcome: Outcome) -> None:
            settle(attempt, outcome)
            if isinstance(outcome, Accepted):
                self._spawn(self._follow(outcome.provider_ids[0], attempt.address.removeprefix("+")))

        super().send(attempts, settled)

    async def check_digits(self, provider_id: str, typed: str) -> bool | None:
        """See `base.ChecksDigits`."""
        try:
            answer = await self.fetch(self.adapter.report_request(provider_id, typed))
            return bool(answer.json()["status"] == "SUCCESSFUL") if answer.status == 200 else None
        except (ProviderUnreachableError, ValueError, LookupError, TypeError):
            return None

    async def stop(self, grace_s: float) -> None:
        followers = list(self._followers)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await super().stop(grace_s)

    async def _follow(self, provider_id: str, recipient: str) -> None:
        for pause_s in self._follow_s:
            await asyncio.sleep(pause_s)
            try:
                answer = await self.fetch(self.adapter.status_request(provider_id))
                said = answer.json() if answer.status == 200 else {}
                receipt = self.adapter.came_of(provider_id, said, recipient)
                if receipt is not None and self._take is not None:
                    await self._take(Heard([receipt]))
                    return
            except (CascadeError, ValueError, AttributeError) as error:  # asked again, or told by the event
                self._log.warning("status_unknown", error=type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        follower = asyncio.create_task(work)
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)
