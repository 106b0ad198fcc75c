"""What every HTTP channel is promised, whatever its provider does: one outcome a send, and no secret in a log."""

import asyncio
import gzip
import logging
import math
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from cascade.channels import http
from cascade.channels.base import Capabilities, Heard
from cascade.channels.http import HttpRequest, HttpResponse, HttpSettings, HttpTransport, header, redact
from cascade.core.attempt import Accepted, AnswerLost, Attempt, NotSent, Outcome, Rejected, Retry, Revocation, Sent
from cascade.core.content import Content
from cascade.core.errors import ProviderUnreachableError
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

TOKEN = "123456:AAH-very-secret"
PHONE = "+380501112233"
PATIENT = HttpSettings(window=4, total_s=5)
HASTY = HttpSettings(window=4, total_s=0.2)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Provider:
    """The smallest adapter: the token goes in the URL and in a header, `id` comes back."""

    base_url: str
    token: Secret = Secret(TOKEN)  # noqa: RUF009 - nothing changes it

    capabilities: ClassVar[Capabilities] = Capabilities(Channel.SMS, has_receipts=False)

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002
        return Reason.CONTENT_UNFIT if content.text == "too long" else None

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        if attempt.content.text == "unfit":
            return Rejected(Reason.CONTENT_UNFIT)
        json = {"to": attempt.address, "text": attempt.content.text}
        url = f"{self.base_url}/{self.token.reveal()}/send"
        return HttpRequest("POST", url, {"X-Token": self.token.reveal()}, json=json)

    def outcome(self, response: HttpResponse) -> Outcome:
        answer = response.json()
        if response.status == 200:
            return Accepted((answer["id"],))
        return Rejected(Reason.UNKNOWN_RECIPIENT, answer["why"])


def an_attempt(text: str = "hello", number: int = 1) -> Attempt:
    return Attempt(1, b"m" * 16, number, PHONE, "Shop", MessageType.PROMO, Content(text), window_s=30)


async def nobody(_: Heard) -> None:
    raise AssertionError("HTTP takes receipts by callback")


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A provider on a real socket that answers every request by `handler`: its base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Desk:
    """A started transport and what it has settled, in order."""

    transport: HttpTransport
    settled: list[tuple[int, Outcome]] = field(default_factory=list)
    rooms: int = 0
    has_settled: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, *attempts: Attempt) -> None:
        self.transport.send(attempts, self._settle)

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        self.settled.append((attempt.number, outcome))
        self.has_settled.set()

    def on_room(self) -> None:
        self.rooms += 1

    async def outcome_of(self, attempt: Attempt) -> Outcome:
        self.has_settled.clear()
        self.send(attempt)
        async with asyncio.timeout(10):
            await self.has_settled.wait()
        return self.settled[-1][1]


