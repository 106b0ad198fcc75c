"""What is stored comes back as it was, is claimed by one node at a time, and is changed by the newest fence alone."""

import asyncio
from dataclasses import dataclass
from itertools import count
from operator import neg

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.core import machine
from cascade.core.machine import decide
from cascade.core.message import Message, State, Status
from cascade.core.route import Step
from cascade.core.timeline import Entry, Mark
from cascade.core.turns import Lane
from cascade.core.words import Channel, MessageType, Reason
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Change, NewMessage

from .given import (
    BULK,
    DAY_MS,
    HOUR_MS,
    LEASE_MS,
    ROUTE,
    SMS,
    T0,
    URGENT,
    VIBER,
    add,
    change,
    claim,
    key,
    load,
    new,
    numbers,
    put,
    queued,
    record,
    urgent,
)

# The doors refuse NUL, which PostgreSQL cannot store.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
times = st.integers(T0, T0 + 30 * DAY_MS)
attempts = st.integers(0, 20)
micros = st.integers(0, 10**9)
steps = st.builds(
    Step,
    st.sampled_from(Channel),
    st.none() | st.sampled_from(["sms.smpp", "viber_bot.1"]),
    st.none() | st.integers(1, 3_600),
    st.booleans(),
    micros,
    st.none() | texts,
    st.lists(st.sampled_from(["sms.second", "sms.third"]), unique=True).map(tuple),
)
entries = st.lists(
    st.builds(
        Entry,
        times,
        st.integers(-1, 4),
        attempts,
        st.sampled_from(Mark),
        st.none() | st.sampled_from(Reason),
        st.none() | texts,
        st.none() | texts,
    ),
    max_size=2,
)
FOR_LIFE = {
    "type": st.sampled_from(MessageType),
    "route": st.lists(steps, min_size=1, max_size=3).map(tuple),
    "max_cost_micros": st.none() | micros,
}
AT_ACCEPTANCE = {
    "expires_at_ms": times,
    "state": st.sampled_from(State),
    "status": st.sampled_from(Status),
    "step": st.integers(-1, 0),
    "link": st.none() | st.sampled_from(["sms.smpp", "sms.second"]),
    "address": st.none() | texts,
    "due_at_ms": times,
    "deadline_at_ms": st.none() | times,
    "step_ends_at_ms": times,
}
LATER = {
    "attempt": attempts,
    "tries": attempts,
    "delivered_step": st.none() | st.just(0),  # every route has a first step
    "delivered": st.lists(attempts, max_size=3).map(tuple),
    "is_read": st.booleans(),
    "open_parts": st.lists(st.tuples(attempts | attempts.map(neg), st.integers(0, 1 << 254)), max_size=2).map(tuple),
    "cost_micros": micros,
}
NOT_STORED = {"addresses"}
numbering = count(1)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Message, Message]:
    """One message as it is accepted, and at another time."""
    for_life = draw(st.fixed_dictionaries(FOR_LIFE))
    begun = Message(**for_life, **draw(st.fixed_dictionaries(AT_ACCEPTANCE)))
    return begun, Message(**for_life, **draw(st.fixed_dictionaries(AT_ACCEPTANCE | LATER)))


def test_no_field_is_left_out_below() -> None:
    assert FOR_LIFE.keys() | AT_ACCEPTANCE.keys() | LATER.keys() | NOT_STORED == set(Message._fields)


@given(lives(), st.tuples(texts, texts, texts, st.none() | texts), entries, entries)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
async def test_every_field_comes_back_as_it_was_stored(
    database: Database,
    life: tuple[Message, Message],
    words: tuple[str, str, str, str | None],
    first: list[Entry],
    second: list[Entry],
) -> None:
    begun, later = life
    tracking_id, sender, text, extras = words
    number = next(numbering)
    await add(database, NewMessage(key(number), tracking_id, sender, "+380501112233", text, extras, T0, begun, first))
    stored = await load(database, number)
    assert (stored.key, stored.phone, stored.message) == (key(number), "+380501112233", begun)
    assert await change(database, Change(stored, later, second, T0 + 9)) == []
    assert (await load(database, number)).message == later
    seen = await record(database, number)
    assert (seen.key, seen.phone, seen.message) == (key(number), "+380501112233", later)
    assert (seen.tracking_id, seen.sender, seen.accepted_at_ms) == (tracking_id, sender, T0)
    assert seen.entries == first + second


async def test_claimed_messages_carry_what_is_to_be_sent(database: Database) -> None:
    await add(database, new(1)._replace(sender="Крамниця", text="привіт 👋", extras='{"options":["так"]}'))
    [one] = await claim(database)
    assert (one.stored.key, one.stored.phone) == (key(1), "+380500000001")
    assert one[1:] == ("Крамниця", "привіт 👋", '{"options":["так"]}')


