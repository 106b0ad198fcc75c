"""What every client does with the answers of a gateway, whatever language it is written in."""

import inspect
import os
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from bench.ports import free_ports
from cascade.client import AsyncCascadeMessenger, CascadeError, CascadeMessenger, InvalidRequestError

from .far_end import HANGS_UP, FarEnd, Says, far_end
from .speakers import Ask, Refusal, awaited, plain

PYTHON = pytest.mark.parametrize("ask", [plain, awaited])
NOBODY = f"http://127.0.0.1:{free_ports(1)}"


def message(number: int, **more: object) -> dict[str, object]:
    return {"id": f"m-{number}", "fromName": "Acme", "toPhone": "+380501112233", "messageType": "promo", **more}


def accepted(first: int, count: int) -> Says:
    return Says(body=[{"messageId": f"id-{first + n}", "trackinId": f"m-{first + n}"} for n in range(count)])


def sizes(end: FarEnd) -> list[int]:
    return [len(asked.json) for asked in end.asked]


def test_one_message_goes_out_as_the_contract_writes_it(ask: Ask) -> None:
    whole = message(1, text="Привіт/1", ttl=60, scheduledSent="2026-12-01T10:00:00Z", maxCost="0.050", tags=["a"])
    with far_end([accepted(1, 1)]) as end:
        assert ask(end.url, "send_message", message=whole) == {"messageId": "id-1", "trackinId": "m-1"}
    (asked,) = end.asked
    assert (asked.method, asked.path) == ("POST", "/api/CascadeMessage/send_message/async")
    assert asked.json == [whole]
    assert asked.headers["x-authorization-key"] == "acme-key"
    assert asked.headers["content-type"] == "application/json"
    assert re.fullmatch(r"cascade-(python|javascript|php)/[0-9.]+", asked.headers["user-agent"])


def test_both_bots_first(ask: Ask) -> None:
    with far_end([accepted(1, 1)]) as end:
        ask(end.url, "send_telegram_viber", message=message(1, text="Hi"))
    assert end.asked[0].path == "/api/CascadeMessage/send_message/tg-viber/async"


@PYTHON
def test_times_and_money_are_written_for_you(ask: Ask) -> None:
    zoned = datetime(2026, 12, 1, 10, 0, tzinfo=timezone(timedelta(hours=2)))
    local = datetime(2026, 12, 1, 10, 0)  # noqa: DTZ001 - what is tested
    with far_end([accepted(1, 1), accepted(2, 1)]) as end:
        ask(end.url, "send_message", message=message(1, text="Hi", scheduledSent=zoned, maxCost=Decimal("0.050")))
        ask(end.url, "send_message", message=message(2, text="Hi", scheduledSent=local))
    first, second = (asked.json[0] for asked in end.asked)
    assert (first["scheduledSent"], first["maxCost"]) == ("2026-12-01T10:00:00+02:00", "0.050")
    assert re.search(r"[+-]\d\d:\d\d$", second["scheduledSent"])
    assert datetime.fromisoformat(second["scheduledSent"]) == local.astimezone()


def test_any_number_goes_in_requests_of_a_thousand(ask: Ask) -> None:
    with far_end([accepted(0, 1000), accepted(1000, 1000), accepted(2000, 500)]) as end:
        sent = ask(end.url, "send_bulk", messages=[message(number) for number in range(2500)])
    assert sizes(end) == [1000, 1000, 500]
    assert [one["trackinId"] for one in sent] == [f"m-{number}" for number in range(2500)]
    assert len({asked.headers["idempotency-key"] for asked in end.asked}) == 3


def test_long_texts_go_in_requests_that_the_gateway_takes(ask: Ask) -> None:
    texts = [message(number, text="€" * 4096) for number in range(1100)]
    with far_end([accepted(0, 1), accepted(1, 1)]) as end:
        ask(end.url, "send_bulk", messages=texts)
    assert sum(sizes(end)) == 1100
    assert max(len(asked.body) for asked in end.asked) <= 8 * 1024 * 1024 + 2
    assert sizes(end)[0] < 1000


def test_nothing_is_nothing(ask: Ask) -> None:
    assert ask(NOBODY, "send_bulk", messages=[]) == []
    assert ask(NOBODY, "statuses", tracking_ids=[]) == {}


