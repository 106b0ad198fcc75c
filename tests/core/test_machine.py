"""What happens next: every promise of the cascade as a line of a table."""

from itertools import permutations
from typing import Any

import pytest

from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry, Revocation
from cascade.core.machine import (
    Begun,
    Cancelled,
    Claimed,
    DeadlinePassed,
    Event,
    LinkDown,
    OptedOut,
    ReceiptCame,
    Rescheduled,
    Revoked,
    Settled,
    decide,
)
from cascade.core.message import Message, State, Status
from cascade.core.receipt import ReceiptState
from cascade.core.route import Route, Step
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason

T0 = 1_000_000_000_000
HOUR = 3_600_000
VIBER = Step(Channel.VIBER_BOT, "viber_bot.1", 60)
SMS = Step(Channel.SMS, "sms.smpp", None)
ROUTE: Route = (Step(Channel.TELEGRAM_BOT, "telegram_bot.1", 30), VIBER, SMS)
EVERYWHERE = {"telegram_bot.1": "501", "viber_bot.1": "abc="}


def message(**changes: Any) -> Message:
    given = Message(MessageType.TRANSACTION, ROUTE, T0 + 24 * HOUR, addresses=EVERYWHERE)
    return given._replace(**changes)


def run(start: Message, *events: Event) -> Message:
    for event in events:
        start, _ = decide(start, event)
    return start


QUEUED = run(message(), Begun(T0))
SENDING = run(QUEUED, Claimed(T0 + 5, T0 + 60_000))
ON_VIBER = run(SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.BLOCKED)), Claimed(T0 + 15, T0 + 60_000))
WAITING = run(ON_VIBER, Settled(T0 + 20, 2, 1, Accepted(("77",))))
ON_SMS = run(WAITING, DeadlinePassed(T0 + 60_020), Claimed(T0 + 60_030, T0 + 120_000))
SMS_WAITING = run(ON_SMS, Settled(T0 + 60_040, 3, 2, Accepted(("78",))))
LOST = run(SMS_WAITING, ReceiptCame(T0 + 61_000, 3, 2, 0, ReceiptState.FAILED, Reason.UNDELIVERABLE))
PROMO_SENDING = SENDING._replace(type=MessageType.PROMO)
LONG = run(ON_SMS, Settled(T0 + 60_040, 3, 2, Accepted(("78", "79"))))
UNTIL_READ = run(
    message(route=(VIBER._replace(is_until_read=True), SMS)), Begun(T0), Claimed(T0, T0 + 60_000),
    Settled(T0 + 10, 1, 0, Accepted(("77",))),
)  # fmt: skip
TELEGRAM_UNTIL_READ = run(
    message(route=(ROUTE[0]._replace(is_until_read=True), SMS)), Begun(T0), Claimed(T0, T0 + 60_000)
)
FAILED_PART = run(
    message(route=(SMS, VIBER)), Begun(T0), Claimed(T0, T0 + 60_000), Settled(T0 + 10, 1, 0, Accepted(("1", "2"))),
)  # fmt: skip
DEAR: Route = (SMS._replace(cost_micros=60), SMS._replace(cost_micros=40))
TWICE = Step(Channel.RCS, "rcs.google", 60, others=("rcs.vonage", "rcs.infobip"))
RCS_QUEUED = run(message(route=(TWICE, SMS)), Begun(T0))
RCS_SENDING = run(RCS_QUEUED, Claimed(T0, T0 + 60_000))
RCS_WAITING = run(RCS_SENDING, Settled(T0 + 10, 1, 0, Accepted(("77",))))
KNOWN_AGAIN = run(
    RCS_SENDING._replace(type=MessageType.PROMO),
    Settled(T0 + 10, 1, 0, AnswerLost(), takes_our_id=True),
)
REVOKING = run(RCS_WAITING, DeadlinePassed(T0 + 60_010, can_revoke=True))
DONE = run(WAITING, ReceiptCame(T0 + 30, 2, 1, 0, ReceiptState.DELIVERED))


def receipt(at_ms: int, attempt: int, step: int, state: ReceiptState, part: int = 0) -> ReceiptCame:
    return ReceiptCame(at_ms, attempt, step, part, state)


