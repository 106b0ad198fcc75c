"""The promises, one a line of `PROMISES`: what a phone of each behaviour and a caller of each kind leads to."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import orjson
import pytest

from cascade.channels.base import Callback, Checks, Hears
from cascade.channels.http import HttpTransport, NeedsToken, ShowsItself
from cascade.core.attempt import Accepted, AnswerLost, Delivered, Outcome, Rejected, Retry, Revocation
from cascade.core.content import Content
from cascade.core.inbound import InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.words import Reason

from .stage import LATE_S, PHONE, Stage, as_stranger

SURVEY = Content("How was it?", options=("Good", "Bad"))
ANSWER_DELAY_S = 0.2
AN_HOUR_S = 3_600
GARBAGE = {
    "nothing": b"",
    "no object": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "no JSON": b'{"results": [',
    "no UTF-8": b"\xff\xfe\x00{",
    "nested deeply": b"[" * 100_000,
    "a number": b"1e999",
}
WRONG_VALUES: tuple[Any, ...] = (None, [], {}, "", -1, True, [None], {"status": None}, "x" * 300)


def accepted_ids(outcome: Outcome) -> tuple[str, ...]:
    assert isinstance(outcome, Accepted), outcome
    assert outcome.provider_ids
    assert all(outcome.provider_ids)
    return outcome.provider_ids


async def accepted(stage: Stage) -> None:
    """A phone that stays silent: the provider has it, the phone shows it once, nobody reports anything."""
    await stage.person("silent" if stage.transport.capabilities.has_receipts else "delivers")
    outcome = await stage.send()
    if stage.transport.capabilities.has_receipts:
        accepted_ids(outcome)
    else:
        assert isinstance(outcome, Delivered)
        assert outcome.provider_id
    [shown] = await stage.inbox()
    assert shown["channel"] == stage.case.channel
    assert shown["text"] == (stage.case.shown or stage.case.content.text)
    assert not stage.receipts


async def moved(stage: Stage) -> None:
    """The link went to another node, and came back."""
    await stage.transport.stop(0.0)
    assert stage.transport.room() == 0
    stage.transport.start(stage.on_room, stage.take)
    await accepted(stage)


async def delivered(stage: Stage) -> None:
    """The receipt names the same message and the same person."""
    await stage.person("delivers")
    [provider_id] = accepted_ids(await stage.send())
    [receipt] = await stage.heard(1)
    assert (receipt.provider_id, receipt.state, receipt.reason) == (provider_id, ReceiptState.DELIVERED, None)
    assert receipt.recipient == recipient_of(stage)


async def read(stage: Stage) -> None:
    await stage.person("reads")
    [provider_id] = accepted_ids(await stage.send())
    receipts = await stage.heard(2)
    assert {receipt.provider_id for receipt in receipts} == {provider_id}
    assert [receipt.state for receipt in receipts] == [ReceiptState.DELIVERED, ReceiptState.READ]


async def refused(stage: Stage, behaviour: str) -> None:
    """The same reason whether the provider says it at once or later; the phone shows nothing."""
    refusal = stage.case.refusals[behaviour]
    await stage.person(behaviour)
    outcome = await stage.send()
    if refusal.by_receipt:
        [provider_id] = accepted_ids(outcome)
        [receipt] = await stage.heard(1)
        assert (receipt.provider_id, receipt.state, receipt.reason) == (
            provider_id,
            ReceiptState.FAILED,
            refusal.reason,
        )
        assert receipt.recipient == recipient_of(stage)
    else:
        assert isinstance(outcome, Rejected), outcome
        assert (outcome.reason, outcome.is_ours) == (refusal.reason, False)
    assert not await stage.inbox()


async def rejected(stage: Stage) -> None:
    await refused(stage, "rejects")


async def blocked(stage: Stage) -> None:
    await refused(stage, "blocked")


async def absent(stage: Stage) -> None:
    await refused(stage, "absent")


async def throttled(stage: Stage) -> None:
    """Not now; the next try gets through."""
    await stage.person("throttled")
    outcome = await stage.send(1)
    assert isinstance(outcome, Retry), outcome
    assert outcome.reason is Reason.THROTTLED
    assert not await stage.inbox()
    assert isinstance(await stage.send(2), Accepted | Delivered)
    assert len(await stage.inbox()) == 1


async def down(stage: Stage) -> None:
    """The provider's own fault, each time: worth another try, and never the person's fault."""
    await stage.person("down")
    for number in (1, 2):
        outcome = await stage.send(number)
        assert isinstance(outcome, Retry), outcome
        assert outcome.reason is Reason.PROVIDER_DOWN
    assert not await stage.inbox()


async def answer_lost(stage: Stage) -> None:
    """It may have been sent: unknown. The receipt can be told by its person, and where the provider takes our id a
    repeat reaches nobody twice."""
    await stage.person("answer_lost")
    outcome = await stage.send(1)
    assert isinstance(outcome, AnswerLost), outcome
    assert len(await stage.inbox()) == 1
    if stage.transport.capabilities.has_receipts:
        [receipt] = await stage.heard(1)
        assert (receipt.state, receipt.recipient) == (ReceiptState.DELIVERED, recipient_of(stage))
    if stage.transport.capabilities.takes_our_id:
        await stage.person("silent")
        [provider_id] = accepted_ids(await stage.send(2))
        assert provider_id == receipt.provider_id
        assert len(await stage.inbox()) == 1


async def misconfigured(stage: Stage) -> None:
    """Wrong credentials are our fault, and said to be."""
    await stage.person("delivers")
    async with as_stranger(stage) as stranger:
        outcome = await stranger.send()
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason is Reason.MISCONFIGURED
    assert not await stage.inbox()


async def looked_at(stage: Stage) -> None:
    """`cascade doctor` finds it well, and a stranger's credentials wrong where the provider can be asked about them;
    nothing reaches anybody."""
    await stage.person("delivers")
    assert isinstance(stage.transport, Checks)
    health = await stage.transport.check()
    assert health.is_well, health
    if isinstance(stage.transport, HttpTransport) and isinstance(stage.transport.adapter, ShowsItself | NeedsToken):
        async with as_stranger(stage) as stranger:
            assert isinstance(stranger.transport, Checks)
            health = await stranger.transport.check()
        assert not health.is_well, health
    assert not await stage.inbox()


async def unfit(stage: Stage) -> None:
    """What the channel cannot carry does not leave us."""
    await stage.person("delivers")
    type_, content = stage.case.unfit
    outcome = await stage.send(1, content, type_)
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.reason, outcome.is_ours) == (Reason.CONTENT_UNFIT, True)
    assert not await stage.inbox()


async def repeated(stage: Stage) -> None:
    """A receipt that comes twice says the same twice."""
    await stage.person("repeats")
    accepted_ids(await stage.send())
    first, second = await stage.heard(2)
    assert first == second


async def early(stage: Stage) -> None:
    """A receipt that overtakes the answer to its own send names the id that the answer will."""
    await stage.person("delivers")
    [provider_id] = accepted_ids(await stage.send())
    (_, first), (_, second) = stage.news[:2]
    assert isinstance(first, Receipt)
    assert isinstance(second, Accepted)
    assert first.provider_id == provider_id


async def late(stage: Stage) -> None:
    await stage.person("late")
    [provider_id] = accepted_ids(await stage.send())
    [receipt] = await stage.heard(1)
    (settled_s, _), (received_s, _) = stage.news
    assert received_s - settled_s > LATE_S / 2
    assert (receipt.provider_id, receipt.state) == (provider_id, ReceiptState.DELIVERED)


async def out_of_order(stage: Stage) -> None:
    """Each receipt speaks for itself: read first, delivered afterwards."""
    await stage.person("reads")
    [provider_id] = accepted_ids(await stage.send())
    await stage.heard(2)
    reports = [call for call in stage.calls if hear(stage, call).receipts]
    said = [receipt for call in reversed(reports) for receipt in hear(stage, call).receipts]
    assert [(receipt.provider_id, receipt.state) for receipt in said] == [
        (provider_id, ReceiptState.READ),
        (provider_id, ReceiptState.DELIVERED),
    ]


async def revoked(stage: Stage) -> None:
    """What was taken back is no longer on the phone; what was delivered stays."""
    await stage.person("silent")
    provider_ids = accepted_ids(await stage.send(1))
    assert await stage.revoke(provider_ids) is Revocation.WITHDRAWN
    [shown] = await stage.inbox()
    assert shown["revoked"]
    unknown = tuple("0" * len(provider_id) for provider_id in provider_ids)
    assert await stage.revoke(unknown) is not Revocation.WITHDRAWN


async def answered(stage: Stage) -> None:
    """A person's answer to a survey is heard once, from them, with what leads back to the option."""
    await stage.person("delivers")
    accepted_or_delivered = await stage.send(1, SURVEY, stage.case.survey)
    assert isinstance(accepted_or_delivered, Accepted | Delivered), accepted_or_delivered
    await stage.choose("Bad")
    await stage.until(lambda: bool(stage.inbound))
    [inbound] = stage.inbound
    assert inbound.kind in (InboundKind.TEXT, InboundKind.TAP)
    assert inbound.address == recipient_of(stage)
    assert inbound.id
    assert "Bad" in (inbound.text, inbound.payload) or "2" in (inbound.text, inbound.payload) or inbound.payload


