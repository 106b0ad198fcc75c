"""Draws the machine: asks `decide` what it answers to each kind of event in each state, so that the picture is true."""

from collections.abc import Iterator

from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry, Revocation
from cascade.core.machine import Begun, Claimed, DeadlinePassed, Event, LinkDown, ReceiptCame, Revoked, Settled, decide
from cascade.core.message import Message, State, Status
from cascade.core.receipt import ReceiptState
from cascade.core.route import Route, Step
from cascade.core.words import Channel, MessageType, Reason

NOW_MS = 1_000_000_000_000
LATER_MS = NOW_MS + 10**9
EXPIRES_AT_MS = NOW_MS + 10**10
TWO_STEPS: Route = (Step(Channel.RCS, "first", 60, others=("other",)), Step(Channel.SMS, "second", None))
LAST_STEP: Route = TWO_STEPS[1:]
NO_STEP: Route = (Step(Channel.SMS, None, None),)

OUTCOMES: tuple[tuple[str, Outcome], ...] = (
    ("accepted", Accepted(("1",))),
    ("delivered", Delivered("1")),
    ("rejected", Rejected(Reason.BLOCKED)),
    ("retry", Retry(Reason.THROTTLED, 1)),
    ("answer lost", AnswerLost()),
    ("not sent", NotSent()),
)


def transitions() -> list[tuple[State, str, State, Status]]:
    """Every change of state, with what causes it and the status afterwards."""
    found: dict[tuple[State, State, Status], list[str]] = {}
    for message in _messages():
        for words, event in _events(message):
            after, _ = decide(message, event)
            if after.state is not message.state or after.step != message.step or after.status is not message.status:
                causes = found.setdefault((message.state, after.state, after.status), [])
                if words not in causes:
                    causes.append(words)
    order = list(State)
    edges = sorted(found.items(), key=lambda edge: (order.index(edge[0][0]), order.index(edge[0][1]), edge[0][2].rank))
    return [(before, ", ".join(causes), after, status) for (before, after, status), causes in edges]


def mermaid() -> str:
    """The picture, as a Mermaid state diagram."""
    names = {status: f"final_{status.value}" for status in Status}
    lines = ["stateDiagram-v2", "    [*] --> scheduled: stored"]
    for status in (Status.DELIVERED, Status.UNDELIVERABLE, Status.PERMANENT_ERROR):
        lines.append(f'    state "final: {status.value}" as {names[status]}')
    for before, causes, after, status in transitions():
        left = names[Status.UNDELIVERABLE] if before is State.FINAL else before.value
        right = names[status] if after is State.FINAL else after.value
        lines.append(f"    {left} --> {right}: {causes}")
    return "\n".join([*lines, "    final_delivered --> [*]", ""])


def _messages() -> Iterator[Message]:
    """A message in every state: with another channel after it, at its last, and with none at all."""
    for type_ in (MessageType.TRANSACTION, MessageType.PROMO):
        for route in (TWO_STEPS, LAST_STEP, NO_STEP):
            scheduled = Message(type_, route, EXPIRES_AT_MS, deadline_at_ms=NOW_MS)
            yield scheduled
            queued, _ = decide(scheduled, Begun(NOW_MS))
            sending, _ = decide(queued, Claimed(NOW_MS, NOW_MS + 1))
            for outcome in (Accepted(("1",)), Rejected(Reason.BLOCKED)):
                after, _ = decide(sending, Settled(NOW_MS, 1, 0, outcome))
                yield after
                if after.state is State.WAITING and after.deadline_at_ms is not None:
                    revoking, _ = decide(after, DeadlinePassed(after.deadline_at_ms, can_revoke=True))
                    yield revoking
            yield queued
            yield sending


def _events(message: Message) -> Iterator[tuple[str, Event]]:
    yield "its time has come", Begun(LATER_MS)
    yield "claimed", Claimed(NOW_MS, NOW_MS + 1)
    if message.deadline_at_ms is not None:
        at_ms = message.deadline_at_ms
        if message.state is State.SENDING:
            yield "node lost", DeadlinePassed(at_ms)
        elif message.state is not State.SCHEDULED:
            yield "time ran out", DeadlinePassed(at_ms)
        if message.state is State.WAITING:
            yield "time ran out, can be revoked", DeadlinePassed(at_ms, can_revoke=True)
        yield "time to live ended", DeadlinePassed(EXPIRES_AT_MS)
    yield "link down", LinkDown(NOW_MS)
    if message.attempt:
        for words, outcome in OUTCOMES:
            yield words, Settled(NOW_MS, message.attempt, message.step, outcome)
        for revocation in Revocation:
            yield f"revocation: {revocation.value}", Revoked(NOW_MS, message.attempt, message.step, revocation)
        for state in ReceiptState:
            yield f"receipt: {state.value}", ReceiptCame(NOW_MS, message.attempt, message.step, 0, state)


if __name__ == "__main__":
    print(mermaid(), end="")  # noqa: T201
