"""What is handed over as it is accepted: what nothing waits before goes out without a claim, and nobody loses by it."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count, islice

import pytest
from structlog.testing import capture_logs

from cascade.core.attempt import Attempt, NotSent, Outcome, Retry
from cascade.core.content import Content
from cascade.core.errors import StoreUnavailableError
from cascade.core.message import Message, State, Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.engine.breaker import THRESHOLD
from cascade.engine.dispatcher import LARGEST_CLAIM, LEASE_MS, Dispatcher
from cascade.store import messages
from cascade.store.database import Transaction, Wakes
from cascade.store.messages import Change, NewMessage
from store.given import DAY_MS, SMS, T0, VIBER, load, new, phone, queued, urgent

from .running import Engine, eventually
from .transport import FakeTransport, accept

LINK = "sms.smpp"


def dispatcher(engine: Engine) -> Dispatcher:
    return engine.worker._dispatchers[LINK]


async def start(engine: Engine, sms: FakeTransport, rate_per_s: float | None = None, **others: FakeTransport) -> None:
    """Until it is known what waits."""
    rates = {} if rate_per_s is None else {"sms": rate_per_s}
    await engine.start(rates=rates, address_rates=None, sms=sms, **others)
    await eventually(lambda: dispatcher(engine)._knows_lanes)


def numbers_of(tx: Transaction) -> list[int]:
    """What is handed over once this is committed."""
    assert isinstance(tx, Wakes)
    return [int.from_bytes(one.stored.key.id, "big") for _, claimed in tx.forwarded for one in claimed]


async def handed(engine: Engine, *given: NewMessage) -> list[int]:
    """Add these; those that were handed over."""
    async with engine.store.transaction() as tx:
        await messages.add(tx, given)
    return numbers_of(tx)


def down(attempt: Attempt) -> Outcome:
    return Retry(Reason.PROVIDER_DOWN, after_s=600)


# What is handed over


async def test_what_nothing_waits_before_is_stored_as_claimed_and_sent(engine: Engine) -> None:
    sms = FakeTransport()
    await start(engine, sms)
    assert await handed(engine, new(1, urgent())) == [1]
    stored = await load(engine.store, 1)
    as_claimed = {"state": State.SENDING, "attempt": 1, "tries": 1, "deadline_at_ms": T0 + LEASE_MS}
    assert (stored.fence, stored.message) == (1, urgent(status=Status.PROCESSING, **as_claimed))
    await eventually(lambda: len(sms.open) == 1)
    assert sms.open == [
        Attempt(1, new(1).key.id, 1, phone(1), "Shop", MessageType.TRANSACTION, Content("text 1"), DAY_MS // 1000)
    ]
    sms.settle_all(accept)
    await engine.until_state(1, State.WAITING)
    assert await engine.entries(1) == [(Mark.ACCEPTED, 1, None)]


async def test_it_says_all_that_a_channel_needs(engine: Engine) -> None:
    """Also where messages that begin alike have addresses and contents of their own."""
    viber = FakeTransport(Channel.VIBER_BOT)
    await start(engine, FakeTransport(), viber=viber)
    given = [queued(route=(VIBER, SMS), address=address) for address in ("abc=", "xyz=")]
    first = new(1, given[0])._replace(sender="Крамниця", extras='{"options":["так"]}')
    assert await handed(engine, first, new(2, given[1])) == [1, 2]
    await eventually(lambda: len(viber.open) == 2)
    assert [(attempt.address, attempt.sender, attempt.content) for attempt in viber.open] == [
        ("abc=", "Крамниця", Content("text 1", ("так",))),
        ("xyz=", "Shop", Content("text 2")),
    ]


async def test_of_a_batch_as_much_as_there_is_room_for(engine: Engine) -> None:
    sms = FakeTransport(window=3)
    await start(engine, sms)
    assert await handed(engine, *(new(number) for number in range(10))) == [0, 1, 2]
    await eventually(lambda: sms.numbers == [0, 1, 2])
    health = engine.worker.link_health()[LINK]
    assert (health.in_flight, health.room) == (3, 0)


async def test_no_more_at_once_than_a_claim_would_take(engine: Engine) -> None:
    await start(engine, FakeTransport(window=2 * LARGEST_CLAIM))
    given = [new(number) for number in range(LARGEST_CLAIM + 1)]
    assert await handed(engine, *given) == list(range(LARGEST_CLAIM))


async def test_what_falls_due_later_is_not_waited_for(engine: Engine) -> None:
    await start(engine, FakeTransport())
    assert await handed(engine, new(1, queued(due_at_ms=T0 + 5_000))) == []
    assert await handed(engine, new(2)) == [2]


async def test_what_could_not_leave_goes_back_to_its_lane(engine: Engine) -> None:
    sms = FakeTransport(window=1)
    await start(engine, sms)
    assert await handed(engine, new(1)) == [1]
    await eventually(lambda: len(sms.open) == 1)
    sms.settle(sms.open[0], NotSent())
    await eventually(lambda: len(sms.attempts) == 2)
    assert [attempt.number for attempt in sms.attempts] == [1, 1]


# What is not

NOT: dict[str, tuple[FakeTransport, Message]] = {
    "the link is not connected": (FakeTransport(window=0), queued()),
    "it is due later": (FakeTransport(), queued(due_at_ms=T0 + 1)),
    "its step is over": (FakeTransport(), queued(step_ends_at_ms=T0)),
    "nobody serves its link": (FakeTransport(), queued(route=(VIBER,))),
}


@pytest.mark.parametrize(("sms", "message"), NOT.values(), ids=NOT.keys())
async def test_it_waits_in_its_lane_when(engine: Engine, sms: FakeTransport, message: Message) -> None:
    await start(engine, sms)
    assert await handed(engine, new(1, message)) == []
    stored = await load(engine.store, 1)
    assert (stored.fence, stored.message) == (0, message)


async def test_nothing_before_it_is_known_what_waits(engine: Engine) -> None:
    sms = FakeTransport(answer=accept)
    await engine.add(new(1))
    await engine.start(sms=sms)
    assert await handed(engine, new(2)) == []
    await eventually(lambda: sms.numbers == [1, 2])


async def test_nothing_while_the_breaker_is_open(engine: Engine) -> None:
    sms = FakeTransport(answer=down)
    await start(engine, sms)
    await engine.add(*(new(number) for number in range(THRESHOLD)))
    await eventually(lambda: engine.worker.link_health()[LINK].is_open)
    assert await handed(engine, new(100)) == []


async def test_nothing_after_a_stop(engine: Engine) -> None:
    await start(engine, FakeTransport())
    await engine.stop()
    assert await handed(engine, new(1)) == []


async def test_a_fault_of_a_links_code_refuses_no_message(engine: Engine) -> None:
    class Dying(FakeTransport):
        def room(self) -> int:
            if self.is_dying:
                raise ZeroDivisionError("a fault")
            return super().room()

        is_dying = False

    sms = Dying()
    await start(engine, sms)
    sms.is_dying = True
    with capture_logs() as logs:
        assert await handed(engine, new(1)) == []
    sms.is_dying = False
    assert "handing_over_failed" in [entry["event"] for entry in logs]
    await eventually(lambda: sms.numbers == [1])


# Order


async def test_nothing_overtakes_its_lane(engine: Engine) -> None:
    sms = FakeTransport(window=2)
    await start(engine, sms)
    await engine.add(*(new(number) for number in range(4)))
    sms.settle_all(accept)  # there is room again, and those that wait are not claimed yet
    assert await handed(engine, new(4)) == []


async def test_nor_what_is_only_being_stored(engine: Engine) -> None:
    sms = FakeTransport(window=2)
    await start(engine, sms)
    async with engine.store.transaction() as tx:
        await messages.add(tx, [new(1), new(2), new(3)])
        sms.widen(10)
        await messages.add(tx, [new(4)])
    assert numbers_of(tx) == [1, 2]


async def test_nor_what_comes_back_to_its_lane(engine: Engine) -> None:
    sms = FakeTransport(window=0)
    await start(engine, sms)
    await engine.add(new(1, queued(route=(VIBER, SMS), address="abc=")))
    stored = await load(engine.store, 1)
    async with engine.store.transaction() as tx:
        sms.widen(10)
        moved = stored.message._replace(step=1, link=LINK, address=None)
        await messages.change(tx, [Change(stored, moved, [], T0)])
        await messages.add(tx, [new(2)])
    assert numbers_of(tx) == []
    await eventually(lambda: sms.numbers == [1, 2])


async def test_a_lane_keeps_its_order_whatever_comes_how(engine: Engine) -> None:
    chance = random.Random(1)
    sms = FakeTransport(window=7, answer=accept)
    await start(engine, sms)
    numbers = iter(range(1_000))
    adding = []
    while batch := [new(number) for number in islice(numbers, chance.choice((1, 1, 1, 5, 30)))]:
        adding.append(asyncio.create_task(engine.add(*batch)))
        if chance.random() < 0.3:
            await asyncio.gather(*adding)
    await asyncio.gather(*adding)
    await eventually(lambda: len(sms.attempts) == 1_000)
    assert sms.numbers == list(range(1_000))


# What is not stored, and what is not sent


async def test_what_is_undone_is_not_sent_and_leaves_its_room(engine: Engine) -> None:
    sms = FakeTransport(window=3)
    await start(engine, sms, rate_per_s=3.0)

    async def fail() -> None:
        async with engine.store.transaction() as tx:
            await messages.add(tx, [new(number) for number in range(3)])
            raise ZeroDivisionError

    for _ in range(3):
        # The second one of a group is undone by itself.
        ends = await asyncio.gather(fail(), fail(), return_exceptions=True)
        assert [type(end) for end in ends] == [ZeroDivisionError] * 2
    assert (sms.attempts, engine.worker.link_health()[LINK].room) == ([], 3)
    assert await handed(engine, *(new(number) for number in range(3))) == [0, 1, 2]


async def test_so_does_what_a_failed_commit_takes_back(engine: Engine) -> None:
    sms = FakeTransport(window=3)
    await start(engine, sms)
    writer = engine.store._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    large = new(2)._replace(text="large" * 10_000)
    ends = await asyncio.gather(engine.add(new(1)), engine.add(large), return_exceptions=True)
    writer.execute("PRAGMA max_page_count = 1000000")
    assert [type(end) for end in ends] == [StoreUnavailableError] * 2
    await eventually(lambda: engine.worker.link_health()[LINK].room == 3)
    assert sms.attempts == []


async def test_what_is_stored_is_sent_though_whoever_waited_has_gone(engine: Engine) -> None:
    sms = FakeTransport(answer=accept)
    await start(engine, sms)

    async def give_up() -> None:
        async with engine.store.transaction() as tx:
            await messages.add(tx, [new(1)])
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    with suppress(asyncio.CancelledError):
        await asyncio.create_task(give_up())
    await eventually(lambda: sms.numbers == [1])
    await engine.until_state(1, State.WAITING)


async def test_what_is_being_stored_at_a_stop_is_sent_and_written_down(engine: Engine) -> None:
    sms = FakeTransport(answer=accept)
    await start(engine, sms)
    async with engine.store.transaction() as tx:
        await messages.add(tx, [new(1)])
        stopping = asyncio.create_task(engine.stop())
        await eventually(lambda: not engine.worker.is_running)
        assert not sms.is_stopped
    await stopping
    assert (await engine.counts(), sms.late) == ({State.WAITING: 1}, 0)


async def test_after_a_death_before_the_send_the_next_start_finds_the_lease(engine: Engine) -> None:
    """As of anything that was claimed: what is better sent twice than never is sent, of the rest a receipt may come."""
    await start(engine, FakeTransport())
    engine.worker.take = lambda forwarded: None  # type: ignore[method-assign] # it dies after the commit
    assert await handed(engine, new(1), new(2, urgent())) == [1, 2]
    await engine.stop(0.0)
    later = Engine(engine.store)
    sms = FakeTransport()
    try:
        await later.start(sms=sms)
        await later.pass_until(lambda: sms.numbers == [2])
        await later.until_state(1, State.WAITING)
        assert await later.entries(1) == await later.entries(2) == [(Mark.UNKNOWN, 1, Reason.NODE_LOST)]
    finally:
        await later.end()


# Beside others that wait


async def busy(engine: Engine, sms: FakeTransport, rate_per_s: float | None = None, waiting: int = 30) -> None:
    """Account 1 has filled the link, and more of it waits."""
    await start(engine, sms, rate_per_s)
    await engine.add(*(new(number) for number in range(waiting)))


async def one_by_one(engine: Engine, made: Callable[[], Message], number: int) -> list[int]:
    """So many of another account, each for itself; which of them were handed over."""
    got: list[int] = []
    for each in range(1_000, 1_000 + number):
        got += await handed(engine, new(each, made(), account_id=2))
    return [each - 1_000 for each in got]


async def test_who_has_nothing_waiting_goes_beyond_the_window(engine: Engine) -> None:
    sms = FakeTransport(window=10, spare=5)
    await busy(engine, sms)
    assert await one_by_one(engine, queued, 8) == [0, 1, 2, 3, 4]
    await eventually(lambda: sms.numbers == [*range(10), *range(1_000, 1_005)])


async def test_where_nothing_can_wait_in_the_transport_the_lane_does(engine: Engine) -> None:
    await busy(engine, FakeTransport(window=10))
    assert await one_by_one(engine, queued, 2) == []


async def test_but_gets_no_more_than_one_got_who_was_served(engine: Engine) -> None:
    """Until the next claim, in which both are served."""
    sms = FakeTransport(window=10, spare=100)
    await busy(engine, sms)
    assert await one_by_one(engine, queued, 14) == list(range(10))
    sms.settle_all(accept)
    await eventually(lambda: len(sms.attempts) == 30)
    assert Counter(attempt.account_id for attempt in sms.attempts[20:]) == {1: 6, 2: 4}


async def test_who_sends_without_a_pause_starves_nobody(engine: Engine) -> None:
    sms = FakeTransport(window=4, spare=2)
    await busy(engine, sms, waiting=1_000)
    for number in count(1_000):
        await engine.add(new(number, account_id=2))
        sms.settle(sms.open[0], accept(sms.open[0]))
        await asyncio.sleep(0)
        if len(sms.attempts) >= 400:
            break
    by_account = Counter(attempt.account_id for attempt in sms.attempts)
    assert by_account[1] >= 0.4 * len(sms.attempts)
    assert by_account[2] >= 0.4 * len(sms.attempts)


async def test_what_is_urgent_goes_past_all_that_is_not(engine: Engine) -> None:
    await busy(engine, FakeTransport(window=10, spare=25))
    assert await one_by_one(engine, urgent, 30) == list(range(25))


async def test_what_is_not_urgent_goes_past_nothing_that_is(engine: Engine) -> None:
    sms = FakeTransport(window=10, spare=25)
    await start(engine, sms)
    await engine.add(*(new(number, urgent()) for number in range(40)))
    assert await one_by_one(engine, queued, 3) == []


async def test_the_pace_lends_what_it_gathers_in_25_ms(engine: Engine) -> None:
    """And earns it before the bulk goes on: the rate is true."""
    sms = FakeTransport(window=5_000)
    await busy(engine, sms, rate_per_s=1_000.0, waiting=2_000)
    await eventually(lambda: len(sms.attempts) == 1_000)
    assert await one_by_one(engine, queued, 30) == list(range(25))
    engine.pass_ms(100)
    await eventually(lambda: len(sms.attempts) >= 1_100)
    assert len(sms.attempts) == 1_100