TRIED_AGAIN = {
    "hung up": HANGS_UP,
    "throttled": Says(429, {"error": {"code": "RATE_LIMITED", "message": "wait"}}, {"Retry-After": "0"}),
    "store away": Says(503, {"error": {"code": "UNAVAILABLE", "message": "wait"}}, {"Retry-After": "0"}),
    "its fault": Says(500, {"error": {"code": "INTERNAL_ERROR", "message": "ours"}, "requestId": "r-1"}),
    "a proxy's page": Says(502, b"<html>Bad Gateway</html>"),
    "a page instead of an answer": Says(200, b"<html>Welcome</html>"),
}


@pytest.mark.parametrize("case", TRIED_AGAIN)
def test_a_send_is_tried_again_under_the_same_key(case: str, ask: Ask) -> None:
    with far_end([TRIED_AGAIN[case], accepted(1, 1)]) as end:
        assert ask(end.url, "send_bulk", messages=[message(1)])[0]["messageId"] == "id-1"
    first, second = end.asked
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_what_may_not_happen_twice_is_not_tried_again(ask: Ask) -> None:
    with far_end([HANGS_UP]) as end:
        refusal = ask(end.url, "add_webhook", to="https://shop.example/hook")
    assert (refusal.kind, refusal.is_unsent) == ("Unreachable", False)
    assert refusal.message.startswith(f"no answer from {end.url}")
    assert len(end.asked) == 1


def test_given_up_in_the_end(ask: Ask) -> None:
    with far_end([TRIED_AGAIN["its fault"]] * 3) as end:
        refusal = ask(end.url, "send_bulk", messages=[message(1)])
    assert len(end.asked) == 3
    assert (refusal.kind, refusal.status, refusal.code, refusal.request_id) == ("Server", 500, "INTERNAL_ERROR", "r-1")


def test_nobody_there(ask: Ask) -> None:
    refusal = ask(NOBODY, "channels")
    assert (refusal.kind, refusal.is_unsent) == ("Unreachable", True)