@asynccontextmanager
async def link_to(base_url: str, settings: HttpSettings = PATIENT) -> AsyncIterator[Desk]:
    desk = Desk(HttpTransport(Provider(base_url), "shop-sms", settings))
    desk.transport.start(desk.on_room, nobody)
    try:
        yield desk
    finally:
        await desk.transport.stop(0)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[MutableMapping[str, Any]]]:
    """Our log lines; whatever any library logs is checked for secrets too."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        yield lines
    for said in (repr(lines), caplog.text):
        assert "secret" not in said
        assert PHONE.removeprefix("+") not in said


def answering(status: int, text: str, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers={key.replace("_", "-"): headers[key] for key in headers})

    return answer


def cutting(status: int | None) -> Handler:
    """Reads the request, then drops the connection: before any answer, or in the middle of one with `status`."""

    async def cut(request: web.Request) -> web.StreamResponse:
        await request.read()
        answer = web.StreamResponse(status=status or 200, headers={"Content-Length": "100"})
        if status is not None:
            await answer.prepare(request)
            await answer.write(b'{"id": "7"')
        assert request.transport is not None
        request.transport.close() if status is not None else request.transport.abort()
        return answer

    return cut


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody wakes it")


async def stalling(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "100"})
    await answer.prepare(request)
    await answer.write(b'{"id": "7"')
    return await silent(request)


def packing(body: bytes, coding: str) -> Handler:
    """Packs its answer although it was asked not to."""

    async def pack(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=body, headers={"Content-Encoding": coding})

    return pack


HUGE = '{"id": "7", "why": "' + "x" * 300_000 + '"}'
DOWN = Retry(Reason.PROVIDER_DOWN)
REFUSED = Rejected(Reason.PROVIDER_REFUSED)
ANSWERS = {  # what the provider does, what the attempt comes to
    "accepted": (answering(200, '{"id": "7"}'), Accepted(("7",))),
    "refused in the provider's words": (answering(400, '{"why": "gone"}'), Rejected(Reason.UNKNOWN_RECIPIENT)),
    "500": (answering(500, '{"id": "7"}'), DOWN),
    "502": (answering(502, "<html>"), DOWN),
    "504: whoever stands before it heard nothing in time": (answering(504, "<html>"), AnswerLost()),
    "524: the same, in Cloudflare's words": (answering(524, "<html>", Retry_After="7"), AnswerLost()),
    "503 with Retry-After": (answering(503, "", Retry_After="7"), Retry(Reason.PROVIDER_DOWN, 7.0)),
    "503 with an absurd Retry-After": (
        answering(503, "", Retry_After="9" * 400),
        Retry(Reason.PROVIDER_DOWN, 86_400.0),
    ),
    "503 with a date in Retry-After": (
        answering(503, "", Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
        Retry(Reason.PROVIDER_DOWN, 86_400.0),
    ),
    "503 with a date of the past": (answering(503, "", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), DOWN),
    "503 with no pause in Retry-After": (answering(503, "", Retry_After="0"), DOWN),
    "503 with nonsense in Retry-After": (answering(503, "", Retry_After="soon"), DOWN),
    "503 with spaces around Retry-After": (answering(503, "", Retry_After="  7 "), Retry(Reason.PROVIDER_DOWN, 7.0)),
    "408, since our request crossed the end of an idle connection": (answering(408, "", Connection="close"), DOWN),
    "413 of a proxy before it": (answering(413, "<html>"), REFUSED),
    "413 with Retry-After": (answering(413, "<html>", Retry_After="7"), Retry(Reason.PROVIDER_DOWN, 7.0)),
    "429 from a proxy before it": (answering(429, "<html>", Retry_After="3"), Retry(Reason.THROTTLED, 3.0)),
    "connection lost after the request": (cutting(None), AnswerLost()),
    "connection lost within an answer of 200": (cutting(200), AnswerLost()),
    "connection lost within an answer of 400": (cutting(400), REFUSED),
    "connection lost within an answer of 500": (cutting(500), DOWN),
    "redirect": (answering(302, "", Location="/elsewhere"), Rejected(Reason.MISCONFIGURED)),
    "200 that is no JSON": (answering(200, "<html>ok</html>"), AnswerLost()),
    "200 without what the adapter expects": (answering(200, '{"status": "ok"}'), AnswerLost()),
    "200 with a list": (answering(200, "[1]"), AnswerLost()),
    "200 with an empty body": (answering(200, ""), AnswerLost()),
    "200 over 256 KB": (answering(200, HUGE), AnswerLost()),
    "200 packed as gzip": (packing(gzip.compress(b'{"id": "7"}'), "gzip"), Accepted(("7",))),
    "200 packed as deflate": (packing(zlib.compress(b'{"id": "7"}'), "deflate"), Accepted(("7",))),
    "200 over 256 KB, packed into less": (packing(gzip.compress(HUGE.encode()), "gzip"), AnswerLost()),
    "200 said to be packed": (packing(b'{"id": "7"}', "gzip"), AnswerLost()),
    "200 packed and cut off": (packing(gzip.compress(b'{"id": "7"}')[:-4], "gzip"), AnswerLost()),
    "200 packed in another way": (packing(b"\x0b\x05\x80{}\x03", "br"), AnswerLost()),
    "200 called packed and not": (packing(b'{"id": "7"}', "utf-8"), Accepted(("7",))),
    "200 with a mark of the order of bytes": (answering(200, '\ufeff{"id": "7"}'), Accepted(("7",))),
    "200 with an id that is no text": (answering(200, '{"id": {"a": 1}}'), AnswerLost()),
    "200 with an id of nothing": (answering(200, '{"id": ""}'), AnswerLost()),
    "200 with an id too long for any": (answering(200, f'{{"id": "{"7" * 256}"}}'), AnswerLost()),
    "400 with a reason that is no text": (answering(400, '{"why": ["a"]}'), Rejected(Reason.UNKNOWN_RECIPIENT)),
    "401 with nothing": (answering(401, ""), Rejected(Reason.MISCONFIGURED)),
    "402 with nothing": (answering(402, ""), Rejected(Reason.NO_CREDIT)),
    "403 of a proxy before it": (answering(403, "<html>"), Rejected(Reason.MISCONFIGURED)),
    "404 of another server": (answering(404, "not here"), Rejected(Reason.MISCONFIGURED)),
    "407 of a proxy before it": (answering(407, "<html>"), Rejected(Reason.MISCONFIGURED)),
    "400 that is no JSON": (answering(400, "<html>"), REFUSED),
    "400 over 256 KB": (answering(400, HUGE), REFUSED),
}


def bare(outcome: Outcome) -> Outcome:
    return replace(outcome, detail=None) if isinstance(outcome, Rejected | Retry | AnswerLost) else outcome


@pytest.mark.parametrize(("handler", "expected"), ANSWERS.values(), ids=ANSWERS)
async def test_each_answer_has_its_outcome(
    handler: Handler, expected: Outcome, logged: list[MutableMapping[str, Any]]
) -> None:
    async with serving(handler) as base_url, link_to(base_url) as desk:
        outcome = await desk.outcome_of(an_attempt())

    assert bare(outcome) == expected
    assert [line["link"] for line in logged] == ([] if isinstance(expected, Accepted) else ["shop-sms"])


PAUSES = {  # what an adapter reads in an answer, what the engine is asked
    "a second": (1.0, 1.0),
    "for ever": (math.inf, 86_400.0),
    "negative": (-5.0, None),
    "none": (0.0, None),
    "not a number": (math.nan, None),
}


@pytest.mark.parametrize(("asked_s", "after_s"), PAUSES.values(), ids=PAUSES)
async def test_no_absurd_pause_leaves(
    asked_s: float, after_s: float | None, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    monkeypatch.setattr(Provider, "outcome", lambda *_: Retry(Reason.THROTTLED, asked_s))
    async with serving(answering(429, "")) as base_url, link_to(base_url) as desk:
        assert await desk.outcome_of(an_attempt()) == Retry(Reason.THROTTLED, after_s)


@pytest.mark.parametrize("handler", [silent, stalling], ids=["no answer at all", "an answer that stops half-way"])
async def test_a_slow_answer_is_lost(handler: Handler, logged: list[MutableMapping[str, Any]]) -> None:
    async with serving(handler) as base_url, link_to(base_url, HASTY) as desk:
        outcome = await desk.outcome_of(an_attempt())

    assert bare(outcome) == AnswerLost()
    assert [line["event"] for line in logged] == ["answer_lost"]


async def test_a_refused_connection_may_be_tried_again(logged: list[MutableMapping[str, Any]]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]
    async with link_to(f"http://127.0.0.1:{closed_port}") as desk:
        assert bare(await desk.outcome_of(an_attempt())) == DOWN
    assert [(line["event"], line["reason"]) for line in logged] == [("attempt_deferred", "provider_down")]


async def test_what_is_said_of_a_lost_answer(logged: list[MutableMapping[str, Any]]) -> None:
    async with serving(cutting(None)) as base_url, link_to(base_url) as desk:
        assert await desk.outcome_of(an_attempt()) == AnswerLost("the connection ended")
    async with serving(silent) as base_url, link_to(base_url, HASTY) as desk:
        assert await desk.outcome_of(an_attempt()) == AnswerLost("TimeoutError")


async def test_an_unknown_host_may_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    async with link_to("http://provider.invalid") as desk:
        assert bare(await desk.outcome_of(an_attempt())) == DOWN


async def test_an_unproven_certificate_is_not_trusted(tmp_path: Path, logged: list[MutableMapping[str, Any]]) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    async with serving(answer, self_signed(tmp_path)) as base_url, link_to(base_url) as desk:
        assert bare(await desk.outcome_of(an_attempt())) == DOWN
    assert asked == []


async def test_a_connection_too_slow_to_open_may_be_tried_again(logged: list[MutableMapping[str, Any]]) -> None:
    """A listener that never speaks TLS: the connection opens, the handshake does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with link_to(f"https://127.0.0.1:{listener.getsockname()[1]}", HASTY) as desk:
            assert bare(await desk.outcome_of(an_attempt())) == DOWN


