"""Before the next channel begins, the provider is asked to take back what it has been silent about."""

from collections.abc import Awaitable, Callable

import pytest

from cascade.channels.base import Capabilities
from cascade.core.attempt import Accepted, Revocation, Sent
from cascade.core.message import Message, State, Status
from cascade.core.receipt import ReceiptState
from cascade.core.route import Step
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.engine.revoker import Revoker
from cascade.store.messages import Change
from store.given import SMS, T0, key, load, new, phone, put, queued

from .running import Engine, eventually
from .transport import FakeTransport

RCS = Step(Channel.RCS, "rcs.google", 60)
CODE = queued(type=MessageType.TRANSACTION, route=(RCS, SMS))


class Rcs(FakeTransport):
    """Accepts everything under the id "77", is silent about it, and takes it back as the test says."""

    def __init__(self, answer: Callable[[], Awaitable[Revocation]]) -> None:
        super().__init__(Channel.RCS, answer=lambda attempt: Accepted(("77",)))
        self.capabilities = Capabilities(Channel.RCS, has_receipts=True, can_revoke=True)
        self.asked: list[Sent] = []
        self._revocation = answer

    async def revoke(self, sent: Sent) -> Revocation:
        self.asked.append(sent)
        return await self._revocation()


def says(revocation: Revocation) -> Callable[[], Awaitable[Revocation]]:
    async def answer() -> Revocation:
        return revocation

    return answer


async def hangs() -> Revocation:
    await eventually(lambda: False)
    return Revocation.UNKNOWN


ENDS = {  # what the provider answers: what the timeline says before the SMS
    "withdrawn": (says(Revocation.WITHDRAWN), [(Mark.ACCEPTED, 1, None), (Mark.REVOKED, 1, Reason.NO_RECEIPT)]),
    "too late": (says(Revocation.TOO_LATE), [(Mark.ACCEPTED, 1, None), (Mark.TIMED_OUT, 1, Reason.NO_RECEIPT)]),
    "nobody knows": (says(Revocation.UNKNOWN), [(Mark.ACCEPTED, 1, None), (Mark.TIMED_OUT, 1, Reason.NO_RECEIPT)]),
    "no answer": (hangs, [(Mark.ACCEPTED, 1, None), (Mark.TIMED_OUT, 1, Reason.NO_RECEIPT)]),
}


@pytest.mark.parametrize(("answer", "says_"), ENDS.values(), ids=ENDS)
async def test_the_next_channel_begins_when_the_provider_was_asked(
    engine: Engine, answer: Callable[[], Awaitable[Revocation]], says_: list[tuple[Mark, int, Reason | None]]
) -> None:
    rcs, sms = Rcs(answer), FakeTransport()
    await engine.start(rcs=rcs, sms=sms)
    await engine.add(new(1, CODE))
    await engine.until_state(1, State.WAITING)
    await engine.pass_until(lambda: bool(rcs.asked), step_ms=1_000)
    assert rcs.asked == [Sent(key(1).id, 1, 0, phone(1), ("77",))]
    await engine.pass_until(lambda: bool(sms.open), step_ms=1_000)
    assert await engine.entries(1) == says_
    assert len(rcs.asked) == 1


async def test_what_arrives_meanwhile_ends_the_cascade(engine: Engine) -> None:
    rcs, sms = Rcs(hangs), FakeTransport()
    await engine.start(rcs=rcs, sms=sms)
    await engine.add(new(1, CODE))
    await engine.until_state(1, State.WAITING)
    await engine.pass_until(lambda: bool(rcs.asked), step_ms=1_000)
    await engine.receive("77", ReceiptState.DELIVERED, link="rcs.google")
    seen = await engine.until_state(1, State.FINAL)
    assert seen.message.delivered_step == 0
    assert sms.attempts == []


GONE_ON = {  # where the message stands by the time that it is read for its provider's id
    "it arrived": CODE._replace(state=State.FINAL, status=Status.DELIVERED, attempt=1, tries=1),
    "it failed, and the next step is being sent": CODE._replace(
        route=(SMS, RCS), step=1, link="rcs.google", state=State.SENDING, attempt=2, tries=1
    ),
}


@pytest.mark.parametrize("now", GONE_ON.values(), ids=GONE_ON)
async def test_nothing_is_taken_back_that_has_gone_on_since(engine: Engine, now: Message) -> None:
    rcs = Rcs(says(Revocation.WITHDRAWN))
    await put(engine.store, 1, now)
    stored = await load(engine.store, 1)
    revoker = Revoker(engine.store, lambda: T0, lambda link: rcs)
    revoker.take([Change(stored, CODE._replace(state=State.REVOKING, attempt=1), [], T0)])
    await revoker.stop(1.0)
    assert rcs.asked == []
    assert (await load(engine.store, 1)).message == now