@dataclass
class Queue:
    """What is in the store, what is claimed, and which messages are taken, in order."""

    given: list[NewMessage]
    taken: list[int]
    lane: Lane = BULK
    limit: int = 100


CLAIMS = {
    "at most its limit": Queue([new(n) for n in range(10)], [0, 1, 2], limit=3),
    "oldest first, whatever the order of arrival": Queue(
        [new(1, queued(due_at_ms=T0 - 1)), new(2, queued(due_at_ms=T0 - 3)), new(3, queued(due_at_ms=T0 - 2))],
        [2, 3],
        limit=2,
    ),
    "not before its time": Queue([new(1, queued(due_at_ms=T0 + 1)), new(2, queued(due_at_ms=T0))], [2]),
    "never one whose step has ended": Queue(
        [new(1, queued(step_ends_at_ms=T0)), new(2, queued(step_ends_at_ms=T0 + 1))], [2]
    ),
    "only its own account": Queue([new(1, account_id=2), new(2)], [2]),
    "only its own link": Queue([new(1, queued(route=(VIBER,))), new(2)], [2]),
    "bulk leaves what is urgent": Queue([new(1, urgent()), new(2)], [2]),
    "urgent leaves what is bulk": Queue([new(1, urgent()), new(2)], [1], lane=URGENT),
    "only what is queued": Queue(
        [new(n, queued(state=state)) for n, state in enumerate(State) if state is not State.QUEUED], []
    ),
}


@pytest.mark.parametrize("case", CLAIMS.values(), ids=CLAIMS.keys())
async def test_a_claim_takes(database: Database, case: Queue) -> None:
    await add(database, *case.given)
    assert numbers(await claim(database, case.lane, case.limit)) == case.taken


async def test_what_is_loaded_whole_reads_as_it_was_claimed(database: Database) -> None:
    await add(database, new(1)._replace(sender="Крамниця", extras='{"options":["так"]}'), new(2))
    claimed = await claim(database)
    async with database.reading() as reader:
        assert await messages.load_whole(reader, [key(1), key(3)]) == claimed[:1]


async def test_what_is_claimed_is_not_claimed_again(database: Database) -> None:
    await add(database, new(1))
    assert numbers(await claim(database)) == [1]
    assert await claim(database) == []


async def test_two_claimers_at_once_never_get_the_same_message(database: Database) -> None:
    await add(database, *(new(n) for n in range(300)))
    taken: list[int] = []

    async def claimer() -> None:
        while some := await claim(database, limit=7):
            taken.extend(numbers(some))

    await asyncio.gather(*(claimer() for _ in range(8)))
    assert sorted(taken) == list(range(300))


AS_CLAIMED = {
    "the first try": queued(status=Status.SCHEDULED),
    "a later try of a later step": queued(
        route=(VIBER, SMS), step=1, attempt=3, tries=2, address="abc=", delivered=(1,), open_parts=((2, 0b10),)
    ),
    "an urgent one": urgent(),
    "delivered late, and read": queued(delivered_step=0, is_read=True),
    "its step ended this moment": queued(step_ends_at_ms=T0),
    "its step ends next": queued(step_ends_at_ms=T0 + 1),
    "already sent": queued(state=State.SENDING),
    "done": queued(state=State.FINAL, status=Status.DELIVERED, deadline_at_ms=None),
}


@pytest.mark.parametrize("before", AS_CLAIMED.values(), ids=AS_CLAIMED.keys())
async def test_the_claim_does_to_a_row_what_the_machine_says(database: Database, before: Message) -> None:
    await put(database, 1, before)
    expected, said = decide(before, machine.Claimed(T0, T0 + LEASE_MS))
    claimed = await claim(database, URGENT if before.type.is_urgent else BULK)
    after = await load(database, 1)
    assert after.message == expected
    assert (await record(database, 1)).entries == said
    assert [one.stored for one in claimed] == ([] if expected is before else [after])


async def test_a_claim_refuses_every_decision_made_before_it(database: Database) -> None:
    await add(database, new(1))
    before = await load(database, 1)
    [one] = await claim(database)
    late = Change(before, before.message._replace(step_ends_at_ms=T0), [], T0)
    assert await change(database, late) == [key(1)]
    assert await load(database, 1) == one.stored


async def test_a_probe_takes_the_first_that_was_never_tried(database: Database) -> None:
    await put(database, 1, queued(attempt=1, tries=1))
    await put(database, 2, queued(due_at_ms=T0 + 1))
    await put(database, 3, queued(attempt=3, due_at_ms=T0 - 1))
    await put(database, 4, queued())
    taken = []
    for _ in range(3):
        async with database.transaction() as tx:
            taken.append(numbers(await messages.claim_untried(tx, BULK, T0, T0 + LEASE_MS)))
    assert taken == [[3], [4], []]
    assert numbers(await claim(database)) == [1]


