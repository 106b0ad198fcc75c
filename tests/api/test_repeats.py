"""Doing it twice: a retry loop can never double-send."""

import asyncio
import dataclasses

import pytest

from cascade.store import receipts, repeats
from cascade.store.messages import Key
from cascade.store.receipts import LostAnswer

from .doors import AUTH, OTHER_KEY, SEND, Doors, message

KEYED = {**AUTH, "Idempotency-Key": "order-7"}
DAY_MS = 86_400_000


async def test_the_same_id_and_content_is_the_first_message_and_says_so(doors: Doors) -> None:
    order = message()
    first = await doors.call("POST", SEND, [order])
    again = await doors.call("POST", SEND, [dict(reversed(order.items()))])
    assert again.json == first.json
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await doors.stored() == 1


async def test_the_same_id_with_other_content_is_a_new_message(doors: Doors) -> None:
    (first,) = await doors.send(message(id="promo-001", text="Sale starts now!"))
    (second,) = await doors.send(message(id="promo-001", text="Sale ends now!"))
    assert first["messageId"] != second["messageId"]
    assert await doors.stored() == 2


async def test_the_same_text_with_another_id_is_a_real_repeat(doors: Doors) -> None:
    await doors.send(message(id="a"), message(id="b"))
    assert await doors.stored() == 2


async def test_twice_in_one_batch_is_one_message(doors: Doors) -> None:
    order = message()
    first, other, again = await doors.send(order, message(), order)
    assert first == again != other
    assert await doors.stored() == 2


async def test_a_batch_that_is_partly_a_repeat_stores_only_the_rest(doors: Doors) -> None:
    known, new = message(), message()
    (first,) = await doors.send(known)
    answer = await doors.call("POST", SEND, [known, new])
    assert answer.json[0] == first
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert await doors.stored() == 2


async def test_another_account_has_its_own_messages(doors: Doors) -> None:
    order = message()
    (ours,) = await doors.send(order)
    (theirs,) = await doors.send(order, headers={"X-Authorization-Key": OTHER_KEY})
    assert ours["messageId"] != theirs["messageId"]


async def test_the_other_endpoint_is_no_repeat(doors: Doors) -> None:
    order = message()
    await doors.send(order)
    await doors.send(order, path="/api/CascadeMessage/send_message/tg-viber/async")
    assert await doors.stored() == 2


async def test_after_a_day_it_is_a_new_message(doors: Doors) -> None:
    order = message()
    (first,) = await doors.send(order)
    parts = doors.parts
    doors.replace_parts(dataclasses.replace(parts, now_ms=lambda: parts.now_ms() + DAY_MS + 1))
    (second,) = await doors.send(order)
    (third,) = await doors.send(order)
    assert first["messageId"] != second["messageId"] == third["messageId"]


async def test_a_setting_of_zero_turns_it_off(doors: Doors) -> None:
    doors.replace_parts(dataclasses.replace(doors.parts, repeat_ms=0))
    order = message()
    await doors.send(order, order)
    assert await doors.stored() == 2


async def test_64_equal_requests_at_once_make_one_message_and_64_equal_answers(doors_of_each: Doors) -> None:
    doors, order = doors_of_each, message()
    answers = await asyncio.gather(*(doors.call("POST", SEND, [order]) for _ in range(64)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert await doors.stored() == 1


async def test_a_key_replays_the_whole_answer(doors: Doors) -> None:
    doors.replace_parts(dataclasses.replace(doors.parts, repeat_ms=0))  # or the ids alone would do it
    batch = [message(), message()]
    first = await doors.call("POST", SEND, batch, headers=KEYED)
    again = await doors.call("POST", SEND, batch, headers=KEYED)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await doors.stored() == 2


@pytest.mark.parametrize("path", [SEND, "/api/CascadeMessage/send_message/tg-viber/async"])
async def test_a_key_used_for_another_request_is_refused(doors: Doors, path: str) -> None:
    order = message()
    await doors.call("POST", SEND, [order], headers=KEYED)
    body = [message()] if path == SEND else [order]
    refused = await doors.call("POST", path, body, headers=KEYED)
    assert (refused.status, refused.error["code"], refused.error["field"]) == (400, "INVALID_FIELD", "Idempotency-Key")
    assert await doors.stored() == 1


async def test_a_key_of_a_refused_request_is_free(doors: Doors) -> None:
    bad = await doors.call("POST", SEND, [message(toPhone="0501112233")], headers=KEYED)
    good = await doors.call("POST", SEND, [message()], headers=KEYED)
    assert (bad.status, good.status) == (400, 200)


async def test_64_requests_at_once_with_one_key_get_one_answer(doors: Doors) -> None:
    doors.replace_parts(dataclasses.replace(doors.parts, repeat_ms=0))
    order = message()
    answers = await asyncio.gather(*(doors.call("POST", SEND, [order], headers=KEYED) for _ in range(64)))
    assert len({answer.body for answer in answers}) == 1
    assert await doors.stored() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_a_key_that_is_none_is_refused(doors: Doors, key: str) -> None:
    refused = await doors.call("POST", SEND, [message()], headers={**AUTH, "Idempotency-Key": key})
    assert (refused.status, refused.error["field"]) == (400, "Idempotency-Key")


async def test_what_is_too_old_is_forgotten_while_the_gateway_runs(doors: Doors) -> None:
    async with doors.gateway.database.transaction() as tx:
        await repeats.remember(tx, 1, [(bytes(16), bytes(16))], 0, 0)
        await repeats.begin_request(tx, 1, b"key", b"body", 0, 0)
        await receipts.add_lost(tx, [LostAnswer("sms.smpp", "380501112233", Key(1, b"id"), attempt=1, step=0, at_ms=0)])
    doors.gateway._purged_at_ms = 0
    await doors.gateway._purge()
    async with doors.gateway.database.reading() as reader:
        for table in ("recent_batch", "recent_request", "lost_answer"):
            assert await reader.rows(f"SELECT * FROM {table}") == []  # noqa: S608
