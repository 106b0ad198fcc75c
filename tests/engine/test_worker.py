"""The engine as a whole: it takes over what a dead one left, drains, and outlives its loops' deaths."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from cascade.core.attempt import AnswerLost, NotSent
from cascade.core.message import Message, State
from cascade.core.timeline import Mark
from cascade.core.words import Channel, Reason
from cascade.engine import worker
from cascade.engine.worker import LinkSetup
from store.given import HOUR_MS, LEASE_MS, MINUTE_MS, SMS, T0, VIBER, new, phone, put, queued, urgent

from .running import Engine, eventually
from .transport import FakeTransport, accept

GAUGES = ("up", "in_flight", "breaker_open")
SENDING = {"state": State.SENDING, "attempt": 1, "tries": 1, "deadline_at_ms": T0 + LEASE_MS}

# Start


async def test_it_sends_what_was_waiting_before_it_started(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.add(new(1), new(2, urgent()))
    await engine.start(sms=sms)
    await eventually(lambda: sorted(sms.numbers) == [1, 2])


GONE = {  # a message whose link is in no configuration any more, and when it goes on
    "to another link of its channel: soon": (queued(route=(SMS._replace(others=("sms.other",)),)), 0),
    "to the next channel: when its window is over": (
        queued(route=(VIBER, SMS._replace(link="sms.other")), address="abc="), MINUTE_MS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "after_ms"), GONE.values(), ids=GONE.keys())
async def test_what_waits_for_a_link_that_is_no_more_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, given: Message, after_ms: int
) -> None:
    monkeypatch.setattr(worker, "GONE_S", 0.0)
    other = FakeTransport()
    await engine.add(new(1, given), new(2, queued()))
    await engine.start(other_sms=other)
    await engine.pass_until(lambda: other.numbers == [1])
    assert after_ms <= engine.clock.now_ms - T0 < after_ms + MINUTE_MS
    assert await engine.is_at(2, State.QUEUED)  # with nowhere to go it waits for its time to be over


async def test_a_link_is_missed_for_a_while_before_it_is_no_more(engine: Engine) -> None:
    other = FakeTransport()
    await engine.add(new(1, queued(route=(SMS._replace(others=("sms.other",)),))))
    await engine.start(other_sms=other)
    for _ in range(20):
        engine.pass_ms(1_000)
        await asyncio.sleep(0.01)
    assert other.numbers == []


LEFT = {  # what a dead node was sending, and what becomes of it
    "a campaign's message: unknown, a receipt may still come": (queued(**SENDING), State.WAITING, 1),
    "what is better sent twice than never: sent again": (urgent(**SENDING), State.SENDING, 2),
}


@pytest.mark.parametrize(("left", "state", "attempt"), LEFT.values(), ids=LEFT.keys())
async def test_it_takes_over_what_a_dead_node_left(engine: Engine, left: Message, state: State, attempt: int) -> None:
    async def is_taken_over() -> bool:
        message = await engine.message(1)
        return (message.state, message.attempt, len(await engine.entries(1))) == (state, attempt, 1)

    await put(engine.store, 1, left)
    with capture_logs() as logs:
        await engine.start(sms=FakeTransport())
        await engine.pass_until(is_taken_over, step_ms=50)
    assert {"event": "leases_released", "messages": 1, "log_level": "warning"} in logs
    assert await engine.entries(1) == [(Mark.UNKNOWN, 1, Reason.NODE_LOST)]


async def test_what_a_dead_node_sent_in_parts_has_arrived_when_each_part_says_so(engine: Engine) -> None:
    """The node may have died between two parts: what the first one's receipt tells is not the whole."""
    await put(engine.store, 1, queued(**SENDING))
    await engine.start(sms=FakeTransport(parts=2))
    await engine.until_state(1, State.WAITING)
    recipient = phone(1).removeprefix("+")
    await engine.receive("one", recipient=recipient)
    await engine.pass_until(engine.has_empty_inbox)
    assert (await engine.message(1)).state is State.WAITING
    await engine.receive("two", recipient=recipient)
    await engine.pass_until(lambda: engine.is_at(1, State.FINAL))
    marks = [mark for mark, _, _ in await engine.entries(1)]
    assert marks == [Mark.UNKNOWN, Mark.PART_DELIVERED, Mark.DELIVERED]


async def test_a_link_that_is_added_later_is_served(engine: Engine) -> None:
    viber = FakeTransport(Channel.VIBER_BOT)
    await engine.start(sms=FakeTransport())
    await engine.add(new(1, queued(route=(VIBER,), address="abc=")))
    engine.worker.add_link("viber_bot.1", LinkSetup(viber, None))
    assert engine.worker.links == {"sms.smpp", "viber_bot.1"}
    await eventually(lambda: viber.numbers == [1])


async def test_a_link_whose_bot_was_removed_sends_what_is_on_its_way_and_is_watched_no_more(engine: Engine) -> None:
    listening = asyncio.Event()

    async def beside() -> None:
        listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            listening.clear()

    def shown() -> list[float | None]:
        return [REGISTRY.get_sample_value(f"cascade_link_{of}", {"link": "viber_bot.1"}) for of in GAUGES]

    viber = FakeTransport(Channel.VIBER_BOT)
    await engine.start(sms=FakeTransport())
    engine.worker.add_link("viber_bot.1", LinkSetup(viber, None, beside))
    await eventually(listening.is_set)
    assert None not in shown()
    await engine.worker.retire_link("viber_bot.1")
    assert (listening.is_set(), shown()) == (False, [None] * len(GAUGES))
    await engine.add(new(1, queued(route=(VIBER,), address="abc=")))
    await eventually(lambda: viber.numbers == [1])
    assert shown() == [None] * len(GAUGES)


