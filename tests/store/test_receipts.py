"""The receipt inbox, and whose the providers' ids are."""

import asyncio

import pytest

from cascade.core.message import State
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.words import Reason
from cascade.store import receipts
from cascade.store.database import Database
from cascade.store.messages import Change
from cascade.store.receipts import InboxReceipt, LostAnswer, SentPart

from .given import T0, change, key, load, put, queued

LINK = "sms.smpp"
PHONE = "380501112233"


async def take(database: Database, *came: Receipt, link: str = LINK, now_ms: int = T0) -> None:
    async with database.transaction() as tx:
        await receipts.add(tx, link, came, now_ms)


async def due(database: Database, now_ms: int = T0, limit: int = 100) -> list[InboxReceipt]:
    async with database.reading() as reader:
        return await receipts.due(reader, now_ms, limit)


async def find(database: Database, *ids: tuple[str, str]) -> dict[tuple[str, str], SentPart]:
    async with database.reading() as reader:
        return await receipts.find_parts(reader, ids)


async def remember(database: Database, *parts: SentPart) -> None:
    async with database.transaction() as tx:
        await receipts.add_parts(tx, parts)


async def lose(database: Database, *lost: LostAnswer) -> None:
    async with database.transaction() as tx:
        await receipts.add_lost(tx, lost)


async def adopt(
    database: Database, receipt: Receipt, link: str = LINK, received_at_ms: int = T0 + 10
) -> SentPart | None:
    async with database.transaction() as tx:
        return await receipts.adopt(tx, link, receipt, received_at_ms)


def sent(provider_id: str, number: int = 1, *, link: str = LINK, part: int = 0) -> SentPart:
    return SentPart(link, provider_id, key(number), attempt=2, step=1, part=part)


def lost(number: int, at_ms: int = T0, *, recipient: str = PHONE, link: str = LINK, attempt: int = 1) -> LostAnswer:
    return LostAnswer(link, recipient, key(number), attempt, 0, at_ms)


def from_phone(provider_id: str, recipient: str | None = PHONE) -> Receipt:
    return Receipt(provider_id, ReceiptState.DELIVERED, recipient=recipient)


EVERYTHING = {
    "all a receipt can say": Receipt("77", ReceiptState.FAILED, Reason.UNDELIVERABLE, 'err:"011"', recipient=PHONE),
    "the least a receipt can say": Receipt("abc=", ReceiptState.READ),
}


@pytest.mark.parametrize("receipt", EVERYTHING.values(), ids=EVERYTHING.keys())
async def test_a_receipt_comes_back_as_it_came(database: Database, receipt: Receipt) -> None:
    woken = []
    database.on_receipts_ready = lambda: woken.append(True)
    await take(database, receipt)
    [kept] = await due(database)
    assert (kept.link, kept.receipt, kept.received_at_ms) == (LINK, receipt, T0)
    assert woken == [True]


async def test_what_no_engine_can_store_is_left_out(database: Database) -> None:
    await take(database, Receipt("7\0", ReceiptState.FAILED, Reason.UNDELIVERABLE, "e\0rr", recipient=f"\0{PHONE}"))
    [kept] = await due(database)
    assert kept.receipt == Receipt("7", ReceiptState.FAILED, Reason.UNDELIVERABLE, "err", recipient=PHONE)


@pytest.mark.parametrize("given", ["7\0", "\0007"])
async def test_an_id_that_no_engine_can_store_is_known_by_what_is_left_of_it(database: Database, given: str) -> None:
    await remember(database, sent(given))
    assert await find(database, (LINK, "7")) == await find(database, (LINK, given)) == {(LINK, "7"): sent("7")}


async def test_a_repeated_receipt_is_kept_twice_and_worked_in_order(database: Database) -> None:
    await take(database, from_phone("1"), from_phone("2"))
    await take(database, from_phone("1"), now_ms=T0 - 1)
    assert [one.receipt.provider_id for one in await due(database)] == ["1", "1", "2"]
    assert len(await due(database, limit=2)) == 2


