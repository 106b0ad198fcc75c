"""What a link sends: no more than fits, who waits for it first, everyone in turn, and nothing while it is down."""

from collections import Counter
from functools import partial
from itertools import groupby
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from cascade.core.attempt import Accepted, AnswerLost, Attempt, NotSent, Outcome, Rejected, Retry
from cascade.core.content import Content
from cascade.core.message import Message, State
from cascade.core.route import Step
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.engine.breaker import FIRST_PAUSE_MS, THRESHOLD
from cascade.store.messages import NewMessage
from store.given import DAY_MS, HOUR_MS, MINUTE_MS, SMS, T0, VIBER, key, new, phone, queued, urgent

from .running import Engine, eventually
from .transport import FakeTransport, accept

ON_VIBER = queued(route=(VIBER, SMS), address="abc=")


def down(attempt: Attempt) -> Outcome:
    return Retry(Reason.PROVIDER_DOWN, after_s=0.1)


# What is put on the wire


async def test_what_was_changed_for_the_channel_is_in_the_timeline(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=accept))
    await engine.add(new(1)._replace(extras='{"options":["yes","no"]}'), new(2))
    asked, plain = await engine.until_state(1, State.WAITING), await engine.until_state(2, State.WAITING)
    assert [entry.detail for entry in asked.entries] == ["options_as_numbered_lines"]
    assert [entry.detail for entry in plain.entries] == [None]


async def test_an_attempt_says_all_that_a_channel_needs(engine: Engine) -> None:
    viber, sms = FakeTransport(Channel.VIBER_BOT), FakeTransport()
    await engine.start(viber=viber, sms=sms)
    on_viber = new(1, ON_VIBER)._replace(sender="Крамниця", text="Так?", extras='{"options":["так","ні"]}')
    await engine.add(on_viber, new(2, urgent()))
    await eventually(lambda: bool(viber.open) and bool(sms.open))
    assert viber.open == [
        Attempt(1, on_viber.key.id, 1, "abc=", "Крамниця", MessageType.PROMO, Content("Так?", ("так", "ні")), 60)
    ]
    assert sms.open == [
        Attempt(1, new(2).key.id, 1, phone(2), "Shop", MessageType.TRANSACTION, Content("text 2"), DAY_MS // 1000)
    ]


async def test_what_was_accepted_waits_for_its_receipt(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=accept))
    await engine.add(new(1))
    seen = await engine.until_state(1, State.WAITING)
    assert [(entry.mark, entry.provider_id) for entry in seen.entries] == [(Mark.ACCEPTED, "1.1")]


async def test_what_never_left_is_given_back_and_was_no_attempt(engine: Engine) -> None:
    sms = FakeTransport(window=1)
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    sms.settle(sms.open[0], NotSent())
    await eventually(lambda: len(sms.attempts) == 2)
    assert [attempt.number for attempt in sms.attempts] == [1, 1]
    assert (await engine.record(1)).entries == []


@pytest.mark.parametrize("is_handed_over", [True, False])
async def test_a_message_that_nobody_can_read_holds_up_no_other(engine: Engine, is_handed_over: bool) -> None:
    sms = FakeTransport(window=1_000 if is_handed_over else 0, answer=accept)
    await engine.start(sms=sms)
    with capture_logs() as logs:
        await engine.add(new(1), new(2)._replace(extras="{"), new(3))
        sms.widen(1_000)
        await engine.until_state(3, State.WAITING)
    assert sms.numbers == [1, 3]
    assert [entry["message_id"] for entry in logs if entry["event"] == "message_unreadable"] == [key(2).id.hex()]
    assert engine.worker.link_states(1)["sms.smpp"].in_flight == 0
    await engine.until_state(2, State.FINAL)
    assert await engine.entries(2) == [(Mark.SKIPPED, 1, Reason.CONTENT_UNFIT)]


async def test_what_ran_out_of_time_is_not_sent(engine: Engine) -> None:
    sms = FakeTransport(window=0)
    await engine.start(sms=sms)
    await engine.add(new(1, queued(expires_at_ms=T0 + MINUTE_MS, step_ends_at_ms=T0 + MINUTE_MS)), new(2))
    engine.pass_ms(MINUTE_MS)
    sms.widen(10)
    await eventually(lambda: len(sms.attempts) == 1)
    assert sms.numbers == [2]