@pytest.mark.parametrize("changes_between", [1, 2, 3])
async def test_a_stale_fence_is_refused_and_the_fresh_one_kept(database: Database, changes_between: int) -> None:
    await add(database, new(1), new(2))
    stale = [await load(database, number) for number in (1, 2)]
    for attempt in range(1, changes_between + 1):
        now = await load(database, 1)
        newer = Change(now, now.message._replace(attempt=attempt), [Entry(T0, 0, attempt, Mark.RETRY)], T0)
        assert await change(database, newer) == []
    late = [Change(one, one.message._replace(attempt=99), [Entry(T0, 0, 99, Mark.RETRY)], T0) for one in stale]
    assert await change(database, *late) == [key(1)]
    kept, written = await record(database, 1), await record(database, 2)
    assert (kept.message.attempt, len(kept.entries)) == (changes_between, changes_between)
    assert (written.message.attempt, len(written.entries)) == (99, 1)


FINISHED = {  # state and status after, and when it is finished
    "undeliverable": (State.FINAL, Status.UNDELIVERABLE, T0 + 5),
    "delivered": (State.FINAL, Status.DELIVERED, T0 + 5),
    "still under way": (State.WAITING, Status.PROCESSING, None),
}


@pytest.mark.parametrize(("state", "status", "finished_at_ms"), FINISHED.values(), ids=FINISHED.keys())
async def test_a_message_is_finished_when_it_gets_its_last_status(
    database: Database, state: State, status: Status, finished_at_ms: int | None
) -> None:
    await add(database, new(1))
    stored = await load(database, 1)
    await change(database, Change(stored, stored.message._replace(state=state, status=status), [], T0 + 5))
    now = await load(database, 1)
    await change(database, Change(now, now.message._replace(is_read=True), [], T0 + 9))
    assert (await record(database, 1)).finished_at_ms == finished_at_ms


async def test_another_accounts_message_is_not_found(database: Database) -> None:
    await add(database, new(1))
    async with database.reading() as reader:
        assert await messages.record(reader, key(1, account_id=2)) is None
        assert await messages.load(reader, [key(1, account_id=2), key(2)]) == {}


async def test_more_keys_than_one_statement_holds_are_found(database: Database) -> None:
    await add(database, *(new(n, account_id=1 + n % 2) for n in range(1_203)))
    wanted = {key(n, 1 + n % 2) for n in range(1_203)}
    async with database.reading() as reader:
        assert (await messages.load(reader, wanted)).keys() == wanted


async def test_lanes_are_found_with_their_earliest_due_time(database: Database) -> None:
    on_viber = queued(route=ROUTE)
    await add(
        database,
        new(1, queued(due_at_ms=T0 + 9)),
        new(2, queued(due_at_ms=T0 + 5)),
        new(3, urgent(due_at_ms=T0 + 7)),
        new(4, on_viber._replace(due_at_ms=T0 + 3)),
        new(5, queued(due_at_ms=T0 + 1), account_id=2),
        new(6, urgent(), account_id=30),
        new(7, queued(state=State.WAITING), account_id=4),
        new(8, queued(state=State.FINAL), account_id=5),
    )
    expected = {
        Lane(1, "sms.smpp", False): T0 + 5,
        Lane(1, "sms.smpp", True): T0 + 7,
        Lane(1, "viber_bot.1", False): T0 + 3,
        Lane(2, "sms.smpp", False): T0 + 1,
        Lane(30, "sms.smpp", True): T0,
    }
    async with database.reading() as reader:
        assert await messages.lanes(reader) == expected
        assert {lane: await messages.next_due_at_ms(reader, lane) for lane in expected} == expected
        assert await messages.next_due_at_ms(reader, Lane(9, "sms.smpp", True)) is None


async def test_no_lane_is_found_in_an_empty_store(database: Database) -> None:
    async with database.reading() as reader:
        assert await messages.lanes(reader) == {}
        assert await messages.next_deadline_ms(reader) is None


async def test_the_next_deadline_is_that_of_any_state(database: Database) -> None:
    await put(database, 1, queued(state=State.FINAL, deadline_at_ms=None))
    await put(database, 2, queued(state=State.WAITING, deadline_at_ms=T0 + 7))
    await put(database, 3, queued(deadline_at_ms=T0 + 9))
    async with database.reading() as reader:
        assert await messages.next_deadline_ms(reader) == T0 + 7


