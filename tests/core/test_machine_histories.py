"""Random histories: whatever providers, nodes and clocks do, the machine keeps its promises.

The reference model knows only which attempts were begun and which were reported as having reached the person.
"""

import os
import random

from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Rejected, Retry, Revocation
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
from cascade.core.route import Step
from cascade.core.timeline import Entry, Mark, decode, encode
from cascade.core.words import Channel, MessageType, Reason

HISTORIES = 10_000
LONGEST = 30
T0 = 1_000_000_000_000
CHANNELS = (Channel.TELEGRAM_BOT, Channel.VIBER_BOT, Channel.VIBER_BUSINESS, Channel.RCS, Channel.SMS)


class Reference:
    """What must be true, found by other means than the machine's."""

    def __init__(self) -> None:
        self.begun: dict[int, int] = {}  # attempt -> step
        self.parts: dict[int, set[int]] = {}  # attempt -> parts whose receipt is missing
        self.unheard: set[int] = set()  # attempts whose lease ended before their node said anything
        self.reached: list[int] = []
        self.is_stopped = False
        self.lives_until_ms = 0

    def see(self, before: Message, event: Event, after: Message) -> None:
        self.lives_until_ms = max(self.lives_until_ms, before.expires_at_ms, after.expires_at_ms)
        if isinstance(event, DeadlinePassed) and before.state is State.SENDING and after is not before:
            self.unheard.add(before.attempt)
        elif isinstance(event, Settled):
            self.unheard.discard(event.attempt)
        match event:
            case OptedOut() if before.type.is_advertising:
                self.is_stopped = True
            case Claimed() if after.attempt > before.attempt:
                assert not self.is_stopped, "advertising to who wants no more"
                assert before.state is State.QUEUED, "claimed while somebody may be sending it"
                self.begun[after.attempt] = after.step
            case Settled(attempt=attempt, outcome=Delivered()):
                self._reach(attempt)
            case Settled(attempt=attempt, outcome=Accepted(provider_ids)) if len(provider_ids) > 1:
                self.parts[attempt] = set(range(len(provider_ids)))
            case ReceiptCame(attempt=attempt, part=part, state=state) if state is not ReceiptState.FAILED:
                missing = self.parts.get(attempt, set())
                missing.discard(part)
                if not missing or state is ReceiptState.READ:
                    self._reach(attempt)

    def _reach(self, attempt: int) -> None:
        if attempt not in self.reached:
            self.reached.append(attempt)


def random_message(dice: random.Random) -> Message:
    route = tuple(
        Step(
            channel,
            dice.choice([None, f"{channel.value}.1"]),
            dice.choice([None, 1, 2, 60]),
            dice.random() < 0.2,
            dice.choice([0, 10, 50]),
            others=dice.choice([(), (), ("other.1",), ("other.1", "other.2")]),
        )
        for channel in CHANNELS[: dice.randint(1, 5)]
    )
    addresses = {link: "1" for step in route if (link := step.link) and dice.random() < 0.7}
    ttl_ms = dice.choice([1, 5, 300, 86_400]) * 1000
    scheduled = T0 + dice.choice([0, 5_000])
    return Message(
        dice.choice(list(MessageType)),
        route,
        scheduled + ttl_ms,
        deadline_at_ms=scheduled,
        addresses=addresses,
        max_cost_micros=dice.choice([None, None, 60]),
    )


def random_event(dice: random.Random, message: Message, reference: Reference, at_ms: int) -> Event:
    kinds = ["deadline", "link_down", "begun", "claimed", "client"]
    if reference.begun:
        kinds += ["settled", "settled", "settled", "receipt", "receipt", "revoked"]
    match dice.choice(kinds):
        case "begun":
            return Begun(at_ms)
        case "claimed":
            return Claimed(at_ms, at_ms + 60_000)
        case "deadline":
            return DeadlinePassed(at_ms, dice.random() < 0.2, dice.random() < 0.3)
        case "link_down":
            return LinkDown(
                at_ms, frozenset(dice.sample(["other.1", "other.2"], dice.randrange(3))), dice.random() < 0.5
            )
        case "revoked":
            attempt = dice.choice(list(reference.begun))
            return Revoked(at_ms, attempt, reference.begun[attempt], dice.choice(list(Revocation)))
        case "client":
            wishes: list[Event] = [Cancelled(at_ms), Rescheduled(at_ms, at_ms + 1_000), Rescheduled(at_ms, 0)]
            wishes.append(OptedOut(at_ms))
            return dice.choice(wishes)
        case "settled":
            attempt = dice.choice(
                [*reference.begun, *([message.attempt] * 3 if message.attempt in reference.begun else [])]
            )
            # A node that never sent it says so once: while it holds the message, or late.
            may_return = attempt in reference.unheard or (attempt == message.attempt and message.state is State.SENDING)
            outcome = dice.choice(
                [
                    Accepted(tuple(map(str, range(dice.choice([1, 1, 2, 3])))))
                    if attempt not in reference.parts
                    else Accepted(("1",)),
                    Delivered("1"),
                    Rejected(dice.choice(list(Reason))),
                    Retry(dice.choice([Reason.THROTTLED, Reason.PROVIDER_DOWN]), dice.choice([None, 0.5, 10_072])),
                    AnswerLost(),
                    NotSent(dice.choice([0.0, 0.5, 10_072])) if may_return else AnswerLost(),
                ]
            )
            return Settled(at_ms, attempt, reference.begun[attempt], outcome, dice.random() < 0.2)
        case _:
            attempt = dice.choice(list(reference.begun))
            part = dice.randrange(3) if attempt in reference.parts else 0
            state = dice.choice(list(ReceiptState))
            return ReceiptCame(at_ms, attempt, reference.begun[attempt], part, state)


