"""Receipts: stored before they are acknowledged, matched whenever their message is known, and given up after a day."""

import asyncio
import sqlite3
from collections.abc import Iterable

import pytest
from structlog.testing import capture_logs

from cascade.channels.base import Heard
from cascade.core.attempt import AnswerLost, Attempt, Outcome
from cascade.core.errors import StoreUnavailableError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.machine import ReceiptCame
from cascade.core.message import Message, State, Status
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.timeline import Mark
from cascade.core.words import Channel
from cascade.engine import metrics, receiver, recorder
from cascade.engine.receiver import ADOPT_MS
from cascade.store import decisions, messages, receipts
from cascade.store.database import Reader
from cascade.store.decisions import News
from cascade.store.messages import Key, Stored
from cascade.store.receipts import KEPT_MS, SentPart
from store.given import HOUR_MS, SMS, T0, VIBER, key, new, phone, put, queued

from .running import Engine, eventually
from .transport import FakeTransport, accept

SENT = queued(state=State.WAITING, attempt=1, tries=1)
RECIPIENT = phone(1).removeprefix("+")


async def know(engine: Engine, provider_id: str, number: int = 1) -> None:
    """The provider's answer comes: the id belongs to the message's first attempt."""
    async with engine.store.transaction() as tx:
        await receipts.add_parts(tx, [SentPart("sms.smpp", provider_id, key(number), 1, 0, 0)])


async def sent(engine: Engine, *numbers: int) -> None:
    """Messages that a provider accepted."""
    await engine.start(sms=FakeTransport(answer=accept))
    await engine.add(*(new(number) for number in numbers))
    for number in numbers:
        await engine.until_state(number, State.WAITING)


async def test_whose_a_receipt_is_that_comes_soon_is_not_looked_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(engine, 1, 2)
    await engine.worker._recorder.idle()
    monkeypatch.setattr(receipts, "FIND_PARTS", "NO SQL")
    for number in 1, 2:
        await engine.receive(f"{number}.1")
        assert (await engine.until_state(number, State.FINAL)).message.status is Status.DELIVERED


async def test_no_more_ids_are_remembered_than_the_latest(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_RECENT", 2)
    await sent(engine, 1, 2, 3)
    await engine.worker._recorder.idle()
    assert len(engine.worker._recorder.parts("sms.smpp", ["1.1", "2.1", "3.1"])) == 2
    for number in 1, 2, 3:
        await engine.receive(f"{number}.1")
        assert (await engine.until_state(number, State.FINAL)).message.status is Status.DELIVERED


SAID = {  # receipts, in order: status after, whether read, what the timeline says behind `accepted`
    "delivered": ([ReceiptState.DELIVERED], Status.DELIVERED, False, [Mark.DELIVERED]),
    "read": ([ReceiptState.READ], Status.DELIVERED, True, [Mark.DELIVERED, Mark.READ]),
    "delivered, then read": (
        [ReceiptState.DELIVERED, ReceiptState.READ], Status.DELIVERED, True, [Mark.DELIVERED, Mark.READ],
    ),
    "failed at the last step": ([ReceiptState.FAILED], Status.UNDELIVERABLE, False, [Mark.FAILED]),
    "failed, yet delivered": (
        [ReceiptState.FAILED, ReceiptState.DELIVERED], Status.DELIVERED, False, [Mark.FAILED, Mark.DELIVERED],
    ),
    "repeated": ([ReceiptState.DELIVERED] * 3, Status.DELIVERED, False, [Mark.DELIVERED]),
    "delivered, then failed": (
        [ReceiptState.DELIVERED, ReceiptState.FAILED], Status.DELIVERED, False, [Mark.DELIVERED],
    ),
}  # fmt: skip


@pytest.mark.parametrize("at_once", [True, False], ids=["in one set", "one by one"])
@pytest.mark.parametrize(("states", "status", "is_read", "marks"), SAID.values(), ids=SAID.keys())
async def test_a_receipt_says(
    engine: Engine, states: list[ReceiptState], status: Status, is_read: bool, marks: list[Mark], at_once: bool
) -> None:
    await sent(engine, 1)
    for state in states:
        await engine.receive("1.1", state)
        if not at_once:
            await eventually(engine.has_empty_inbox)
    await eventually(engine.has_empty_inbox)
    message = await engine.message(1)
    assert (message.status, message.is_read) == (status, is_read)
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.ACCEPTED, *marks]


