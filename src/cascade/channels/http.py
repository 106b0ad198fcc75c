"""HTTP out, for every channel that speaks it: connections, time-outs, logging and the hiding of secrets, once for all.

An adapter translates an attempt into a request and an answer into an outcome; whatever can go wrong between the two is
settled here. The client itself is `channels/http1`.
"""

import asyncio
import math
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import urlencode

import orjson
import structlog

from cascade.channels import http1
from cascade.channels.base import Callback, Capabilities, Health, Heard, Hears, Settle, TakeHeard
from cascade.channels.dialling import AddressInfo, look_up
from cascade.channels.http1 import Fault, Place, Response
from cascade.core.attempt import (
    Accepted,
    AnswerLost,
    Attempt,
    Delivered,
    NotSent,
    Outcome,
    Rejected,
    Retry,
    Revocation,
    Sent,
)
from cascade.core.content import Content
from cascade.core.errors import ProviderUnreachableError
from cascade.core.inbound import Inbound
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

log = structlog.get_logger()

HIDDEN = "***"
MAX_DETAIL = 200
LONGEST_RETRY_AFTER_S = 86_400.0
MAX_ID = 255
"""Of a provider's id of a message: more is none, and no index of the store could hold it."""
BOM = b"\xef\xbb\xbf"
PASSING = frozenset({408, 425})
"""Not taken, and nobody's fault: a server too busy to read, or one that ended a connection that our request crossed."""
UPSTREAM_SILENT = frozenset({504, 524})
"""A proxy passed the request on and heard nothing in time: so have we not, and it may have been taken."""
UNREADABLE = {
    401: Reason.MISCONFIGURED,
    402: Reason.NO_CREDIT,
    403: Reason.MISCONFIGURED,
    404: Reason.MISCONFIGURED,  # another path, or another server, than the provider's
    405: Reason.MISCONFIGURED,
    407: Reason.MISCONFIGURED,
}
"""What a refusal means whose words are not the provider's: of the link, by its number alone."""
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Of a link that is told to slow down, until one message is tried again."""
PHONE = re.compile(r"\+?\d(?:[ ().-]{0,2}\d){6,}")
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "cascade"}  # answers are small
WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
"""What may be asked twice, when its answer was lost."""
TARGET = re.compile(r"/[!\"$-~]*")
"""All that follows the host, where it can stand in a request as it is."""
ADDRESSES_KEPT_S = 60.0
TOKEN_USED = 0.9  # of its life: a request under way must not see it end


@dataclass(slots=True, unsafe_hash=True)  # changed by nobody, and not frozen: that would take several times as long
class HttpRequest:
    """At most one of `json`, `form` and `body` is given. Its repr shows nothing that could be secret or personal."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def content(self) -> tuple[bytes | None, str | None]:
        """The body's bytes and its `Content-Type`. Raises `TypeError` when `json` holds what JSON cannot."""
        if self.json is not None:
            return orjson.dumps(self.json), "application/json"
        if self.form is not None:
            return urlencode(self.form).encode(), "application/x-www-form-urlencoded"
        return self.body, None


@dataclass(slots=True, unsafe_hash=True)
class HttpResponse:
    """`is_whole` is False when the body was cut off or too long: then no adapter sees it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    is_whole: bool = True

    def json(self) -> Any:
        """The body as JSON; whole numbers are exact up to 64 bits. Raises `ValueError` when it is no JSON."""
        return orjson.loads(self.body.removeprefix(BOM))

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class HttpAdapter(Protocol):
    """One provider's words: a frozen dataclass. Each of its fields that is a `Secret` is kept out of logs and details.

    `outcome` need not guard its reading: whatever it raises means an answer that cannot be understood.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def capabilities(self) -> Capabilities: ...

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        """None when the channel can carry this content, else why not."""
        ...

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        """The request that sends the attempt, or why there can be none."""
        ...

    def outcome(self, response: HttpResponse) -> Outcome:
        """The answer in our words. Never asked about a 3xx, a 5xx or a body that did not arrive whole. A `Retry`
        without a time gets that of `Retry-After`."""
        ...