# Room


async def test_no_more_is_claimed_than_there_is_room_for(engine: Engine) -> None:
    sms = FakeTransport(window=3)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(10)))
    await eventually(lambda: len(sms.open) == 3)
    assert await engine.counts() == {State.SENDING: 3, State.QUEUED: 7}
    sms.settle(sms.open[0], Rejected(Reason.BLOCKED))
    await engine.until_state(sms.numbers[0], State.FINAL)
    await eventually(lambda: len(sms.attempts) == 4)
    assert await engine.counts() == {State.FINAL: 1, State.SENDING: 3, State.QUEUED: 6}
    sms.answer = accept
    sms.settle_all(accept)
    await eventually(lambda: len(sms.attempts) == 10)


async def test_a_link_that_is_not_connected_claims_nothing(engine: Engine) -> None:
    sms, viber = FakeTransport(window=0), FakeTransport(Channel.VIBER_BOT, answer=accept)
    await engine.start(sms=sms, viber=viber)
    await engine.add(*(new(n) for n in range(10)), new(10, ON_VIBER))
    await engine.until_state(10, State.WAITING)
    assert await engine.counts() == {State.QUEUED: 10, State.WAITING: 1}
    sms.widen(10)
    await eventually(lambda: len(sms.open) == 10)


async def test_a_message_is_sent_when_it_is_due_and_not_before(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1, queued(due_at_ms=T0 + 5_000)), new(2))
    await eventually(lambda: sms.numbers == [2])
    engine.pass_ms(4_999)
    await engine.add(new(3))
    await eventually(lambda: sms.numbers == [2, 3])
    engine.pass_ms(1)
    await eventually(lambda: sms.numbers == [2, 3, 1])


# Whose turn it is


async def test_what_is_urgent_goes_before_a_thousand_that_wait(engine: Engine) -> None:
    sms = FakeTransport(window=10)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(1_000)))
    await eventually(lambda: len(sms.open) == 10)
    await engine.add(*(new(2_000 + n, urgent(due_at_ms=T0)) for n in range(15)))
    sms.settle_all(accept)
    await eventually(lambda: len(sms.attempts) == 20)
    sms.settle_all(accept)
    await eventually(lambda: len(sms.attempts) == 30)
    assert sorted(sms.numbers[10:25]) == list(range(2_000, 2_015))


async def test_what_is_urgent_leaves_bulk_nothing_while_it_can_fill_the_room(engine: Engine) -> None:
    """Also where one account has much that is urgent and another has little."""
    sms = FakeTransport(window=10)
    await engine.add(
        *(new(n) for n in range(50)),
        *(new(100 + n, urgent()) for n in range(15)),
        *(new(200 + n, urgent(), account_id=2) for n in range(1)),
    )
    await engine.start(sms=sms)
    await eventually(lambda: len(sms.attempts) == 10)
    assert {attempt.type for attempt in sms.attempts} == {MessageType.TRANSACTION}
    assert Counter(attempt.account_id for attempt in sms.attempts) == {1: 9, 2: 1}


async def test_accounts_take_turns(engine: Engine) -> None:
    """Each gets its share of a link from the first message on, however much another has put before it."""
    sms = FakeTransport(window=1, answer=accept)
    await engine.add(*(new(n) for n in range(300)))
    await engine.add(*(new(1_000 * account + n, account_id=account) for account in (2, 3) for n in range(20)))
    await engine.start(sms=sms)
    await eventually(lambda: len(sms.attempts) >= 60)
    order = [attempt.account_id for attempt in sms.attempts[:60]]
    assert Counter(order) == {1: 20, 2: 20, 3: 20}
    assert max(len(list(run)) for _, run in groupby(order)) == 1


async def test_accounts_share_one_set(engine: Engine) -> None:
    sms = FakeTransport(window=30)
    await engine.add(*(new(n) for n in range(300)))
    await engine.add(*(new(1_000 * account + n, account_id=account) for account in (2, 3) for n in range(20)))
    await engine.start(sms=sms)
    await eventually(lambda: len(sms.attempts) == 30)
    assert Counter(attempt.account_id for attempt in sms.attempts) == {1: 10, 2: 10, 3: 10}


