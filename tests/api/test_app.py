"""Whatever goes wrong is answered in the contract's shape, and says nothing of our insides."""

import dataclasses
import sqlite3
from typing import Any

import orjson
import pytest

from cascade.api.faults import ErrorCode

from .doors import AUTH, SEND, TELEGRAM, Doors, message

UNKNOWN = "/bat/message/0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b"
REFUSED: dict[str, tuple[str, str, bytes | None, dict[str, str], int, str]] = {
    # method, path, body, headers, status, code
    "no JSON": ("POST", SEND, b"[{", AUTH, 400, "INVALID_JSON"),
    "no body": ("POST", SEND, None, AUTH, 400, "INVALID_JSON"),
    "not UTF-8": ("POST", SEND, b'["\xff"]', AUTH, 400, "INVALID_JSON"),
    "a number": ("POST", SEND, b"1", AUTH, 400, "INVALID_JSON"),
    "one message without its array": ("POST", SEND, orjson.dumps(message()), AUTH, 400, "INVALID_JSON"),
    "nested without end": ("POST", SEND, b"[" * 60_000, AUTH, 400, "INVALID_JSON"),
    "no credential": ("POST", SEND, b"[]", {}, 401, "UNAUTHORIZED"),
    "unknown message": ("GET", UNKNOWN, None, AUTH, 404, "NOT_FOUND"),
    "unknown path": ("GET", "/api/CascadeMessage", None, AUTH, 404, "NOT_FOUND"),
    "unknown path with odd signs": ("GET", "/%00/%FF/..%2f", None, AUTH, 404, "NOT_FOUND"),
    "wrong method": ("GET", SEND, None, AUTH, 405, "NOT_FOUND"),
    "wrong method for a status": ("DELETE", UNKNOWN, None, AUTH, 405, "NOT_FOUND"),
    "unknown bot": ("POST", "/api/tg_bot/9:x", b"[]", AUTH, 404, "NOT_FOUND"),
    "subscribers that are no JSON": ("POST", f"/api/tg_bot/{TELEGRAM}", b"{", AUTH, 400, "INVALID_JSON"),
    "callback for nobody": ("POST", "/callbacks/nobody", b"{}", {}, 404, "NOT_FOUND"),
}


@pytest.fixture
def broken(doors: Doors) -> Doors:
    """A gateway with a bug that any send meets."""

    def now_ms() -> int:
        raise RuntimeError("the clock fell off the wall at +380501112233")

    doors.replace_parts(dataclasses.replace(doors.parts, now_ms=now_ms))
    return doors


async def test_every_refusal_has_the_contracts_shape(doors: Doors) -> None:
    for case, (method, path, raw, headers, status, code) in REFUSED.items():
        answer = await doors.call(method, path, raw=raw, headers=headers)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), case
        assert set(answer.json) == {"error"}, case
        assert answer.error["code"] == code == ErrorCode(code), case
        assert answer.error["message"], case


async def test_a_wrong_method_is_told_the_right_one(doors: Doors) -> None:
    answer = await doors.call("GET", SEND)
    assert answer.headers["Allow"] == "POST"
    assert answer.error["message"] == "GET is not for this path: POST is"


async def test_a_wrong_path_is_told_where_the_right_ones_are(doors: Doors) -> None:
    assert "/docs" in (await doors.call("GET", "/v1/message")).error["message"]


async def test_refusals_are_counted_by_their_code(doors: Doors) -> None:
    sample = 'cascade_requests_refused_total{code="UNAUTHORIZED"}'
    before = await doors.metric(sample)
    await doors.call("POST", SEND, [message()], headers={})
    assert await doors.metric(sample) - before == 1


async def test_a_bug_of_ours_is_a_request_id_and_no_stack_trace(broken: Doors) -> None:
    answer = await broken.call("POST", SEND, [message()])
    other = await broken.call("POST", SEND, [message()])
    assert answer.status == 500
    assert answer.error["code"] == "INTERNAL_ERROR"
    assert set(answer.error) == {"code", "message", "field", "index", "details"}  # as of every other error
    assert answer.json["requestId"] != other.json["requestId"]
    for word in (b"Traceback", b"RuntimeError", b"clock", b"380501112233", b".py"):
        assert word not in answer.body


async def test_a_bug_in_one_request_leaves_the_others_alone(broken: Doors) -> None:
    await broken.call("POST", SEND, [message()])
    assert (await broken.call("GET", "/health/live")).status == 200


def break_store(doors: Doors) -> None:
    """Take a table away behind the gateway's back: every statement about messages fails from now on."""
    with sqlite3.connect(doors.gateway.settings.store.path) as connection:
        connection.execute("ALTER TABLE message RENAME TO gone")
    connection.close()


def mend_store(doors: Doors) -> None:
    with sqlite3.connect(doors.gateway.settings.store.path) as connection:
        connection.execute("ALTER TABLE gone RENAME TO message")
    connection.close()


async def test_while_the_store_is_away_every_door_says_when_to_come_again(doors: Doors) -> None:
    break_store(doors)
    calls: dict[str, tuple[str, str, Any]] = {
        "sending": ("POST", SEND, [message()]),
        "reading": ("GET", UNKNOWN, None),
    }
    for case, (method, path, body) in calls.items():
        answer = await doors.call(method, path, body)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), case
        assert answer.error["code"] == "UNAVAILABLE", case
    mend_store(doors)
    assert await doors.stored() == 0
    assert (await doors.call("POST", SEND, [message()])).status == 200


async def test_a_slash_at_the_end_of_a_path_changes_nothing(doors: Doors) -> None:
    """Not even by a redirect: PHP's curl follows none, and behind a proxy it would lead to http, with the key."""
    (sent,) = await doors.send(message(), path=f"{SEND}/")
    status = await doors.call("GET", f"/bat/message/{sent['messageId']}/")
    assert (status.status, status.json["messageId"]) == (200, sent["messageId"])
    calls: dict[str, tuple[str, str, Any]] = {
        "with a query": ("POST", f"{SEND}/?validate=true", [message()]),
        "variables": ("POST", "/api/items/", {"variables": [{"id": 1, "type": "name", "value": "Ann"}]}),
        "a subscriber": ("POST", f"/api/tg_bot/{TELEGRAM}/", {"id": 1, "phone": "+380501112233"}),
        "a list": ("GET", "/v1/messages/?limit=1", None),
    }
    for case, (method, path, body) in calls.items():
        assert (await doors.call(method, path, body)).status == 200, case
    assert (await doors.call("GET", "/bat/message/")).status == 404
