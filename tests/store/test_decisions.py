"""What events make of messages, in one set: in order, on what is newest, knowing where people can be reached."""

from collections.abc import Awaitable, Callable
from itertools import permutations

import pytest

from cascade.core.attempt import Accepted, AnswerLost, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.events import Listener
from cascade.core.machine import DeadlinePassed, Event, LinkDown, ReceiptCame, Settled
from cascade.core.message import Message, State, Status
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.route import Step
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.store import decisions, receipts, subscribers
from cascade.store.database import Database
from cascade.store.decisions import News
from cascade.store.messages import Change, Key, Stored
from cascade.store.receipts import LostAnswer, Sent
from cascade.store.subscribers import Subscriber

from .given import DAY_MS, LEASE_MS, SMS, T0, VIBER, add, claim, key, load, new, phone, put, queued, record

HOUR_MS = 3_600_000
SENDING = queued(state=State.SENDING, attempt=1, tries=1, deadline_at_ms=T0 + LEASE_MS)
TELEGRAM = Step(Channel.TELEGRAM_BOT, "telegram_bot.1", 30)
ACCEPTED = Settled(T0 + 5, 1, 0, Accepted(("77",)))


async def apply(database: Database, *news: tuple[int, Event], known: Stored | None = None) -> list[Change]:
    async with database.transaction() as tx:
        return await decisions.apply(
            tx, [News(key(number), event) for number, event in news], {} if known is None else {known.key: known}
        )


async def marks(database: Database, number: int) -> list[Mark]:
    return [entry.mark for entry in (await record(database, number)).entries]


async def test_each_message_gets_its_own_news(database: Database) -> None:
    await put(database, 1, SENDING)
    await put(database, 2, SENDING)
    written = await apply(database, (1, ACCEPTED), (2, Settled(T0 + 5, 1, 0, Delivered("78"))))
    assert [change.stored.key for change in written] == [key(1), key(2)]
    assert (await load(database, 1)).message.state is State.WAITING
    assert (await load(database, 2)).message.status is Status.DELIVERED


async def test_several_events_of_one_message_are_decided_in_order(database: Database) -> None:
    await put(database, 1, SENDING)
    delivered = ReceiptCame(T0 + 6, 1, 0, 0, ReceiptState.DELIVERED)
    [written] = await apply(database, (1, ACCEPTED), (1, delivered), (1, delivered))
    assert (written.message.status, written.at_ms) == (Status.DELIVERED, T0 + 6)
    assert await marks(database, 1) == [Mark.ACCEPTED, Mark.DELIVERED]
    assert (await record(database, 1)).finished_at_ms == T0 + 6


async def test_news_about_a_message_that_changed_since_is_decided_anew(database: Database) -> None:
    await add(database, new(1))
    seen_before_the_claim = await load(database, 1)
    await claim(database)
    [written] = await apply(database, (1, ACCEPTED), known=seen_before_the_claim)
    assert (written.message.state, written.message.attempt) == (State.WAITING, 1)
    assert await marks(database, 1) == [Mark.ACCEPTED]


async def test_late_news_overwrites_nothing(database: Database) -> None:
    await put(database, 1, SENDING)
    known = await load(database, 1)
    await apply(database, (1, Settled(T0 + 5, 1, 0, Delivered("77"))))
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS)), known=known)
    message = (await load(database, 1)).message
    assert (message.state, message.status) == (State.FINAL, Status.DELIVERED)
    assert await marks(database, 1) == [Mark.DELIVERED]


async def test_what_changes_nothing_is_not_written(database: Database) -> None:
    await put(database, 1, SENDING)
    before = await load(database, 1)
    assert await apply(database, (1, DeadlinePassed(T0))) == []
    assert await load(database, 1) == before


async def test_news_about_nobody_is_dropped(database: Database) -> None:
    assert await apply(database, (404, ACCEPTED)) == []


# What one statement does


def sent(number: int, *provider_ids: str, attempt: int = 1) -> Sent:
    return Sent("sms.smpp", key(number), attempt, 0, provider_ids)


async def known_of(database: Database, *numbers: int) -> dict[Key, Stored]:
    return {key(number): await load(database, number) for number in numbers}