NO_URLS = [
    "provider",
    "ftp://provider",
    "http://",
    "http://provider:99999",
    "http://pro vider",
    "http://provider/a\r\nb",
]


@pytest.mark.parametrize("base_url", NO_URLS)
async def test_a_base_url_that_is_none_is_misconfigured(base_url: str, logged: list[MutableMapping[str, Any]]) -> None:
    async with link_to(base_url) as desk:
        assert bare(await desk.outcome_of(an_attempt())) == Rejected(Reason.MISCONFIGURED, is_ours=True)


async def test_a_redirect_is_not_followed() -> None:
    paths = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with serving(redirect) as base_url, link_to(base_url) as desk:
        await desk.outcome_of(an_attempt())
    assert paths == [f"/{TOKEN}/send"]


async def test_the_request_arrives_as_the_adapter_said_it() -> None:
    seen: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.update(await request.json(), token=request.headers["X-Token"], type=request.content_type)
        return web.json_response({"id": "7"})

    async with serving(answer) as base_url, link_to(base_url) as desk:
        await desk.outcome_of(an_attempt("Привіт 👋"))
    assert seen == {"to": PHONE, "text": "Привіт 👋", "token": TOKEN, "type": "application/json"}


async def test_a_token_that_would_end_its_header_never_leaves(logged: list[MutableMapping[str, Any]]) -> None:
    desk = Desk(HttpTransport(Provider("http://127.0.0.1:1", Secret("secret\r\nX-Other: 1")), "shop-sms"))
    desk.transport.start(desk.on_room, nobody)
    assert bare(await desk.outcome_of(an_attempt())) == Rejected(Reason.MISCONFIGURED, is_ours=True)
    await desk.transport.stop(0)


