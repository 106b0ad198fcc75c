"""Flash calls from the client's request to the phone, and back by the digits that its owner typed."""

import dataclasses
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from cascade.core.directory import ApiKey
from cascade.core.flashcalls import FlashcallRules
from cascade.core.secret import Secret
from cascade.core.times import iso
from cascade.sandbox.app import Sandbox
from cascade.settings import ProviderLink, Secrets, Store
from cascade.store import accounts

from .doors import CALLERS, OTHER_KEY, PHONE, Doors, message, opened
from .doors import trunk as trunk_of

CALL: dict[str, Any] = {"messageType": "flashcall", "text": None}
FALLBACK = {"messageType": "transaction", "text": "Your code: 4321"}
OTHER = {"X-Authorization-Key": OTHER_KEY}
HOUR_MS = 3_600_000


@pytest.fixture
async def trunk(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway whose flash calls go to the sandbox's trunk."""
    async with opened(tmp_path, has_sandbox=True, providers=trunk_of) as doors:
        yield doors


@pytest.fixture
async def trunk_of_each(store_url: str, tmp_path: Path) -> AsyncIterator[Doors]:
    more: dict[str, Any] = {"store": Store(url=store_url), "secrets": Secrets(key_file=str(tmp_path / "cascade.key"))}
    async with opened(tmp_path, has_sandbox=True, providers=trunk_of, **more) as doors:
        yield doors


async def called(doors: Doors, **fields: Any) -> dict[str, Any]:
    """What the send was answered with, once the phone has rung."""
    (sent,) = await doors.send(message(**(CALL | fields)))
    await doors.until(sent["messageId"], "delivered")
    return dict(sent)


async def check(doors: Doors, message_id: str, digits: Any, **options: Any) -> Any:
    answer = await doors.call("POST", f"/v1/flashcalls/{message_id}/check", {"digits": digits}, **options)
    return answer.json if answer.status == 200 else (answer.status, answer.error["code"], answer.error["message"])


def results(*answers: Any) -> list[tuple[str, int]]:
    return [(answer["result"], answer["checksLeft"]) for answer in answers]


async def events(doors: Doors) -> list[tuple[str, dict[str, Any]]]:
    async with doors.gateway.database.reading() as reader:
        bodies = [orjson.loads(body) for (body,) in await reader.rows("SELECT body FROM event ORDER BY id")]
    return [(body["type"], body["data"]) for body in bodies]


async def listen(doors: Doors, *types: str) -> None:
    hook = {"url": f"http://127.0.0.1:{doors.port}/nothing", "types": list(types)}
    assert (await doors.call("POST", "/v1/webhooks", hook)).status == 201


async def test_the_answer_says_who_calls_the_phone_shows_it_and_the_digits_match(trunk_of_each: Doors) -> None:
    doors = trunk_of_each
    await listen(doors, "flashcall.completed", "message.read")
    sent = await called(doors, id="login-1")
    assert sent.keys() == {"messageId", "trackinId", "callerId", "pattern"}
    assert sent["callerId"] in CALLERS
    assert sent["pattern"] == f"***{sent['callerId'][-6:]}"
    assert doors.sandbox is not None
    (missed,) = doors.sandbox.people.look(PHONE).inbox
    assert (missed.sender, missed.text) == (sent["callerId"], f"Missed call from {sent['callerId']}")
    status = await doors.status(sent["messageId"])
    shown = {name: status[name] for name in ("channel", "callerId", "pattern", "digitsMatched", "checksLeft", "read")}
    assert shown == {
        "channel": "flashcall",
        "callerId": sent["callerId"],
        "pattern": sent["pattern"],
        "digitsMatched": False,
        "checksLeft": 3,
        "read": False,
    }
    assert await check(doors, sent["messageId"], sent["callerId"][-6:]) == {
        "messageId": sent["messageId"],
        "trackinId": "login-1",
        "result": "matched",
        "matched": True,
        "checksLeft": 0,
    }
    status = await doors.status(sent["messageId"])
    assert (status["digitsMatched"], status["checksLeft"], status["read"]) == (True, 0, True)
    assert (await doors.call("GET", f"/v1/messages/{sent['messageId']}")).json["digitsMatched"] is True
    told = dict(await events(doors))
    assert told.keys() == {"flashcall.completed", "message.read"}
    completed = told["flashcall.completed"]
    assert (completed["messageId"], completed["result"], completed["checks"]) == (sent["messageId"], "matched", 1)
    assert sent["callerId"][1:] not in orjson.dumps(told).decode()


TYPED = {
    "the last digits": lambda caller: caller[-6:],
    "more of them": lambda caller: caller[-9:],
    "the whole number": lambda caller: caller,
    "as a phone writes it": lambda caller: f"{caller[:4]} ({caller[4:6]}) {caller[6:9]}-{caller[9:11]}-{caller[11:]}",
    "as it is dialled at home": lambda caller: f"0{caller[4:]}",
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
async def test_digits_match_however_a_person_types_them(trunk: Doors, typed: Any) -> None:
    sent = await called(trunk)
    assert (await check(trunk, sent["messageId"], typed(sent["callerId"])))["result"] == "matched"


async def test_the_right_digits_count_once(trunk: Doors) -> None:
    sent = await called(trunk)
    digits = sent["callerId"][-6:]
    first, again = [await check(trunk, sent["messageId"], digits) for _ in range(2)]
    assert results(first, again) == [("matched", 0), ("used", 0)]
    assert again["matched"] is False


async def test_after_too_many_wrong_ones_not_even_the_right_ones_count(trunk: Doors) -> None:
    await listen(trunk, "flashcall.completed")
    sent = await called(trunk)
    answers = [await check(trunk, sent["messageId"], "000000") for _ in range(3)]
    answers.append(await check(trunk, sent["messageId"], sent["callerId"][-6:]))
    assert results(*answers) == [("wrong", 2), ("wrong", 1), ("wrong", 0), ("exhausted", 0)]
    told = [(type_, data["result"], data["checks"]) for type_, data in await events(trunk)]
    assert told == [("flashcall.completed", "exhausted", 3)]


async def test_a_wrong_try_before_the_right_one_is_forgiven(trunk: Doors) -> None:
    sent = await called(trunk)
    answers = [await check(trunk, sent["messageId"], digits) for digits in ("000000", sent["callerId"][-6:])]
    assert results(*answers) == [("wrong", 2), ("matched", 0)]


async def test_a_code_ends_with_the_time_to_live_of_its_call(trunk: Doors) -> None:
    sent = await called(trunk, ttl=300)
    now_ms = trunk.parts.now_ms()
    trunk.replace_parts(dataclasses.replace(trunk.parts, now_ms=lambda: now_ms + 300_000))
    assert results(await check(trunk, sent["messageId"], sent["callerId"][-6:])) == [("expired", 3)]


async def test_before_the_call_there_is_nothing_to_type(trunk: Doors) -> None:
    (sent,) = await trunk.send(message(**CALL, scheduledSent=iso(trunk.parts.now_ms() + HOUR_MS)))
    assert results(await check(trunk, sent["messageId"], sent["callerId"][-6:])) == [("not_called", 3)]


NO_DIGITS: dict[str, tuple[Any, str]] = {
    "letters": ("abcdef", "INVALID_FIELD"),
    "too few": ("56789", "INVALID_FIELD"),
    "a number": (456789, "INVALID_FIELD"),
    "nothing": ("", "INVALID_FIELD"),
    "digits of another script": ("٤٥٦٧٨٩", "INVALID_FIELD"),
}


@pytest.mark.parametrize(("digits", "code"), NO_DIGITS.values(), ids=NO_DIGITS)
async def test_what_is_no_code_is_refused_and_costs_no_try(trunk: Doors, digits: Any, code: str) -> None:
    sent = await called(trunk)
    assert (await check(trunk, sent["messageId"], digits))[:2] == (400, code)
    assert (await trunk.status(sent["messageId"]))["checksLeft"] == 3


async def test_only_the_account_s_own_flash_calls_can_be_checked(trunk: Doors) -> None:
    async with trunk.gateway.database.transaction() as tx:
        other = await accounts.add_account(tx, "other", trunk.parts.now_ms())
        await accounts.add_key(tx, ApiKey(other, "first"), Secret(OTHER_KEY), trunk.parts.now_ms())
    await trunk.gateway.refresh()
    sent = await called(trunk)
    text = await trunk.send_one()
    digits = sent["callerId"][-6:]
    assert (await check(trunk, sent["messageId"], digits, headers=OTHER))[:2] == (404, "NOT_FOUND")
    assert (await check(trunk, text, digits))[:2] == (404, "NOT_FOUND")
    assert (await check(trunk, "no-id", digits))[:2] == (404, "NOT_FOUND")
    assert (await check(trunk, sent["messageId"], digits, headers={}))[0] == 401


async def test_no_phone_is_called_with_the_same_digits_twice_in_a_row(trunk: Doors) -> None:
    """In one batch, over several, and whatever was chosen for other phones meanwhile."""
    batch = [message(**CALL) for _ in range(4)]
    others = [message(**CALL, toPhone=f"+38050765432{number}") for number in range(4)]
    sent = await trunk.send(*(one for pair in zip(batch, others, strict=True) for one in pair))
    more = [await trunk.send(message(**CALL)) for _ in range(3)]
    callers = [one["callerId"] for one in sent[::2]] + [one["callerId"] for (one,) in more]
    assert all(one != next_ for one, next_ in pairwise(callers))


async def test_a_repeat_is_answered_with_the_same_caller(trunk: Doors) -> None:
    call = message(**CALL)
    first, again = await trunk.send(call), await trunk.send(call)
    assert first == again
    assert "callerId" in first[0]
    mixed = await trunk.send(message(), call)
    assert [sorted(one) for one in mixed] == [["messageId", "trackinId"], sorted(first[0])]


async def test_who_must_not_know_is_not_told(tmp_path: Path) -> None:
    async with opened(tmp_path, has_sandbox=True, providers=trunk_of) as doors:
        rules = FlashcallRules(digits=4, most_checks=5, reveals_caller=False)
        doors.replace_parts(dataclasses.replace(doors.parts, flashcalls=rules))
        sent = await called(doors)
        assert sent.keys() == {"messageId", "trackinId"}
        status = await doors.status(sent["messageId"])
        assert "callerId" not in status
        assert "pattern" not in status
        assert doors.sandbox is not None
        (missed,) = doors.sandbox.people.look(PHONE).inbox
        assert missed.sender[1:] not in orjson.dumps(status).decode()
        answers = [await check(doors, sent["messageId"], digits) for digits in ("0000", missed.sender[-4:])]
        assert results(*answers) == [("wrong", 4), ("matched", 0)]


FAILING = {"no such number": "absent", "unwanted": "blocked", "refused": "rejects"}


@pytest.mark.parametrize("behaviour", FAILING.values(), ids=FAILING)
async def test_the_fallback_goes_when_the_call_fails(trunk: Doors, behaviour: str) -> None:
    await trunk.people(flashcall=behaviour, sms="delivers")
    (sent,) = await trunk.send(message(**CALL, fallback=FALLBACK))
    status = await trunk.until(sent["messageId"], "delivered")
    assert (status["channel"], status["extendedStatuses"]["flashcall"]) == ("sms", "rejected")
    assert trunk.sandbox is not None
    assert [received.text for received in trunk.sandbox.people.look(PHONE).inbox] == [FALLBACK["text"]]


async def test_without_a_fallback_a_failed_call_is_undeliverable(trunk: Doors) -> None:
    await trunk.people(flashcall="absent")
    status = await trunk.until(await trunk.send_one(**CALL), "undeliverable")
    assert status["attempts"][0]["reason"] == "unknown_recipient"


async def test_a_throttled_call_is_made_again(trunk: Doors) -> None:
    await trunk.people(flashcall="throttled")
    status = await trunk.until(await trunk.send_one(**CALL), "delivered")
    assert [attempt["state"] for attempt in status["attempts"]] == ["retry", "delivered"]


# Two trunks


def two_trunks(sandbox: Sandbox) -> dict[str, ProviderLink]:
    """One where nobody listens, and one that lives; the middle number of three may call from both."""
    (living,) = trunk_of(sandbox).values()
    numbers = [*CALLERS, "+380443333333"]
    common = {"kind": "flashcall.sip", "host": "127.0.0.1", "ring_s": 0.05}
    return {
        "dead": ProviderLink.model_validate({**common, "port": 9, "callers": numbers[:2]}),
        "living": ProviderLink.model_validate({**common, "port": living.own.port, "callers": numbers[1:]}),
    }


async def test_another_trunk_stands_in_with_a_number_that_may_call_from_both(tmp_path: Path) -> None:
    async with opened(tmp_path, has_sandbox=True, providers=two_trunks) as doors:
        calls = [message(**CALL, toPhone=f"+38050765432{number}") for number in range(6)]
        sent = await doors.send(*calls)
        assert {one["callerId"] for one in sent} == {CALLERS[1]}
        statuses = [await doors.until(one["messageId"], "delivered") for one in sent]
        tried = {tuple(attempt["state"] for attempt in status["attempts"]) for status in statuses}
        assert ("delivered",) in tried
        assert any(len(states) > 1 for states in tried)


# A provider that chooses who calls


def sinch(sandbox: Sandbox) -> dict[str, ProviderLink]:
    ((key, secret),) = sandbox.settings.sinch_apps.items()
    given = {"kind": "flashcall.sinch", "application_key": key, "application_secret": secret}
    return {"sinch": ProviderLink.model_validate({**given, "base_url": f"{sandbox.url}/sinch"})}


@pytest.fixture
async def chooser(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway whose flash calls go to the sandbox's Sinch, with no number of our own."""
    async with opened(tmp_path, has_sandbox=True, providers=sinch) as doors:
        yield doors


async def rung(doors: Doors) -> str:
    """The id of a call that Sinch has made."""
    await doors.people(flashcall="silent")
    (sent,) = await doors.send(message(**CALL))
    assert sent.keys() == {"messageId", "trackinId"}
    await doors.until(sent["messageId"], "accepted")
    return str(sent["messageId"])


async def test_the_digits_of_a_number_that_the_provider_chose_are_checked_by_it(chooser: Doors) -> None:
    message_id = await rung(chooser)
    assert chooser.sandbox is not None
    (missed,) = chooser.sandbox.people.look(PHONE).inbox
    assert results(await check(chooser, message_id, missed.sender)) == [("matched", 0)]
    status = await chooser.status(message_id)
    assert (status["deliverystatus"], status["read"], status["digitsMatched"]) == ("delivered", True, True)
    assert results(await check(chooser, message_id, missed.sender)) == [("used", 0)]


async def test_wrong_ones_are_counted_too(chooser: Doors) -> None:
    message_id = await rung(chooser)
    answers = [await check(chooser, message_id, "000000") for _ in range(4)]
    assert results(*answers) == [("wrong", 2), ("wrong", 1), ("wrong", 0), ("exhausted", 0)]


async def test_while_the_provider_is_silent_no_try_is_lost(chooser: Doors) -> None:
    message_id = await rung(chooser)

    async def silent(link: str, provider_id: str, typed: str) -> None:
        assert (link, typed, bool(provider_id)) == ("flashcall.sinch", "000000", True)

    chooser.replace_parts(dataclasses.replace(chooser.parts, check_digits=silent))
    assert (await check(chooser, message_id, "000000"))[:2] == (503, "UNAVAILABLE")
    assert (await chooser.status(message_id))["checksLeft"] == 3