async def parts_of(database: Database, *provider_ids: str) -> dict[str, tuple[Key, int, int]]:
    async with database.reading() as reader:
        found = await receipts.find_parts(reader, [("sms.smpp", one) for one in provider_ids])
    return {provider_id: (part.key, part.attempt, part.part) for (_, provider_id), part in found.items()}


async def test_answers_and_the_ids_that_receipts_will_name_are_written_at_once(database: Database) -> None:
    odd = ['a"b', "\\", "ю, {1}"]
    for number in 1, 2, 3:
        await put(database, number, SENDING)
    news = [
        News(key(1), Settled(T0 + 5, 1, 0, Accepted(tuple(odd)))),
        News(key(2), Settled(T0 + 5, 1, 0, Rejected(Reason.BLOCKED))),
        News(key(3), Settled(T0 + 5, 1, 0, Accepted(("79",)))),
    ]
    given = [sent(1, *odd), sent(3, "79")]
    written, left = await decisions.apply_at_once(database, news, await known_of(database, 1, 2, 3), given)
    assert ([change.stored.key for change in written], left.news, left.sent) == ([key(1), key(2), key(3)], [], [])
    assert [await marks(database, number) for number in (1, 2, 3)] == [
        [Mark.ACCEPTED],
        [Mark.REJECTED],
        [Mark.ACCEPTED],
    ]
    parts = {one: (key(1), 1, place) for place, one in enumerate(odd)} | {"79": (key(3), 1, 0)}
    assert await parts_of(database, *odd, "79") == parts


async def test_what_changed_since_is_left_and_its_ids_with_it(database: Database) -> None:
    for number in 1, 2:
        await put(database, number, SENDING)
    known = await known_of(database, 1, 2)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS, parts=2)))
    stranger = Receipt("78", ReceiptState.DELIVERED, recipient="380500000001")
    async with database.transaction() as tx:
        adopted = await receipts.adopt(tx, "sms.smpp", stranger, T0 + LEASE_MS)
    assert adopted is not None
    answer = Settled(T0 + LEASE_MS, 1, 0, Accepted(("77", "78")))
    news = [News(key(1), answer), News(key(2), ACCEPTED)]
    written, left = await decisions.apply_at_once(database, news, known, [sent(1, "77", "78"), sent(2, "79")])
    assert [change.stored.key for change in written] == [key(2)]
    assert (left.news, left.sent) == ([news[0]], [sent(1, "77", "78")])
    assert await parts_of(database, "77", "79") == {"79": (key(2), 1, 0)}
    async with database.transaction() as tx:
        await decisions.apply(tx, left.news, known, left.sent)
    # The one that was adopted keeps its number, which is ticked off already; the other gets the one that is left.
    parts = {"77": (key(1), 1, 1 - adopted.part), "78": (key(1), 1, adopted.part)}
    assert await parts_of(database, "77", "78") == parts
    assert await marks(database, 1) == [Mark.UNKNOWN, Mark.ACCEPTED]


async def listened(database: Database) -> None:
    database.listeners = {1: (Listener("wh_1", None),)}


async def directory(database: Database) -> None:
    await put(database, 3, SENDING._replace(route=(SMS, VIBER)))


MORE: dict[str, tuple[Callable[[Database], Awaitable[None]] | None, list[News], list[Sent]]] = {
    "an answer that was lost": (None, [News(key(1), Settled(T0 + 5, 1, 0, AnswerLost()))], []),
    "a webhook to be told": (listened, [News(key(1), ACCEPTED)], [sent(1, "77")]),
    "an address to be looked up": (directory, [News(key(3), Settled(T0 + 5, 1, 0, Rejected(Reason.BLOCKED)))], []),
    "a message nobody has read": (None, [News(key(1), ACCEPTED), News(key(404), ACCEPTED)], [sent(1, "77")]),
    "two under one id": (None, [News(key(1), ACCEPTED), News(key(2), ACCEPTED)], [sent(1, "77"), sent(2, "77")]),
    "two answers of one message": (None, [News(key(1), ACCEPTED)], [sent(1, "77"), sent(1, "78", attempt=2)]),
}