async def test_what_the_provider_says_is_kept_without_secret_and_phone(logged: list[MutableMapping[str, Any]]) -> None:
    why = f"no {PHONE} (380501112233, +380 50 111-22-33) at /{TOKEN}/send"
    async with serving(answering(400, f'{{"why": "{why}"}}')) as base_url, link_to(base_url) as desk:
        outcome = await desk.outcome_of(an_attempt())

    assert outcome == Rejected(Reason.UNKNOWN_RECIPIENT, "no *** (***, ***) at /***/send")
    (line,) = logged
    assert (line["event"], line["status"], line["reason"]) == ("attempt_rejected", 400, "unknown_recipient")


async def test_an_unfit_attempt_never_leaves(logged: list[MutableMapping[str, Any]]) -> None:
    async with serving(answering(200, '{"id": "7"}')) as base_url, link_to(base_url) as desk:
        assert await desk.outcome_of(an_attempt("unfit")) == Rejected(Reason.CONTENT_UNFIT, is_ours=True)
        assert bare(await desk.outcome_of(an_attempt("\ud800"))) == Rejected(Reason.CONTENT_UNFIT, is_ours=True)


async def test_what_the_adapter_says_does_not_fit_never_leaves() -> None:
    async with serving(answering(200, '{"id": "7"}')) as base_url, link_to(base_url) as desk:
        outcome = await desk.outcome_of(an_attempt("too long"))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CONTENT_UNFIT