async def test_deadlines_are_found_the_longest_overdue_first(database: Database) -> None:
    await add(
        database,
        new(1, queued(deadline_at_ms=T0)),
        new(2, queued(deadline_at_ms=T0 - 2, state=State.WAITING)),
        new(3, queued(deadline_at_ms=T0 - 1, state=State.SENDING), account_id=2),
        new(4, queued(deadline_at_ms=T0 + 1)),
        new(5, queued(deadline_at_ms=None, state=State.FINAL)),
    )
    async with database.reading() as reader:
        assert [one.key for one in await messages.past_deadline(reader, T0, 9)] == [key(2), key(3, 2), key(1)]
        assert [one.key for one in await messages.past_deadline(reader, T0, 1)] == [key(2)]


async def test_those_that_wait_for_a_link_are_its_lanes_oldest(database: Database) -> None:
    await add(
        database,
        new(1, queued(due_at_ms=T0 - 1)),
        new(2, queued(due_at_ms=T0 - 3)),
        new(3, queued(due_at_ms=T0 + 1)),
        new(4, urgent(due_at_ms=T0 - 9)),
        new(5, queued(due_at_ms=T0 - 9), account_id=2),
    )
    async with database.reading() as reader:
        waiting, seen = await messages.waiting_for_link(reader, BULK, T0, 9)
    assert ([one.key for one in waiting], seen) == ([key(2), key(1)], None)


async def test_a_lane_is_looked_through_set_by_set(database: Database) -> None:
    due_ms = [T0 - 5, T0 - 3, T0 - 3, T0 - 3, T0 - 3, T0 - 3, T0 - 1, T0 - 1]
    await add(database, *(new(number, queued(due_at_ms=at_ms)) for number, at_ms in enumerate(due_ms)))
    found: list[int] = []
    seen: messages.Seen | None = messages.Seen()
    async with database.reading() as reader:
        while seen is not None:
            waiting, seen = await messages.waiting_for_link(reader, BULK, T0, 2, seen)
            found += [one.message.due_at_ms for one in waiting]
            assert len({one.key for one in waiting}) == len(waiting)
    assert found == due_ms


async def test_leases_are_ended_and_counted_at_a_start_whether_they_run_or_ran_out(database: Database) -> None:
    await add(
        database,
        new(1, queued(state=State.SENDING, deadline_at_ms=T0 + LEASE_MS)),
        new(2, queued(state=State.SENDING, deadline_at_ms=T0 - 1)),
        new(3, queued(state=State.WAITING, deadline_at_ms=T0 + LEASE_MS)),
    )
    async with database.transaction() as tx:
        assert await messages.release_leases(tx, T0) == 2
    deadlines = [(await load(database, number)).message.deadline_at_ms for number in (1, 2, 3)]
    assert deadlines == [T0, T0, T0 + LEASE_MS]


WAKES = {  # what is written, and the lane that is told, with the time
    "the earliest of what is added": ([queued(due_at_ms=T0 + 7), queued(due_at_ms=T0 + 3)], {BULK: T0 + 3}),
    "each lane its own": ([queued(), urgent(due_at_ms=T0 + 1)], {BULK: T0, URGENT: T0 + 1}),
    "nobody, when its hour has not come": ([queued(state=State.SCHEDULED, step=-1)], {}),
    "nobody, when it ended at once": ([queued(state=State.FINAL)], {}),
}


@pytest.mark.parametrize(("given_", "told"), WAKES.values(), ids=WAKES.keys())
async def test_adding_tells(database: Database, given_: list[Message], told: dict[Lane, int]) -> None:
    heard: dict[Lane, int] = {}
    database.on_lane_ready = heard.__setitem__
    await add(database, *(new(number, message) for number, message in enumerate(given_)))
    assert heard == told


async def test_a_change_tells_the_lane_that_the_message_goes_to(database: Database) -> None:
    await add(database, new(1, queued(route=ROUTE)), new(2, queued(route=ROUTE)))
    first, second = await load(database, 1), await load(database, 2)
    heard: dict[Lane, int] = {}
    database.on_lane_ready = heard.__setitem__
    await change(
        database,
        Change(first, first.message._replace(step=1, link="sms.smpp", due_at_ms=T0 + HOUR_MS), [], T0),
        Change(second, second.message._replace(state=State.WAITING), [], T0),
    )
    assert heard == {BULK: T0 + HOUR_MS}
    assert numbers(await claim(database, now_ms=T0 + HOUR_MS - 1)) == []


async def test_a_refused_change_tells_nobody(database: Database) -> None:
    await add(database, new(1))
    stale = await load(database, 1)
    await claim(database)
    heard: dict[Lane, int] = {}
    database.on_lane_ready = heard.__setitem__
    assert await change(database, Change(stale, stale.message, [], T0)) == [key(1)]
    assert heard == {}