@pytest.mark.parametrize(("prepare", "news", "given"), MORE.values(), ids=MORE)
async def test_what_takes_more_than_a_statement_is_left_whole(
    database: Database,
    prepare: Callable[[Database], Awaitable[None]] | None,
    news: list[News],
    given: list[Sent],
) -> None:
    for number in 1, 2:
        await put(database, number, SENDING)
    if prepare is not None:
        await prepare(database)
    numbers = [number for number in (1, 2, 3) if key(number) in {one.key for one in news}]
    known = await known_of(database, *numbers)
    assert await decisions.apply_at_once(database, news, known, given) == ([], (news, given))
    assert await marks(database, 1) == []


async def test_of_two_under_one_id_the_later_is_meant(database: Database) -> None:
    """As an SMSC answers that counts from one again after each restart, or has one id for all."""
    for number in 1, 2:
        await put(database, number, SENDING)
    async with database.transaction() as tx:
        news = [News(key(1), ACCEPTED), News(key(2), ACCEPTED)]
        known = await known_of(database, 1, 2)
        await decisions.apply(tx, news, known, [sent(1, "77"), sent(2, "77")])
    assert await parts_of(database, "77") == {"77": (key(2), 1, 0)}


# Where it goes on

NEXT = {  # the rest of the route, the person's addresses: step and address after a refusal at the first
    "a bot that knows the person": ((VIBER, SMS), {"viber_bot.1": "abc="}, 1, "abc="),
    "a bot that does not": ((VIBER, SMS), {}, 2, None),
    "the first of two bots that does": ((TELEGRAM, VIBER, SMS), {"viber_bot.1": "abc="}, 2, "abc="),
    "a bot of another account's": ((VIBER, SMS), {"viber_bot.2": "abc="}, 2, None),
    "no bot at all": ((SMS,), {"viber_bot.1": "abc="}, 1, None),
}


@pytest.mark.parametrize(("rest", "addresses", "step", "address"), NEXT.values(), ids=NEXT.keys())
async def test_it_goes_on_to(
    database: Database, rest: tuple[Step, ...], addresses: dict[str, str], step: int, address: str | None
) -> None:
    async with database.transaction() as tx:
        for link, known_as in addresses.items():
            await subscribers.put(tx, 1, link, [Subscriber(phone(1), known_as, "{}")], T0)
    await put(database, 1, SENDING._replace(route=(SMS, *rest)))
    await apply(database, (1, Settled(T0 + 5, 1, 0, Rejected(Reason.BLOCKED))))
    message = (await load(database, 1)).message
    assert (message.step, message.address, message.state) == (step, address, State.QUEUED)


TORN = Retry(Reason.PROVIDER_DOWN, parts=2)
LOST = Settled(T0 + 5, 1, 0, AnswerLost())
ADOPTABLE = {  # given, what happened, how a receipt spells the recipient: whether a stranger's receipt may be its own
    "an answer lost, by phone": (SENDING, LOST, "380500000001", True),
    "a node lost, by phone": (SENDING, DeadlinePassed(T0 + LEASE_MS), "380500000001", True),
    "an answer lost, by address": (SENDING._replace(route=(VIBER,), address="abc="), LOST, "abc=", True),
    "a text torn between its parts": (SENDING, Settled(T0 + 5, 1, 0, TORN), "380500000001", True),
    "a text refused after its first part": (
        SENDING, Settled(T0 + 5, 1, 0, Rejected(Reason.INVALID_CONTENT, parts=2)), "380500000001", True,
    ),
    "a refusal": (SENDING, Settled(T0 + 5, 1, 0, Rejected(Reason.INVALID_CONTENT)), "380500000001", False),
    "a provider that is down": (SENDING, Settled(T0 + 5, 1, 0, Retry(Reason.PROVIDER_DOWN)), "380500000001", False),
    "an answer that came": (SENDING, ACCEPTED, "380500000001", False),
    "a channel without receipts": (SENDING._replace(route=(TELEGRAM,), address="501"), LOST, "501", False),
}  # fmt: skip


