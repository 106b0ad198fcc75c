"""What a client sees is the same on every engine's store."""

import asyncio

from .doors import AUTH, SEND, Doors, message


async def test_64_equal_keys_at_once_make_one_message_and_64_equal_answers(doors_of_each: Doors) -> None:
    doors, order = doors_of_each, message()
    keyed = AUTH | {"Idempotency-Key": "the same"}
    answers = await asyncio.gather(*(doors.call("POST", SEND, [order], headers=keyed) for _ in range(64)))
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert await doors.stored() == 1


async def test_64_batches_of_the_same_orders_in_either_order_store_each_once(doors_of_each: Doors) -> None:
    doors = doors_of_each
    orders = [message() for _ in range(20)]
    answers = await asyncio.gather(*(doors.send(*orders[:: 1 if n % 2 else -1]) for n in range(64)))
    found = [{one["trackinId"]: one["messageId"] for one in answer} for answer in answers]
    assert all(one == found[0] for one in found)
    assert await doors.stored() == len(orders)


async def test_a_message_reaches_a_phone_and_its_receipt_comes_back(city_of_each: Doors) -> None:
    await city_of_each.people(sms="delivers")
    status = await city_of_each.until(await city_of_each.send_one(), "delivered")
    assert status["deliverystatus"] == "delivered"