S, W, R, Q, F = State.SENDING, State.WAITING, State.REVOKING, State.QUEUED, State.FINAL
P, D, U, E = Status.PROCESSING, Status.DELIVERED, Status.UNDELIVERABLE, Status.PERMANENT_ERROR

STOPPED = OptedOut(T0 + 6)
PROMO_STOPPED = run(PROMO_SENDING, STOPPED)
PROMO_SENT = run(PROMO_SENDING, Settled(T0 + 10, 1, 0, Accepted(("77",))))
PROMO_LOST = run(PROMO_SENDING, DeadlinePassed(T0 + 60_000))

CASES: dict[str, tuple[Message, Event, State, Status, int, list[Mark]]] = {
    # given, event: state, status and step after, what the timeline says
    "begins at the first step": (message(), Begun(T0), Q, Status.SCHEDULED, 0, []),
    "begins where the person can be reached": (
        message(addresses={}), Begun(T0), Q, Status.SCHEDULED, 2, [Mark.SKIPPED, Mark.SKIPPED],
    ),
    "no channel at all: permanent error": (
        message(route=(ROUTE[0], VIBER), addresses={}), Begun(T0), F, E, -1, [Mark.SKIPPED, Mark.SKIPPED],
    ),
    "no step at all: permanent error": (message(route=()), Begun(T0), F, E, -1, [Mark.SKIPPED]),
    "no link for a channel: skipped": (
        message(route=(Step(Channel.RCS, None, 60), SMS)), Begun(T0), Q, Status.SCHEDULED, 1, [Mark.SKIPPED],
    ),
    "its hour has not come: nothing": (
        message(deadline_at_ms=T0 + 5), DeadlinePassed(T0), State.SCHEDULED, Status.SCHEDULED, -1, [],
    ),
    "its hour has come: begins": (message(deadline_at_ms=T0), DeadlinePassed(T0), Q, Status.SCHEDULED, 0, []),
    "its time to live ended before it began": (
        message(expires_at_ms=T0), Begun(T0), F, U, -1, [Mark.EXPIRED],
    ),
    "claimed: sending": (QUEUED, Claimed(T0 + 5, T0 + 60_000), S, P, 0, []),
    "claimed after its step ended: left for the timekeeper": (
        QUEUED, Claimed(T0 + 2 * HOUR, T0 + 3 * HOUR), Q, Status.SCHEDULED, 0, [],
    ),
    "a channel without receipts: acceptance is delivery": (
        SENDING, Settled(T0 + 10, 1, 0, Delivered("9")), F, D, 0, [Mark.DELIVERED],
    ),
    "no more advertising, a transaction: goes on": (SENDING, STOPPED, S, P, 0, []),
    "no more advertising while it waits in a lane: ends": (
        QUEUED._replace(type=MessageType.PROMO), STOPPED, F, E, 0, [Mark.SKIPPED],
    ),
    "no more advertising when a provider has it: its window, and no other step": (
        run(PROMO_SENT, OptedOut(T0 + 20)), DeadlinePassed(T0 + 30_010), F, U, 0, [Mark.TIMED_OUT, Mark.EXPIRED],
    ),
    "no more advertising while it is being sent: as it is": (PROMO_SENDING, STOPPED, S, P, 0, []),
    "no more advertising, then accepted: it may arrive": (
        PROMO_STOPPED, Settled(T0 + 10, 1, 0, Accepted(("77",))), W, P, 0, [Mark.ACCEPTED],
    ),
    "no more advertising, then rejected: no other step": (
        PROMO_STOPPED, Settled(T0 + 10, 1, 0, Rejected(Reason.BLOCKED)), F, U, 0, [Mark.REJECTED, Mark.EXPIRED],
    ),
    "no more advertising, then to be retried: not repeated": (
        PROMO_STOPPED, Settled(T0 + 10, 1, 0, Retry(Reason.THROTTLED)), F, U, 0, [Mark.RETRY, Mark.EXPIRED],
    ),
    "given back, its recipient had enough: waits in its lane": (
        SENDING, Settled(T0 + 10, 1, 0, NotSent(2.5)), Q, P, 0, [],
    ),
    "given back until its step is over: the next channel at once": (
        SENDING, Settled(T0 + 10, 1, 0, NotSent(30)), Q, P, 1, [Mark.SKIPPED],
    ),
    "no more advertising, then given back: not claimed again": (
        run(PROMO_STOPPED, Settled(T0 + 10, 1, 0, NotSent())), Claimed(T0 + 11, T0 + HOUR), Q, P, 0, [],
    ),
    "its provider alone would know a repeat, and is down: no other provider takes over": (
        KNOWN_AGAIN, LinkDown(T0 + 1_000, is_window_over=False), Q, P, 0, [],
    ),
    "the same at its window's end: the next channel": (KNOWN_AGAIN, LinkDown(T0 + 61_000), Q, P, 1, [Mark.TIMED_OUT]),
    "the same of a transaction, which may go twice: another provider": (
        run(RCS_SENDING, Settled(T0 + 10, 1, 0, AnswerLost(), takes_our_id=True)),
        LinkDown(T0 + 1_000, is_window_over=False), Q, P, 0, [Mark.MOVED],
    ),
    "the same, and its late answer names two parts: it takes both": (
        run(KNOWN_AGAIN, Settled(T0 + 500, 1, 0, Accepted(("1", "2")))),
        receipt(T0 + 900, 1, 0, ReceiptState.DELIVERED), W, P, 0, [Mark.PART_DELIVERED],
    ),
    "called lost, and was never sent: back to the lane": (
        PROMO_LOST, Settled(T0 + 70_000, 1, 0, NotSent()), Q, P, 0, [],
    ),
    "called lost, and to be retried: so it is": (
        PROMO_LOST, Settled(T0 + 70_000, 1, 0, Retry(Reason.THROTTLED)), Q, P, 0, [Mark.RETRY],
    ),
    "called lost, and was rejected: next step": (
        PROMO_LOST, Settled(T0 + 70_000, 1, 0, Rejected(Reason.BLOCKED)), Q, P, 1, [Mark.REJECTED],
    ),
    "accepted: waits for the receipt": (ON_VIBER, Settled(T0 + 20, 2, 1, Accepted(("77",))), W, P, 1, [Mark.ACCEPTED]),
    "rejected: next step": (SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.BLOCKED)), Q, P, 1, [Mark.REJECTED]),
    "content does not fit: skipped to the next step": (
        SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.CONTENT_UNFIT)), Q, P, 1, [Mark.SKIPPED],
    ),
    "rejected at the last step: undeliverable": (
        ON_SMS, Settled(T0 + 60_040, 3, 2, Rejected(Reason.UNKNOWN_RECIPIENT)), F, U, 2, [Mark.REJECTED],
    ),
    "retry: the same step later": (SENDING, Settled(T0 + 10, 1, 0, Retry(Reason.THROTTLED, 2)), Q, P, 0, [Mark.RETRY]),
    "retry that outlasts the window: next step": (
        SENDING, Settled(T0 + 10, 1, 0, Retry(Reason.THROTTLED, 10_072)), Q, P, 1, [Mark.RETRY],
    ),
    "never left us: back to the lane, no attempt made": (SENDING, Settled(T0 + 10, 1, 0, NotSent()), Q, P, 0, []),
    "answer lost, transaction: better twice than never": (
        SENDING, Settled(T0 + 10, 1, 0, AnswerLost()), Q, P, 0, [Mark.UNKNOWN],
    ),
    "answer lost, promo: not repeated, waits": (
        PROMO_SENDING, Settled(T0 + 10, 1, 0, AnswerLost()), W, P, 0, [Mark.UNKNOWN],
    ),
    "answer lost, promo, provider knows our id: repeated": (
        PROMO_SENDING, Settled(T0 + 10, 1, 0, AnswerLost(), True), Q, P, 0, [Mark.UNKNOWN],
    ),
    "answer lost, too late for a repeat: a receipt may still come in the window": (
        ON_VIBER._replace(tries=2, step_ends_at_ms=T0 + 1_000), Settled(T0 + 20, 2, 1, AnswerLost()), W, P, 1,
        [Mark.UNKNOWN],
    ),
    "answer lost where no receipt ever comes, too late for a repeat: next step": (
        SENDING._replace(tries=2, step_ends_at_ms=T0 + 1_000), Settled(T0 + 20, 1, 0, AnswerLost()), Q, P, 1,
        [Mark.UNKNOWN],
    ),
    "node lost while sending a transaction: repeated": (
        SENDING, DeadlinePassed(T0 + 60_000), Q, P, 0, [Mark.UNKNOWN],
    ),
    "node lost while sending a promo: not repeated": (
        PROMO_SENDING, DeadlinePassed(T0 + 60_000), W, P, 0, [Mark.UNKNOWN],
    ),
    "lease still runs: nothing": (SENDING, DeadlinePassed(T0 + 59_999), S, P, 0, []),
    "the late answer to an unknown attempt: no repeat": (
        run(ON_VIBER, DeadlinePassed(T0 + 60_000)), Settled(T0 + 60_001, 2, 1, Accepted(("77",))), W, P, 1,
        [Mark.ACCEPTED],
    ),
    "silence: next step when the window closes": (WAITING, DeadlinePassed(T0 + 60_020), Q, P, 2, [Mark.TIMED_OUT]),
    "silence at the last step: undeliverable": (
        SMS_WAITING, DeadlinePassed(T0 + 24 * HOUR), F, U, 2, [Mark.TIMED_OUT, Mark.EXPIRED],
    ),
    "window still open: nothing": (WAITING, DeadlinePassed(T0 + 60_019), W, P, 1, []),
    "its turn never came: next step": (
        run(SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.BLOCKED))), DeadlinePassed(T0 + HOUR), Q, P, 2,
        [Mark.TIMED_OUT],
    ),
    "its link is down: next step": (QUEUED, LinkDown(T0 + 31_000), Q, Status.SCHEDULED, 1, [Mark.TIMED_OUT]),
    "its link is down and there is no other: waits": (
        run(WAITING, DeadlinePassed(T0 + 60_020)), LinkDown(T0 + 90_000), Q, P, 2, [],
    ),
    "delivered": (WAITING, receipt(T0 + 30, 2, 1, ReceiptState.DELIVERED), F, D, 1, [Mark.DELIVERED]),
    "read implies delivered": (
        WAITING, receipt(T0 + 30, 2, 1, ReceiptState.READ), F, D, 1, [Mark.DELIVERED, Mark.READ],
    ),
    "failed: next step": (WAITING, receipt(T0 + 30, 2, 1, ReceiptState.FAILED), Q, P, 2, [Mark.FAILED]),
    "receipt twice: once": (DONE, receipt(T0 + 31, 2, 1, ReceiptState.DELIVERED), F, D, 1, []),
    "failed after delivered: the truth does not go back": (
        DONE, receipt(T0 + 31, 2, 1, ReceiptState.FAILED), F, D, 1, [],
    ),
    "read after delivered": (DONE, receipt(T0 + 31, 2, 1, ReceiptState.READ), F, D, 1, [Mark.READ]),
    "late delivery of an earlier step, the next one queued: ends the cascade": (
        run(WAITING, DeadlinePassed(T0 + 60_020)), receipt(T0 + 60_025, 2, 1, ReceiptState.DELIVERED), F, D, 2,
        [Mark.DELIVERED],
    ),
    "late delivery of an earlier step, the next one sending: ends the cascade": (
        ON_SMS, receipt(T0 + 60_035, 2, 1, ReceiptState.DELIVERED), F, D, 2, [Mark.DELIVERED],
    ),
    "the answer of a send that the late delivery overtook": (
        run(ON_SMS, receipt(T0 + 60_035, 2, 1, ReceiptState.DELIVERED)),
        Settled(T0 + 60_040, 3, 2, Accepted(("78",))), F, D, 2, [Mark.ACCEPTED],
    ),
    "delivered by two channels: counted as a double": (
        run(SMS_WAITING, receipt(T0 + 60_050, 2, 1, ReceiptState.DELIVERED)),
        receipt(T0 + 60_060, 3, 2, ReceiptState.DELIVERED), F, D, 2, [Mark.DOUBLE],
    ),
    "late failure of an earlier step: a line in the timeline": (
        SMS_WAITING, receipt(T0 + 60_050, 2, 1, ReceiptState.FAILED), W, P, 2, [Mark.FAILED],
    ),
    "undeliverable, then it arrived after all: delivered": (
        LOST, receipt(T0 + 90_000, 2, 1, ReceiptState.DELIVERED), F, D, 2, [Mark.DELIVERED],
    ),
    "one part of two arrived: waits": (
        LONG, receipt(T0 + 61_000, 3, 2, ReceiptState.DELIVERED), W, P, 2, [Mark.PART_DELIVERED],
    ),
    "both parts arrived: delivered": (
        run(LONG, receipt(T0 + 61_000, 3, 2, ReceiptState.DELIVERED, part=1)),
        receipt(T0 + 61_001, 3, 2, ReceiptState.DELIVERED, part=0), F, D, 2, [Mark.DELIVERED],
    ),
    "the same part twice is not both": (
        run(LONG, receipt(T0 + 61_000, 3, 2, ReceiptState.DELIVERED, part=1)),
        receipt(T0 + 61_001, 3, 2, ReceiptState.DELIVERED, part=1), W, P, 2, [Mark.PART_DELIVERED],
    ),
    "one part failed: the message failed": (
        LONG, receipt(T0 + 61_000, 3, 2, ReceiptState.FAILED, part=1), F, U, 2, [Mark.FAILED],
    ),
    "delivered, but the step waits until it is read": (
        UNTIL_READ, receipt(T0 + 30, 1, 0, ReceiptState.DELIVERED), W, P, 0, [Mark.DELIVERED],
    ),
    "read at a step that waits for it: done": (
        run(UNTIL_READ, receipt(T0 + 30, 1, 0, ReceiptState.DELIVERED)), receipt(T0 + 40, 1, 0, ReceiptState.READ),
        F, D, 0, [Mark.READ],
    ),
    "not read in time: the next channel too": (
        run(UNTIL_READ, receipt(T0 + 30, 1, 0, ReceiptState.DELIVERED)), DeadlinePassed(T0 + 60_010), Q, P, 1,
        [Mark.TIMED_OUT],
    ),
    "a channel without receipts took it, but the step waits until it is read": (
        TELEGRAM_UNTIL_READ, Settled(T0 + 10, 1, 0, Delivered("7")), W, P, 0, [Mark.DELIVERED],
    ),
    "a channel without receipts never tells of reading: the next channel too": (
        run(TELEGRAM_UNTIL_READ, Settled(T0 + 10, 1, 0, Delivered("7"))), DeadlinePassed(T0 + 30_010), Q, P, 1,
        [Mark.TIMED_OUT],
    ),
    "a channel without receipts, with nobody after it: delivered it is": (
        run(TELEGRAM_UNTIL_READ._replace(route=TELEGRAM_UNTIL_READ.route[:1]), Settled(T0 + 10, 1, 0, Delivered("7"))),
        DeadlinePassed(T0 + 30_010), F, D, 0, [Mark.TIMED_OUT],
    ),
    "a step that would cost too much is skipped": (
        message(route=DEAR, max_cost_micros=50), Begun(T0), Q, Status.SCHEDULED, 1, [Mark.SKIPPED],
    ),
    "what was spent counts": (
        run(message(route=(DEAR[1], DEAR[1]), max_cost_micros=50), Begun(T0), Claimed(T0, T0 + 60_000),
            Settled(T0, 1, 0, Accepted(("1",)))),
        receipt(T0 + 5, 1, 0, ReceiptState.FAILED), F, U, 0, [Mark.FAILED, Mark.SKIPPED],
    ),
    "an unknown attempt of two parts: one receipt is not both": (
        run(ON_SMS._replace(type=MessageType.PROMO), Settled(T0 + 60_040, 3, 2, AnswerLost(parts=2))),
        receipt(T0 + 61_000, 3, 2, ReceiptState.DELIVERED, part=1), W, P, 2, [Mark.PART_DELIVERED],
    ),
    "a second part's failure does not leave the next step untried": (
        run(FAILED_PART, receipt(T0 + 40, 1, 0, ReceiptState.FAILED, part=0)),
        receipt(T0 + 41, 1, 0, ReceiptState.FAILED, part=1), Q, P, 1, [Mark.FAILED],
    ),
    "a repeated refusal does not leave the next step untried": (
        run(SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.BLOCKED))),
        Settled(T0 + 11, 1, 0, Rejected(Reason.BLOCKED)), Q, P, 1, [Mark.REJECTED],
    ),
    "the window of a provider that can take back closes: it is asked to": (
        RCS_WAITING, DeadlinePassed(T0 + 60_010, can_revoke=True), R, P, 0, [],
    ),
    "nothing is taken back where no step is left": (
        SMS_WAITING, DeadlinePassed(T0 + 24 * HOUR, can_revoke=True), F, U, 2, [Mark.TIMED_OUT, Mark.EXPIRED],
    ),
    "taken back: next step": (
        REVOKING, Revoked(T0 + 60_100, 1, 0, Revocation.WITHDRAWN), Q, P, 1, [Mark.REVOKED],
    ),
    "too late to take back, transaction: next step all the same": (
        REVOKING, Revoked(T0 + 60_100, 1, 0, Revocation.TOO_LATE), Q, P, 1, [Mark.TIMED_OUT],
    ),
    "too late to take back, promo: waits for the receipt": (
        REVOKING._replace(type=MessageType.PROMO), Revoked(T0 + 60_100, 1, 0, Revocation.TOO_LATE), R, P, 0, [],
    ),
    "nobody knows whether it was taken back: next step": (
        REVOKING, Revoked(T0 + 60_100, 1, 0, Revocation.UNKNOWN), Q, P, 1, [Mark.TIMED_OUT],
    ),
    "no answer to the wish to take it back: next step": (
        REVOKING, DeadlinePassed(T0 + 80_010, can_revoke=True), Q, P, 1, [Mark.TIMED_OUT],
    ),
    "it arrives while it is taken back: delivered": (
        REVOKING, receipt(T0 + 60_050, 1, 0, ReceiptState.DELIVERED), F, D, 0, [Mark.DELIVERED],
    ),
    "news of a revocation that is over: nothing": (
        run(REVOKING, receipt(T0 + 60_050, 1, 0, ReceiptState.DELIVERED)),
        Revoked(T0 + 60_100, 1, 0, Revocation.WITHDRAWN), F, D, 0, [],
    ),
    "its link is down: another of the same channel, at once": (
        RCS_QUEUED, LinkDown(T0 + 1, is_window_over=False), Q, Status.SCHEDULED, 0, [Mark.MOVED],
    ),
    "every link of the channel is down, the window still open: waits": (
        RCS_QUEUED, LinkDown(T0 + 1, frozenset({"rcs.google", "rcs.vonage", "rcs.infobip"}), is_window_over=False),
        Q, Status.SCHEDULED, 0, [],
    ),
    "every link of the channel is down and the window over: next step": (
        RCS_QUEUED, LinkDown(T0 + 61_000, frozenset({"rcs.vonage", "rcs.infobip"})), Q, Status.SCHEDULED, 1,
        [Mark.TIMED_OUT],
    ),
    "the provider wants money: another of the same channel": (
        RCS_SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.NO_CREDIT)), Q, P, 0, [Mark.REJECTED],
    ),
    "the person is refused: no other provider of the channel is asked": (
        RCS_SENDING, Settled(T0 + 10, 1, 0, Rejected(Reason.UNKNOWN_RECIPIENT)), Q, P, 1, [Mark.REJECTED],
    ),
    "cancelled before it began": (QUEUED, Cancelled(T0 + 1), F, E, 0, [Mark.CANCELLED]),
    "cancelled too late: nothing": (SENDING, Cancelled(T0 + 6), S, P, 0, []),
    "rescheduled before it began": (
        QUEUED, Rescheduled(T0 + 1, T0 + HOUR), State.SCHEDULED, Status.SCHEDULED, -1, [Mark.RESCHEDULED],
    ),
    "rescheduled too late: nothing": (WAITING, Rescheduled(T0 + 30, T0 + HOUR), W, P, 1, []),
}  # fmt: skip