async def test_within_a_lane_the_oldest_goes_first(engine: Engine) -> None:
    sms = FakeTransport(window=4, answer=accept)
    await engine.add(*(new(n, queued(due_at_ms=T0 - n)) for n in range(40)))
    await engine.start(sms=sms)
    await eventually(lambda: len(sms.attempts) == 40)
    assert sms.numbers == list(reversed(range(40)))


# Rate


async def test_the_rate_is_kept(engine: Engine) -> None:
    """A bucket of one second at the start, then as many as time has earned: no more, and no fewer."""
    sms = FakeTransport(answer=accept)
    await engine.start(sms=sms, rates={"sms": 20.0})
    await engine.add(*(new(n) for n in range(60)))
    for tenth in range(21):
        await eventually(partial(sms.has_sent, 20 + 2 * tenth))
        assert len(sms.attempts) == 20 + 2 * tenth
        engine.pass_ms(100)


# Each recipient's own


def to_viber(number: int, address: str) -> NewMessage:
    return new(number, queued(route=(VIBER, SMS), address=address, addresses={"viber_bot.1": address}))


async def test_one_person_gets_a_few_at_once_and_then_one_in_each_second(engine: Engine) -> None:
    viber = FakeTransport(Channel.VIBER_BOT, answer=accept)
    await engine.start(viber=viber, address_rates={"viber": 1.0})
    await engine.add(*(to_viber(n, "a=") for n in range(8)), to_viber(8, "b="))
    for second in range(4):
        await eventually(partial(viber.has_sent, 6 + second))
        assert Counter(attempt.address for attempt in viber.attempts) == {"a=": 5 + second, "b=": 1}
        engine.pass_ms(1_000)
    assert {attempt.number for attempt in viber.attempts} == {1}
    assert [entry.mark for entry in (await engine.until_state(7, State.WAITING)).entries] == [Mark.ACCEPTED]


async def test_who_was_throttled_is_left_alone_for_as_long_as_the_provider_says(engine: Engine) -> None:
    viber = FakeTransport(Channel.VIBER_BOT, answer=lambda attempt: Retry(Reason.THROTTLED, 3.0))
    await engine.start(viber=viber, address_rates={"viber": 1.0})
    await engine.add(to_viber(1, "a="))
    await eventually(lambda: len(viber.attempts) == 1)
    viber.answer = accept
    await engine.add(to_viber(2, "a="), to_viber(3, "b="))
    await eventually(lambda: len(viber.attempts) == 2)
    engine.pass_ms(2_999)
    await engine.add(to_viber(4, "b="))
    await eventually(lambda: len(viber.attempts) == 3)
    assert [attempt.address for attempt in viber.attempts] == ["a=", "b=", "b="]
    engine.pass_ms(1)
    await eventually(lambda: len(viber.attempts) == 4)


async def test_who_must_wait_for_longer_than_the_step_gets_the_next_one(engine: Engine) -> None:
    viber, sms = FakeTransport(Channel.VIBER_BOT), FakeTransport()
    viber.answer = lambda attempt: Retry(Reason.THROTTLED, 10_072.0)
    await engine.start(viber=viber, sms=sms, address_rates={"viber": 1.0})
    await engine.add(to_viber(1, "a="))
    await eventually(lambda: len(sms.attempts) == 1)
    await engine.add(to_viber(2, "a="))
    await eventually(lambda: len(sms.attempts) == 2)
    assert len(viber.attempts) == 1
    assert [(entry.mark, entry.reason) for entry in (await engine.record(2)).entries][:1] == [
        (Mark.SKIPPED, Reason.THROTTLED)
    ]


async def test_of_a_crowd_for_one_person_each_is_given_back_once(engine: Engine) -> None:
    viber = FakeTransport(Channel.VIBER_BOT, answer=accept)
    await engine.start(viber=viber, address_rates={"viber": 1.0})
    await engine.add(*(to_viber(n, "a=") for n in range(30)))
    await eventually(partial(viber.has_sent, 5))
    dues = [(await engine.until_state(n, State.QUEUED)).message.due_at_ms for n in range(5, 30)]
    assert sorted(dues) == [T0 + 1_000 * second for second in range(1, 26)]


def gauge(name: str) -> float | None:
    """What `/metrics` says of the link now."""
    return REGISTRY.get_sample_value(f"cascade_link_{name}", {"link": "sms.smpp"})