@pytest.mark.parametrize(("given", "event", "recipient", "is_adopted"), ADOPTABLE.values(), ids=ADOPTABLE.keys())
async def test_a_receipt_may_belong_to(
    database: Database, given: Message, event: Event, recipient: str, is_adopted: bool
) -> None:
    await put(database, 1, given)
    await apply(database, (1, event))
    link = given.link
    assert link is not None
    stranger = Receipt("unknown-id", ReceiptState.DELIVERED, recipient=recipient)
    async with database.transaction() as tx:
        part = await receipts.adopt(tx, link, stranger, T0 + LEASE_MS)
    assert (part is not None) is is_adopted
    assert part is None or (part.key, part.attempt, part.step) == (key(1), 1, 0)


@pytest.mark.parametrize("torn", [TORN, Rejected(Reason.INVALID_CONTENT, parts=2)], ids=["torn", "refused"])
async def test_a_torn_text_is_never_whole(database: Database, torn: Outcome) -> None:
    """Its receipts are its own, and make no other try of it whole, such as one that was lost before the first part."""
    await put(database, 1, SENDING._replace(due_at_ms=T0 + 5, attempt=2, open_parts=((1, 0b11),)))
    async with database.transaction() as tx:
        earlier = LostAnswer("sms.smpp", "380500000001", key(1), 1, 0, T0, parts=2)
        await receipts.add_lost(tx, [earlier])
    await apply(database, (1, Settled(T0 + 6, 2, 0, torn)))
    for provider_id in "77", "78":  # one of each try
        receipt = Receipt(provider_id, ReceiptState.DELIVERED, recipient="380500000001")
        async with database.transaction() as tx:
            part = await receipts.adopt(tx, "sms.smpp", receipt, T0 + 9)
        assert part is not None
        await apply(database, (1, ReceiptCame(T0 + 9, part.attempt, part.step, part.part, ReceiptState.DELIVERED)))
    assert (await load(database, 1)).message.status is not Status.DELIVERED


@pytest.mark.parametrize("parts", [1, 2])
async def test_what_its_receipts_proved_is_not_lost_once_more(database: Database, parts: int) -> None:
    """As when the node that was cut off while sending it comes back, and says that it had no answer."""
    await put(database, 1, SENDING)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS, parts=parts)))

    async def receive(provider_id: str) -> bool:
        receipt = Receipt(provider_id, ReceiptState.DELIVERED, recipient="380500000001")
        async with database.transaction() as tx:
            part = await receipts.adopt(tx, "sms.smpp", receipt, T0 + LEASE_MS)
        if part is not None:
            await apply(database, (1, ReceiptCame(T0 + 9, part.attempt, part.step, part.part, ReceiptState.DELIVERED)))
        return part is not None

    for number in range(parts):
        assert await receive(f"7{number}")
    assert (await load(database, 1)).message.status is Status.DELIVERED
    await apply(database, (1, Settled(T0 + LEASE_MS, 1, 0, AnswerLost(parts=parts))))
    assert not await receive("another message's")


CAME_LATE = {  # what the node that was cut off says of its attempt: whether it may still be another receipt's
    "the provider has it, under an id": (Accepted(("77",)), False),
    "the provider did not take it": (Retry(Reason.THROTTLED), False),
    "a part of it": (TORN, True),
    "no answer came": (AnswerLost(), True),
}


@pytest.mark.parametrize(("outcome", "is_lost"), CAME_LATE.values(), ids=CAME_LATE.keys())
async def test_what_is_known_late_is_lost_no_more(database: Database, outcome: Outcome, is_lost: bool) -> None:
    await put(database, 1, SENDING)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS)))
    await apply(database, (1, Settled(T0 + LEASE_MS, 1, 0, outcome)))
    stranger = Receipt("another message's", ReceiptState.DELIVERED, recipient="380500000001")
    async with database.transaction() as tx:
        assert (await receipts.adopt(tx, "sms.smpp", stranger, T0 + LEASE_MS) is not None) is is_lost


