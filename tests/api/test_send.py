"""The send door: what is accepted, how it is answered, and what is then stored."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cascade.api.faults import ErrorCode

from .doors import AUTH, MAX_BATCH, PHONE, SEND, Doors, message

STANDARD = "/api/CascadeMessage/send_message"
PATHS = (f"{STANDARD}/async", STANDARD, f"{STANDARD}/tg-viber/async", f"{STANDARD}/tg-viber")


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_answers_with_ids_in_the_order_of_the_batch(doors: Doors, path: str) -> None:
    batch = [message(toPhone=f"+3805011122{number:02}") for number in range(MAX_BATCH)]
    answer = await doors.call("POST", path, batch)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert [set(sent) for sent in answer.json] == [{"messageId", "trackinId"}] * MAX_BATCH
    assert [sent["trackinId"] for sent in answer.json] == [one["id"] for one in batch]
    assert len({uuid.UUID(sent["messageId"]) for sent in answer.json}) == MAX_BATCH
    assert await doors.stored() == MAX_BATCH


async def test_both_routes_name_every_channel_of_the_contract_in_its_order(doors: Doors) -> None:
    for path in PATHS:
        status = await doors.status(await doors.send_one(path=path))
        assert list(status["extendedStatuses"]) == ["telegram_bot", "viber_bot", "viber_business", "rcs", "sms"]


async def test_the_envelope_of_the_public_example_is_accepted(doors: Doors) -> None:
    answer = await doors.call("POST", SEND, {"messages": [message(), message()]})
    assert (answer.status, len(answer.json)) == (200, 2)


async def test_a_clients_own_fields_are_ignored_and_named(doors: Doors) -> None:
    plain, extra = await doors.send(message(), message(customerData={"vip": True}, wheterCheckSession=False))
    assert "ignored" not in plain
    assert extra["ignored"] == ["customerData", "wheterCheckSession"]


BROKEN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "one bad phone among good ones": (
        [message(), message(toPhone="0501112233"), message()],
        {"code": "INVALID_PHONE", "message": "Invalid phone number format", "field": "toPhone", "index": 1},
    ),
    "a field left out": ([message(fromName=None)], {"code": "MISSING_FIELD", "field": "fromName", "index": 0}),
    "a mistyped field": ([message(scheduledSend="now")], {"code": "UNKNOWN_FIELD", "field": "scheduledSend"}),
    "no message at all": ([], {"code": "BATCH_EMPTY"}),
    "too many messages": ([message()] * (MAX_BATCH + 1), {"code": "BATCH_TOO_LARGE"}),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_batch_with_a_fault_is_refused_whole(doors: Doors, case: str) -> None:
    batch, error = BROKEN[case]
    answer = await doors.call("POST", SEND, batch)
    assert answer.status == 400
    assert answer.error.items() >= error.items()
    assert await doors.stored() == 0


async def test_every_fault_of_the_batch_is_told_at_once_with_its_place(doors: Doors) -> None:
    batch = [message(toPhone="380501112233", ttl=0), message(), message(messageType="fax"), message(text=None)]
    error = (await doors.call("POST", SEND, batch)).error
    faults = [error, *error["details"]]
    assert [(fault["index"], fault["field"], fault["code"]) for fault in faults] == [
        (0, "toPhone", ErrorCode.INVALID_PHONE),
        (0, "ttl", ErrorCode.INVALID_TTL),
        (2, "messageType", ErrorCode.INVALID_MESSAGE_TYPE),
        (3, "text", ErrorCode.TEXT_REQUIRED),
    ]


async def test_a_scheduled_message_waits_for_its_hour(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    later = await city.send_one(scheduledSent=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    past = await city.send_one(scheduledSent="2025-01-25T10:00:00Z")
    await city.until(past, "delivered")
    status = await city.status(later)
    assert (status["deliverystatus"], status["attempts"]) == ("scheduled", [])


async def test_a_flash_call_is_never_sent_as_a_text(city: Doors) -> None:
    await city.people(PHONE, telegram_bot="delivers", viber_bot="delivers", sms="delivers")
    status = await city.status(await city.send_one(messageType="flashcall", text=None))
    assert status["deliverystatus"] == "permanenterror"
    assert status["extendedStatuses"] == {"flashcall": "skipped"}
    assert city.sandbox is not None
    assert city.sandbox.people.look(PHONE).inbox == []


async def test_a_repeat_gets_the_first_answer_and_is_not_sent_again(city: Doors) -> None:
    await city.people(PHONE, sms="delivers")
    one = message()
    first = await city.call("POST", SEND, [one])
    await city.until(first.json[0]["messageId"], "delivered")
    again = await city.call("POST", SEND, [one])
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await city.stored() == 1


async def test_the_same_id_with_other_content_is_another_message(doors: Doors) -> None:
    sent = await doors.send(message(id="promo-001", text="Sale"), message(id="promo-001", text="Sale ends"))
    assert len({one["messageId"] for one in sent}) == await doors.stored() == 2


async def test_requests_at_once_are_all_stored(doors: Doors) -> None:
    answers = await asyncio.gather(*(doors.send(message(), message()) for _ in range(30)))
    ids = {sent["messageId"] for answer in answers for sent in answer}
    assert len(ids) == await doors.stored() == 60


async def test_accepted_messages_are_counted(doors: Doors) -> None:
    before = await doors.metric("cascade_messages_accepted_total")
    await doors.send(message(), message())
    assert await doors.metric("cascade_messages_accepted_total") - before == 2


async def test_an_idempotency_key_makes_a_whole_request_repeatable(doors: Doors) -> None:
    headers = AUTH | {"Idempotency-Key": "k1"}
    batch = [message(), message()]
    first = await doors.call("POST", SEND, batch, headers=headers)
    again = await doors.call("POST", SEND, batch, headers=headers)
    other = await doors.call("POST", SEND, [message()], headers=headers)
    assert (first.status, again.status, other.status) == (200, 200, 400)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await doors.stored() == 2


async def test_a_query_that_says_two_things_is_refused(doors: Doors) -> None:
    answer = await doors.call("POST", f"{SEND}?validate=true&validate=false", [message()])
    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "INVALID_FIELD", "validate")
    assert await doors.stored() == 0


async def test_a_mistyped_query_is_refused_since_it_would_send_for_real(doors: Doors) -> None:
    answer = await doors.call("POST", f"{SEND}?validte=true", [message()])
    assert (answer.status, answer.error["code"], answer.error["field"]) == (400, "UNKNOWN_FIELD", "validte")
    assert await doors.stored() == 0