async def test_the_gauge_follows_what_is_in_flight(engine: Engine) -> None:
    sms = FakeTransport(window=5)
    await engine.start(sms=sms)
    await engine.add(*(new(n) for n in range(3)))
    await eventually(lambda: len(sms.open) == 3)
    assert gauge("in_flight") == 3
    sms.settle_all(accept)
    assert gauge("in_flight") == 0


# A provider that is down


async def test_the_breaker_opens_probes_with_one_and_closes(engine: Engine) -> None:
    def answer(attempt: Attempt) -> Outcome:
        return down(attempt) if len(sms.attempts) <= THRESHOLD + 1 else accept(attempt)

    sms = FakeTransport(window=THRESHOLD, answer=answer)
    with capture_logs() as logs:
        await engine.start(sms=sms)
        await engine.add(*(new(n) for n in range(40)))
        await eventually(lambda: len(sms.attempts) == THRESHOLD and not sms.open)
        assert gauge("breaker_open") == 1
        await engine.pass_until(lambda: len(set(sms.numbers)) == 40 and not sms.open)
    assert sms.sets[:3] == [THRESHOLD, 1, 1]
    opened_ms, (probe_ms, next_probe_ms) = T0, sms.sent_at_ms[THRESHOLD : THRESHOLD + 2]
    assert probe_ms >= opened_ms + FIRST_PAUSE_MS
    assert next_probe_ms >= probe_ms + 2 * FIRST_PAUSE_MS
    breaker = [entry["event"] for entry in logs if entry["event"].startswith("breaker")]
    assert breaker == ["breaker_opened", "breaker_closed"]
    assert gauge("breaker_open") == 0


async def test_messages_that_fail_for_their_own_reasons_keep_no_link_shut(engine: Engine) -> None:
    """However many they are, and however urgent: the probe is a message that was never tried, and soon."""
    hopeless = range(3 * THRESHOLD)

    def answer(attempt: Attempt) -> Outcome:
        return down(attempt) if attempt.address in {phone(n) for n in hopeless} else accept(attempt)

    sms = FakeTransport(window=len(hopeless), answer=answer)
    await engine.start(sms=sms)
    await engine.add(*(new(n, urgent()) for n in hopeless))
    await eventually(lambda: len(sms.attempts) == len(hopeless) and not sms.open)
    for probe in range(1, 10):
        engine.pass_ms(FIRST_PAUSE_MS)
        await eventually(partial(sms.has_sent, len(hopeless) + probe))
        await eventually(lambda: not sms.open)
    await engine.add(new(1_000))
    engine.pass_ms(FIRST_PAUSE_MS)
    await engine.until_state(1_000, State.WAITING)
    assert sms.numbers[len(hopeless) + 9] == 1_000


FAULTS = {
    "connections refused": (Retry(Reason.PROVIDER_DOWN, after_s=600), True),
    "answers lost": (AnswerLost(), True),
    "throttled: it lives": (Retry(Reason.THROTTLED, after_s=600), False),
    "refused: it lives": (Rejected(Reason.BLOCKED), False),
    "accepted": (Accepted(("1",)), False),
}


@pytest.mark.parametrize(("outcome", "opens"), FAULTS.values(), ids=FAULTS.keys())
async def test_the_breaker_counts(engine: Engine, outcome: Outcome, opens: bool) -> None:
    sms = FakeTransport(window=1, answer=lambda attempt: outcome)
    with capture_logs() as logs:
        await engine.start(sms=sms)
        await engine.add(*(new(n) for n in range(THRESHOLD + 5)))
        sent = THRESHOLD if opens else THRESHOLD + 5
        await eventually(lambda: len(sms.attempts) == sent and not sms.open)
    assert ("breaker_opened" in [entry["event"] for entry in logs]) is opens


TROUBLES = {  # the answers, one after the other -> what is told of the link's trouble
    "wrong credentials": ([Rejected(Reason.MISCONFIGURED, "E401")], (Reason.MISCONFIGURED, "E401")),
    "a provider that fails": ([Retry(Reason.PROVIDER_DOWN, 600, "503")], (Reason.PROVIDER_DOWN, "503")),
    "an answer lost": ([AnswerLost("no answer within 15 s")], (Reason.NO_ANSWER, "no answer within 15 s")),
    "no money, then a person who is not there": (
        [Rejected(Reason.NO_CREDIT), Rejected(Reason.UNKNOWN_RECIPIENT)],
        (Reason.NO_CREDIT, None),
    ),
    "wrong credentials, then one that is taken": ([Rejected(Reason.MISCONFIGURED), Accepted(("1",))], None),
    "a person who is not there": ([Rejected(Reason.UNKNOWN_RECIPIENT)], None),
}


