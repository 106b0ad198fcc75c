"""What every provider's adapter makes of answers that its documents do not have, over a real socket: never a message
that hangs, never an id that is none, and "not sent" only where the provider says so."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cascade.channels.base import Heard
from cascade.channels.flashcall.sinch import SinchFlashcall
from cascade.channels.http import HttpAdapter, HttpSettings, HttpTransport
from cascade.channels.infobip import InfobipSms
from cascade.channels.rcs.google import GoogleRcs
from cascade.channels.sms.twilio import TwilioSms
from cascade.channels.smsbat import SmsbatSms
from cascade.channels.telegram_bot import TelegramBot
from cascade.channels.viber_bot import ViberBot
from cascade.channels.vonage import VonageSms
from cascade.core.attempt import Accepted, AnswerLost, Attempt, Delivered, Outcome, Rejected, Retry
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .promises import mangles

KEY = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ACCOUNT = json.dumps({"client_email": "a@example", "private_key": KEY, "token_uri": "https://oauth2.example/token"})
SECRET = Secret("a-secret-of-many-letters")


def google(url: str) -> GoogleRcs:
    account = Secret(ACCOUNT)
    return GoogleRcs("a", SECRET, account, base_url=url, token_url=f"{url}/token", check_capabilities=False)


def infobip(url: str) -> InfobipSms:
    return InfobipSms(url, SECRET, SECRET)


def sinch(url: str) -> SinchFlashcall:
    return SinchFlashcall("key", Secret(base64.b64encode(b"secret").decode()), base_url=url)


def smsbat(url: str) -> SmsbatSms:
    return SmsbatSms(SECRET, SECRET, base_url=url)


def telegram(url: str) -> TelegramBot:
    return TelegramBot(SECRET, url)


def twilio(url: str) -> TwilioSms:
    return TwilioSms("AC1", SECRET, base_url=url)


def viber(url: str) -> ViberBot:
    return ViberBot(SECRET, url)


def vonage(url: str) -> VonageSms:
    return VonageSms(SECRET, api_key="key", api_secret=SECRET, base_url=url)


Adapter = Callable[[str], HttpAdapter]


@dataclass
class Provider:
    """Says `answer` to every request but the one for a token."""

    answer: tuple[int, bytes] = (200, b"{}")
    headers: dict[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        if request.path == "/token":
            return web.json_response({"access_token": "lent", "expires_in": 3600})
        status, body = self.answer
        return web.Response(status=status, body=body, content_type="application/json", headers=self.headers)


@dataclass
class Talk:
    provider: Provider
    transport: HttpTransport
    type: MessageType

    async def outcome(self, status: int, body: Any) -> Outcome:
        """What a message comes to that is answered so."""
        self.provider.answer = status, body if isinstance(body, bytes) else orjson.dumps(body)
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        attempt = Attempt(1, b"m" * 16, 1, "+380501112233", "Shop", self.type, Content("Hi"), window_s=60)
        self.transport._resume()  # whatever the last answer asked for
        self.transport.send([attempt], lambda _, outcome: settled.set_result(outcome))
        async with asyncio.timeout(10):
            return await settled


@asynccontextmanager
async def talking(adapter: Adapter) -> AsyncIterator[Talk]:
    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    transport = HttpTransport(adapter(f"http://127.0.0.1:{runner.addresses[0][1]}"), "judged", HttpSettings(window=1))
    transport.start(lambda: None, nobody)
    try:
        yield Talk(provider, transport, MessageType.FLASHCALL if adapter is sinch else MessageType.PROMO)
    finally:
        await transport.stop(0)
        await runner.cleanup()


async def nobody(_: Heard) -> None:
    raise AssertionError("HTTP takes receipts by callback")


def bare(outcome: Outcome) -> Outcome:
    return replace(outcome, detail=None) if isinstance(outcome, Rejected | Retry | AnswerLost) else outcome


TAKEN: Mapping[str, tuple[Adapter, int, dict[str, Any]]] = {  # how each says that it has a message
    "google": (google, 200, {"name": "phones/+380501112233/agentMessages/7", "sendTime": "2026-11-28T00:00:00Z"}),
    "infobip": (
        infobip,
        200,
        {"messages": [{"messageId": "7", "status": {"groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}}]},
    ),
    "sinch": (sinch, 200, {"id": "7", "method": "flashcall", "flashCall": {"cliFilter": "(.*)7(.*)"}}),
    "smsbat": (smsbat, 200, {"messagelistId": 1, "messages": [{"messageId": "7", "status": "accepted", "parts": 1}]}),
    "telegram": (telegram, 200, {"ok": True, "result": {"message_id": 7, "chat": {"id": 1}}}),
    "twilio": (twilio, 201, {"sid": "7", "status": "queued", "num_segments": "1", "error_code": None}),
    "viber": (viber, 200, {"status": 0, "status_message": "ok", "message_token": 7}),
    "vonage": (vonage, 202, {"message_uuid": "7"}),
}
REFUSED: Mapping[str, tuple[Adapter, int, dict[str, Any]]] = {  # and that it has not
    "google": (google, 404, {"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}),
    "infobip": (infobip, 401, {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "no"}}}),
    "infobip, of one message": (
        infobip,
        200,
        {"messages": [{"messageId": "7", "status": {"groupName": "REJECTED", "name": "REJECTED_DND"}}]},
    ),
    "sinch": (sinch, 402, {"errorCode": 40200, "message": "no"}),
    "smsbat": (smsbat, 400, {"error": {"code": "INVALID_RECIPIENT", "message": "no"}}),
    "smsbat, of one message": (smsbat, 200, {"messages": [{"messageId": "7", "status": "rejected"}]}),
    "telegram": (telegram, 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}),
    "telegram, for a while": (
        telegram,
        429,
        {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 3}},
    ),
    "twilio": (twilio, 400, {"code": 21211, "message": "no", "status": 400}),
    "viber": (viber, 200, {"status": 6, "status_message": "notSubscribed"}),
    "vonage": (vonage, 422, {"type": "https://example/#1170", "title": "1170", "detail": "no", "instance": "i"}),
}


def is_sound(outcome: Outcome) -> bool:
    """Whether the store can hold it, and another attempt cannot be taken for it."""
    match outcome:
        case Accepted(ids):
            return all(isinstance(id_, str) and 0 < len(id_) < 256 and id_ not in ("None", "[]", "{}") for id_ in ids)
        case Delivered(id_):
            return isinstance(id_, str) and id_.lstrip("-").isdecimal()
        case Rejected(detail=detail) | Retry(detail=detail) | AnswerLost(detail=detail):
            return detail is None or (isinstance(detail, str) and len(detail) <= 200)
    return False


@pytest.mark.parametrize(("adapter", "status", "body"), TAKEN.values(), ids=TAKEN)
async def test_what_may_have_been_taken_is_never_called_refused(
    adapter: Adapter, status: int, body: dict[str, Any]
) -> None:
    """Whatever stands in place of any part of an acceptance."""
    async with talking(adapter) as talk:
        assert isinstance(await talk.outcome(status, body), Accepted | Delivered)
        for mangled in mangles(body):
            outcome = await talk.outcome(status, mangled)
            assert is_sound(outcome), mangled
            if not (isinstance(mangled, dict) and mangled.get("status") == -1):  # Viber's numbers but 0 are refusals
                assert isinstance(outcome, Accepted | Delivered | AnswerLost), mangled


@pytest.mark.parametrize(("adapter", "status", "body"), REFUSED.values(), ids=REFUSED)
async def test_what_was_refused_is_never_called_taken(adapter: Adapter, status: int, body: dict[str, Any]) -> None:
    async with talking(adapter) as talk:
        assert isinstance(await talk.outcome(status, body), Rejected | Retry)
        for mangled in mangles(body):
            outcome = await talk.outcome(status, mangled)
            assert is_sound(outcome), mangled
            assert isinstance(outcome, Rejected | Retry | AnswerLost), mangled


NO_ANSWERS = {
    "HTML": b"<html><title>Sign in to the network</title></html>",
    "nothing": b"",
    "half of it": b'{"ok": true, "status": 0, "messa',
    "no UTF-8": b'{"ok": true, "status": 0, "id": "\xff"}',
    "nested deeply": b"[" * 100_000,
    "a number beyond all numbers": b"9" * 5_000,
    "an object of nothing": b"{}",
    "two answers": b'{"a": 1}{"a": 1}',
}


@pytest.mark.parametrize("adapter", [taken[0] for taken in TAKEN.values()], ids=TAKEN)
async def test_what_is_no_answer_leaves_it_unknown(adapter: Adapter) -> None:
    """Only a status of 4xx says that it was not taken."""
    async with talking(adapter) as talk:
        for how, body in NO_ANSWERS.items():
            for status in (200, 201, 202, 206):
                assert isinstance(await talk.outcome(status, body), AnswerLost), (how, status)
            outcome = await talk.outcome(400, body)
            assert isinstance(outcome, Rejected), how
            assert not outcome.is_ours
            assert bare(await talk.outcome(408, body)) == Retry(Reason.PROVIDER_DOWN), how
            assert isinstance(await talk.outcome(413, body), Rejected), how
            assert bare(await talk.outcome(503, body)) == Retry(Reason.PROVIDER_DOWN), how
        talk.provider.headers = {"Retry-After": "7"}
        assert bare(await talk.outcome(413, b"")) == Retry(Reason.PROVIDER_DOWN, 7.0)
        outcome = await talk.outcome(429, b"<html>")
    assert bare(outcome) == Retry(Reason.THROTTLED, 7.0)


SAID: Mapping[str, tuple[Adapter, int, Any, Outcome]] = {  # what it says, what that comes to
    "google: an id used before": (
        google,
        409,
        {"error": {"code": 409, "message": "exists", "status": "ALREADY_EXISTS"}},
        AnswerLost(),
    ),
    "google: a name without an id": (google, 200, {"name": "phones/+380/agentMessages/"}, AnswerLost()),
    "infobip: delivered at once": (
        infobip,
        200,
        {"messages": [{"messageId": "7", "status": {"groupName": "DELIVERED", "name": "DELIVERED_TO_HANDSET"}}]},
        Accepted(("7",)),
    ),
    "infobip: a group that nobody knows": (
        infobip,
        200,
        {"messages": [{"messageId": "7", "status": {"groupName": "PARKED", "name": "PARKED"}}]},
        AnswerLost(),
    ),
    "smsbat: an error with status 200": (
        smsbat,
        200,
        {"error": {"code": "INSUFFICIENT_FUNDS", "message": "no"}},
        Rejected(Reason.NO_CREDIT),
    ),
    "smsbat: no error, and the message": (
        smsbat,
        200,
        {"error": None, "messages": [{"messageId": 7, "status": "accepted"}]},
        Accepted(("7",)),
    ),
    "smsbat: already on its way": (
        smsbat,
        200,
        {"messages": [{"messageId": 7, "status": "processing"}]},
        Accepted(("7",)),
    ),
    "smsbat: a word that nobody knows": (smsbat, 200, {"messages": [{"messageId": 7, "status": "?"}]}, AnswerLost()),
    "smsbat: a mark of the order of bytes before it": (
        smsbat,
        200,
        b'\xef\xbb\xbf{"messages": [{"messageId": 7, "status": "accepted"}]}',
        Accepted(("7",)),
    ),
    "telegram: a code as a text": (
        telegram,
        403,
        {"ok": False, "error_code": "403", "description": "Forbidden: bot was blocked by the user"},
        Rejected(Reason.BLOCKED),
    ),
    "telegram: no code": (
        telegram,
        403,
        {"ok": False, "description": "Forbidden: bot was blocked by the user"},
        Rejected(Reason.BLOCKED),
    ),
    "telegram: their fault, with status 200": (
        telegram,
        200,
        {"ok": False, "error_code": 502, "description": "Bad Gateway"},
        Retry(Reason.PROVIDER_DOWN),
    ),
    "telegram: the last of two keys counts": (
        telegram,
        200,
        b'{"ok": false, "ok": true, "result": {"message_id": 1, "message_id": 2}}',
        Delivered("2"),
    ),
    "telegram: another chat": (
        telegram,
        400,
        {"ok": False, "error_code": 400, "description": "Bad Request: x", "parameters": {"migrate_to_chat_id": -1}},
        Rejected(Reason.PROVIDER_REFUSED),
    ),
    "telegram: a pause as a text": (
        telegram,
        429,
        {"ok": False, "error_code": 429, "description": "x", "parameters": {"retry_after": "5"}},
        Retry(Reason.THROTTLED, 5.0),
    ),
    "telegram: no pause": (
        telegram,
        429,
        {"ok": False, "error_code": 429, "description": "x"},
        Retry(Reason.THROTTLED),
    ),
    "twilio: another 2xx": (twilio, 202, {"sid": "7"}, Accepted(("7",))),
    "viber: a status as a text": (viber, 200, {"status": "0", "message_token": "7"}, Accepted(("7",))),
    "viber: a refusal as a text": (viber, 200, {"status": "6"}, Rejected(Reason.NOT_SUBSCRIBED)),
    "viber: a token of 64 bits": (
        viber,
        200,
        {"status": 0, "message_token": 4912661846655238145},
        Accepted(("4912661846655238145",)),
    ),
    "viber: a token beyond 64 bits": (
        viber,
        200,
        b'{"status": 0, "message_token": 18446744073709551616}',
        AnswerLost(),
    ),
    "vonage: another 2xx": (vonage, 200, {"message_uuid": "7"}, Accepted(("7",))),
    "vonage: an error with a status of success": (vonage, 200, {"title": "1070", "detail": "no credit"}, AnswerLost()),
    "vonage: an id of a megabyte": (vonage, 202, {"message_uuid": "7" * 100_000}, AnswerLost()),
    "sinch: another 2xx": (sinch, 201, {"id": "7"}, Accepted(("7",))),
}


@pytest.mark.parametrize(("adapter", "status", "body", "expected"), SAID.values(), ids=SAID)
async def test_an_odd_answer_has_its_outcome(adapter: Adapter, status: int, body: Any, expected: Outcome) -> None:
    async with talking(adapter) as talk:
        assert bare(await talk.outcome(status, body)) == expected
