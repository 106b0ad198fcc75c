"""Nothing outstays its deadline: schedules, windows, queues, leases, times to live."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from cascade.core.message import Message, State, Status
from cascade.core.timeline import Mark
from cascade.core.turns import Lane
from cascade.core.words import Channel, Reason
from cascade.engine.revoker import Revoker
from cascade.engine.timekeeper import LARGEST_SET, SET_ASIDE_MS, Timekeeper
from cascade.store import subscribers
from cascade.store.subscribers import Subscriber
from store.given import DAY_MS, HOUR_MS, MINUTE_MS, ROUTE, SMS, T0, VIBER, add, new, phone, put, queued, record, urgent

from .running import Clock, Engine, Store, eventually
from .transport import FakeTransport

TRANSPORTS = {"viber_bot.1": FakeTransport(Channel.VIBER_BOT, takes_our_id=True)}
ENDS = T0 + HOUR_MS
SCHEDULED = queued(state=State.SCHEDULED, status=Status.SCHEDULED, step=-1, route=ROUTE, deadline_at_ms=ENDS)
AT_VIBER = queued(route=ROUTE, address="abc=", attempt=1, tries=1)

CASES: dict[str, tuple[Message, State, int, list[tuple[Mark, Reason]]]] = {
    # given, with its deadline in an hour: state and step after, what the timeline says
    "its hour has come: it begins": (SCHEDULED, State.QUEUED, 0, []),
    "no receipt in its window: next step": (
        AT_VIBER._replace(state=State.WAITING), State.QUEUED, 1, [(Mark.TIMED_OUT, Reason.NO_RECEIPT)],
    ),
    "no receipt at the last step: it ends": (
        queued(state=State.WAITING, attempt=1), State.FINAL, 0, [(Mark.TIMED_OUT, Reason.NO_RECEIPT)],
    ),
    "its turn did not come: next step": (AT_VIBER, State.QUEUED, 1, [(Mark.TIMED_OUT, Reason.QUEUE_TOO_LONG)]),
    "its node died, and a repeat may be a double: wait for a receipt": (
        queued(state=State.SENDING, attempt=1, tries=1), State.WAITING, 0, [(Mark.UNKNOWN, Reason.NODE_LOST)],
    ),
    "its node died, and better twice than never: again": (
        urgent(state=State.SENDING, attempt=1, tries=1), State.QUEUED, 0, [(Mark.UNKNOWN, Reason.NODE_LOST)],
    ),
    "its node died, and the provider knows our ids: again": (
        AT_VIBER._replace(route=(VIBER,), state=State.SENDING), State.QUEUED, 0, [(Mark.UNKNOWN, Reason.NODE_LOST)],
    ),
    "its own time is over: no step is begun": (
        AT_VIBER._replace(expires_at_ms=ENDS), State.FINAL, 0,
        [(Mark.TIMED_OUT, Reason.QUEUE_TOO_LONG), (Mark.EXPIRED, Reason.TTL_EXPIRED)],
    ),
}  # fmt: skip


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timekeeper(store: Store, clock: Clock) -> Timekeeper:
    return Timekeeper(store, clock, TRANSPORTS.get, Revoker(store, clock, lambda link: None))


@pytest.mark.parametrize(("given", "state", "step", "says"), CASES.values(), ids=CASES.keys())
async def test_when_a_deadline_passes(
    store: Store,
    clock: Clock,
    timekeeper: Timekeeper,
    given: Message,
    state: State,
    step: int,
    says: list[tuple[Mark, Reason]],
) -> None:
    async with store.transaction() as tx:
        await subscribers.put(tx, 1, "viber_bot.1", [Subscriber(phone(1), "abc=", "{}")], T0)
    await put(store, 1, given)
    clock.now_ms = ENDS - 1
    assert await timekeeper.work() == 0
    clock.now_ms = ENDS
    assert await timekeeper.work() == 1
    seen = await record(store, 1)
    assert (seen.message.state, seen.message.step) == (state, step)
    assert [(entry.mark, entry.reason) for entry in seen.entries] == says
    assert await timekeeper.work() == 0


async def test_a_message_knows_its_address_when_it_comes_to_a_bot(
    store: Store, clock: Clock, timekeeper: Timekeeper
) -> None:
    async with store.transaction() as tx:
        await subscribers.put(tx, 1, "viber_bot.1", [Subscriber(phone(1), "abc=", "{}")], T0)
    await add(store, new(1, SCHEDULED), new(2, SCHEDULED))
    clock.now_ms = ENDS
    await timekeeper.work()
    subscribed, stranger = await record(store, 1), await record(store, 2)
    assert (subscribed.message.step, subscribed.message.address) == (0, "abc=")
    assert (stranger.message.step, stranger.message.address) == (1, None)
    assert [(entry.mark, entry.reason) for entry in stranger.entries] == [(Mark.SKIPPED, Reason.NOT_SUBSCRIBED)]


async def test_what_begins_is_told_to_its_lane(store: Store, clock: Clock, timekeeper: Timekeeper) -> None:
    told: list[tuple[Lane, int]] = []
    store.on_lane_ready = lambda lane, due_at_ms: told.append((lane, due_at_ms))
    await add(store, new(1, SCHEDULED._replace(route=(SMS,))))
    clock.now_ms = ENDS + 5
    await timekeeper.work()
    assert told == [(Lane(1, "sms.smpp", False), ENDS + 5)]


async def test_more_than_a_set_is_worked_in_sets_the_longest_overdue_first(
    store: Store, clock: Clock, timekeeper: Timekeeper
) -> None:
    waiting = queued(state=State.WAITING)
    await add(store, *(new(n, waiting._replace(deadline_at_ms=ENDS - n)) for n in range(2 * LARGEST_SET + 1)))
    clock.now_ms = ENDS
    assert await timekeeper.work() == LARGEST_SET
    assert [(await record(store, n)).message.is_final for n in (2 * LARGEST_SET, 0)] == [True, False]
    assert [await timekeeper.work() for _ in range(3)] == [LARGEST_SET, 1, 0]


async def test_a_deadline_that_nobody_foresaw_is_set_aside_and_holds_up_no_other(
    store: Store, clock: Clock, timekeeper: Timekeeper
) -> None:
    waiting = queued(state=State.WAITING, attempt=1, deadline_at_ms=ENDS)
    await add(store, new(1, waiting._replace(step=99)), new(2, waiting))  # a step that its message does not have
    clock.now_ms = ENDS
    with capture_logs() as logs:
        assert await timekeeper.work() == 2
    assert [(entry["event"], entry["message_id"]) for entry in logs] == [("deadline_set_aside", new(1).key.id.hex())]
    assert (await record(store, 2)).message.state is State.FINAL
    assert await timekeeper.work() == 0
    clock.now_ms += SET_ASIDE_MS
    with capture_logs():
        assert await timekeeper.work() == 1


async def test_a_store_that_is_away_delays_deadlines_and_loses_none(engine: Engine) -> None:
    await engine.start(sms=FakeTransport(window=0))
    await engine.add(new(1, queued(state=State.WAITING, deadline_at_ms=T0 + MINUTE_MS)))
    with capture_logs() as logs:
        engine.store.is_away = True
        engine.pass_ms(DAY_MS)
        await eventually(lambda: any(entry["event"] == "deadlines_delayed" for entry in logs))
        assert late_s() == DAY_MS / 1000  # an alert rings
        engine.store.is_away = False
        await engine.until_state(1, State.FINAL)
        await eventually(lambda: late_s() == 0)


def late_s() -> float | None:
    return REGISTRY.get_sample_value("cascade_deadlines_late_seconds")