@pytest.mark.parametrize(("answers", "told"), TROUBLES.values(), ids=TROUBLES.keys())
async def test_the_trouble_of_a_link(engine: Engine, answers: list[Outcome], told: tuple[Reason, str] | None) -> None:
    sms = FakeTransport(window=1, answer=lambda attempt: answers[len(sms.attempts) - 1])
    await engine.start(sms=sms)
    for n in range(len(answers)):
        await engine.add(new(n))
        await eventually(partial(sms.has_sent, n + 1))
        await eventually(lambda: not sms.open)
    trouble = engine.worker.link_health()["sms.smpp"].trouble
    assert (None if trouble is None else (trouble.reason, trouble.detail)) == told


async def test_what_we_refuse_ourselves_says_nothing_of_the_provider(engine: Engine) -> None:
    def answer(attempt: Attempt) -> Outcome:
        refused = attempt is not sms.attempts[0] and len(sms.attempts) % 2 == 0
        return Rejected(Reason.CONTENT_UNFIT, is_ours=True) if refused else down(attempt)

    sms = FakeTransport(window=1, answer=answer)
    with capture_logs() as logs:
        await engine.start(sms=sms)
        await engine.add(*(new(n) for n in range(2 * THRESHOLD + 5)))
        await eventually(lambda: "breaker_opened" in [entry["event"] for entry in logs])
        sent = len(sms.attempts)
        engine.pass_ms(FIRST_PAUSE_MS)
        await eventually(lambda: len(sms.attempts) == sent + 2 and not sms.open)  # no probe, so another one is
    assert "breaker_closed" not in [entry["event"] for entry in logs]


def at_viber(*route: Step, **changes: Any) -> Message:
    return queued(route=route, address="abc=", **changes)


async def test_while_a_link_is_down_a_message_goes_on_when_its_window_is_over(engine: Engine) -> None:
    viber, sms = FakeTransport(Channel.VIBER_BOT, window=0), FakeTransport(answer=accept)
    await engine.start(viber=viber, sms=sms)
    await engine.add(new(1, at_viber(VIBER, SMS)))
    await engine.pass_until(lambda: engine.is_at(1, State.WAITING, step=1), step_ms=500)
    timed_out, accepted = (await engine.record(1)).entries
    assert (timed_out.mark, timed_out.reason, timed_out.step) == (Mark.TIMED_OUT, Reason.PROVIDER_DOWN, 0)
    assert timed_out.at_ms >= T0 + MINUTE_MS
    assert accepted.mark is Mark.ACCEPTED


async def test_while_the_breaker_is_open_messages_go_on_too(engine: Engine) -> None:
    viber, sms = FakeTransport(Channel.VIBER_BOT, window=THRESHOLD, answer=down), FakeTransport(answer=accept)
    await engine.start(viber=viber, sms=sms)
    await engine.add(*(new(n, at_viber(VIBER, SMS)) for n in range(3 * THRESHOLD)))
    await engine.pass_until(lambda: len(set(sms.numbers)) == 3 * THRESHOLD, step_ms=500)
    assert len(viber.attempts) < 4 * THRESHOLD


async def test_while_a_link_is_down_those_with_no_other_wait(engine: Engine) -> None:
    """However many they are, they hold up nobody who can go on."""
    viber, sms = FakeTransport(Channel.VIBER_BOT, window=0), FakeTransport(answer=accept)
    await engine.start(viber=viber, sms=sms)
    await engine.add(*(new(n, at_viber(VIBER)) for n in range(600)), new(2_000, at_viber(VIBER, SMS)))
    await engine.pass_until(lambda: engine.is_at(2_000, State.WAITING, step=1), step_ms=500)
    assert await engine.counts() == {State.QUEUED: 600, State.WAITING: 1}
    assert (await engine.record(0)).entries == []
    viber.widen(2_000)
    await eventually(lambda: len(viber.attempts) == 600)