async def test_a_receipt_that_overtakes_its_answer_waits_for_it(engine: Engine) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    await engine.receive("1.1")
    await engine.pass_until(lambda: engine.is_postponed(T0), step_ms=10)
    assert len(await engine.inbox()) == 1
    sms.settle_all(accept)
    await engine.pass_until(lambda: engine.is_at(1, State.FINAL))
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.ACCEPTED, Mark.DELIVERED]


async def test_a_receipt_that_overtakes_the_record_of_its_answer_waits_for_that_and_needs_no_inbox(
    engine: Engine,
) -> None:
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    engine.store.may_write.clear()
    sms.settle_all(accept)
    await eventually(lambda: engine.store.held == 1)
    receiving = asyncio.create_task(engine.receive("1.1"))
    await asyncio.sleep(0.02)
    assert engine.store.held == 1  # the receipt writes nothing yet
    written = engine.store.written
    engine.store.may_write.set()
    await receiving
    assert engine.store.written == written + 2
    assert (await engine.message(1)).status is Status.DELIVERED


async def test_it_does_not_wait_for_ever(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "OVERTAKEN_S", 0.01)
    sms = FakeTransport()
    await engine.start(sms=sms)
    await engine.add(new(1))
    await eventually(lambda: len(sms.open) == 1)
    engine.store.is_away = True
    sms.settle_all(accept)
    with pytest.raises(StoreUnavailableError):
        await engine.receive("1.1")
    engine.store.is_away = False
    await engine.receive("1.1")
    await engine.until_state(1, State.FINAL)


async def test_a_message_just_written_is_not_read_again_for_its_receipt(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(engine, 1, 2)
    read: list[Key] = []
    load = messages.load

    async def noted(reader: Reader, keys: Iterable[Key]) -> dict[Key, Stored]:
        read.extend(keys)
        return await load(reader, keys)

    monkeypatch.setattr(messages, "load", noted)
    await engine.receive("1.1")
    assert ((await engine.message(1)).status, read) == (Status.DELIVERED, [])
    async with engine.store.transaction() as tx:  # as another node would
        failed = ReceiptCame(T0, 1, 0, 0, ReceiptState.FAILED)
        await decisions.apply(tx, [News(key(2), failed)], {})
    read.clear()
    await engine.receive("2.1")
    assert read == [key(2)]  # its fence showed that it had changed
    assert [mark for mark, _, _ in await engine.entries(2)] == [Mark.ACCEPTED, Mark.FAILED, Mark.DELIVERED]


async def test_an_unmatched_receipt_is_kept_and_replayed_when_its_id_appears(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=accept))
    await engine.receive("late-id")
    await engine.pass_until(lambda: engine.clock.now_ms > T0 + 20 * HOUR_MS, step_ms=HOUR_MS)
    assert len(await engine.inbox()) == 1
    await put(engine.store, 1, SENT._replace(deadline_at_ms=T0 + 90 * HOUR_MS))
    await know(engine, "late-id")
    await engine.pass_until(lambda: engine.is_at(1, State.FINAL), step_ms=1_000)
    assert (await engine.message(1)).status is Status.DELIVERED