def test_a_rescheduled_message_takes_its_time_to_live_along() -> None:
    assert run(QUEUED, Rescheduled(T0 + 1, T0 + HOUR)).expires_at_ms == QUEUED.expires_at_ms + HOUR


@pytest.mark.parametrize("name", CASES)
def test_next(name: str) -> None:
    given, event, state, status, step, marks = CASES[name]
    after, entries = decide(given, event)
    assert (after.state, after.status, after.step, [entry.mark for entry in entries]) == (state, status, step, marks)


def test_the_channel_that_delivered_is_remembered() -> None:
    assert run(ON_SMS, receipt(T0 + 60_035, 2, 1, ReceiptState.DELIVERED)).delivered_step == 1


@pytest.mark.parametrize("outcome", [Accepted(("77",)), Delivered("77")])
def test_what_was_changed_for_the_channel_is_told(outcome: Accepted | Delivered) -> None:
    _, [entry] = decide(SENDING, Settled(T0 + 10, 1, 0, outcome, changes="media_as_links"))
    assert entry.detail == "media_as_links"


def test_a_retry_waits_as_long_as_the_provider_says() -> None:
    assert run(SENDING, Settled(T0 + 10, 1, 0, Retry(Reason.THROTTLED, 2.5))).due_at_ms == T0 + 10 + 2_500
    back = run(SENDING, Settled(T0 + 10, 1, 0, NotSent(2.5)))
    assert (back.due_at_ms, back.attempt, back.tries) == (T0 + 10 + 2_500, 0, 0)


