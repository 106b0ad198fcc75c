"""Several engines on one PostgreSQL: a link has one owner, a message is one node's, whoever comes, goes or dies."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from cascade.channels.base import Heard
from cascade.core.attempt import AnswerLost, NotSent, Outcome, Retry
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import DeadlinePassed
from cascade.core.message import State
from cascade.core.node import Role
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.route import Step
from cascade.core.timeline import Mark
from cascade.core.words import Channel, Reason
from cascade.engine import dispatcher, ownership, receiver, recorder, timekeeper, worker
from cascade.engine.ownership import Lease
from cascade.engine.receiver import ADOPT_MS
from cascade.engine.worker import LinkSetup, Worker
from cascade.store import decisions, messages, nodes, receipts
from cascade.store.database import Database, Reader, Transaction
from cascade.store.decisions import News
from cascade.store.messages import Change
from cascade.store.postgres import PostgresDatabase
from cascade.store.receipts import LostAnswer
from store.given import HOUR_MS, T0, add, counts, key, load, new, put, queued, record, urgent, waiting_for_a_lock

from .running import eventually
from .transport import FakeTransport, accept

CONNECTIONS = 8
LEASE = Lease(lease_s=1.5, sure_s=0.75)
SMS = "sms.smpp"
MANY = tuple(f"viber_bot.{n}" for n in range(4))


NUMBERS = count()


class Store(PostgresDatabase):
    """PostgreSQL as a node sees it that can be cut off from it."""

    is_cut = False
    asked = 0
    loses_answers = False
    """Of transactions: they are committed, and it cannot be known."""
    fails_transactions = False
    """Of several statements; what one statement does is done."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        self._check()
        async with super().reading() as reader:
            yield reader

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._check()
        if self.fails_transactions:
            self.fails_transactions = False
            raise StoreUnavailableError("cut off")
        async with super().transaction() as tx:
            yield tx
        self._lose_answer()

    @asynccontextmanager
    async def single(self) -> AsyncIterator[Transaction]:
        self._check()
        async with super().single() as tx:
            yield tx
        self._lose_answer()

    @asynccontextmanager
    async def vital_transaction(self) -> AsyncIterator[Transaction]:
        self._check()
        async with super().vital_transaction() as tx:
            yield tx

    @asynccontextmanager
    async def vital_reading(self) -> AsyncIterator[Reader]:
        self._check()
        async with super().vital_reading() as reader:
            yield reader

    def _lose_answer(self) -> None:
        if self.loses_answers:
            self.loses_answers = False
            raise StoreUnavailableError("the connection was lost during COMMIT")

    def _check(self) -> None:
        self.asked += 1
        if self.is_cut:
            raise StoreUnavailableError("cut off")


