"""Sinch: requests judged by its own SDK, what its words mean, and calls that are asked after until they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from sinch import SinchClient
from sinch.core.signature import Signature

from cascade.channels.base import Callback, Heard
from cascade.channels.flashcall.sinch import SinchFlashcall, SinchTransport
from cascade.channels.http import HttpRequest, HttpResponse
from cascade.core.attempt import Accepted, Outcome, Rejected, Retry
from cascade.core.errors import ConfigError, ForgedCallbackError
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Reason
from cascade.sandbox.app import Sandbox, SandboxSettings
from cascade.sandbox.people import Behaviour

from .attempts import CALLER, PHONE, Engine, attempt, polled

KEY, SECRET = "5F5C418A0F914BBC8234A9BF5EDDAD97", "JViE5vDor0Sw3WllZka15Q=="
ADAPTER = SinchFlashcall(KEY, Secret(SECRET), callers=(CALLER,), dial_timeout_s=15)
PATH = "/verification/v1/verifications"


def asked(adapter: SinchFlashcall = ADAPTER, **fields: Any) -> HttpRequest:
    return adapter.request(attempt(**fields))


def test_a_request_says_whom_to_call_and_who_shall() -> None:
    request = asked()
    assert (request.method, request.url) == ("POST", f"https://verification.api.sinch.com{PATH}")
    assert request.body is not None
    assert orjson.loads(request.body) == {
        "identity": {"type": "number", "endpoint": PHONE},
        "method": "flashcall",
        "reference": f"{(1).to_bytes(16).hex()}-1",
        "custom": CALLER,
        "flashCallOptions": {"dialTimeout": 15},
    }


def test_a_caller_that_is_none_of_ours_is_not_asked_for() -> None:
    body = asked(sender="YourBrand").body
    assert body is not None
    assert "custom" not in orjson.loads(body)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_the_sdk_signs_the_same(method: str) -> None:
    request = asked() if method == "POST" else ADAPTER.status_request("abc")
    theirs = Signature(
        SimpleNamespace(configuration=SimpleNamespace(application_key=KEY, application_secret=SECRET)),
        method,
        None if request.body is None else request.body.decode(),
        PATH if method == "POST" else f"{PATH}/id/abc",
        signature_timestamp=request.headers["x-timestamp"],
    ).get_http_headers_with_signature()
    assert theirs == dict(request.headers)


def test_without_signing_the_secret_is_a_password_and_options_stay_out() -> None:
    request = asked(SinchFlashcall(KEY, Secret(SECRET), signed=False, dial_timeout_s=15))
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.body is not None
    assert "flashCallOptions" not in orjson.loads(request.body)


ANSWERS: dict[str, tuple[int, dict[str, Any], Outcome]] = {
    "taken": (200, {"id": "v1", "method": "flashcall"}, Accepted(("v1",))),
    "a number that is none": (
        400,
        {"errorCode": 40003, "message": "Invalid identity.endpoint"},
        Rejected(Reason.INVALID_CONTENT, "40003 Invalid identity.endpoint"),
    ),
    "wrong credentials": (
        401,
        {"errorCode": 40108, "message": "Invalid credentials"},
        Rejected(Reason.MISCONFIGURED, "40108 Invalid credentials"),
    ),
    "no money": (402, {"errorCode": 40200, "message": "m"}, Rejected(Reason.NO_CREDIT, "40200 m")),
    "not allowed": (403, {"errorCode": 40301, "message": "m"}, Rejected(Reason.MISCONFIGURED, "40301 m")),
    "too many": (429, {"errorCode": 42900, "message": "m"}, Retry(Reason.THROTTLED, detail="42900 m")),
    "no such application": (404, {"errorCode": 40400, "message": "m"}, Rejected(Reason.MISCONFIGURED, "40400 m")),
    "another method": (422, {"errorCode": 42200, "message": "m"}, Rejected(Reason.MISCONFIGURED, "42200 m")),
    "a word that nobody knows": (418, {}, Rejected(Reason.PROVIDER_REFUSED, "418 None")),
}


@pytest.mark.parametrize(("status", "body", "outcome"), ANSWERS.values(), ids=ANSWERS)
def test_each_answer_has_its_meaning(status: int, body: dict[str, Any], outcome: Outcome) -> None:
    assert ADAPTER.outcome(HttpResponse(status, body=orjson.dumps(body))) == outcome


DELIVERED, FAILED = ReceiptState.DELIVERED, ReceiptState.FAILED
ENDS: dict[str, tuple[str, str | None, ReceiptState, Reason | None]] = {
    "reported": ("SUCCESSFUL", None, DELIVERED, None),
    "typed wrong: the call came": ("FAIL", "Invalid code", DELIVERED, None),
    "unreachable": ("FAIL", "Network error or number unreachable", FAILED, Reason.UNDELIVERABLE),
    "nobody reported": ("FAIL", "Expired", FAILED, Reason.EXPIRED_AT_PROVIDER),
    "fraud": ("FAIL", "Fraud", FAILED, Reason.BLOCKED),
    "no money": ("ERROR", "Not enough credit", FAILED, Reason.NO_CREDIT),
    "another number typed: the call came": ("FAIL", "Invalid CLI", DELIVERED, None),
    "blocked": ("DENIED", "Blocked", FAILED, Reason.BLOCKED),
    "our answer was none": ("DENIED", "Invalid callback", FAILED, Reason.MISCONFIGURED),
    "no calls there": ("DENIED", "Destination denied", FAILED, Reason.PROVIDER_REFUSED),
    "denied by us": ("DENIED", "Denied by callback", FAILED, Reason.PROVIDER_REFUSED),
    "a reason that nobody knows": ("ABORTED", "Whatever", FAILED, Reason.PROVIDER_REFUSED),
}


def event(name: str = "VerificationResultEvent", **fields: Any) -> Callback:
    body = {
        "id": "v1",
        "event": name,
        "method": "flashcall",
        "identity": {"type": "number", "endpoint": PHONE},
        **fields,
    }
    return called(orjson.dumps(body))


def called(body: bytes) -> Callback:
    """As Sinch signs it: the same way as we do."""
    signed = ADAPTER._request("POST", "/callbacks/sinch", orjson.loads(body))
    headers = {name.lower(): value for name, value in signed.headers.items()}
    return Callback("POST", "https://gw.example/callbacks/sinch", headers, signed.body or b"")


@pytest.mark.parametrize(("status", "reason", "state", "ours"), ENDS.values(), ids=ENDS)
def test_each_end_has_its_meaning(status: str, reason: str | None, state: ReceiptState, ours: Reason | None) -> None:
    (receipt,) = ADAPTER.hear(event(status=status, reason=reason)).receipts
    detail = None if ours is None else f"{status} {reason}"
    assert receipt == Receipt("v1", state, ours, detail, PHONE.removeprefix("+"))


@pytest.mark.parametrize(("custom", "call"), [(CALLER, {"cli": CALLER}), ("+380440000000", None), (None, None)])
def test_asked_who_calls_we_name_a_number_of_ours_and_no_other(custom: str | None, call: Any) -> None:
    heard = ADAPTER.hear(event("VerificationRequestEvent", custom=custom))
    assert orjson.loads(heard.answer.body) == {"action": "allow"} | ({} if call is None else {"flashCall": call})
    assert heard.receipts == ()


def test_an_event_that_nobody_knows_is_taken_and_means_nothing() -> None:
    assert ADAPTER.hear(event("VerificationReportedEvent")).receipts == ()
    assert len(ADAPTER.hear(event(method="flashCall", status="SUCCESSFUL")).receipts) == 1
    assert ADAPTER.hear(event(method="sms", status="SUCCESSFUL")).receipts == []


def test_another_application_s_event_is_forged() -> None:
    other = SinchFlashcall("another", Secret(SECRET))
    with pytest.raises(ForgedCallbackError):
        other.hear(event(status="SUCCESSFUL"))


RESULTS = {
    "it rang and was dropped": ({"status": "PENDING", "callResult": "NO_ANSWER"}, DELIVERED, None),
    "the same, by the caller": ({"status": "PENDING", "callResult": "CANCEL"}, DELIVERED, None),
    "reported": ({"status": "SUCCESSFUL"}, DELIVERED, None),
    "busy": ({"status": "PENDING", "callResult": "BUSY"}, FAILED, Reason.BUSY),
    "answered": ({"status": "PENDING", "callResult": "ANSWERED"}, FAILED, Reason.ANSWERED),
    "failed": ({"status": "FAIL", "callResult": "FAILED"}, FAILED, Reason.UNDELIVERABLE),
}


@pytest.mark.parametrize(("answer", "state", "reason"), RESULTS.values(), ids=RESULTS)
def test_each_result_of_a_call_has_its_meaning(answer: Any, state: ReceiptState, reason: Reason | None) -> None:
    receipt = ADAPTER.came_of("v1", answer, "380501112233")
    assert receipt is not None
    assert (receipt.state, receipt.reason) == (state, reason)


def test_a_call_under_way_means_nothing_yet() -> None:
    assert ADAPTER.came_of("v1", {"status": "PENDING"}, "380501112233") is None


WRONG = {"a secret that is no base64": ({"application_secret": Secret("no!")}, "application_secret")} | {
    "a caller that is a name": ({"callers": ("Shop",)}, "callers")
}


@pytest.mark.parametrize(("settings", "name"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SinchFlashcall(**{"application_key": KEY, "application_secret": Secret(SECRET), **settings})
    assert refused.value.setting == f"sinch.{name}"


# -- the sandbox's Sinch ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    running = Sandbox(SandboxSettings(http_port=0, smsc_port=0, sinch_apps={KEY: SECRET}))
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def transport(running: Sandbox) -> SinchTransport:
    adapter = SinchFlashcall(KEY, Secret(SECRET), base_url=f"{running.url}/sinch")
    return SinchTransport(adapter, "sinch", follow_s=(0.02,) * 50)


async def test_a_call_that_nobody_reports_is_asked_after_until_it_has_rung() -> None:
    async with sandbox() as running:
        ours = transport(running)
        async with Engine(ours) as engine:
            running.people.get(PHONE).behave({"flashcall": Behaviour.SILENT})
            outcome = await engine.call(attempt())
            assert isinstance(outcome, Accepted)
            one = running.sinch.verifications[outcome.provider_ids[0]]
            requests = running.sinch.counters.requests
            await polled(lambda: running.sinch.counters.requests >= requests + 2)
            assert engine.heard == []
            one.call_result = "NO_ANSWER"
            await engine.until(lambda: bool(engine.heard))
            assert engine.heard == [Heard([Receipt(one.id, DELIVERED, recipient=PHONE.removeprefix("+"))])]


async def test_the_number_that_called_is_known_to_sinch_alone() -> None:
    async with sandbox() as running:
        ours = transport(running)
        async with Engine(ours) as engine:
            running.people.get(PHONE).behave({"flashcall": Behaviour.SILENT})
            outcome = await engine.call(attempt())
            assert isinstance(outcome, Accepted)
            (missed,) = running.people.look(PHONE).inbox
            assert await ours.check_digits(outcome.provider_ids[0], missed.sender.removeprefix("+")) is True
            assert await ours.check_digits("another", "1") is None


async def test_a_look_tells_whether_it_knows_us() -> None:
    async with sandbox() as running:
        for secret, is_well in ((SECRET, True), ("c3RyYW5nZXI=", False)):
            ours = SinchTransport(SinchFlashcall(KEY, Secret(secret), base_url=f"{running.url}/sinch"), "sinch")
            assert (await ours.check()).is_well is is_well
            await ours.stop(0)


async def test_sinchs_own_sdk_gets_along_with_the_twin() -> None:
    async with sandbox() as running:
        client = SinchClient(application_key=KEY, application_secret=SECRET)
        client.configuration.disable_https = True
        client.configuration.verification_origin = f"{running.url.removeprefix('http://')}/sinch"
        sdk = client.verification

        def talk() -> tuple[str, str, str]:
            begun = sdk.verifications.start_flash_call({"type": "number", "endpoint": PHONE}, reference="r")
            before = sdk.verification_status.get_by_id(begun.id).status
            return begun.flash_call.cli_filter, before, begun.id

        running.people.get(PHONE).behave({"flashcall": Behaviour.SILENT})
        cli_filter, status, _ = await asyncio.to_thread(talk)
        (missed,) = running.people.look(PHONE).inbox
        assert missed.sender.removeprefix("+") in cli_filter
        assert status == "PENDING"