async def test_an_unmatched_receipt_is_given_up_after_a_day(engine: Engine) -> None:
    await engine.start(sms=FakeTransport())
    given_up = metrics.RECEIPTS_UNMATCHED._value.get()
    await engine.receive("nobody's", recipient=RECIPIENT)
    with capture_logs() as logs:
        engine.pass_ms(KEPT_MS - 1)
        await eventually(lambda: engine.is_postponed(T0 + KEPT_MS - 1))
        assert metrics.RECEIPTS_UNMATCHED._value.get() == given_up
        engine.pass_ms(HOUR_MS)
        await eventually(engine.has_empty_inbox)
    assert metrics.RECEIPTS_UNMATCHED._value.get() == given_up + 1
    assert [entry for entry in logs if entry["event"] == "receipt_unmatched"] == [
        {"event": "receipt_unmatched", "log_level": "warning", "link": "sms.smpp", "provider_id": "nobody's"}
    ]


LOSSES = {  # link and message, and how its receipts spell the recipient
    "by phone": ("sms.smpp", queued(), RECIPIENT),
    "by address": ("viber_bot.1", queued(route=(VIBER,), address="abc="), "abc="),
}


@pytest.mark.parametrize(("link", "message", "recipient"), LOSSES.values(), ids=LOSSES.keys())
async def test_a_receipt_finds_the_attempt_whose_answer_was_lost(
    engine: Engine, link: str, message: Message, recipient: str
) -> None:
    def lose(attempt: Attempt) -> Outcome:
        return AnswerLost()

    await engine.start(sms=FakeTransport(answer=lose), viber=FakeTransport(Channel.VIBER_BOT, answer=lose))
    await engine.add(new(1, message))
    await engine.until_state(1, State.WAITING)
    await engine.receive("unknown-id", link=link, recipient="380679999999")
    await engine.receive("unknown-id", link=link, recipient=recipient)
    await eventually(lambda: engine.is_postponed(T0))
    assert (await engine.message(1)).state is State.WAITING
    engine.pass_ms(ADOPT_MS)
    await engine.until_state(1, State.FINAL)
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.UNKNOWN, Mark.DELIVERED]


async def test_a_receipt_for_what_the_person_wrote_to_us_proves_nothing(engine: Engine) -> None:
    def lose(attempt: Attempt) -> Outcome:
        return AnswerLost()

    viber = FakeTransport(Channel.VIBER_BOT, answer=lose)
    await engine.start(viber=viber)
    await engine.add(new(1, queued(route=(VIBER,), address="abc=")))
    await engine.until_state(1, State.WAITING)
    await viber.take(Heard(inbound=[Inbound("their-id", InboundKind.TEXT, "abc=", "Hello")]))
    await engine.receive("their-id", link="viber_bot.1", recipient="abc=")
    engine.pass_ms(ADOPT_MS)
    await engine.pass_until(engine.has_empty_inbox, step_ms=10)
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.UNKNOWN]


async def lost_before(engine: Engine) -> FakeTransport:
    """An attempt whose answer was lost; then another message to the same person goes out, and its receipt comes."""
    sms = FakeTransport(answer=lambda attempt: AnswerLost())
    await engine.start(sms=sms)
    await engine.add(new(1))
    await engine.until_state(1, State.WAITING)
    sms.answer = None
    await engine.add(new(2)._replace(phone=phone(1)))
    await eventually(lambda: len(sms.open) == 1)
    await engine.receive("2.1", recipient=RECIPIENT)
    return sms


async def test_a_receipt_is_given_to_no_lost_answer_while_another_message_to_the_person_is_on_the_wire(
    engine: Engine,
) -> None:
    sms = await lost_before(engine)
    await engine.pass_until(lambda: engine.is_postponed(T0 + ADOPT_MS))
    assert len(await engine.inbox()) == 1
    sms.settle_all(accept)
    await engine.pass_until(lambda: engine.is_at(2, State.FINAL))
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.UNKNOWN]
    assert [mark for mark, _, _ in await engine.entries(2)] == [Mark.ACCEPTED, Mark.DELIVERED]


