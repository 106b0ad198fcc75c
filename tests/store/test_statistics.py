"""Sums that grow with what happens: what each life of a message adds to them, and that no writer's share is lost."""

from collections.abc import Sequence
from contextlib import suppress

import pytest

from cascade.core.attempt import Accepted, Delivered, Rejected
from cascade.core.machine import (
    Begun,
    Cancelled,
    Claimed,
    DeadlinePassed,
    Event,
    ReceiptCame,
    Rescheduled,
    Settled,
    decide,
)
from cascade.core.message import Message
from cascade.core.receipt import ReceiptState
from cascade.core.route import Step
from cascade.core.words import Channel, MessageType, Reason
from cascade.store import ids, messages, statistics
from cascade.store.database import Database
from cascade.store.messages import Change, Key, NewMessage, Stored
from cascade.store.statistics import ALL, HOUR_MS, Kind, Tally

from .given import DAY_MS, T0, add, new

ACCOUNT = 7
TELEGRAM = Step(Channel.TELEGRAM_BOT, "telegram_bot.1", 60, cost_micros=0)
VIBER = Step(Channel.VIBER_BOT, "viber_bot.1", 60, cost_micros=2_000)
SMS = Step(Channel.SMS, "sms.smpp", None, cost_micros=50_000)
ROUTE = (TELEGRAM, VIBER, SMS)
ON_VIBER = {"viber_bot.1": "user"}
CLAIM = Claimed(T0 + 10, T0 + 60_000)


def settled(attempt: int, step: int, outcome: Accepted | Delivered | Rejected, at_ms: int = T0 + 20) -> Event:
    return Settled(at_ms, attempt, step, outcome, False)


def receipt(attempt: int, step: int, state: ReceiptState, at_ms: int = T0 + 2_500) -> Event:
    return ReceiptCame(at_ms, attempt, step, 0, state, None, None)