@runtime_checkable
class TriesAgain(Protocol):
    """An adapter that may have a plainer form of the same message, for a provider that refused the better one."""

    def second_try(self, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        """The request that replaces the refused one; None: the answer stands. Asked once for each attempt, and never
        about a 5xx. Whatever it raises means None."""
        ...


@runtime_checkable
class ChecksFirst(Protocol):
    """An adapter that may ask about the person before it sends."""

    def check_request(self, attempt: Attempt) -> HttpRequest | None:
        """None: it knows all that it needs."""
        ...

    def checked(self, attempt: Attempt, response: HttpResponse) -> Rejected | None:
        """Learn from the answer; why nothing need be sent, if so. Never asked about a 3xx or a 5xx: then the send will
        tell. Whatever it raises means that nothing was learnt."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    value: Secret
    lives_s: float


@runtime_checkable
class NeedsToken(Protocol):
    """An adapter whose provider lends a token for a while: every request carries it as `Authorization: Bearer`."""

    def token_request(self) -> HttpRequest: ...

    def token(self, response: HttpResponse) -> Token:
        """Asked about a 200 only; whatever it raises means that there is none."""
        ...


@runtime_checkable
class RevokesByHttp(Protocol):
    """An adapter with `capabilities.can_revoke`."""

    def revocation_request(self, sent: Sent) -> HttpRequest: ...

    def revocation(self, response: HttpResponse) -> Revocation:
        """What the answer means. Never asked about a 3xx or a 5xx; whatever it raises means `UNKNOWN`."""
        ...


@runtime_checkable
class RepliesByHttp(Protocol):
    """An adapter that has something to say at once to a person who told us something."""

    def reply_request(self, inbound: Inbound, *, is_known: bool) -> HttpRequest | None:
        """`is_known`: we know the phone that belongs to their address. None: nothing is said."""
        ...


@runtime_checkable
class SetsWebhook(Protocol):
    """An adapter whose provider is told by request where to call us."""

    def set_webhook(self, url: str) -> HttpRequest: ...

    def webhook_refusal(self, response: HttpResponse) -> str | None:
        """Why the provider did not take it; None when it did. Raises `ValueError` when the answer is no JSON."""
        ...


NOTHING = Heard()


@dataclass(frozen=True, slots=True)
class Polled:
    """What one look brought. `next` is what to ask for after it; `problem`: why it brought nothing, if it did not."""

    heard: Heard = NOTHING
    next: int | None = None
    problem: str | None = None


@runtime_checkable
class Polls(Protocol):
    """An adapter whose provider can be asked for news, where it has no way to call us. `most_polled_bytes`: how long an
    answer may be. One that is longer would be asked for again and again."""

    most_polled_bytes: ClassVar[int]

    def before_polls(self) -> HttpRequest:
        """What must be said first, and again after a problem."""
        ...

    def poll_request(self, next: int | None) -> HttpRequest:  # noqa: A002
        """It is answered when there is news, or after some seconds. `next` confirms what came before it."""
        ...

    def polled(self, response: HttpResponse) -> Polled:
        """What the answer means. Whatever it raises means a problem."""
        ...


@runtime_checkable
class ShowsItself(Protocol):
    """An adapter whose provider says whose credentials these are."""

    def account_request(self) -> HttpRequest: ...

    def account(self, response: HttpResponse) -> Health:
        """What the answer means. Never asked about a 3xx or a 5xx; whatever it raises means not well."""
        ...


BESIDE = 2
"""Connections beyond the window, so that a long poll or a reply keeps no message from going out."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`window` is how many requests may be unanswered at once: one connection each.

    `total_s` bounds everything from the send to the answer's last byte. `keep_alive_s` is how long an unused connection
    is kept: less than the 5 s after which common servers drop it, since a request that crosses such a drop is an answer
    lost.
    """

    window: int = 64
    total_s: float = 15.0
    keep_alive_s: float = 4.0
    max_answer_bytes: int = 256 * 1024

    @property
    def connect_s(self) -> float:
        """Bounds name look-up, TCP and TLS together: less than `total_s`, or a time-out would not tell whether the
        request left."""
        return min(5.0, self.total_s / 2)


class HttpTransport:
    """The `Transport` of any HTTP adapter. `link` is the name that its log lines carry.

    A provider that says "slow down" to one person's message may mean that person's chat. One that says so to two in a
    row, of two people, means the link: then nobody is sent anything for as long as it asks, and one message at a time
    until it takes one again.
    """

    def __init__(self, adapter: HttpAdapter, link: str, settings: HttpSettings = HttpSettings()) -> None:
        self.adapter = adapter
        self.capabilities = adapter.capabilities
        if isinstance(adapter, Polls):
            settings = replace(settings, max_answer_bytes=max(settings.max_answer_bytes, adapter.most_polled_bytes))
        self._settings = settings
        self._log = log.bind(link=link)
        values = (getattr(adapter, each.name) for each in fields(adapter))
        self._secrets = tuple(value.reveal() for value in values if isinstance(value, Secret) and value)
        self._client: http1.Client | None = None
        self._places = asyncio.Semaphore(settings.window + BESIDE)
        self._hosts: dict[str, Place] = {}
        self._known_addresses: dict[tuple[str, int], tuple[list[AddressInfo], float]] = {}
        self._looking_up = asyncio.Lock()
        # Asked once: what an adapter can do takes longer to find out than all else that is done for a send.
        self._needs_token = adapter if isinstance(adapter, NeedsToken) else None
        self._checks_first = adapter if isinstance(adapter, ChecksFirst) else None
        self._tries_again = adapter if isinstance(adapter, TriesAgain) else None
        self._token: tuple[Token, float] | None = None
        self._token_asked = asyncio.Lock()
        self._under_way: set[asyncio.Task[Outcome]] = set()
        self._throttled: str | None = None  # who was last told to wait, no message having been taken since
        self._is_throttled = False
        self._pause: asyncio.TimerHandle | None = None
        self._on_room: Callable[[], None] = _nobody
        self._is_started = False

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        """Connections open as they are needed. Receipts come by callback (`hear`), not through here."""
        self._on_room = on_room
        self._is_started = True
        self._open()
        asyncio.get_running_loop().call_soon(on_room)

    def room(self) -> int:
        if not self._is_started or self._pause is not None:
            return 0
        return max((1 if self._is_throttled else self._settings.window) - len(self._under_way), 0)

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        room = self.room()
        loop = asyncio.get_running_loop()
        for attempt in attempts[:room]:
            task = loop.create_task(self._carry(attempt))
            self._under_way.add(task)
            task.add_done_callback(self._settling(attempt, settle))
        for attempt in attempts[room:]:
            settle(attempt, NotSent())

    async def fetch(self, request: HttpRequest) -> HttpResponse:
        """Ask the provider something that is no attempt: set a webhook, check credentials. Any status is an answer. It
        may be asked without a start, by a node that does not serve the link.

        Raises `ProviderUnreachableError` when no whole answer came.
        """
        self._open()
        answer = await self._exchange(request)
        if not isinstance(answer, HttpResponse):
            raise ProviderUnreachableError(answer.detail)
        if not answer.is_whole:
            raise ProviderUnreachableError(f"HTTP {answer.status}, body cut off or too long")
        return answer

    def hear(self, callback: Callback) -> Heard:
        """See `Hears`. Raises `LookupError` when the adapter's provider never calls."""
        if not isinstance(self.adapter, Hears):
            raise LookupError("this provider calls nobody")
        return self.adapter.hear(callback)

    async def reply(self, inbound: Inbound, *, is_known: bool) -> None:
        """See `Replies`."""
        if not isinstance(self.adapter, RepliesByHttp):
            return
        try:
            request = self.adapter.reply_request(inbound, is_known=is_known)
            if request is not None:
                answer = await self.fetch(request)
                self._log.info("person_replied", kind=inbound.kind.value, status=answer.status)
        except Exception as fault:  # a courtesy that was not done; what they told us is taken in all the same
            self._log.warning("reply_lost", kind=inbound.kind.value, error=type(fault).__name__)

    async def revoke(self, sent: Sent) -> Revocation:
        """See `Revokes`."""
        if not isinstance(self.adapter, RevokesByHttp):
            return Revocation.UNKNOWN
        about = {"message_id": sent.message_id.hex(), "attempt": sent.number}
        try:
            answer = await self.fetch(self.adapter.revocation_request(sent))
            if answer.status >= 500 or 300 <= answer.status < 400:
                raise ProviderUnreachableError(f"HTTP {answer.status}")
            revocation = self.adapter.revocation(answer)
        except Exception as fault:  # an adapter's bug costs a fall-through that may double, never the message
            self._log.warning("revocation_lost", error=type(fault).__name__, **about)
            return Revocation.UNKNOWN
        self._log.info("attempt_revoked", revocation=revocation.value, **about)
        return revocation

    async def check(self) -> Health:
        """See `Checks`. Where the provider cannot be asked about our credentials, that it answers is all there is."""
        try:
            if isinstance(self.adapter, ShowsItself):
                answer = await self.fetch(self.adapter.account_request())
                if answer.status >= 500 or 300 <= answer.status < 400:
                    return Health(False, f"HTTP {answer.status}")
                health = self.adapter.account(answer)
                return replace(health, detail=redact(health.detail, *self._secrets))
            answer = await self.fetch(HttpRequest("GET", getattr(self.adapter, "base_url", "")))
        except ProviderUnreachableError as error:
            return Health(False, redact(f"no answer: {error}", *self._secrets))
        except Exception as fault:  # only its type: its text may hold what the provider said of a person
            return Health(False, f"its answer is not understood: {type(fault).__name__}")
        if isinstance(self.adapter, NeedsToken):
            return Health(True, "it lends us a token")
        return Health(True, "it answers; nothing but a message would show whether it takes our credentials")

    async def stop(self, grace_s: float) -> None:
        self._is_started = False
        self._end_pause()
        self._throttled, self._is_throttled = None, False
        try:
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=grace_s)
        finally:
            late = tuple(self._under_way)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            if self._client is not None:
                client, self._client = self._client, None
                await client.close()

    def _open(self) -> None:
        if self._client is None:
            settings = self._settings
            self._client = http1.Client(
                self._addresses,
                total_s=settings.total_s,
                connect_s=settings.connect_s,
                keep_alive_s=settings.keep_alive_s,
                most_body_bytes=settings.max_answer_bytes,
            )

    def _settling(self, attempt: Attempt, settle: Settle) -> Callable[[asyncio.Task[Outcome]], None]:
        def settled(task: asyncio.Task[Outcome]) -> None:  # no `partial`: its repr shows the phone when a loop logs it
            self._under_way.discard(task)
            if task.cancelled():
                outcome: Outcome = AnswerLost("stopped before the answer came")
                self._report(attempt, outcome, None)
            elif (fault := task.exception()) is not None:  # a bug of ours costs one step, never the message
                outcome = AnswerLost(f"not understood ({type(fault).__name__})")
                self._report(attempt, outcome, None)
            else:
                outcome = task.result()
            self._heed(attempt, outcome)
            settle(attempt, outcome)
            self._on_room()

        return settled

    def _heed(self, attempt: Attempt, outcome: Outcome) -> None:
        """Slow down, or go on as before."""
        if isinstance(outcome, Accepted | Delivered):
            self._throttled, self._is_throttled = None, False
        elif isinstance(outcome, Retry) and outcome.reason is Reason.THROTTLED and self._is_started:
            if self._is_throttled or self._throttled not in (None, attempt.address):
                pause_s = min(max(outcome.after_s or 0.0, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
                if not self._is_throttled:
                    self._log.warning("throttle_started", seconds=pause_s)
                self._is_throttled = True
                self._end_pause()
                self._pause = asyncio.get_running_loop().call_later(pause_s, self._resume)
            self._throttled = attempt.address

    def _resume(self) -> None:
        self._end_pause()
        self._on_room()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    async def _carry(self, attempt: Attempt) -> Outcome:
        refused = None
        try:
            unfit = self.adapter.fits(attempt.content, attempt.type)
            if unfit is None and self._checks_first is not None:
                refused = await self._check(self._checks_first, attempt)
            request = Rejected(unfit) if unfit is not None else refused or self.adapter.request(attempt)
        except Exception as fault:  # an adapter's bug costs one step, never the message
            request = Rejected(Reason.CONTENT_UNFIT, f"no request could be made of it: {type(fault).__name__}")
        if isinstance(request, Rejected) and request is not refused:
            request = replace(request, is_ours=True)
        answer = await self._exchange(request) if isinstance(request, HttpRequest) else request
        if self._tries_again is not None and isinstance(answer, HttpResponse):
            plainer = self._second_try(self._tries_again, attempt, answer)
            if plainer is not None:
                answer = await self._exchange(plainer)
        status = None
        if isinstance(answer, HttpResponse):
            status, outcome = answer.status, self._judge(answer)
        else:
            outcome = answer
        if isinstance(outcome, Accepted | Delivered):
            return outcome
        if isinstance(outcome, Retry):
            outcome = replace(outcome, after_s=_bearable_s(outcome.after_s))
        if not isinstance(outcome, NotSent) and outcome.detail is not None:
            outcome = replace(outcome, detail=redact(str(outcome.detail), attempt.address, *self._secrets))
        self._report(attempt, outcome, status)
        return outcome

    def _second_try(self, adapter: TriesAgain, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        if response.status >= 500 or not response.is_whole:
            return None
        try:
            return adapter.second_try(attempt, response)
        except Exception:  # `_judge` will say what was wrong with the answer
            return None

    async def _check(self, adapter: ChecksFirst, attempt: Attempt) -> Rejected | None:
        """What a question before the send says against it. No answer says nothing."""
        if (asking := adapter.check_request(attempt)) is None:
            return None
        answer = await self._exchange(asking)
        if not isinstance(answer, HttpResponse) or answer.status >= 500 or 300 <= answer.status < 400:
            return None
        try:
            return adapter.checked(attempt, answer)
        except Exception:  # the send itself will tell
            return None

    async def _exchange(self, request: HttpRequest) -> HttpResponse | Rejected | Retry | AnswerLost:
        """One request and its answer, with the provider's token where it wants one; a token refused is renewed once."""
        if self._needs_token is None:
            return await self._request(request)
        answer: HttpResponse | Rejected | Retry | AnswerLost = Retry(Reason.PROVIDER_DOWN)
        for _ in range(2):
            token = await self._valid_token(self._needs_token)
            if not isinstance(token, Token):
                return token
            bearer = {"Authorization": f"Bearer {token.value.reveal()}"}
            carrying = HttpRequest(
                request.method, request.url, {**request.headers, **bearer}, request.json, request.form, request.body
            )
            answer = await self._request(carrying)
            if not (isinstance(answer, HttpResponse) and answer.status == 401):
                break
            self._token = None
        return answer

    async def _valid_token(self, adapter: NeedsToken) -> Token | Rejected | Retry:
        if self._token is not None and asyncio.get_running_loop().time() < self._token[1]:
            return self._token[0]
        async with self._token_asked:  # many attempts, one question
            now_s = asyncio.get_running_loop().time()
            if self._token is not None and now_s < self._token[1]:
                return self._token[0]
            answer = await self._request(adapter.token_request())
            if isinstance(answer, AnswerLost):
                return Retry(Reason.PROVIDER_DOWN, detail="no answer to the wish for a token")
            if not isinstance(answer, HttpResponse):
                return answer
            if answer.status == 429 or _is_passing(answer):
                return Retry(Reason.PROVIDER_DOWN, _retry_after_s(answer), f"HTTP {answer.status} for a token")
            try:
                token = adapter.token(answer) if answer.status == 200 and answer.is_whole else None
            except Exception:
                token = None
            if token is None:
                return Rejected(Reason.MISCONFIGURED, f"HTTP {answer.status} for a token")
            self._token = (token, now_s + token.lives_s * TOKEN_USED)
            return token

    async def _request(self, request: HttpRequest) -> HttpResponse | Rejected | Retry | AnswerLost:
        if self._client is None:
            return Retry(Reason.PROVIDER_DOWN, detail="the link is not started")
        try:
            content, content_type = request.content()
        except (TypeError, ValueError) as fault:
            return Rejected(Reason.CONTENT_UNFIT, f"cannot be encoded: {type(fault).__name__}", is_ours=True)
        if content is None and request.method in WITH_CONTENT:
            content = b""
        headers = HEADERS if content_type is None else HEADERS | {"Content-Type": content_type}
        try:
            place = self._place(request.url)
            octets = http1.whole(http1.head(request.method, place, {**headers, **request.headers}), content)
        except ValueError:
            return Rejected(Reason.MISCONFIGURED, "the provider's address or credentials fit no request", is_ours=True)
        answer = await self._ask(self._client, place, octets)
        if isinstance(answer, Fault) and _may_have_crossed_an_end(answer) and request.method in REPEATABLE:
            answer = await self._ask(self._client, place, octets)
        if isinstance(answer, Fault):
            why = _why(answer.error)
            return AnswerLost(why) if answer.has_left else Retry(Reason.PROVIDER_DOWN, detail=why)
        return _response(answer, self._settings.max_answer_bytes)

    async def _ask(self, client: http1.Client, place: Place, octets: bytes) -> Response | Fault:
        if self._places.locked():
            try:
                async with asyncio.timeout(self._settings.connect_s):
                    await self._places.acquire()
            except TimeoutError as error:
                return Fault(error, has_left=False)
        else:
            await self._places.acquire()
        try:
            return await client.ask(place.origin, octets)
        finally:
            self._places.release()

    def _place(self, url: str) -> Place:
        """Of the few hosts that are asked again and again, what is always true is found once. Raises `ValueError`."""
        slash = url.find("/", url.find("://") + 3)
        if slash < 0 or not TARGET.fullmatch(url, slash):
            return http1.place(url)
        known = self._hosts.get(url[:slash])
        if known is None:
            known = self._hosts[url[:slash]] = http1.place(url[: slash + 1])
        return Place(known.origin, known.authority, url[slash:])

    async def _addresses(self, host: str, port: int) -> list[AddressInfo]:
        async with self._looking_up:  # many connections, one question
            now_s = asyncio.get_running_loop().time()
            known = self._known_addresses.get((host, port))
            if known is not None and now_s < known[1]:
                return known[0]
            addresses = await look_up(host, port)
            self._known_addresses[host, port] = addresses, now_s + ADDRESSES_KEPT_S
            return addresses

    def _judge(self, response: HttpResponse) -> Outcome:
        outcome = self._read(response)
        if isinstance(outcome, Retry) and outcome.after_s is None:
            return replace(outcome, after_s=_retry_after_s(response))
        return outcome

    def _read(self, response: HttpResponse) -> Outcome:
        if response.status in UPSTREAM_SILENT:
            return AnswerLost(f"HTTP {response.status}")
        if _is_passing(response):
            return Retry(Reason.PROVIDER_DOWN, detail=f"HTTP {response.status}")
        if 300 <= response.status < 400:
            return Rejected(Reason.MISCONFIGURED, f"HTTP {response.status}: the provider's address has moved")
        if not response.is_whole:
            return _unreadable(response, "cut off or too long")
        try:
            return _with_sound_ids(self.adapter.outcome(response))
        except Exception as fault:  # whatever the adapter stumbled over, the answer was not what is documented
            return _unreadable(response, f"not understood ({type(fault).__name__})")

    def _report(self, attempt: Attempt, outcome: Outcome, status: int | None) -> None:
        about = {"message_id": attempt.message_id.hex(), "attempt": attempt.number, "status": status}
        match outcome:
            case Rejected(reason, detail):
                self._log.info("attempt_rejected", reason=reason.value, detail=detail, **about)
            case Retry(reason, after_s, detail):
                self._log.info("attempt_deferred", reason=reason.value, after_s=after_s, detail=detail, **about)
            case AnswerLost(detail):
                self._log.warning("answer_lost", reason=Reason.NO_ANSWER.value, detail=detail, **about)


def _why(error: Exception) -> str:
    """Only its type: its text may hold the URL, and the URL the token."""
    return "the connection ended" if isinstance(error, EOFError) else type(error).__name__


def _may_have_crossed_an_end(fault: Fault) -> bool:
    """Of a connection that was kept: the request went out as the other side hung up."""
    return fault.has_left and not isinstance(fault.error, TimeoutError)


def _response(answer: Response, most_bytes: int) -> HttpResponse:
    status, headers, body, is_whole = answer
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}  # the first counts
    if is_whole and body and (coding := named.get("content-encoding")) is not None:
        unpacked = _unpacked(body, coding.strip().lower(), most_bytes)
        return HttpResponse(status, named, unpacked or b"", unpacked is not None)
    return HttpResponse(status, named, body if is_whole else b"", is_whole)


def _unpacked(body: bytes, coding: str, most_bytes: int) -> bytes | None:
    """What a server packed that was asked not to; None when it is too long or cut off. Some call a body packed that is
    not (`utf-8`): if it is packed in a way that we do not know, it will not be understood."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacking.decompress(body, most_bytes + 1)
    except zlib.error:
        return None
    return unpacked if unpacking.eof and len(unpacked) <= most_bytes else None


def _unreadable(response: HttpResponse, how: str) -> Outcome:
    detail = f"HTTP {response.status}, body {how}"
    if 200 <= response.status < 300:
        return AnswerLost(detail)
    if response.status == 429:
        return Retry(Reason.THROTTLED, detail=detail)
    return Rejected(UNREADABLE.get(response.status, Reason.PROVIDER_REFUSED), detail)


def _is_passing(response: HttpResponse) -> bool:
    """The same request may be taken later. A 413 says so by its `Retry-After` (RFC 9110, 15.5.14)."""
    status = response.status
    return status >= 500 or status in PASSING or (status == 413 and _retry_after_s(response) is not None)


def _retry_after_s(response: HttpResponse) -> float | None:
    return http1.retry_after_s(header(response.headers, "Retry-After"))


def _bearable_s(after_s: float | None) -> float | None:
    """A pause that a provider asks for, at most a day. What is no pause is not asked: our own backoff will do."""
    if after_s is None or math.isnan(after_s) or after_s <= 0:
        return None
    return min(after_s, LONGEST_RETRY_AFTER_S)


def _with_sound_ids(outcome: Outcome) -> Outcome:
    """The outcome itself. Raises `TypeError` when it holds an id that is none."""
    match outcome:
        case Accepted(provider_ids):
            ids: Sequence[object] = provider_ids
        case Delivered(str(provider_id)):
            ids = (provider_id,)
        case _:
            return outcome
    if not all(isinstance(each, str) and 0 < len(each) <= MAX_ID for each in ids):
        raise TypeError("not an id")
    return outcome


def _nobody() -> None:
    """Who is told of room before anyone asked to be."""


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header by its name in any case; None where it is missing."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def basic(user: str, password: Secret) -> str:
    """The value of an `Authorization` by name and password (RFC 7617)."""
    return "Basic " + b64encode(f"{user}:{password.reveal()}".encode()).decode()


def text(value: object) -> str:
    """A field that must be a text, and not empty. Raises TypeError when it is something else."""
    if not isinstance(value, str) or not value:
        raise TypeError("not a text")
    return value


def whole(value: object) -> int:
    """A field that must be a whole number, which some write as a text. Raises TypeError or ValueError for another."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("not a whole number")
    return int(value)


def redact(text: str, *hidden: str) -> str:
    """A provider's wording, fit to be kept and logged: at most 200 characters, without phones or what is `hidden`."""
    for value in filter(None, hidden):
        text = text.replace(value, HIDDEN)
    return PHONE.sub(HIDDEN, text)[:MAX_DETAIL]