async def test_nor_while_its_answer_is_not_written_down(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "STORE_RETRY_S", 0.1)
    sms = await lost_before(engine)
    engine.store.is_away = True
    refused = engine.store.refused
    sms.settle_all(accept)
    await eventually(lambda: engine.store.refused > refused)
    engine.store.is_away = False
    engine.pass_ms(ADOPT_MS)
    await engine.pass_until(lambda: engine.is_at(2, State.FINAL))
    assert [mark for mark, _, _ in await engine.entries(1)] == [Mark.UNKNOWN]


async def test_an_attempt_that_only_its_receipt_proves_is_charged_once(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=lambda attempt: AnswerLost()))
    await engine.add(new(1, queued(route=(SMS._replace(cost_micros=60_000),))))
    await engine.until_state(1, State.WAITING)
    assert (await engine.message(1)).cost_micros == 0
    await engine.receive("unknown-id", recipient=RECIPIENT)
    await engine.receive("unknown-id", recipient=RECIPIENT)
    await engine.pass_until(engine.has_empty_inbox)
    assert (await engine.message(1)).cost_micros == 60_000


async def test_a_later_receipt_of_an_adopted_id_belongs_to_the_same_attempt(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(answer=lambda attempt: AnswerLost()))
    await engine.add(new(1))
    await engine.until_state(1, State.WAITING)
    await engine.receive("unknown-id", recipient=RECIPIENT)
    await engine.receive("unknown-id", ReceiptState.READ, recipient=RECIPIENT)
    await engine.pass_until(engine.has_empty_inbox)
    assert (await engine.message(1)).is_read


async def test_a_receipt_is_stored_when_its_provider_is_told_so(engine: Engine) -> None:
    await engine.start(sms=FakeTransport())
    await engine.receive("77")
    looking = sqlite3.connect(engine.store.path)
    kept = looking.execute("SELECT provider_id FROM receipt").fetchall()
    looking.close()
    assert kept == [("77",)]


async def test_one_of_a_known_attempt_has_been_worked_when_its_provider_is_told_so(engine: Engine) -> None:
    await sent(engine, 1)
    await engine.receive("1.1")
    looking = sqlite3.connect(engine.store.path)
    assert looking.execute("SELECT state FROM message").fetchall() == [("final",)]
    assert looking.execute("SELECT count(*) FROM receipt").fetchall() == [(0,)]
    looking.close()


async def test_a_provider_is_not_told_so_while_the_store_is_away(engine: Engine) -> None:
    await sent(engine, 1)
    with capture_logs() as logs:
        engine.store.is_away = True
        with pytest.raises(StoreUnavailableError):
            await engine.receive("1.1")
        await eventually(lambda: any(entry["event"] == "receipts_delayed" for entry in logs))
        engine.store.is_away = False
    assert await engine.inbox() == []
    await engine.receive("1.1")
    await engine.until_state(1, State.FINAL)


async def test_a_flood_is_worked_off(engine: Engine) -> None:
    everyone = range(2_500)
    await engine.start(sms=FakeTransport())
    await engine.add(*(new(number, SENT) for number in everyone))
    async with engine.store.transaction() as tx:
        await receipts.add_parts(tx, [SentPart("sms.smpp", str(number), key(number), 1, 0, 0) for number in everyone])
        await receipts.add(tx, "sms.smpp", [Receipt(str(number), ReceiptState.DELIVERED) for number in everyone], T0)
    await eventually(lambda: engine.has(State.FINAL, 2_500))
    assert await engine.inbox() == []


async def test_a_receipt_that_nobody_foresaw_is_set_aside_and_holds_up_no_other(engine: Engine) -> None:
    await sent(engine, 1, 2)
    async with engine.store.transaction() as tx:  # a step that its message does not have
        await receipts.add_parts(tx, [SentPart("sms.smpp", "bad", key(1), 1, 99, 0)])
    with capture_logs() as logs:
        await engine.receive("bad")
        await engine.receive("2.1")
        await engine.until_state(2, State.FINAL)
        await eventually(lambda: any(line["event"] == "receipt_set_aside" for line in logs))
    assert len(await engine.inbox()) == 1
    assert (await engine.message(1)).state is State.WAITING