def check(before: Message, after: Message, reference: Reference, at_ms: int) -> None:
    assert after.status.rank >= before.status.rank, "a status went down"
    assert after.step >= before.step or not before.has_begun, "a step was taken back"
    if after.is_final or not any(step.is_until_read for step in after.route):
        assert (after.status is Status.DELIVERED) == bool(reference.reached), "delivered is not what was reported"
    assert list(after.delivered) == reference.reached, "a double was not counted, or counted twice"
    assert (after.deadline_at_ms is None) == after.is_final, "a state without a deadline, or a final one with"
    assert after.is_final == (after.status.rank >= Status.PERMANENT_ERROR.rank), "state and status disagree"
    if after.state in (State.SENDING, State.QUEUED) and before.step < after.step:
        assert after.link == after.route[after.step].link, "a step begins at another link than its own"
    if after.state in (State.WAITING, State.REVOKING):
        assert after.deadline_at_ms is not None
        assert after.deadline_at_ms <= max(reference.lives_until_ms, at_ms), "waits past its time to live"


def check_steps(before: Message, event: Event, after: Message, entries: list[Entry]) -> None:
    skipped = {entry.step for entry in entries if entry.mark is Mark.SKIPPED}
    assert skipped >= set(range(before.step + 1, after.step)), "a step was passed over without a reason"
    if before.state is State.QUEUED and before.tries == 0 and after.step > before.step:
        assert isinstance(event, DeadlinePassed | LinkDown), "a step was left untried by news of another"


def play(dice: random.Random) -> None:
    message = random_message(dice)
    reference = Reference()
    at_ms = T0
    history: list[Event] = []
    try:
        for _ in range(dice.randint(1, LONGEST)):
            at_ms += dice.choice([0, 1, 500, 2_000, 60_000])
            event = random_event(dice, message, reference, at_ms)
            history.append(event)
            after, entries = decide(message, event)
            if isinstance(event, Settled) and isinstance(event.outcome, NotSent) and after.attempt < event.attempt:
                del reference.begun[event.attempt]
            reference.see(message, event, after)
            check(message, after, reference, at_ms)
            check_steps(message, event, after, entries)
            assert decode(encode(entries)) == entries
            message = after
        # Nothing more is heard from anyone: deadlines alone must end it.
        for _ in range(4 * len(message.route) + 4):
            if message.is_final:
                break
            assert message.deadline_at_ms is not None
            at_ms = max(at_ms, message.deadline_at_ms)
            after, _ = decide(message, DeadlinePassed(at_ms))
            check(message, after, reference, at_ms)
            if after.state is State.QUEUED and after.due_at_ms <= at_ms:
                claimed, _ = decide(after, Claimed(at_ms, at_ms + 1))
                reference.see(after, Claimed(at_ms, at_ms + 1), claimed)
                after = claimed
            message = after
            at_ms = max(at_ms + 1, message.expires_at_ms)
        assert message.is_final, "it never ended"
    except AssertionError:
        print(f"{message=}\n{history=}")  # noqa: T201
        raise


def test_ten_thousand_random_histories_keep_every_promise() -> None:
    seed = int(os.environ.get("CASCADE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"CASCADE_SEED={seed}")  # noqa: T201 - shown when it fails
    for number in range(HISTORIES):
        play(random.Random(f"{seed}/{number}"))


def test_marks_and_reasons_need_no_escaping() -> None:
    for word in [*Mark, *Reason]:
        assert word.value.replace("_", "").isalpha()