async def test_what_is_done_is_gone_and_what_is_postponed_comes_again(database: Database) -> None:
    await take(database, from_phone("1"), from_phone("2"))
    first, second = await due(database)
    async with database.transaction() as tx:
        await receipts.done(tx, [first.id])
        await receipts.postpone(tx, [(second.id, T0 + 100)])
    assert await due(database, T0 + 99) == []
    assert await due(database, T0 + 100) == [second]


async def test_a_part_is_found_by_link_and_provider_id(database: Database) -> None:
    parts = [sent("1"), sent("2", part=1), sent("1", 9, link="viber_bot.1")]
    await remember(database, *parts)
    wanted = [(LINK, "1"), (LINK, "2"), ("viber_bot.1", "1"), ("viber_bot.1", "2"), (LINK, "3")]
    assert await find(database, *wanted) == {(part.link, part.provider_id): part for part in parts}


async def test_an_id_used_anew_belongs_to_the_latest(database: Database) -> None:
    await remember(database, sent("1", 1, part=3))
    await remember(database, sent("1", 2))
    assert await find(database, (LINK, "1")) == {(LINK, "1"): sent("1", 2)}


async def test_more_ids_than_one_statement_holds(database: Database) -> None:
    parts = [sent(str(n), n) for n in range(1_203)]
    await remember(database, *parts)
    assert len(await find(database, *((LINK, str(n)) for n in range(1_203)))) == 1_203


async def test_a_lost_answer_is_found_by_its_recipient_the_latest_first(database: Database) -> None:
    await lose(database, lost(2, T0 + 1), lost(1, T0), lost(3, T0, recipient="380670000000"))
    first = await adopt(database, from_phone("77"))
    second = await adopt(database, from_phone("78"))
    assert first == SentPart(LINK, "77", key(2), attempt=1, step=0, part=0)
    assert second == SentPart(LINK, "78", key(1), attempt=1, step=0, part=0)
    assert await adopt(database, from_phone("79")) is None
    assert await find(database, (LINK, "77"), (LINK, "78")) == {(LINK, "77"): first, (LINK, "78"): second}


async def test_a_receipt_from_before_a_repeat_is_the_first_attempts(database: Database) -> None:
    await lose(database, lost(1, T0), lost(1, T0 + 20, attempt=2))
    early = await adopt(database, from_phone("77"), received_at_ms=T0 + 10)
    late = await adopt(database, from_phone("78"), received_at_ms=T0 + 30)
    assert [part and part.attempt for part in (early, late)] == [1, 2]


async def test_a_lost_answer_of_two_parts_takes_two_receipts(database: Database) -> None:
    await lose(database, lost(1)._replace(parts=2))
    parts = [await adopt(database, from_phone(provider_id)) for provider_id in ("77", "78", "79")]
    assert [part and part.part for part in parts] == [1, 0, None]


WHOLE = {  # parts of each try, receipts that come when all are out -> how many of them make one of the tries whole
    "one try in two parts: two": ([2], 2),
    "two tries in two parts: the first part of both may have come, so it takes three": ([2, 2], 3),
    "three tries in two parts": ([2, 2, 2], 4),
    "two tries in three parts": ([3, 3], 5),
    "a text in one part: the first receipt": ([1, 1], 1),
}


@pytest.mark.parametrize(("tries", "needed"), WHOLE.values(), ids=WHOLE.keys())
async def test_a_text_is_whole_when_one_of_its_tries_must_be(database: Database, tries: list[int], needed: int) -> None:
    await lose(
        database,
        *(lost(1, T0 + place, attempt=place + 1)._replace(parts=parts) for place, parts in enumerate(tries)),
    )
    missing = {place + 1: parts for place, parts in enumerate(tries)}
    for count in range(1, needed + 1):
        part = await adopt(database, from_phone(str(count)), received_at_ms=T0 + 100)
        assert part is not None
        missing[part.attempt] -= 1
        assert (0 in missing.values()) == (count == needed)