def test_retries_wait_longer_each_time_and_end_with_the_window() -> None:
    now = QUEUED
    waits = []
    at_ms = T0
    while now.step == 0:
        now = run(now, Claimed(at_ms, at_ms + 60_000))
        now = run(now, Settled(at_ms, now.attempt, 0, Retry(Reason.PROVIDER_DOWN)))
        waits.append(now.due_at_ms - at_ms)
        at_ms = now.due_at_ms
    assert waits == [1_000, 2_000, 4_000, 8_000, 0]  # the next would end beyond 30 s: so Viber, at once


def test_a_down_link_hands_on_to_the_first_that_is_up_and_never_back() -> None:
    links = [RCS_QUEUED.link]
    now = RCS_QUEUED
    for down in ({"rcs.vonage"}, set(), set()):
        now = run(now, LinkDown(T0 + 1, frozenset(down), is_window_over=False))
        links.append(now.link)
    assert links == ["rcs.google", "rcs.infobip", "rcs.infobip", "rcs.infobip"]


def test_tries_at_a_provider_that_fails_go_round_all_of_the_channel() -> None:
    links = []
    now, at_ms = RCS_QUEUED, T0
    while now.step == 0:
        links.append(now.link)
        now = run(now, Claimed(at_ms, at_ms + 60_000), Settled(at_ms, now.attempt + 1, 0, Retry(Reason.PROVIDER_DOWN)))
        at_ms = now.due_at_ms
    assert links[:4] == ["rcs.google", "rcs.vonage", "rcs.infobip", "rcs.google"]