STATUSES = {
    400: "InvalidRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    418: "Api",
    429: "RateLimited",
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_is_an_error_of_its_kind(status: int, ask: Ask) -> None:
    detail = {"code": "INVALID_ID", "message": "no", "field": "id", "index": 0}
    error = {"code": "SOME_CODE", "message": "Mend it", "field": "toPhone", "index": 0, "details": [detail]}
    with far_end([Says(status, {"error": error}, {"Retry-After": "3600"})]) as end:
        refusal = ask(end.url, "send_bulk", messages=[message(1)])
    assert refusal == Refusal(
        STATUSES[status],
        "SOME_CODE: Mend it (message 0), and 1 more",
        status,
        "SOME_CODE",
        "toPhone",
        0,
        [detail],
        3600,
        None,
        [],
        None,
    )


def test_a_fault_is_found_by_its_place_in_the_whole_list(ask: Ask) -> None:
    detail = {"code": "INVALID_ID", "message": "no", "field": "id", "index": 9}
    error = {"code": "INVALID_PHONE", "message": "no", "field": "toPhone", "index": 7, "details": [detail]}
    with far_end([accepted(0, 1000), Says(400, {"error": error})]) as end:
        refusal = ask(end.url, "send_bulk", messages=[message(number) for number in range(1100)])
    assert (refusal.place, refusal.details[0]["index"]) == (1007, 1009)
    assert [one["messageId"] for one in refusal.sent] == [f"id-{number}" for number in range(1000)]


def test_the_good_ones_of_a_bulk_are_sent(ask: Ask) -> None:
    error = {"code": "INVALID_PHONE", "message": "no", "field": "toPhone", "index": 0, "details": []}
    with far_end([accepted(0, 1000), Says(body=[{"trackinId": "m-1000", "error": error}])]) as end:
        told = ask(end.url, "send_partial", messages=[message(number) for number in range(1001)])
    assert told[999]["messageId"] == "id-999"
    assert (told[1000]["trackinId"], told[1000]["error"]["index"]) == ("m-1000", 1000)
    assert {asked.path.partition("?")[2] for asked in end.asked} == {"partial=true"}


def test_a_preview_sends_nothing(ask: Ask) -> None:
    with far_end([Says(body=[{"trackinId": "m-1", "steps": []}])]) as end:
        assert ask(end.url, "preview", messages=[message(1)]) == [{"trackinId": "m-1", "steps": []}]
    assert end.asked[0].path.partition("?")[2] == "validate=true&partial=true"


def test_the_same_key_names_the_same_requests(ask: Ask) -> None:
    with far_end([accepted(0, 1000), accepted(1000, 1)]) as end:
        ask(end.url, "send_bulk", messages=[message(number) for number in range(1001)], under="spring")
    assert [asked.headers["idempotency-key"] for asked in end.asked] == ["spring.0", "spring.1"]


def test_a_list_is_read_page_by_page(ask: Ask) -> None:
    pages = [
        Says(body={"messages": [{"messageId": "a"}], "nextCursor": "c/1"}),
        Says(body={"messages": [{"messageId": "b"}], "nextCursor": None}),
    ]
    since = "2026-12-01T00:00:00+02:00"
    with far_end(pages) as end:
        assert [one["messageId"] for one in ask(end.url, "messages", since=since, tag="spring")] == ["a", "b"]
    assert end.asked[0].path == "/v1/messages?from=2026-12-01T00%3A00%3A00%2B02%3A00&tag=spring&limit=500"
    assert end.asked[1].path.endswith("&cursor=c%2F1")


def test_look_ups_go_in_requests_of_a_thousand(ask: Ask) -> None:
    answers = [
        Says(body={"messages": [{"messageId": "a", "trackinId": "m-0"}], "unknown": []}),
        Says(body={"messages": [{"messageId": "b", "trackinId": "m-1000"}], "unknown": []}),
    ]
    with far_end(answers) as end:
        found = ask(end.url, "statuses", tracking_ids=[f"m-{number}" for number in range(1001)])
    assert {id_: one["messageId"] for id_, one in found.items()} == {"m-0": "a", "m-1000": "b"}
    assert [len(asked.json["trackinIds"]) for asked in end.asked] == [1000, 1]


def test_a_filter_that_does_not_exist_is_refused_here(ask: Ask) -> None:
    refusal = ask(NOBODY, "unknown_filter")
    assert refusal.kind in ("Type", "InvalidArgument")
    assert "there is no filter 'from_'" in refusal.message


def test_an_id_cannot_leave_its_place_in_the_path(ask: Ask) -> None:
    with far_end([Says(body={"messageId": "x"})]) as end:
        ask(end.url, "status", id="../../metrics?x=1")
    assert end.asked[0].path == "/v1/messages/..%2F..%2Fmetrics%3Fx%3D1"


REFUSED_HERE: dict[str, tuple[str | None, str, str]] = {
    "no key": ("", "http://127.0.0.1:9", "there is no key"),
    "a key with a line feed": ("k\nX: y", "http://127.0.0.1:9", "holds signs that no key has"),
    "no URL": ("k", "gateway.example", "is no URL of a gateway"),
}


@pytest.mark.parametrize("kind", [CascadeMessenger, AsyncCascadeMessenger])
@pytest.mark.parametrize("case", REFUSED_HERE)
def test_a_client_that_could_not_work_is_not_made(case: str, kind: Any) -> None:
    key, url, words = REFUSED_HERE[case]
    with pytest.raises(CascadeError, match=words):
        kind(key, url)


def test_the_environment_says_where_and_who(monkeypatch: pytest.MonkeyPatch) -> None:
    with far_end([Says(body={"channels": []})]) as end:
        monkeypatch.setitem(os.environ, "CASCADE_URL", f"{end.url}/")
        monkeypatch.setitem(os.environ, "CASCADE_KEY", "of-the-environment")
        with CascadeMessenger() as messenger:
            assert messenger.channels() == []
    assert end.asked[0].headers["x-authorization-key"] == "of-the-environment"


def test_an_error_shows_no_key() -> None:
    with (
        far_end([Says(400, {"error": {"code": "INVALID_ID", "message": "no"}})]) as end,
        CascadeMessenger("acme-key", end.url) as messenger,
        pytest.raises(InvalidRequestError) as caught,
    ):
        messenger.send_bulk([message(1)])
    assert "acme-key" not in f"{caught.value!r} {vars(caught.value)} {messenger!r} {vars(messenger)}"


def test_both_python_messengers_have_the_same_calls() -> None:
    def calls(kind: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [(one.name, one.default, one.annotation) for one in inspect.signature(member).parameters.values()]
            for name, member in vars(kind).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    assert calls(CascadeMessenger) == calls(AsyncCascadeMessenger)