RCS = Step(Channel.RCS, "rcs.google", 60, others=("rcs.vonage",))
GONE_ON: dict[str, tuple[Message, list[Event]]] = {  # given, what happened between the lease's end and the late answer
    "to another link": (SENDING._replace(type=MessageType.TRANSACTION, route=(RCS,)), [LinkDown(T0 + LEASE_MS)]),
    "to another channel": (
        SENDING._replace(type=MessageType.PROMO, route=(VIBER, SMS), address="abc="), [DeadlinePassed(T0 + HOUR_MS)],
    ),
    "nowhere: it waits for a receipt": (SENDING, []),
    "nowhere: it is about to be sent again": (SENDING._replace(type=MessageType.TRANSACTION), []),
    "to its end": (SENDING, [DeadlinePassed(T0 + 2 * DAY_MS)]),
}  # fmt: skip


@pytest.mark.parametrize(
    "outcome", [Accepted(("77",)), Retry(Reason.THROTTLED), NotSent()], ids=["taken", "not taken", "never left"]
)
@pytest.mark.parametrize(("given", "between"), GONE_ON.values(), ids=GONE_ON)
async def test_what_is_known_late_is_lost_no_more_though_its_message_has_gone_on(
    database: Database, given: Message, between: list[Event], outcome: Outcome
) -> None:
    link = given.route[0].link
    assert link is not None
    await put(database, 1, given._replace(link=link))
    sent = await load(database, 1)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS)))
    for event in between:
        await apply(database, (1, event))
    gone_on = (await load(database, 1)).message
    assert (gone_on.link, gone_on.attempt) != (link, 0)
    await apply(database, (1, Settled(T0 + HOUR_MS, 1, 0, outcome, link=link)), known=sent)
    stranger = Receipt("another message's", ReceiptState.DELIVERED, recipient=given.address or "380500000001")
    async with database.transaction() as tx:
        assert await receipts.adopt(tx, link, stranger, T0 + HOUR_MS) is None


@pytest.mark.parametrize("order", list(permutations(["answer", "receipt", "link down"])), ids=", ".join)
async def test_an_attempt_costs_once(database: Database, order: tuple[str, ...]) -> None:
    """Whatever comes first of its late answer, the receipt of its failure, and a move to another link."""
    route = (RCS._replace(cost_micros=60), SMS._replace(cost_micros=40))
    await put(database, 1, SENDING._replace(type=MessageType.TRANSACTION, route=route, link="rcs.google"))
    sent = await load(database, 1)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS)))
    for one in order:
        if one == "answer":
            answer = Settled(T0 + LEASE_MS, 1, 0, Accepted(("77",)), link="rcs.google")
            await apply(database, (1, answer), known=sent)
        elif one == "link down":
            await apply(database, (1, LinkDown(T0 + LEASE_MS)))
        else:
            failed = Receipt("77", ReceiptState.FAILED, recipient="380500000001")
            async with database.transaction() as tx:
                part = await receipts.adopt(tx, "rcs.google", failed, T0 + LEASE_MS)
            is_proof = part is not None  # else it finds its attempt by the answer's id
            await apply(database, (1, ReceiptCame(T0 + LEASE_MS, 1, 0, 0, ReceiptState.FAILED, is_proof=is_proof)))
    message = (await load(database, 1)).message
    assert (message.cost_micros, message.step) == (60, 1)


async def test_what_a_failure_proved_is_not_lost_once_more(database: Database) -> None:
    await put(database, 1, SENDING)
    await apply(database, (1, DeadlinePassed(T0 + LEASE_MS)))
    failed = Receipt("77", ReceiptState.FAILED, recipient="380500000001")
    async with database.transaction() as tx:
        part = await receipts.adopt(tx, "sms.smpp", failed, T0 + LEASE_MS)
    assert part is not None
    await apply(database, (1, ReceiptCame(T0 + LEASE_MS, 1, 0, part.part, ReceiptState.FAILED, is_proof=True)))
    await apply(database, (1, Settled(T0 + LEASE_MS, 1, 0, AnswerLost())))
    stranger = Receipt("another message's", ReceiptState.DELIVERED, recipient="380500000001")
    async with database.transaction() as tx:
        assert await receipts.adopt(tx, "sms.smpp", stranger, T0 + LEASE_MS) is None