def test_a_node_lost_at_the_last_step_does_not_lose_a_transaction() -> None:
    short = (Step(Channel.SMS, "sms.smpp", 2),)
    sending = run(message(route=short), Begun(T0), Claimed(T0, T0 + 60_000))
    assert run(sending, DeadlinePassed(T0 + 60_000)).state is State.QUEUED


def test_what_one_broken_connection_has_parted_does_not_meet_again() -> None:
    """Else a message that ends the connection each time takes the same others with it each time."""
    due = [decide(SENDING, Settled(T0 + 10, 1, 0, AnswerLost(), spread=spread))[0].due_at_ms for spread in (0, 0.5, 1)]
    assert due == [T0 + 1_010, T0 + 1_510, T0 + 2_010]


def test_a_repeat_goes_to_the_provider_that_would_know_it() -> None:
    """However often it fails there: with another provider the person would have it twice."""
    now, at_ms = KNOWN_AGAIN, T0 + 10
    for _ in range(3):
        at_ms = now.due_at_ms
        failed = Settled(at_ms + 5, now.attempt + 1, 0, Retry(Reason.PROVIDER_DOWN))
        now = run(now, Claimed(at_ms, at_ms + 60_000), failed)
        assert (now.state, now.link) == (Q, "rcs.google")


def test_a_late_answer_brings_the_message_back_to_the_link_that_gave_it() -> None:
    """It was moved before it was known that its provider has it: what is taken back is asked of that one."""
    moved = run(RCS_SENDING, DeadlinePassed(T0 + 60_000), LinkDown(T0 + 60_001))
    assert (moved.state, moved.link) == (Q, "rcs.vonage")
    late = run(moved, Settled(T0 + 60_002, 1, 0, Accepted(("77",)), link="rcs.google"))
    assert (late.state, late.link) == (State.WAITING, "rcs.google")


