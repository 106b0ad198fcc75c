"""How attempts ended: written in sets, kept while the store is away, and never over what is newer."""

import asyncio
import math

import pytest
from structlog.testing import capture_logs

from cascade.core.attempt import Accepted, AnswerLost, Attempt, Outcome, Rejected, Retry
from cascade.core.machine import LinkDown
from cascade.core.message import State, Status
from cascade.core.receipt import ReceiptState
from cascade.core.timeline import Mark
from cascade.core.words import Reason
from cascade.engine.recorder import LARGEST_SET, Recorder, Result
from cascade.store import decisions, receipts
from cascade.store.decisions import News
from cascade.store.messages import Stored
from store.given import LEASE_MS, SMS, key, new, phone, queued, urgent

from .running import Engine, eventually
from .transport import FakeTransport, accept


async def test_what_settles_while_one_set_is_written_is_the_next_set(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(50)))
    await eventually(lambda: len(sms.open) == 50)
    engine.store.may_write.clear()
    written = engine.store.written
    sms.settle(sms.open[0], accept(sms.open[0]))
    await eventually(lambda: engine.store.held == 1)
    sms.settle_all(accept)
    engine.store.may_write.set()
    await eventually(lambda: engine.has(State.WAITING, 50))
    await eventually(lambda: engine.store.written == written + 2)


async def test_a_store_that_is_away_delays_results_and_loses_none(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(50)))
    await eventually(lambda: len(sms.open) == 50)
    with capture_logs() as logs:
        engine.store.is_away = True
        sms.settle_all(accept)
        await eventually(lambda: any(entry["event"] == "results_delayed" for entry in logs))
        engine.store.is_away = False
        await eventually(lambda: engine.has(State.WAITING, 50))
    assert len(sms.attempts) == 50


async def test_nothing_more_is_sent_while_answers_cannot_be_written(engine: Engine) -> None:
    """Neither by a claim nor handed over: it would only add to what is in doubt should the process die now."""
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(10)))
    await eventually(lambda: len(sms.open) == 10)
    with capture_logs() as logs:
        engine.store.is_away = True
        sms.settle_all(accept)
        await eventually(lambda: any(entry["event"] == "results_delayed" for entry in logs))
        engine.store.is_away = False
        await engine.add(new(10), new(11, urgent()))
        await eventually(lambda: sms.has_sent(12))
    assert await engine.has(State.WAITING, 10)


def result() -> Result:
    stored = Stored(key(1), 1, "order-1", phone(1), queued())
    return Result(stored, "sms.smpp", AnswerLost(), 0, takes_our_id=False, has_receipts=True)


def test_a_recorder_is_behind_when_a_whole_set_waits(engine: Engine) -> None:
    recorder = Recorder(engine.store)
    with capture_logs() as logs:
        for _ in range(LARGEST_SET):
            assert not recorder.is_behind
            recorder.add(result())
    assert recorder.is_behind
    assert [entry["event"] for entry in logs] == ["results_delayed"]


async def test_a_recorder_tells_when_it_has_caught_up(engine: Engine) -> None:
    told = []
    recorder = Recorder(engine.store, lambda: told.append(recorder.is_behind))
    running = asyncio.create_task(recorder.run())
    engine.store.is_away = True
    with capture_logs():
        recorder.add(result())
        await eventually(lambda: recorder.is_behind)
        assert told == []
        engine.store.is_away = False
        await eventually(lambda: not recorder.is_behind)
    assert told == [False]
    running.cancel()


async def test_a_result_that_nobody_foresaw_is_dropped_and_holds_up_no_other(engine: Engine) -> None:
    def answer(attempt: Attempt) -> Outcome:
        return Retry(Reason.THROTTLED, after_s=math.inf) if attempt is sms.attempts[1] else accept(attempt)

    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(3)))
    await eventually(lambda: len(sms.open) == 3)
    with capture_logs() as logs:
        sms.settle_all(answer)
        await eventually(lambda: engine.has(State.WAITING, 2))
        await engine.stop()
    assert [entry["event"] for entry in logs] == ["result_dropped"]
    assert await engine.has(State.SENDING, 1)  # its lease will say `unknown`


async def test_a_store_that_is_away_delays_claims_and_sends_nothing_twice(engine: Engine) -> None:
    sms = FakeTransport(window=0, answer=accept)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(50)))
    with capture_logs() as logs:
        engine.store.is_away = True
        sms.widen(10)
        await eventually(lambda: any(entry["event"] == "claim_delayed" for entry in logs))
        assert sms.attempts == []
        engine.store.is_away = False
        await eventually(lambda: engine.has(State.WAITING, 50))
    assert sorted(sms.numbers) == list(range(50))


async def taken_over(engine: Engine, sms: FakeTransport) -> tuple[Attempt, Attempt]:
    """The first attempt, whose lease ran out before its answer came, and the one that was made in its place."""
    await engine.start(sms=sms)
    await engine.add(new(1, urgent()))
    await eventually(lambda: len(sms.open) == 1)
    engine.pass_ms(LEASE_MS)
    await engine.until_state(1, State.QUEUED)
    await engine.pass_until(lambda: len(sms.open) == 2)
    first, second = sms.open
    assert (first.number, second.number) == (1, 2)
    return first, second


UNKNOWN = (Mark.UNKNOWN, 1, Reason.NODE_LOST)


async def test_a_result_that_comes_after_a_takeover_is_kept_and_overwrites_nothing(engine: Engine) -> None:
    sms = FakeTransport()
    first, second = await taken_over(engine, sms)
    sms.settle(first, Rejected(Reason.BLOCKED))
    seen = await engine.until(1, lambda seen: len(seen.entries) == 2)
    assert (seen.message.state, seen.message.attempt) == (State.SENDING, 2)
    sms.settle(second, accept(second))
    await engine.until_state(1, State.WAITING)
    assert await engine.entries(1) == [UNKNOWN, (Mark.REJECTED, 1, Reason.BLOCKED), (Mark.ACCEPTED, 2, None)]