class Node:
    """An engine with a transport of its own for each link."""

    def __init__(self, store: Store, links: tuple[str, ...], role: Role, name: str) -> None:
        self.store = store
        self.worker = Worker(store, lambda: T0, name, role, LEASE)
        self.transports = {link: FakeTransport(window=20, answer=accept) for link in links}
        self._has_ended = False

    async def start(self) -> None:
        await self.worker.start({link: LinkSetup(each, None) for link, each in self.transports.items()})

    @property
    def serves(self) -> set[str]:
        return {link for link, each in self.transports.items() if each.is_started}

    async def stop(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            await self.worker.stop(1.0)

    async def die(self) -> None:
        """Like `kill -9`: nothing is drained, nothing is said."""
        self._has_ended = True
        tasks = list(self.worker._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Start = Callable[..., Awaitable[Node]]


@pytest.fixture
async def client(postgres_url: str) -> AsyncIterator[Database]:
    opened = PostgresDatabase(postgres_url, CONNECTIONS)
    await opened.open(owner=True)
    yield opened
    await opened.close()


@pytest.fixture
async def start(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(ownership, "BEAT_S", 0.05)
    monkeypatch.setattr(ownership, "GUARD_S", 0.01)
    monkeypatch.setattr(worker, "POLL_LANES_S", 0.05)
    monkeypatch.setattr(timekeeper, "TICK_S", 0.01)
    monkeypatch.setattr(timekeeper, "AHEAD_S", 0.05)
    for module in (dispatcher, recorder):
        monkeypatch.setattr(module, "STORE_RETRY_S", 0.01)
    async with AsyncExitStack() as stack:

        async def start_node(*links: str, role: Role = Role.ALL, name: str | None = None) -> Node:
            store = Store(postgres_url, CONNECTIONS)
            await store.open(owner=True)
            stack.push_async_callback(store.close)
            node = Node(store, links, role, name or f"node {next(NUMBERS)}")
            stack.push_async_callback(node.stop)
            await node.start()
            return node

        yield start_node


# Who serves what


async def test_links_are_spread_evenly_and_move_when_a_node_comes_or_goes(start: Start) -> None:
    first = await start(*MANY)
    await eventually(lambda: first.serves == set(MANY))
    second = await start(*MANY)
    await eventually(lambda: len(first.serves) == len(second.serves) == 2)
    assert first.serves | second.serves == set(MANY)
    await second.stop()
    await eventually(lambda: first.serves == set(MANY))
    assert [each.late for each in second.transports.values()] == [0] * 4


async def test_what_is_free_waits_for_no_node_that_has_gone_quiet(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LEASE", Lease(lease_s=60.0, sure_s=30.0))
    async with client.transaction() as tx:
        await nodes.join(tx, "quiet", Role.ALL, 29_000)  # it lives for longer than this test
    first = await start(*MANY)
    await eventually(lambda: first.serves == set(MANY))


@pytest.mark.parametrize("added", ["viber_bot.", "viber_bot.9"], ids=["before the others", "behind them"])
async def test_while_one_node_alone_knows_a_new_link_all_others_are_served(start: Start, added: str) -> None:
    """Nodes are given a new configuration one after the other."""
    first = await start(*MANY)
    await eventually(lambda: first.serves == set(MANY))
    second = await start(*MANY, added)
    await eventually(lambda: len(second.serves) == 2)
    await asyncio.sleep(0.3)  # six beats, so that nothing moves any more
    await eventually(lambda: first.serves | second.serves >= set(MANY))
    third = await start(*MANY, added)
    await first.stop()
    await eventually(lambda: second.serves | third.serves == {*MANY, added})


async def test_a_node_of_doors_serves_no_link(start: Start) -> None:
    doors, engine = await start(SMS, role=Role.API), await start(SMS, role=Role.ENGINE)
    await eventually(lambda: engine.serves == {SMS})
    assert doors.serves == set()
    await eventually(lambda: doors.worker.link_states(1).get(SMS) is not None)
    assert doors.worker.link_states(1)[SMS].is_up
    assert doors.worker.link_states(1)[SMS].in_flight is None


async def test_what_one_node_accepts_others_send_once(start: Start, client: Database) -> None:
    engines = [await start(*MANY, SMS) for _ in range(2)]
    for first in range(0, 400, 50):
        await add(client, *(new(n) for n in range(first, first + 50)))

    async def all_wait() -> bool:
        async with client.reading() as reader:
            return await counts(reader) == {State.WAITING: 400}

    await eventually(all_wait)
    sent = [number for node in engines for number in node.transports[SMS].numbers]
    assert sorted(sent) == list(range(400))


async def test_a_deadline_is_noticed_whoever_gave_it(start: Start, client: Database) -> None:
    await start(SMS)
    await start(SMS)
    silent = queued(state=State.WAITING, attempt=1, tries=1)
    for number in range(4):  # some of each node's share; one that is not due yet holds up nothing
        await put(client, number, silent._replace(deadline_at_ms=T0 - 1 if number else T0 + HOUR_MS))

    async def three_have_ended() -> bool:
        async with client.reading() as reader:
            return await counts(reader) == {State.FINAL: 3, State.WAITING: 1}

    await eventually(three_have_ended)


async def test_a_node_at_rest_asks_little(start: Start, client: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "BEAT_S", 1.0)
    monkeypatch.setattr(worker, "POLL_LANES_S", 1.0)
    monkeypatch.setattr(timekeeper, "AHEAD_S", 0.5)
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    await asyncio.sleep(0.2)
    asked = node.store.asked
    await asyncio.sleep(1.0)
    assert node.store.asked - asked <= 12


async def test_a_link_that_moves_under_load_sends_nothing_twice(start: Start, client: Database) -> None:
    first = await start(*MANY, SMS)
    await eventually(lambda: SMS in first.serves)
    engines = [first]
    for begin in range(0, 600, 20):
        await add(client, *(new(n) for n in range(begin, begin + 20)))
        if begin % 200 == 100:
            engines.append(await start(*MANY, SMS))
        if begin == 300:
            await first.stop()

    async def all_wait() -> bool:
        async with client.reading() as reader:
            return await counts(reader) == {State.WAITING: 600}

    await eventually(all_wait)
    sent = [number for node in engines for number in node.transports[SMS].numbers]
    assert sorted(sent) == list(range(600))


# Death


async def test_what_a_dead_node_was_sending_is_unknown_as_soon_as_its_lease_ends(
    start: Start, client: Database
) -> None:
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    first.transports[SMS].answer = None
    await add(client, new(1), new(2, urgent()))
    await eventually(lambda: len(first.transports[SMS].open) == 2)
    await first.die()
    second = await start(SMS)

    async def is_unknown() -> bool:
        return [entry.mark for entry in (await record(client, 1)).entries] == [Mark.UNKNOWN]

    await eventually(is_unknown)
    assert (await record(client, 1)).entries[0].reason is Reason.NODE_LOST
    assert (await load(client, 1)).message.state is State.WAITING
    assert (await load(client, 2)).message.state is State.QUEUED  # in a second, it is sent again
    assert second.serves == {SMS}


async def test_a_node_that_is_started_again_takes_over_from_itself_at_once(start: Start) -> None:
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    assert first.worker._ownership is not None
    name = first.worker._ownership._name
    await first.die()
    second = await start(SMS, name=name)
    began_s = asyncio.get_running_loop().time()
    await eventually(lambda: second.serves == {SMS})
    assert asyncio.get_running_loop().time() - began_s < LEASE.sure_s


async def _sending_one(start: Start, client: Database) -> Node:
    """A node that waits for the answer to its one message."""
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    node.transports[SMS].answer = None
    await add(client, new(1))
    await eventually(lambda: len(node.transports[SMS].open) == 1)
    return node


async def test_a_node_that_drains_is_not_buried_by_one_that_starts_in_its_place(start: Start, client: Database) -> None:
    first = await _sending_one(start, client)
    assert first.worker._ownership is not None
    stopping = asyncio.create_task(first.worker.stop(5.0))
    await eventually(lambda: first.transports[SMS].is_stopped)
    second = await start(SMS, name=first.worker._ownership._name)
    await eventually(lambda: second.worker.is_running)
    [attempt] = first.transports[SMS].open
    first.transports[SMS].settle(attempt, accept(attempt))
    await stopping
    await eventually(lambda: second.serves == {SMS})
    assert [entry.mark for entry in (await record(client, 1)).entries] == [Mark.ACCEPTED]


async def test_nor_does_one_that_drains_bury_it_when_it_could_not_give_up_its_name(
    start: Start, client: Database
) -> None:
    first = await _sending_one(start, client)
    first.store.is_cut = True
    stopping = asyncio.create_task(first.worker.stop(5.0))
    await eventually(lambda: first.transports[SMS].is_stopped)
    assert first.worker._ownership is not None
    second = await start(SMS, name=first.worker._ownership._name)
    await eventually(lambda: second.serves == {SMS})
    first.store.is_cut = False
    assert second.worker._ownership is not None
    number = second.worker._ownership._node_id
    await asyncio.sleep(0.3)  # six beats
    first.transports[SMS].settle_all(accept)
    await stopping
    assert (second.worker._ownership._node_id, second.serves) == (number, {SMS})
    async with client.reading() as reader:
        living, _ = await nodes.standing(reader)
    assert [node.id for node in living] == [number]


async def test_a_node_that_starts_leaves_the_leases_of_the_living_alone(start: Start, client: Database) -> None:
    leased = queued(state=State.SENDING, attempt=1, deadline_at_ms=T0 + HOUR_MS)
    await add(client, new(1, leased))
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    await node.stop()
    assert (await load(client, 1)).message.deadline_at_ms == T0 + HOUR_MS


async def test_what_waits_for_a_link_goes_on_when_no_node_has_it_any_more(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GONE_S", 0.0)
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    second = await start(SMS, "viber_bot.1")  # a bot of which the first has not heard
    known = first.worker._ownership
    assert known is not None
    await eventually(lambda: "viber_bot.1" in known.links and known.links["viber_bot.1"].node_id is not None)
    viber = second.transports["viber_bot.1"]
    viber.answer = None
    viber.widen(1)
    route = (Step(Channel.VIBER_BOT, "viber_bot.1", 60), Step(Channel.SMS, SMS, None))
    waiting = queued(route=route, address="abc=", due_at_ms=T0 - HOUR_MS)
    await add(client, new(1, waiting), new(2, waiting))
    await eventually(lambda: len(viber.open) == 1)
    await asyncio.sleep(0.3)  # six polls
    assert first.transports[SMS].attempts == []  # it is another node's, and full
    viber.settle_all(accept)
    viber.widen(0)
    await second.stop()
    await eventually(lambda: len(first.transports[SMS].attempts) == 1)


# The link of a bot that was removed


BOT = "viber_bot.9"
BY_BOT = queued(route=(Step(Channel.VIBER_BOT, BOT, 60), Step(Channel.SMS, SMS, None)), address="abc=")


async def known_links(client: Database) -> set[str]:
    async with client.reading() as reader:
        return set(await nodes.links(reader))


async def test_it_is_served_while_something_is_on_its_way_and_then_by_nobody(start: Start, client: Database) -> None:
    engines = [await start(SMS, BOT) for _ in range(2)]
    await eventually(lambda: all(len(node.serves) == 1 for node in engines))
    [owner] = [node for node in engines if BOT in node.serves]
    owner.transports[BOT].answer = None
    await add(client, new(1, BY_BOT))
    await eventually(lambda: owner.transports[BOT].numbers == [1])
    for node in engines:
        await node.worker.retire_link(BOT)
    await asyncio.sleep(0.3)  # six polls, and as many beats
    assert BOT in owner.serves
    owner.transports[BOT].answer = accept
    owner.transports[BOT].settle_all(accept)

    async def is_forgotten() -> bool:
        return await known_links(client) == {SMS}

    def sent() -> list[int]:
        return sorted(number for node in engines for number in node.transports[BOT].numbers)

    await eventually(is_forgotten)
    await eventually(lambda: {link for node in engines for link in node.serves} == {SMS})
    await add(client, new(2, BY_BOT))  # a message whose earlier step is over
    await eventually(lambda: sent() == [1, 2])
    await eventually(is_forgotten)
    assert [each.late for node in engines for each in node.transports.values()] == [0] * 4
    again = [FakeTransport(Channel.VIBER_BOT) for _ in engines]
    for node, each in zip(engines, again, strict=True):
        node.worker.add_link("viber_bot.10", LinkSetup(each, None))  # added again, a bot has another number
    await eventually(lambda: [each.is_started for each in again].count(True) == 1)


async def test_it_counts_no_more_when_links_are_shared_out(start: Start) -> None:
    engines = [await start(*MANY) for _ in range(2)]
    await eventually(lambda: all(len(node.serves) == 2 for node in engines))
    for link in engines[0].serves:
        for node in engines:
            await node.worker.retire_link(link)
    await eventually(lambda: all(len(node.serves) == 1 for node in engines))
    await eventually(lambda: REGISTRY.get_sample_value("cascade_links_unowned") == 0.0)


async def test_what_waits_for_it_goes_on_when_who_knows_it_has_no_room(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GONE_S", 0.0)
    others = (*MANY[:2], SMS)
    first = await start(*others, BOT)
    await eventually(lambda: first.serves == {*others, BOT})
    await first.worker.retire_link(BOT)
    second = await start(*others)
    await eventually(lambda: (len(first.serves), len(second.serves)) == (2, 1) and BOT not in first.serves)
    await add(client, new(1, BY_BOT._replace(due_at_ms=T0 - HOUR_MS)))
    await eventually(lambda: first.transports[SMS].numbers + second.transports[SMS].numbers == [1])
    assert first.transports[BOT].numbers == []


# Cut off


async def test_a_node_that_is_cut_off_hangs_up_before_its_links_move_and_comes_back(
    start: Start, client: Database
) -> None:
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    second = await start(SMS)
    first.store.is_cut = True
    while second.serves != {SMS}:
        was_served = first.serves == {SMS}
        await asyncio.sleep(0.005)
        assert not (was_served and second.serves == {SMS})
    assert not first.worker.is_running
    first.store.is_cut = False
    await eventually(lambda: first.worker.is_running)
    assert second.serves == {SMS}
    await second.stop()
    await eventually(lambda: first.serves == {SMS})


async def test_doors_whose_engines_have_all_died_say_so(start: Start) -> None:
    doors, engine = await start(SMS, role=Role.API), await start(SMS, role=Role.ENGINE)
    await eventually(lambda: SMS in doors.worker.link_states(1))
    await engine.die()
    await eventually(lambda: REGISTRY.get_sample_value("cascade_links_unowned") == 1.0)
    assert SMS not in doors.worker.link_states(1)


async def test_a_node_that_is_cut_off_does_not_say_that_every_link_is_served(start: Start) -> None:
    def unowned() -> float:
        return REGISTRY.get_sample_value("cascade_links_unowned") or 0.0

    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS} and unowned() == 0.0)
    node.store.is_cut = True
    await eventually(lambda: math.isnan(unowned()))
    node.store.is_cut = False
    await eventually(lambda: unowned() == 0.0)


async def test_the_late_word_of_a_node_that_lost_its_lease_turns_nothing_back(start: Start, client: Database) -> None:
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    first.transports[SMS].answer = None
    await add(client, new(1, urgent()))
    await eventually(lambda: len(first.transports[SMS].open) == 1)
    first.store.is_cut = True
    second = await start(SMS)

    async def says(*reasons: Reason) -> bool:
        return [entry.reason for entry in (await record(client, 1)).entries] == list(reasons)

    await eventually(lambda: says(Reason.NODE_LOST))
    before = await load(client, 1)
    first.store.is_cut = False  # now it can say that the answer was lost when it hung up
    await eventually(lambda: says(Reason.NODE_LOST, Reason.NO_ANSWER))
    assert (await load(client, 1)).message == before.message
    assert second.serves == {SMS}


KNOWN_LATE = {  # what a node that was cut off knows of an attempt that was called lost: does the next one send it
    "it never left": (NotSent(), True),
    "the provider asked for another try": (Retry(Reason.THROTTLED, 0.0), True),
    "no answer came": (AnswerLost(), False),
}


@pytest.mark.parametrize(("outcome", "is_sent"), KNOWN_LATE.values(), ids=KNOWN_LATE.keys())
async def test_a_campaigns_message_that_a_cut_off_node_did_not_send_is_sent(
    start: Start, client: Database, outcome: Outcome, is_sent: bool
) -> None:
    first = await start(SMS)
    await eventually(lambda: first.serves == {SMS})
    sms = first.transports[SMS]
    sms.answer = None
    await add(client, new(1))
    await eventually(lambda: len(sms.open) == 1)
    first.store.is_cut = True
    sms.settle_all(lambda _: outcome)
    second = await start(SMS)

    async def is_lost() -> bool:
        return [entry.reason for entry in (await record(client, 1)).entries] == [Reason.NODE_LOST]

    await eventually(is_lost)
    first.store.is_cut = False
    await eventually(lambda: first.worker.is_running)
    await first.worker._recorder.idle()
    if is_sent:
        await eventually(lambda: second.transports[SMS].numbers == [1])
    else:
        await asyncio.sleep(0.2)
        assert second.transports[SMS].numbers == []
    assert (await load(client, 1)).message.attempt == 1 + is_sent


async def test_a_store_that_was_away_for_all_makes_nobody_dead(start: Start, client: Database) -> None:
    engines = [await start(*MANY) for _ in range(2)]
    await eventually(lambda: all(len(node.serves) == 2 for node in engines))
    ids = await living(client)
    for node in engines:
        node.store.is_cut = True
    await eventually(lambda: not any(node.serves for node in engines))
    await asyncio.sleep(LEASE.lease_s)
    for node in engines:
        node.store.is_cut = False
    await eventually(lambda: all(len(node.serves) == 2 for node in engines))
    assert await living(client) == ids


async def test_a_claim_that_nobody_knows_of_is_given_back_unsent(start: Start, client: Database) -> None:
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    await add(client, new(1))  # is under way meanwhile, and stays so
    node.transports[SMS].answer = None
    await eventually(lambda: node.transports[SMS].numbers == [1])
    node.store.loses_answers = True
    await add(client, new(2))
    await eventually(lambda: node.transports[SMS].numbers == [1, 2])
    assert (await record(client, 2)).entries == []
    assert [(await load(client, number)).message.attempt for number in (1, 2)] == [1, 1]


async def test_an_answer_that_was_written_unknown_to_us_is_not_written_twice(start: Start, client: Database) -> None:
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    sms = node.transports[SMS]
    sms.answer = None
    await add(client, new(1), new(2))
    await eventually(lambda: len(sms.open) == 2)
    node.store.loses_answers = True
    first, second = sms.open
    sms.settle(first, accept(first))
    await eventually(lambda: not node.store.loses_answers)
    sms.settle(second, accept(second))
    await node.worker._recorder.idle()
    for number in (1, 2):
        assert [entry.mark for entry in (await record(client, number)).entries] == [Mark.ACCEPTED]


async def test_nor_is_that_of_a_set_which_was_cut_off_halfway(start: Start, client: Database) -> None:
    """One of it takes more than a statement, since it was called lost meanwhile."""
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    sms = node.transports[SMS]
    sms.answer = None
    route = (Step(Channel.SMS, SMS, 60, cost_micros=50_000),)
    await add(client, new(1, queued(route=route)), new(2, queued(route=route)))
    await eventually(lambda: len(sms.open) == 2)
    async with client.transaction() as tx:
        await decisions.apply(tx, [News(key(2), DeadlinePassed(T0 + 3_600_000))], {})
    node.store.fails_transactions = True
    sms.settle_all(accept)
    await eventually(lambda: not node.store.fails_transactions)
    await node.worker._recorder.idle()
    for number, marks in (1, [Mark.ACCEPTED]), (2, [Mark.UNKNOWN, Mark.ACCEPTED]):
        assert [entry.mark for entry in (await record(client, number)).entries] == marks
        assert (await load(client, number)).message.cost_micros == 50_000
    async with client.reading() as reader:
        assert len(await receipts.find_parts(reader, [(SMS, "1.1"), (SMS, "2.1")])) == 2


async def test_whose_ids_of_a_link_are_is_looked_up_once_another_node_may_have_served_it(
    start: Start, client: Database
) -> None:
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    await add(client, new(1))

    async def is_written() -> bool:
        return (await load(client, 1)).message.state is State.WAITING

    await eventually(is_written)
    await node.worker._recorder.idle()
    assert node.worker._recorder.parts(SMS, ["1.1"]).keys() == {"1.1"}
    assert await node.worker._leave(SMS, 1.0)
    assert node.worker._recorder.parts(SMS, ["1.1"]) == {}


class Quick(FakeTransport):
    """Of a provider that is known to answer almost at once."""

    def answers_soon(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("gather_s", "claims"), [(60.0, [20, 20]), (0.01, [20, 10, 10])], ids=["that come", "that take longer"]
)
async def test_a_claim_waits_a_moment_for_the_other_answers(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch, gather_s: float, claims: list[int]
) -> None:
    monkeypatch.setattr(dispatcher, "GATHER_S", gather_s)
    monkeypatch.setattr(f"{__name__}.FakeTransport", Quick)
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    sms = node.transports[SMS]
    sms.answer = None
    await add(client, *(new(number) for number in range(40)))
    await eventually(lambda: len(sms.open) == 20)
    first, rest = sms.open[:10], sms.open[10:]
    for some in first, rest:
        for attempt in some:
            sms.settle(attempt, accept(attempt))
        await asyncio.sleep(0.1)
    await eventually(lambda: len(sms.attempts) == 40)
    assert sms.sets == claims


async def test_nor_is_it_when_the_message_has_gone_on_since(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "STORE_RETRY_S", 0.3)
    monkeypatch.setattr(receiver, "OVERTAKEN_S", 0.01)
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    sms = node.transports[SMS]
    sms.answer = None
    await add(client, new(1, queued(route=(Step(Channel.SMS, SMS, 60, cost_micros=50_000),))))
    await eventually(lambda: len(sms.open) == 1)
    node.store.loses_answers = True
    sms.settle_all(accept)
    await eventually(lambda: not node.store.loses_answers)
    await node.worker.take_heard(SMS, Heard([Receipt("1.1", ReceiptState.DELIVERED)]))
    await node.worker._recorder.idle()
    assert [entry.mark for entry in (await record(client, 1)).entries] == [Mark.ACCEPTED, Mark.DELIVERED]
    assert (await load(client, 1)).message.cost_micros == 50_000


async def test_what_was_given_back_unknown_to_us_is_not_given_back_twice(
    start: Start, client: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be taken from whoever is sending it by now, under the same number."""
    monkeypatch.setattr(recorder, "STORE_RETRY_S", 0.3)
    node = await start(SMS)
    await eventually(lambda: node.serves == {SMS})
    sms = node.transports[SMS]
    sms.answer = None
    await add(client, new(1))
    await eventually(lambda: len(sms.open) == 1)
    node.store.loses_answers = True
    sms.settle_all(lambda _: NotSent())
    await eventually(lambda: len(sms.attempts) == 2)
    await node.worker._recorder.idle()
    await asyncio.sleep(0.2)
    assert len(sms.attempts) == 2
    assert (await load(client, 1)).message.state is State.SENDING


async def living(database: Database) -> list[int]:
    async with database.reading() as reader:
        return [node.id for node in (await nodes.standing(reader))[0]]


async def test_receipts_that_are_given_to_lost_answers_and_late_records_of_those_do_not_lock_each_other_out(
    client: Database,
) -> None:
    """Of each the messages come first, in the order of their keys, whatever the order of their receipts."""
    lost = [LostAnswer(SMS, recipient, key(n), 1, 0, T0 - ADOPT_MS) for n, recipient in ((1, "2"), (2, "1"))]
    for number in (1, 2):
        await put(client, number, queued(state=State.WAITING, attempt=1, tries=1))
    async with client.transaction() as tx:
        await receipts.add_lost(tx, lost)
        given = [Receipt(f"id {one.recipient}", ReceiptState.DELIVERED, recipient=one.recipient) for one in lost]
        await receipts.add(tx, SMS, given, T0 - ADOPT_MS)
    working = receiver.Receiver(client, recorder.Recorder(client), lambda: T0)
    with capture_logs() as logs:
        async with client.transaction() as tx:
            first, second = [(await messages.load(tx, [key(n)]))[key(n)] for n in (1, 2)]
            await messages.change(tx, [Change(first, first.message, [], T0)])
            taking = asyncio.create_task(working._work())
            await waiting_for_a_lock(client)
            await messages.change(tx, [Change(second, second.message, [], T0)])
            await receipts.found(tx, lost)
        assert await taking == 2
    assert logs == []
    assert (await load(client, 1)).message.state is State.WAITING  # the receipts wait for their ids