def test_a_late_refusal_of_a_link_does_not_move_the_message_from_the_next_one() -> None:
    moved = run(RCS_SENDING, DeadlinePassed(T0 + 60_000), LinkDown(T0 + 60_001))
    refused = Settled(T0 + 60_002, 1, 0, Rejected(Reason.NO_CREDIT), link="rcs.google")
    late, entries = decide(moved, refused)
    assert (late.state, late.link, late.step) == (Q, "rcs.vonage", 0)
    assert [entry.mark for entry in entries] == [Mark.REJECTED]


PRICED: Route = (TWICE._replace(cost_micros=60), SMS._replace(cost_micros=40))
NEWS = ("answer 1", "receipt 1", "link down", "deadline", "claim", "answer 2", "receipt 2")
ANSWERS = {
    "accepted": Accepted(("77",)),
    "accepted in parts": Accepted(("77", "78")),
    "delivered": Delivered("77"),
    "not accepted": Retry(Reason.THROTTLED),
}


def price_of(order: tuple[str, ...], type_: MessageType, answer: Outcome, state: ReceiptState) -> tuple[int, int]:
    """What two attempts were charged for in all, when the first was called lost and this came about in that order; and
    the price of those that were accepted or proven. Of an attempt that was not called lost no receipt is a proof."""
    at_ms = T0 + 60_000
    now = run(message(type=type_, route=PRICED), Begun(T0), Claimed(T0, at_ms), DeadlinePassed(at_ms))
    steps, lost, taken = {1: 0}, {1}, set()
    for one in order:
        at_ms += 1
        number = int(one[-1]) if one[-1].isdigit() else 0
        if one == "link down":
            now = run(now, LinkDown(at_ms))
        elif one == "deadline" and now.deadline_at_ms is not None:
            at_ms = max(at_ms, now.deadline_at_ms)
            if now.state is State.SENDING:
                lost.add(now.attempt)
            now = run(now, DeadlinePassed(at_ms))
        elif one == "claim":
            now = run(now, Claimed(at_ms, at_ms + 60_000))
            if now.attempt == 2:
                steps[2] = now.step
        elif one.startswith("answer") and number in steps:
            now = run(now, Settled(at_ms, number, steps[number], answer, link="rcs.google"))
            if not isinstance(answer, Retry):
                taken.add(number)
        elif one.startswith("receipt") and number in lost:
            now = run(now, ReceiptCame(at_ms, number, steps[number], 0, state, is_proof=True))
            taken.add(number)
    return now.cost_micros, sum(PRICED[steps[number]].cost_micros for number in taken)


@pytest.mark.parametrize("type_", [MessageType.PROMO, MessageType.TRANSACTION])
@pytest.mark.parametrize("state", ReceiptState)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_every_attempt_that_was_accepted_or_proven_costs_once(
    type_: MessageType, state: ReceiptState, answer: Outcome
) -> None:
    """In whatever order answers, receipts and moves come: as when a node that was cut off comes back."""
    for order in permutations(NEWS):
        charged, price = price_of(order, type_, answer, state)
        assert charged == price, order


def test_a_part_that_was_read_is_no_proof_of_the_others() -> None:
    sent = run(message(type=MessageType.PROMO, route=DEAR), Begun(T0), Claimed(T0, T0 + 60_000))
    lost = run(sent, DeadlinePassed(T0 + 60_000, parts=2))
    read = run(lost, ReceiptCame(T0 + 60_010, 1, 0, 1, ReceiptState.READ))
    assert run(read, Settled(T0 + 60_020, 1, 0, Accepted(("77", "78")))).cost_micros == 60
