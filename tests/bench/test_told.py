"""When the chaos run calls a promise about webhooks broken, and when it does not."""

import time
from typing import Any

import orjson
import pytest
from standardwebhooks import Webhook

from bench.chaos import told
from bench.chaos.told import Broken, Told
from bench.chaos.verdict import Away
from cascade.core.secret import Secret
from cascade.core.signature import secret_of, sign

SECRET = secret_of(bytes(32))
OTHER = secret_of(bytes(31) + b"1")


def event(
    number: int, status: str = "delivered", *, type_: str | None = None, message: str = "m1"
) -> tuple[str, bytes]:
    data = {"messageId": message, "deliverystatus": status}
    return f"msg_{number:02d}", orjson.dumps({"type": type_ or f"message.{status}", "data": data})


def tell(one: Told, given: tuple[str, bytes], secret: Secret = SECRET) -> None:
    id_, body = given
    at_s = int(time.time())
    headers = {
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign([secret], id_, at_s, body),
    }
    one.take(headers, body)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Told:
    """It takes all that comes, and waits for nothing."""
    for share in "REFUSED_SHARE", "CUT_SHARE", "SLOW_SHARE":
        monkeypatch.setattr(told, share, 0.0)
    monkeypatch.setattr(told, "TOLD_S", 0.0)
    return Told(Webhook(SECRET.reveal()), 1)


async def broken(one: Told, away: Away = (), **statuses: Any) -> dict[Broken, int]:
    await one.until_told(statuses, away)
    return {what: count for what, count in one.broken.items() if count}


def status(word: str, *, is_read: bool = False, is_final: bool = True) -> dict[str, Any]:
    return {"deliverystatus": word, "read": is_read, "finishedAt": "1970-01-01T00:01:00.000Z" if is_final else None}


BEGUN = event(1, "processing")
MOVED = event(2, "processing", type_="message.fallback")
FAILED = event(3, "undeliverable")
ARRIVED = event(4)
READ = event(5, type_="message.read")

HISTORIES: dict[str, tuple[list[tuple[str, bytes]], dict[str, Any] | None, dict[Broken, int]]] = {
    # what came, the gateway's word -> what is broken
    "all of it, in order": ([BEGUN, MOVED, ARRIVED], status("delivered"), {}),
    "a late receipt changed the end": ([FAILED, ARRIVED, READ], status("delivered", is_read=True), {}),
    "the end never came": ([BEGUN, MOVED], status("delivered"), {Broken.UNTOLD: 1}),
    "another end came": ([FAILED], status("delivered"), {Broken.UNTOLD: 1}),
    "that it was read never came": ([ARRIVED], status("delivered", is_read=True), {Broken.UNTOLD: 1}),
    "nothing came of what is not final": ([], status("processing", is_final=False), {}),
    "nothing came of what is not there": ([], None, {}),
    "the second before the first": ([ARRIVED, MOVED], status("delivered"), {Broken.OUT_OF_ORDER: 1}),
    "the same twice with nothing dead": ([ARRIVED, ARRIVED], status("delivered"), {Broken.REPEATED: 1}),
    "another body under its id": (
        [event(4), event(4, type_="message.read")], status("delivered"), {Broken.CHANGED: 1, Broken.REPEATED: 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("came", "word", "expected"), HISTORIES.values(), ids=HISTORIES.keys())
async def test_what_is_broken(
    listener: Told, came: list[tuple[str, bytes]], word: dict[str, Any] | None, expected: dict[Broken, int]
) -> None:
    for one in came:
        tell(listener, one)
    assert await broken(listener, m1=word) == expected


async def test_a_kill_explains_a_repeat(listener: Told) -> None:
    tell(listener, ARRIVED)
    tell(listener, ARRIVED)
    now_ms = time.time_ns() // 1_000_000
    assert await broken(listener, [(now_ms - 500, now_ms + 500)], m1=status("delivered")) == {}
    assert listener.repeated == 1


async def test_a_signature_that_is_not_ours(listener: Told) -> None:
    tell(listener, ARRIVED, OTHER)
    assert await broken(listener, m1=status("delivered")) == {Broken.FORGED: 1}


async def test_nothing_may_come_behind_what_was_refused(listener: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "REFUSED_SHARE", 1.0)
    tell(listener, MOVED)
    monkeypatch.setattr(told, "REFUSED_SHARE", 0.0)
    tell(listener, ARRIVED)
    assert await broken(listener, m1=status("delivered")) == {Broken.OUT_OF_ORDER: 1}