# Stop


async def test_a_stop_waits_for_answers_and_gives_back_what_never_left(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(5)))
    await eventually(lambda: len(sms.open) == 5)
    assert engine.worker.is_running
    stopping = asyncio.create_task(engine.stop())
    await eventually(lambda: sms.is_stopped)
    assert not engine.worker.is_running
    answered, unsent = sms.open[:3], sms.open[3:]
    for attempt in answered:
        sms.settle(attempt, accept(attempt))
    for attempt in unsent:
        sms.settle(attempt, NotSent())
    await stopping
    assert await engine.counts() == {State.WAITING: 3, State.QUEUED: 2}
    given_back = await engine.message(int.from_bytes(unsent[0].message_id, "big"))
    assert (given_back.attempt, given_back.tries) == (0, 0)


async def test_what_is_not_answered_in_time_is_unknown(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    await engine.stop(grace_s=0.25)
    assert await engine.is_at(1, State.WAITING)
    assert await engine.entries(1) == [(Mark.UNKNOWN, 1, Reason.NO_ANSWER)]


async def test_nothing_is_claimed_after_a_stop(engine: Engine) -> None:
    sms = FakeTransport(window=1)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(10)))
    await eventually(lambda: len(sms.open) == 1)
    stopping = asyncio.create_task(engine.stop())
    await eventually(lambda: sms.is_stopped)
    await engine.add(new(10, urgent()))
    sms.settle_all(accept)
    await stopping
    assert await engine.counts() == {State.WAITING: 1, State.QUEUED: 10}
    assert len(sms.attempts) == 1


async def test_what_is_being_claimed_at_a_stop_is_sent_and_written_down(engine: Engine) -> None:
    """Else it would stay `sending`, and the next start would have to call it unknown."""
    sms = FakeTransport(window=0, answer=accept)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(5)))
    engine.store.may_write.clear()
    sms.widen(5)
    await eventually(lambda: engine.store.held == 1)
    stopping = asyncio.create_task(engine.stop())
    await eventually(lambda: not engine.worker.is_running)
    engine.store.may_write.set()
    await stopping
    assert await engine.counts() == {State.WAITING: 5}
    assert sms.late == 0


async def test_a_stop_does_not_wait_for_ever_for_a_store_that_is_away(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    engine.store.is_away = True
    sms.settle_all(accept)
    with capture_logs() as logs:
        await engine.stop(grace_s=0.05)
    assert "results_unwritten" in [entry["event"] for entry in logs]
    engine.store.is_away = False
    assert await engine.is_at(1, State.SENDING)  # its lease says so: the next start calls it unknown


async def test_a_link_that_drains_slowly_does_not_keep_another_from_draining(engine: Engine) -> None:
    sms, viber = FakeTransport(), FakeTransport(Channel.VIBER_BOT)
    await engine.start(sms=sms, viber=viber)
    await engine.add(new(1), new(2, queued(route=(VIBER,), address="abc=")))
    await eventually(lambda: len(sms.open) == len(viber.open) == 1)
    stopping = asyncio.create_task(engine.stop())
    await eventually(lambda: sms.is_stopped and viber.is_stopped)
    sms.settle_all(accept)
    await engine.until_state(1, State.WAITING)
    viber.settle_all(lambda attempt: AnswerLost())
    await stopping


# Supervision


class Dying(FakeTransport):
    """Its code has a fault that nobody foresaw, once."""

    def room(self) -> int:
        if not self.attempts and not self.faults_shown:
            self.faults_shown = True
            raise ZeroDivisionError("a fault")
        return super().room()

    faults_shown = False


async def test_a_loop_that_dies_is_logged_and_begun_again(engine: Engine) -> None:
    sms = Dying()
    with capture_logs() as logs:
        await engine.start(sms=sms)
        await engine.add(new(1))
        await eventually(lambda: sms.numbers == [1])
    [died] = [entry for entry in logs if entry["event"] == "loop_died"]
    assert (died["loop"], died["log_level"]) == ("link sms.smpp", "error")


async def test_a_store_that_is_away_ends_no_loop(engine: Engine) -> None:
    await engine.start(sms=FakeTransport())
    with capture_logs() as logs:
        engine.store.is_away = True
        await eventually(lambda: [entry["event"] for entry in logs].count("lanes_delayed") > 1)
        engine.store.is_away = False
    assert "loop_died" not in [entry["event"] for entry in logs]


async def test_the_other_loops_do_not_notice(engine: Engine) -> None:
    class AlwaysDying(FakeTransport):
        def room(self) -> int:
            raise ZeroDivisionError("a fault")

    sms = FakeTransport(answer=accept)
    with capture_logs():
        await engine.start(viber=AlwaysDying(Channel.VIBER_BOT), sms=sms)
        await engine.add(new(1), new(2, queued(state=State.WAITING, deadline_at_ms=T0 + HOUR_MS)))
        await engine.until_state(1, State.WAITING)
        await engine.receive("1.1")
        await engine.until_state(1, State.FINAL)
        engine.pass_ms(HOUR_MS)
        await engine.until_state(2, State.FINAL)
        await engine.stop(grace_s=0.1)