VIBER_TAKES_IT = (CLAIM, settled(1, 1, Accepted(("p1",))))
SILENCE = DeadlinePassed(T0 + DAY_MS // 2, False)
SMS_TAKES_IT = (CLAIM, settled(2, 2, Accepted(("p2",)), T0 + DAY_MS // 2 + 10))
LATE = receipt(1, 1, ReceiptState.DELIVERED, T0 + 2 * DAY_MS)

CASES: dict[str, tuple[Sequence[Event], dict[tuple[Kind, str, str], int]]] = {
    "delivered by the second channel: the way, the time and what an SMS would have cost": (
        (*VIBER_TAKES_IT, receipt(1, 1, ReceiptState.DELIVERED)),
        {
            (Kind.ACCEPTED, "", "promo"): 1,
            (Kind.MARK, "telegram_bot", "skipped:not_subscribed"): 1,
            (Kind.FLOW, "", "telegram_bot"): 1,
            (Kind.FLOW, "telegram_bot", "viber_bot"): 1,
            (Kind.FLOW, "viber_bot", "delivered"): 1,
            (Kind.MARK, "viber_bot", "accepted"): 1,
            (Kind.MARK, "viber_bot", "delivered"): 1,
            (Kind.COST, "viber_bot", ""): 2_000,
            (Kind.FINISHED, "viber_bot", "delivered"): 1,
            (Kind.BY_SMS, "", ""): 50_000,
            (Kind.INSTEAD, "", ""): 2_000,
            (Kind.DELAY, "viber_bot", "3"): 1,  # 2.5 s: the class up to 3 s
        },
    ),
    "a rejection moves it on, with the reason": (
        (CLAIM, settled(1, 1, Rejected(Reason.BLOCKED))),
        {
            (Kind.MARK, "viber_bot", "rejected:blocked"): 1,
            (Kind.FLOW, "viber_bot", "sms"): 1,
        },
    ),
    "silence everywhere: undeliverable, from the last channel": (
        (*VIBER_TAKES_IT, SILENCE, *SMS_TAKES_IT, receipt(2, 2, ReceiptState.FAILED, T0 + DAY_MS - 1)),
        {
            (Kind.FLOW, "viber_bot", "sms"): 1,
            (Kind.FLOW, "sms", "failed"): 1,
            (Kind.FINISHED, "", "undeliverable"): 1,
            (Kind.COST, "sms", ""): 50_000,
        },
    ),
    "a late receipt takes the failure back": (
        (*VIBER_TAKES_IT, SILENCE, *SMS_TAKES_IT, receipt(2, 2, ReceiptState.FAILED, T0 + DAY_MS - 1), LATE),
        {
            (Kind.FINISHED, "", "undeliverable"): 0,
            (Kind.FINISHED, "viber_bot", "delivered"): 1,
            (Kind.FLOW, "viber_bot", "delivered"): 1,
            (Kind.INSTEAD, "", ""): 52_000,
        },
    ),
    "what a failure alone proved costs on its channel, though the message had ended": (
        (
            CLAIM,
            DeadlinePassed(T0 + 60_000),
            SILENCE,
            *SMS_TAKES_IT,
            receipt(2, 2, ReceiptState.FAILED, T0 + DAY_MS - 1),
            ReceiptCame(T0 + DAY_MS, 1, 1, 0, ReceiptState.FAILED, is_proof=True),
        ),
        {
            (Kind.COST, "viber_bot", ""): 2_000,
            (Kind.COST, "sms", ""): 50_000,
            (Kind.MARK, "viber_bot", "failed"): 1,
        },
    ),
    "cancelled before it began": (
        (Cancelled(T0 + 5),),
        {(Kind.FLOW, "viber_bot", "cancelled"): 1, (Kind.FINISHED, "", "permanenterror"): 1},
    ),
    "given another hour, it goes its way once, and the wait for the hour is no time to delivery": (
        (
            Rescheduled(T0 + 5, T0 + DAY_MS),
            DeadlinePassed(T0 + DAY_MS, False),
            Claimed(T0 + DAY_MS, T0 + DAY_MS + 60_000),
            settled(1, 1, Accepted(("p1",)), T0 + DAY_MS + 10),
            receipt(1, 1, ReceiptState.DELIVERED, T0 + DAY_MS + 400),
        ),
        {
            (Kind.FLOW, "", "telegram_bot"): 1,
            (Kind.FLOW, "telegram_bot", "viber_bot"): 1,
            (Kind.FLOW, "viber_bot", "delivered"): 1,
            (Kind.DELAY, "viber_bot", "0"): 1,
        },
    ),
}


def lived(tally: Tally, events: Sequence[Event], account_id: int = ACCOUNT) -> None:
    """Let the tally hear of a message's acceptance and of all that these events made of it."""
    (id_,) = ids.new_ids(T0, 1)
    key = Key(account_id, id_)
    message, entries = decide(Message(MessageType.PROMO, ROUTE, T0 + DAY_MS, addresses=ON_VIBER), Begun(T0))
    tally.added([NewMessage(key, "order", "Shop", "+380501112233", "text", None, T0, message, entries)])
    for event in events:
        before = message._replace(addresses=ON_VIBER)
        message, entries = decide(before, event)
        tally.changed([Change(Stored(key, 0, "order", "+380501112233", before), message, entries, event.at_ms)])


def sums(tally: Tally) -> dict[tuple[Kind, str, str], int]:
    """By kind, channel and detail, whatever the hour: the money of kinds that count money, the number of others."""
    found: dict[tuple[Kind, str, str], int] = {}
    for (_, _, kind, channel, detail), (number, micros) in tally.take().sums.items():
        key = (Kind(kind), channel, detail)
        found[key] = found.get(key, 0) + (micros if key[0] in (Kind.COST, Kind.BY_SMS, Kind.INSTEAD) else number)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_life_adds(name: str) -> None:
    events, expected = CASES[name]
    tally = Tally()
    lived(tally, events)
    found = sums(tally)
    assert {key: found.get(key, 0) for key in expected} == expected
    assert all(number >= 0 for number in found.values())


async def test_each_account_and_all_of_them_have_their_sums(database: Database) -> None:
    delivered, _ = CASES["delivered by the second channel: the way, the time and what an SMS would have cost"]
    for account_id, times in ((1, 3), (2, 2)):
        tally = Tally()  # each as another node's
        for _ in range(times):
            lived(tally, delivered, account_id)
        async with database.transaction() as tx:
            await statistics.write(tx, tally.take())
    async with database.reading() as reader:
        for account_id, expected in ((1, 3), (2, 2), (ALL, 5), (3, 0)):
            found = await statistics.totals(reader, account_id, T0, T0 + HOUR_MS)
            by_viber = [one for one in found if (one.kind, one.channel) == (Kind.FINISHED, "viber_bot")]
            assert sum(one.number for one in by_viber) == expected
            days = await statistics.totals(reader, account_id, T0, T0 + HOUR_MS, by_days=True)
            assert sorted(days) == sorted(found)
            pulses = await statistics.pulses(reader, account_id, 0)
            assert sum(one.accepted for one in pulses) == expected


async def test_what_could_not_be_written_goes_with_the_next(database: Database) -> None:
    tally = Tally()
    lived(tally, ())
    taken = tally.take()
    lived(tally, ())
    tally.give_back(taken)
    async with database.transaction() as tx:
        await statistics.write(tx, tally.take())
    async with database.reading() as reader:
        found = await statistics.totals(reader, ACCOUNT, T0, T0 + HOUR_MS)
        assert {one.number for one in found if one.kind is Kind.ACCEPTED} == {2}
        assert [one.accepted for one in await statistics.pulses(reader, ACCOUNT, 0)] == [2]


async def test_only_what_was_committed_is_counted(database: Database) -> None:
    tally = Tally()
    database.observers.append(tally)
    with suppress(ZeroDivisionError):
        async with database.transaction() as tx:
            await messages.add(tx, [new(1)])
            raise ZeroDivisionError
    assert not tally
    await add(database, new(1), new(2))
    assert sums(tally)[Kind.ACCEPTED, "", "promo"] == 2


async def test_hours_of_long_ago_are_forgotten_and_days_are_not(database: Database) -> None:
    tally = Tally()
    lived(tally, ())
    long_after_ms = T0 + statistics.HOURS_KEPT_MS + 2 * HOUR_MS
    async with database.transaction() as tx:
        await statistics.write(tx, tally.take())
        await statistics.purge_hours(tx, [ACCOUNT], T0 + HOUR_MS)
        assert await statistics.totals(tx, ACCOUNT, T0, T0 + HOUR_MS)
        await statistics.purge_hours(tx, [ACCOUNT], long_after_ms)
        for account_id in (ACCOUNT, ALL):
            assert not await statistics.totals(tx, account_id, T0, T0 + HOUR_MS)
            assert await statistics.totals(tx, account_id, T0, T0 + HOUR_MS, by_days=True)
