"""Clicks on their way to the store: who made them, what is added up, and that none is lost or counted twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from cascade.core.errors import StoreUnavailableError
from cascade.core.message import Message, State, Status
from cascade.core.route import Step
from cascade.core.short_links import Click
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel, MessageType
from cascade.engine import clicks
from cascade.engine.clicks import ClickCounter
from cascade.store import messages, short_links
from cascade.store.database import Transaction
from cascade.store.messages import Key, NewMessage
from cascade.store.short_links import Clicks, NewLink

from .running import Store

T0 = 1_000_000_000_000
HOUR_MS = 3_600_000
GRACE_S = 5.0
KEY = Key(1, bytes(16))
CODE = "mPq7XkZ2"
URL = "https://shop.example/"
SMS = Step(Channel.SMS, "sms.smpp", None)
MESSAGE = Message(
    MessageType.PROMO, (SMS,), T0 + HOUR_MS, state=State.FINAL, status=Status.DELIVERED, step=0, attempt=1
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clicks, "GATHER_S", 0.01)
    monkeypatch.setattr(clicks, "STORE_RETRY_S", 0.01)


async def add_message(store: Store, *entries: Entry) -> None:
    """A message accepted at T0, with one link."""
    async with store.transaction() as tx:
        new = NewMessage(KEY, "order-1", "Shop", "+380501112233", "text", None, T0, MESSAGE, list(entries), 1)
        await messages.add(tx, [new])
        await short_links.add(tx, [NewLink(CODE, KEY, URL, T0, T0 + HOUR_MS)])


def click(at_ms: int, *, is_machine: bool = False, key: Key = KEY) -> Click:
    return Click(*key, CODE, URL, at_ms, is_machine)


async def counted(store: Store, *given: Click) -> Clicks:
    """The link, once these clicks are written down."""
    counter = ClickCounter(store, preview_ms=2_000)
    running = asyncio.create_task(counter.run())
    for one in given:
        counter.add(one)
    await counter.stop(GRACE_S)
    running.cancel()
    return await link(store)


async def link(store: Store) -> Clicks:
    async with store.reading() as reader:
        (found,) = await short_links.of_message(reader, KEY)
    return found


def entry(at_ms: int, mark: Mark) -> Entry:
    return Entry(at_ms, 0, 1, mark)


BY_PERSON = {  # the timeline, when the click came, whether a person made it
    "at acceptance": ([], T0, False),
    "just after acceptance": ([], T0 + 1_999, False),
    "two seconds after acceptance": ([], T0 + 2_000, True),
    "just after the provider took it": ([entry(T0 + HOUR_MS, Mark.ACCEPTED)], T0 + HOUR_MS + 500, False),
    "just after it arrived": ([entry(T0 + HOUR_MS, Mark.DELIVERED)], T0 + HOUR_MS + 1_999, False),
    "just after a sending without an answer": ([entry(T0 + HOUR_MS, Mark.UNKNOWN)], T0 + HOUR_MS + 1, False),
    "while it was read": ([entry(T0 + HOUR_MS, Mark.READ)], T0 + HOUR_MS + 1, True),
    "before the receipt came": ([entry(T0 + HOUR_MS, Mark.DELIVERED)], T0 + HOUR_MS - 1, True),
    "a while after it arrived": ([entry(T0 + HOUR_MS, Mark.DELIVERED)], T0 + HOUR_MS + 2_000, True),
}


@pytest.mark.parametrize(("entries", "at_ms", "is_person"), BY_PERSON.values(), ids=BY_PERSON.keys())
async def test_a_click_right_after_a_sending_is_a_preview_s(
    store: Store, entries: list[Entry], at_ms: int, is_person: bool
) -> None:
    await add_message(store, *entries)
    found = await counted(store, click(at_ms))
    assert (found.people, found.machines) == ((1, 0) if is_person else (0, 1))


async def test_what_came_together_is_added_up(store: Store) -> None:
    await add_message(store)
    given = [click(T0 + HOUR_MS + n, is_machine=n % 3 == 0) for n in range(2_500)]
    found = await counted(store, *given)
    assert found == Clicks(CODE, URL, 1_666, 834, T0 + HOUR_MS + 1, T0 + HOUR_MS + 2_498)


async def test_a_click_on_what_is_gone_counts_nothing_and_stops_nothing(store: Store) -> None:
    await add_message(store)
    gone = click(T0 + HOUR_MS, key=Key(1, b"gone".ljust(16)))._replace(code="goneXYZW")
    assert (await counted(store, gone, click(T0 + HOUR_MS))).people == 1


async def test_a_click_that_nobody_foresaw_is_dropped_and_holds_up_no_other(store: Store) -> None:
    await add_message(store)
    with capture_logs() as logs:
        bad = click(1 << 70)._replace(code="badXYZWV")  # a time that no store can hold
        found = await counted(store, click(T0 + HOUR_MS), bad, click(T0 + HOUR_MS))
    assert found.people == 2
    assert [entry["event"] for entry in logs] == ["click_dropped"]


async def test_while_the_store_is_away_clicks_wait_and_are_counted_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_message(store)
    tries = 0
    transaction = store.transaction

    @asynccontextmanager
    async def away() -> AsyncIterator[Transaction]:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise StoreUnavailableError("disk is full")
        async with transaction() as tx:
            yield tx

    monkeypatch.setattr(store, "transaction", away)
    assert (await counted(store, click(T0 + HOUR_MS), click(T0 + HOUR_MS))).people == 2
    assert tries == 4


async def test_a_stop_waits_no_longer_than_its_grace(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def away() -> AsyncIterator[Transaction]:
        raise StoreUnavailableError("disk is full")
        yield

    await add_message(store)
    with monkeypatch.context() as broken:
        broken.setattr(store, "transaction", away)
        counter = ClickCounter(store, preview_ms=0)
        running = asyncio.create_task(counter.run())
        counter.add(click(T0))
        await asyncio.wait_for(counter.stop(0.05), GRACE_S)
        running.cancel()
    assert (await link(store)).people == 0


async def test_memory_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clicks, "LARGEST_BACKLOG", 10)
    await add_message(store)
    assert (await counted(store, *(click(T0 + HOUR_MS) for _ in range(15)))).people == 10