async def test_a_full_link_is_not_a_dead_one(engine: Engine) -> None:
    """Whoever waits behind slow answers keeps the time of the queue, which is longer than the window."""
    viber, sms = FakeTransport(Channel.VIBER_BOT, window=1), FakeTransport(answer=accept)
    await engine.start(viber=viber, sms=sms)
    await engine.add(new(1, at_viber(VIBER, SMS, due_at_ms=T0 - 1)), new(2, at_viber(VIBER, SMS)))
    await eventually(lambda: viber.numbers == [1])
    for second in range(3):
        engine.pass_ms(MINUTE_MS // 3)
        await engine.add(new(10 + second))
        await eventually(partial(sms.has_sent, 1 + second))
    assert (await engine.message(2)).step == 0


# Links side by side

DEAD = {
    "not connected": FakeTransport(Channel.VIBER_BOT, window=0),
    "it takes all and answers nothing": FakeTransport(Channel.VIBER_BOT, window=2_000),
    "it refuses every connection": FakeTransport(Channel.VIBER_BOT, window=50, answer=down),
}


@pytest.mark.parametrize("dead", DEAD.values(), ids=DEAD.keys())
async def test_a_dead_link_does_not_slow_another(engine: Engine, dead: FakeTransport) -> None:
    sms = FakeTransport(window=50, answer=accept)
    await engine.start(viber=dead, sms=sms)
    await engine.add(*(new(n, at_viber(VIBER, due_at_ms=T0 - DAY_MS)) for n in range(1_000)))
    await engine.add(*(new(2_000 + n) for n in range(500)))
    await eventually(lambda: len(sms.attempts) == 500)
    assert engine.clock.now_ms == T0


# Several links of one channel

TWO_LINKS = queued(route=(SMS._replace(others=("sms.other",)),))


async def test_while_a_link_is_down_its_messages_go_to_another_of_their_channel(engine: Engine) -> None:
    dead, other = FakeTransport(window=0), FakeTransport()
    await engine.start(sms=dead, other_sms=other)
    await engine.add(new(1, TWO_LINKS))
    await engine.pass_until(lambda: other.numbers == [1])
    assert await engine.entries(1) == [(Mark.MOVED, 0, Reason.PROVIDER_DOWN)]
    assert engine.clock.now_ms - T0 < MINUTE_MS  # long before its window is over


async def test_so_they_do_when_the_clock_was_set_back_by_an_hour_meanwhile(engine: Engine) -> None:
    dead, other = FakeTransport(window=0), FakeTransport()
    await engine.start(sms=dead, other_sms=other)
    await engine.add(new(1, TWO_LINKS))
    await engine.pass_until(lambda: other.numbers == [1])
    engine.pass_ms(-HOUR_MS)
    await engine.add(new(2, TWO_LINKS._replace(due_at_ms=engine.clock.now_ms)))
    await engine.pass_until(lambda: other.numbers == [1, 2])
    assert engine.clock.now_ms < T0 - HOUR_MS + MINUTE_MS


async def test_where_all_links_of_a_channel_are_down_nothing_moves(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(window=0), other_sms=FakeTransport(window=0))
    engine.pass_ms(1)
    await eventually(lambda: engine.worker.link_states(1)["sms.other"].is_up is False)
    await engine.add(new(1, TWO_LINKS))
    for _ in range(50):
        engine.pass_ms(100)
        await engine.message(1)
    assert await engine.entries(1) == []


async def test_a_tripped_breaker_moves_the_traffic(engine: Engine) -> None:
    failing, other = FakeTransport(answer=down, window=THRESHOLD), FakeTransport(answer=accept)
    await engine.start(sms=failing, other_sms=other)
    await engine.add(*(new(number, TWO_LINKS) for number in range(1, 101)))
    await engine.pass_until(lambda: len(other.attempts) >= 100)
    assert set(other.numbers) == set(range(1, 101))
    assert len(failing.attempts) < 30


async def test_a_rejected_person_moves_nothing(engine: Engine) -> None:
    refusing, other = FakeTransport(answer=lambda attempt: Rejected(Reason.UNKNOWN_RECIPIENT)), FakeTransport()
    await engine.start(sms=refusing, other_sms=other)
    await engine.add(new(1, TWO_LINKS))
    await engine.until_state(1, State.FINAL)
    assert other.attempts == []
