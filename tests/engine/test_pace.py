"""A link's rate: never more than its bucket, never less than its rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.engine.pace import FEW_ADDRESSES, AddressPace, Pace

T0 = 1_000_000_000_000


def test_no_rate_is_no_limit() -> None:
    pace = Pace(None)
    pace.spend(1_000_000)
    assert (pace.room(T0), pace.refills_in_ms()) == (None, 0)


ROOMS = {  # rate, burst, spent at T0, time after: room, wait before that time
    "a full bucket is one second's worth": (30.0, None, 0, 0, 30, 0),
    "a slow link's bucket holds one": (0.5, None, 0, 0, 1, 0),
    "what is spent is gone": (30.0, None, 30, 0, 0, 34),
    "it refills with the rate": (30.0, None, 30, 500, 15, 34),
    "it never holds more than the burst": (30.0, None, 30, 60_000, 30, 34),
    "a burst of its own": (30.0, 5, 0, 60_000, 5, 0),
    "half a send is none": (0.5, None, 1, 1_999, 0, 2_001),
    "a slow link sends in the end": (0.5, None, 1, 2_000, 1, 2_001),
    "a fast link gathers for 25 ms": (1_000.0, None, 1_000, 24, 0, 26),
    "and has all of it then": (1_000.0, None, 1_000, 25, 25, 26),
    "what is left of a full bucket is not held back": (1_000.0, None, 975, 0, 25, 0),
    "no more than its bucket holds": (1_000.0, 5, 5, 5, 5, 6),
    "a clock set back gives nothing": (30.0, None, 20, -60_000, 10, 0),
}


@pytest.mark.parametrize(("rate", "burst", "spent", "after_ms", "room", "wait_ms"), ROOMS.values(), ids=ROOMS.keys())
def test_room(rate: float, burst: float | None, spent: int, after_ms: int, room: int, wait_ms: int) -> None:
    pace = Pace(rate, burst)
    pace.room(T0)
    pace.spend(spent)
    assert pace.refills_in_ms() == wait_ms
    assert pace.room(T0 + after_ms) == room


AT_ONCE = {  # rate, spent at T0, time after: of what does not gather, and what may be lent besides
    "a full bucket": (1_000.0, 0, 0, 1_000, 1_025),
    "what is there need not gather": (1_000.0, 990, 0, 10, 35),
    "of an empty one as much as gathers in 25 ms": (1_000.0, 1_000, 0, 0, 25),
    "and no more": (1_000.0, 1_025, 0, 0, 0),
    "what was lent is earned first": (1_000.0, 1_025, 30, 5, 30),
    "a slow link lends nothing": (30.0, 30, 0, 0, 0),
}


@pytest.mark.parametrize(("rate", "spent", "after_ms", "room", "lent"), AT_ONCE.values(), ids=AT_ONCE.keys())
def test_room_at_once(rate: float, spent: int, after_ms: int, room: int, lent: int) -> None:
    pace = Pace(rate)
    pace.room(T0)
    pace.spend(spent)
    now_ms = T0 + after_ms
    assert (pace.room_at_once(now_ms, may_lend=False), pace.room_at_once(now_ms, may_lend=True)) == (room, lent)


def test_no_rate_is_no_limit_at_once() -> None:
    assert Pace(None).room_at_once(T0, may_lend=False) is None


@given(
    st.floats(0.1, 1_000),
    st.lists(st.tuples(st.integers(-500, 5_000), st.integers(0, 2_000), st.booleans()), min_size=1, max_size=30),
)
def test_over_any_time_it_stays_within_burst_and_rate(rate: float, looks: list[tuple[int, int, bool]]) -> None:
    """And what it lends."""
    pace = Pace(rate)
    now_ms, elapsed_ms, sent = T0, 0, 0
    pace.room(now_ms)
    for passed_ms, wanted, is_at_once in looks:
        now_ms += passed_ms
        elapsed_ms += max(passed_ms, 0)
        room = pace.room_at_once(now_ms, may_lend=True) if is_at_once else pace.room(now_ms)
        assert room is not None
        assert room >= 0
        taken = min(room, wanted)
        pace.spend(taken)
        sent += taken
        assert sent <= max(rate, 1) + int(rate * 0.025) + rate * elapsed_ms / 1000 + 1e-6


@given(st.floats(0.1, 1_000))
def test_after_the_wait_it_says_that_more_may_go(rate: float) -> None:
    pace = Pace(rate)
    room = pace.room(T0)
    assert room is not None
    pace.spend(room)
    least = max(int(rate * 0.025), 1)
    assert pace.room(T0 + pace.refills_in_ms()) in (least, least + 1)


def sent_of(pace: AddressPace, address: str, at_ms: int, wanted: int) -> int:
    return sum(pace.wait_ms(address, at_ms) == 0 for _ in range(wanted))


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 8)), min_size=1, max_size=40))
def test_an_address_gets_its_burst_and_then_its_rate(asked: list[tuple[int, int]]) -> None:
    pace, now_ms = AddressPace(1.0, burst=3), T0
    sent: list[int] = []
    for after_ms, wanted in asked:
        now_ms += after_ms
        had = sent_of(pace, "a", now_ms, wanted)
        sent += [now_ms] * had
        if had < wanted:
            wait_ms = pace.wait_ms("a", now_ms)
            assert 0 < wait_ms <= 1_000
            now_ms += wait_ms
            assert pace.wait_ms("a", now_ms) == 0, "who waited as long as he was told has to wait again"
            sent.append(now_ms)
    for first, begun_ms in enumerate(sent):
        for last, ended_ms in enumerate(sent[first:], first):
            assert last - first + 1 <= 3 + (ended_ms - begun_ms) / 1_000


def test_an_address_that_is_held_gets_nothing_before_that_and_one_then() -> None:
    pace = AddressPace(1.0, burst=3)
    pace.hold("a", T0 + 10_072_000)
    assert pace.wait_ms("a", T0) == 10_072_000
    assert pace.wait_ms("b", T0) == 0
    assert sent_of(pace, "a", T0 + 10_072_000, 5) == 1


def test_who_waits_is_told_of_those_before_him() -> None:
    pace = AddressPace(2.0, burst=1)
    assert pace.wait_ms("a", T0) == 0
    assert [pace.wait_ms("a", T0, behind) for behind in range(3)] == [500, 1_000, 1_500]


def test_a_clock_set_back_holds_nobody() -> None:
    pace = AddressPace(1.0, burst=1)
    assert pace.wait_ms("a", T0) == 0
    assert pace.wait_ms("a", T0 - 3_600_000) == 0


def test_who_had_nothing_lately_is_forgotten() -> None:
    pace = AddressPace(1.0, burst=3)
    for second in range(100):
        for number in range(100):
            assert pace.wait_ms(f"{second}.{number}", T0 + second * 1_000) == 0
    assert len(pace._rests_at_ms) <= FEW_ADDRESSES