async def test_a_faulty_adapter_loses_no_message(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    def broken(self: Provider, attempt: Attempt) -> HttpRequest:
        raise RuntimeError(f"broken for {attempt.address} {TOKEN}")

    monkeypatch.setattr(Provider, "request", broken)
    async with link_to("http://127.0.0.1:1") as desk:
        assert bare(await desk.outcome_of(an_attempt())) == Rejected(Reason.CONTENT_UNFIT, is_ours=True)


async def test_a_bug_of_ours_settles_the_message(
    monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError(f"broken for {PHONE} {TOKEN}")

    monkeypatch.setattr(HttpTransport, "_exchange", broken)
    async with link_to("http://127.0.0.1:1") as desk:
        assert bare(await desk.outcome_of(an_attempt())) == AnswerLost()
        assert desk.transport.room() == PATIENT.window


@dataclass
class Gate:
    """A provider that answers nobody until it is opened."""

    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    inside: int = 0
    most_inside: int = 0

    async def handle(self, _: web.Request) -> web.StreamResponse:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.waiting.release()
        await self.is_open.wait()
        self.inside -= 1
        return web.json_response({"id": "7"})

    async def reached_by(self, count: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(count):
                await self.waiting.acquire()


async def test_the_window_bounds_what_is_unanswered() -> None:
    gate = Gate()
    async with serving(gate.handle) as base_url, link_to(base_url, replace(PATIENT, window=3)) as desk:
        assert desk.transport.room() == 3
        desk.send(*(an_attempt(number=n) for n in range(1, 6)))
        assert desk.transport.room() == 0
        assert desk.settled == [(4, NotSent()), (5, NotSent())]

        await gate.reached_by(3)
        gate.is_open.set()
        desk.settled.clear()
        while len(desk.settled) < 3:
            desk.has_settled.clear()
            await desk.has_settled.wait()
        assert sorted(desk.settled) == [(n, Accepted(("7",))) for n in (1, 2, 3)]
        assert (desk.transport.room(), gate.most_inside) == (3, 3)
        assert desk.rooms == 1 + 3  # at the start, and as each came back


async def test_a_provider_that_tells_two_people_in_a_row_to_wait_is_left_alone_and_then_tried_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "SHORTEST_PAUSE_S", 0.3)
    statuses = iter([429, 429, 200, 429, 429, 429, 200])

    async def busy(_: web.Request) -> web.StreamResponse:
        status = next(statuses)
        return web.Response(status=status, text='{"id": "7"}' if status == 200 else "slow down")

    async def resumed() -> int:
        async with asyncio.timeout(10):
            while not (room := desk.transport.room()):  # noqa: ASYNC110 - it is a number, and nobody's event
                await asyncio.sleep(0.01)
        return room

    ann, bea = an_attempt(), replace(an_attempt(), address="+380509998877")
    waits, taken = Retry(Reason.THROTTLED, None, "HTTP 429, body not understood (JSONDecodeError)"), Accepted(("7",))
    async with serving(busy) as base_url, link_to(base_url) as desk:
        for attempt, outcome, room in (
            (ann, waits, 4),
            (ann, waits, 4),  # her chat, perhaps
            (bea, taken, 4),
            (ann, waits, 4),
            (bea, waits, 0),
            (bea, waits, 0),
            (bea, taken, 4),
        ):
            told = desk.rooms
            assert await desk.outcome_of(attempt) == outcome
            assert desk.transport.room() == room
            if not room:
                assert await resumed() == 1
                assert desk.rooms == told + 2  # as it came back, and as the pause ended


async def test_stop_waits_for_answers_under_way() -> None:
    gate = Gate()
    async with serving(gate.handle) as base_url, link_to(base_url) as desk:
        desk.send(an_attempt())
        await gate.reached_by(1)
        stopping = asyncio.create_task(desk.transport.stop(10))
        await asyncio.sleep(0)
        assert desk.transport.room() == 0
        desk.send(an_attempt(number=2))
        gate.is_open.set()
        await stopping
    assert desk.settled == [(2, NotSent()), (1, Accepted(("7",)))]


async def test_stop_settles_what_is_still_unanswered_as_lost(logged: list[MutableMapping[str, Any]]) -> None:
    gate = Gate()
    async with serving(gate.handle) as base_url, link_to(base_url) as desk:
        desk.send(an_attempt(number=1), an_attempt(number=2))
        await gate.reached_by(2)
        await desk.transport.stop(0.01)
        assert sorted((number, bare(outcome)) for number, outcome in desk.settled) == [
            (1, AnswerLost()),
            (2, AnswerLost()),
        ]
    assert [line["event"] for line in logged] == ["answer_lost"] * 2


async def test_stop_settles_even_what_had_no_time_to_begin(logged: list[MutableMapping[str, Any]]) -> None:
    async with link_to("http://127.0.0.1:1") as desk:
        desk.send(an_attempt())
        await desk.transport.stop(0)
        assert [(number, bare(outcome)) for number, outcome in desk.settled] == [(1, AnswerLost())]


async def test_before_the_start_there_is_no_room() -> None:
    desk = Desk(HttpTransport(Provider("http://127.0.0.1:1"), "shop-sms"))
    assert desk.transport.room() == 0
    desk.send(an_attempt())
    assert desk.settled == [(1, NotSent())]
    await desk.transport.stop(0)


async def test_a_connection_is_used_again() -> None:
    peers = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.json_response({"id": "7"})

    async with serving(answer) as base_url, link_to(base_url) as desk:
        for _ in range(10):
            assert await desk.outcome_of(an_attempt()) == Accepted(("7",))
    assert len(peers) == 1


async def test_fetch_takes_any_status_for_an_answer() -> None:
    async with serving(answering(404, '{"why": "gone"}')) as base_url, link_to(base_url) as desk:
        answer = await desk.transport.fetch(HttpRequest("GET", f"{base_url}/me"))
    assert (answer.status, answer.json()) == (404, {"why": "gone"})


@pytest.mark.parametrize("handler", [cutting(None), answering(200, HUGE)], ids=["lost", "too long"])
async def test_fetch_raises_when_no_whole_answer_came(handler: Handler) -> None:
    async with serving(handler) as base_url, link_to(base_url) as desk:
        with pytest.raises(ProviderUnreachableError) as caught:
            await desk.transport.fetch(HttpRequest("GET", f"{base_url}/{TOKEN}/me"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("method", "asked"), [("GET", 2), ("DELETE", 2), ("POST", 1)])
async def test_only_what_may_be_done_twice_is_asked_again(method: str, asked: int) -> None:
    """The first request crosses the end of its connection: nobody knows whether it was taken."""
    methods = []

    async def answer(request: web.Request) -> web.StreamResponse:
        methods.append(request.method)
        if len(methods) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"id": "7"})

    async with serving(answer) as base_url, link_to(base_url) as desk:
        if asked == 2:
            assert (await desk.transport.fetch(HttpRequest(method, base_url))).status == 200
        else:
            with pytest.raises(ProviderUnreachableError):
                await desk.transport.fetch(HttpRequest(method, base_url))
    assert methods == [method] * asked


async def test_stop_leaves_nobody_waiting_for_an_answer() -> None:
    gate = Gate()
    async with serving(gate.handle) as base_url, link_to(base_url) as desk:
        fetching = asyncio.create_task(desk.transport.fetch(HttpRequest("POST", base_url)))
        await gate.reached_by(1)
        await desk.transport.stop(0)
        async with asyncio.timeout(10):
            with pytest.raises(ProviderUnreachableError):
                await fetching
        gate.is_open.set()


async def test_what_is_asked_beside_the_messages_opens_two_connections_at_most() -> None:
    gate = Gate()
    settings = replace(PATIENT, window=1, total_s=0.4)
    async with serving(gate.handle) as base_url, link_to(base_url, settings) as desk:
        fetching = [asyncio.create_task(desk.transport.fetch(HttpRequest("POST", base_url))) for _ in range(5)]
        answers = await asyncio.gather(*fetching, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ProviderUnreachableError] * 5
        assert gate.most_inside == 1 + 2
        gate.is_open.set()


async def test_a_host_is_looked_up_once_for_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), []
    look_up = loop.getaddrinfo

    async def counted(host: str, port: int, **how: int) -> object:
        asked.append(host)
        return await look_up("127.0.0.1", port, **how)

    async with serving(answering(200, '{"id": "7"}')) as base_url:
        monkeypatch.setattr(loop, "getaddrinfo", counted)
        async with link_to(base_url.replace("127.0.0.1", "provider.test")) as desk:
            desk.send(*(an_attempt(number=n) for n in range(1, 5)))
            async with asyncio.timeout(10):
                while len(desk.settled) < 4:
                    desk.has_settled.clear()
                    await desk.has_settled.wait()
    assert [outcome for _, outcome in desk.settled] == [Accepted(("7",))] * 4
    assert asked == ["provider.test"]