async def a_call(stage: Stage) -> Callback:
    """A genuine callback with a receipt in it, or an answer where there are no receipts."""
    if not stage.transport.capabilities.has_receipts:
        await answered(stage)
        return next(call for call in stage.calls if hear(stage, call).inbound)
    await stage.person("delivers")
    accepted_ids(await stage.send())
    await stage.heard(1)
    return next(call for call in stage.calls if hear(stage, call).receipts)


async def forged(stage: Stage) -> None:
    """Whoever does not know the secret is refused, and believed nothing."""
    genuine = await a_call(stage)
    assert await stage.call(genuine) == 200, "the genuine one is taken again"
    assert stage.case.forged is not None
    before = len(stage.receipts), len(stage.inbound)
    for how, call in stage.case.forged(genuine).items():
        assert await stage.call(call) == 403, how
    assert (len(stage.receipts), len(stage.inbound)) == before


async def replayed(stage: Stage) -> None:
    """A genuine callback is refused an hour later."""
    genuine = await a_call(stage)
    before = len(stage.receipts)
    now = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + AN_HOUR_S)
        assert await stage.call(genuine) == 403
    assert len(stage.receipts) == before


async def malformed(stage: Stage) -> None:
    """What only the provider could have signed, and yet says nothing that can be understood."""
    genuine = await a_call(stage)
    assert stage.case.signed is not None
    before = len(stage.receipts)
    cut = genuine.body[: len(genuine.body) // 2]
    for how, body in {**GARBAGE, "cut off": cut}.items():
        status = await stage.call(stage.case.signed(genuine, body))
        assert status == 400 or (status == 200 and how in ("an empty object", "nothing", "cut off")), (how, status)
    assert len(stage.receipts) == before


async def mangled(stage: Stage) -> None:
    """Whatever stands in place of any of its values, a callback is understood or refused, and breaks nothing."""
    genuine = await a_call(stage)
    assert stage.case.signed is not None
    try:
        whole = orjson.loads(genuine.body)
    except ValueError:
        bodies = [genuine.body.replace(b"=", b"=%FF"), genuine.body.replace(b"&", b"&&=&")]
    else:
        bodies = [orjson.dumps(each) for each in mangles(whole)]
    assert len(bodies) > 1
    for body in bodies:
        call = stage.case.signed(genuine, body)
        try:
            heard = hear(stage, call)
        except Exception as error:
            assert type(error).__name__ == "MalformedCallbackError", (body, error)  # noqa: PT017
            continue
        for receipt in heard.receipts:
            assert isinstance(receipt.provider_id, str)
            assert receipt.recipient is None or isinstance(receipt.recipient, str)
            assert receipt.detail is None or isinstance(receipt.detail, str)


def mangles(value: Any) -> Iterator[Any]:
    """The value with one part of it, at any depth, replaced or left out."""
    yield from WRONG_VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            yield {each: of for each, of in value.items() if each != name}
            for wrong in mangles(part):
                yield {**value, name: wrong}
    elif isinstance(value, list):
        for place, part in enumerate(value):
            for wrong in mangles(part):
                yield [*value[:place], wrong, *value[place + 1 :]]


def hear(stage: Stage, call: Callback) -> Any:
    assert isinstance(stage.transport, Hears)
    return stage.transport.hear(call)


def recipient_of(stage: Stage) -> str | None:
    """As receipts spell it, without the plus; None where they do not say it."""
    return stage.case.address(PHONE).removeprefix("+") if stage.case.names_recipient else None


Promise = Callable[[Stage], Awaitable[None]]

PROMISES: Mapping[str, Promise] = {
    "accepted": accepted,
    "moved": moved,
    "delivered": delivered,
    "read": read,
    "rejected": rejected,
    "blocked": blocked,
    "absent": absent,
    "throttled": throttled,
    "down": down,
    "answer lost": answer_lost,
    "misconfigured": misconfigured,
    "looked at": looked_at,
    "unfit": unfit,
    "repeated": repeated,
    "early": early,
    "late": late,
    "out of order": out_of_order,
    "revoked": revoked,
    "answered": answered,
    "forged": forged,
    "replayed": replayed,
    "malformed": malformed,
    "mangled": mangled,
}

SANDBOX_FOR: Mapping[str, Mapping[str, Any]] = {"early": {"answer_delay_s": ANSWER_DELAY_S}}
"""Settings of the sandbox that a promise needs."""