async def test_a_receipt_waits_while_the_message_is_being_sent_once_more(database: Database) -> None:
    """It may be of that try, whose answer is lost too, maybe, and nobody knows it yet."""
    await put(database, 1, queued(state=State.SENDING, attempt=2, tries=2))
    await lose(database, lost(1)._replace(parts=2))
    assert await adopt(database, from_phone("77")) is None
    sending = await load(database, 1)
    await change(database, Change(sending, sending.message._replace(state=State.QUEUED), [], T0))
    part = await adopt(database, from_phone("77"))
    assert part is not None
    assert (part.attempt, part.part) == (1, 1)


async def test_a_receipt_that_came_twice_counts_once(database: Database) -> None:
    """Else half of a text would make it whole, or one message's receipt another one delivered."""
    await lose(database, lost(1)._replace(parts=2), lost(2, T0 - 1))
    first, again = [await adopt(database, from_phone("77")) for _ in range(2)]
    assert again is None
    assert await find(database, (LINK, "77")) == {(LINK, "77"): first}
    assert [await adopt(database, from_phone(id_)) for id_ in ("78", "79")] == [
        SentPart(LINK, "78", key(1), 1, 0, 0),
        SentPart(LINK, "79", key(2), 1, 0, 0),
    ]


AT_ONCE = {  # the provider ids of two receipts that two nodes look at, what was lost -> what they are given to
    "two parts of one text": (("77", "78"), [lost(1)._replace(parts=2)], [(key(1), 1), (key(1), 0)]),
    "two messages": (("77", "78"), [lost(1), lost(2, T0 - 1)], [(key(1), 0), (key(2), 0)]),
    "the same receipt twice": (("77", "77"), [lost(1), lost(2, T0 - 1)], [(key(1), 0), None]),
}


@pytest.mark.parametrize(("ids", "losses", "given"), AT_ONCE.values(), ids=AT_ONCE.keys())
async def test_two_nodes_at_once_find(
    database: Database, ids: tuple[str, str], losses: list[LostAnswer], given: list[object]
) -> None:
    await lose(database, *losses)
    async with database.transaction() as tx:
        first = await receipts.adopt(tx, LINK, from_phone(ids[0]), T0 + 10)
        other = asyncio.create_task(adopt(database, from_phone(ids[1])))
        await asyncio.sleep(0.05)  # it waits for us, or for its turn
    assert [part and (part.key, part.part) for part in (first, await other)] == given


STRANGERS = {
    "a receipt without a recipient": (from_phone("77", recipient=None), LINK, T0),
    "another recipient's": (from_phone("77", recipient="380670000000"), LINK, T0),
    "another link's": (from_phone("77"), "viber_bot.1", T0),
    "one from before the attempt went out": (from_phone("77"), LINK, T0 - 1),
}


@pytest.mark.parametrize(("receipt", "link", "received_at_ms"), STRANGERS.values(), ids=STRANGERS.keys())
async def test_nothing_is_adopted_by(database: Database, receipt: Receipt, link: str, received_at_ms: int) -> None:
    await lose(database, lost(1))
    assert await adopt(database, receipt, link, received_at_ms) is None
    assert await adopt(database, from_phone("78")) is not None


async def test_the_same_loss_is_remembered_once(database: Database) -> None:
    await lose(database, lost(1), lost(1, T0 + 5))
    assert await adopt(database, from_phone("77")) is not None
    assert await adopt(database, from_phone("78")) is None


async def test_old_losses_are_forgotten(database: Database) -> None:
    await lose(database, lost(1, T0 - 1), lost(2, T0), lost(3, T0 - 3), lost(4, T0 - 2))
    async with database.transaction() as tx:
        assert await receipts.forget_lost(tx, 2, T0) == 2
        assert await receipts.forget_lost(tx, 2, T0) == 1
        assert await receipts.forget_lost(tx, 2, T0) == 0
    adopted = await adopt(database, from_phone("77"))
    assert adopted is not None
    assert adopted.key == key(2)
    assert await adopt(database, from_phone("78")) is None