CONTENTS = {
    "json": (HttpRequest("POST", "", json={"a": 2**63}), (b'{"a":9223372036854775808}', "application/json")),
    "form": (HttpRequest("POST", "", form={"a": "b c"}), (b"a=b+c", "application/x-www-form-urlencoded")),
    "body": (HttpRequest("POST", "", body=b"raw"), (b"raw", None)),
    "nothing": (HttpRequest("GET", ""), (None, None)),
}


@pytest.mark.parametrize(("request_", "expected"), CONTENTS.values(), ids=CONTENTS)
def test_a_request_encodes_its_content(request_: HttpRequest, expected: tuple[bytes | None, str | None]) -> None:
    assert request_.content() == expected


def test_a_printed_request_shows_nothing() -> None:
    request = HttpRequest("POST", f"https://provider/{TOKEN}", {"X-Token": TOKEN}, json={"to": PHONE})
    assert repr(request) == "HttpRequest(method='POST')"


@pytest.mark.parametrize(("total_s", "connect_s"), [(15, 5), (5, 2.5), (0.2, 0.1)])
def test_connecting_must_end_before_the_whole(total_s: float, connect_s: float) -> None:
    assert HttpSettings(total_s=total_s).connect_s == connect_s


@pytest.mark.parametrize("name", ["X-Signature", "x-signature", "X-SIGNATURE"])
def test_a_header_is_found_in_any_case(name: str) -> None:
    assert header({"Date": "", "x-Signature": "abc"}, name) == "abc"
    assert header({"Date": ""}, name) is None