async def test_both_attempts_receipts_are_believed_after_a_takeover(engine: Engine) -> None:
    sms = FakeTransport()
    first, second = await taken_over(engine, sms)
    sms.settle(second, accept(second))
    sms.settle(first, accept(first))
    await engine.until(1, lambda seen: len(seen.entries) == 3)
    await engine.receive("1.1")
    seen = await engine.until_state(1, State.FINAL)
    assert seen.message.status is Status.DELIVERED
    await engine.receive("1.2")
    await engine.until(1, lambda seen: len(seen.entries) == 5)
    assert (await engine.entries(1))[3:] == [(Mark.DELIVERED, 1, None), (Mark.DOUBLE, 2, None)]


async def test_an_answer_that_is_lost_is_called_neither_sent_nor_failed(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=lambda attempt: AnswerLost("reset")))
    await engine.add(new(1))
    seen = await engine.until_state(1, State.WAITING)
    assert seen.message.status is Status.PROCESSING
    assert await engine.entries(1) == [(Mark.UNKNOWN, 1, Reason.NO_ANSWER)]


async def test_every_part_of_a_long_message_is_remembered(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=lambda attempt: Accepted(("a", "b"))))
    await engine.add(new(1))
    await engine.until_state(1, State.WAITING)
    await engine.receive("b")
    await engine.until(1, lambda seen: len(seen.entries) == 2)
    await engine.receive("a")
    await engine.until_state(1, State.FINAL)
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.ACCEPTED, Mark.PART_DELIVERED, Mark.DELIVERED]


@pytest.mark.parametrize("told", ["ab", "ba", "aab"])
async def test_a_part_that_was_told_by_its_recipient_counts_once(engine: Engine, told: str) -> None:
    """The node that sent it was cut off, and comes back with the answer after the first part's receipt."""
    sms = FakeTransport(parts=2)
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    engine.pass_ms(LEASE_MS)
    await engine.until_state(1, State.WAITING)
    await engine.receive(told[0], recipient=phone(1).removeprefix("+"))
    await engine.pass_until(engine.has_empty_inbox)
    sms.settle(sms.open[0], Accepted(("a", "b")))
    await engine.until(1, lambda seen: len(seen.entries) == 3)
    for provider_id in told[1:]:
        await engine.receive(provider_id)
    seen = await engine.until_state(1, State.FINAL)
    assert seen.message.status is Status.DELIVERED
    marks = [mark for mark, _, _ in await engine.entries(1)]
    again = [Mark.PART_DELIVERED] * (len(told) - 2)
    assert marks == [Mark.UNKNOWN, Mark.PART_DELIVERED, Mark.ACCEPTED, *again, Mark.DELIVERED]


@pytest.mark.parametrize("state", [ReceiptState.FAILED, ReceiptState.DELIVERED])
@pytest.mark.parametrize("is_answer_first", [True, False])
async def test_what_a_receipt_and_a_late_answer_prove_costs_once(
    engine: Engine, state: ReceiptState, *, is_answer_first: bool
) -> None:
    """The node that sent it was cut off, and comes back with the answer before or after its receipt."""
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1, queued(route=(SMS._replace(cost_micros=60_000),))))
    await eventually(lambda: len(sms.open) == 1)
    engine.pass_ms(LEASE_MS)
    await engine.until_state(1, State.WAITING)
    if is_answer_first:
        sms.settle(sms.open[0], Accepted(("77",)))
        await engine.until(1, lambda seen: len(seen.entries) == 2)
    await engine.receive("77", state, recipient=phone(1).removeprefix("+"))
    await engine.pass_until(engine.has_empty_inbox)
    await engine.until_state(1, State.FINAL)
    assert (await engine.message(1)).cost_micros == 60_000
    if not is_answer_first:
        sms.settle(sms.open[0], Accepted(("77",)))
        await engine.until(1, lambda seen: len(seen.entries) == 3)
    assert (await engine.message(1)).cost_micros == 60_000


async def test_a_late_answer_is_of_the_link_that_gave_it(engine: Engine) -> None:
    """Its message was given to another one meanwhile: what is taken back is asked of the provider that has it."""
    sms = FakeTransport()
    await engine.start(sms=sms)
    route = (SMS._replace(others=("sms.other",)),)
    await engine.add(new(1, urgent(route=route)))
    await eventually(lambda: len(sms.open) == 1)
    engine.pass_ms(LEASE_MS)
    await engine.until_state(1, State.QUEUED)
    async with engine.store.transaction() as tx:
        await decisions.apply(tx, [News(key(1), LinkDown(engine.clock.now_ms))], {})
    assert (await engine.message(1)).link == "sms.other"
    sms.settle(sms.open[0], Accepted(("77",)))
    seen = await engine.until_state(1, State.WAITING)
    assert seen.message.link == "sms.smpp"


async def test_parts_that_share_one_id_are_told_of_by_one_receipt(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=lambda attempt: Accepted(("a", "a"))))
    await engine.add(new(1))
    await engine.until_state(1, State.WAITING)
    await engine.receive("a")
    seen = await engine.until_state(1, State.FINAL)
    assert seen.message.status is Status.DELIVERED


async def test_a_link_without_receipts_leaves_nothing_to_match(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=accept, has_receipts=False))
    await engine.add(new(1))
    await engine.until_state(1, State.WAITING)
    async with engine.store.reading() as reader:
        assert await receipts.find_parts(reader, [("sms.smpp", "1.1")]) == {}
    assert (await engine.record(1)).key == key(1)