REDACTED = {
    "+380501112233 is gone": "*** is gone",
    "to 380 (50) 111-22-33": "to ***",
    "Too Many Requests: retry after 35": "Too Many Requests: retry after 35",
    "code 12, 4096 signs": "code 12, 4096 signs",
    "x" * 300: "x" * 200,
}


@pytest.mark.parametrize(("text", "expected"), REDACTED.items())
def test_phones_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


# A plainer form, and taking back


@dataclass(frozen=True)
class Rich(Provider):
    """Sends a card first; a device that cannot show it gets the text."""

    def second_try(self, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        return HttpRequest("POST", f"{self.base_url}/plain", json={}) if response.status == 400 else None

    def revocation_request(self, sent: Sent) -> HttpRequest:
        return HttpRequest("DELETE", f"{self.base_url}/{sent.provider_ids[0]}")

    def revocation(self, response: HttpResponse) -> Revocation:
        return {200: Revocation.WITHDRAWN, 404: Revocation.TOO_LATE}[response.status]


async def test_a_refused_form_is_tried_once_in_a_plainer_one() -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({"id": "7", "why": "no card"}, status=200 if request.path == "/plain" else 400)

    async with serving(handler) as url:
        desk = Desk(HttpTransport(Rich(url), "shop-rcs", PATIENT))
        desk.transport.start(desk.on_room, nobody)
        assert await desk.outcome_of(an_attempt()) == Accepted(("7",))
        await desk.transport.stop(0)
    assert seen == [f"/{TOKEN}/send", "/plain"]


REVOCATIONS = {  # the provider's status: what it means
    200: Revocation.WITHDRAWN,
    404: Revocation.TOO_LATE,
    418: Revocation.UNKNOWN,
    503: Revocation.UNKNOWN,
}


@pytest.mark.parametrize(("status", "revocation"), REVOCATIONS.items())
async def test_what_a_revocation_came_to(status: int, revocation: Revocation) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert (request.method, request.path) == ("DELETE", "/77")
        return web.Response(status=status)

    async with serving(handler) as url:
        transport = HttpTransport(Rich(url), "shop-rcs", PATIENT)
        transport.start(lambda: None, nobody)
        assert await transport.revoke(Sent(b"m" * 16, 1, 0, PHONE, ("77",))) is revocation
        await transport.stop(0)


async def test_a_revocation_without_an_answer_is_unknown() -> None:
    transport = HttpTransport(Rich("http://127.0.0.1:9"), "shop-rcs", HASTY)
    transport.start(lambda: None, nobody)
    assert await transport.revoke(Sent(b"m" * 16, 1, 0, PHONE, ("77",))) is Revocation.UNKNOWN
    await transport.stop(0)


async def test_a_link_that_went_to_another_node_may_come_back() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"id": "7"})

    async with serving(handler) as url, link_to(url) as desk:
        assert await desk.outcome_of(an_attempt()) == Accepted(("7",))
        await desk.transport.stop(0.0)
        assert await desk.outcome_of(an_attempt(number=2)) == NotSent()
        desk.transport.start(desk.on_room, nobody)
        assert await desk.outcome_of(an_attempt(number=3)) == Accepted(("7",))
