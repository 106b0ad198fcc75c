"""How a time to live is shared: nominal windows while they fit, in proportion when they do not, and all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.route import Route, Step
from cascade.core.windows import OPEN_ENDED_SHARE_S, queue_ends_at_ms, window_ends_at_ms
from cascade.core.words import Channel

T0 = 1_000_000_000_000
DAY_S = 86_400
STANDARD = (30, 60, 60, 60, None)


def route(*windows: int | None, without: tuple[int, ...] = ()) -> Route:
    """Steps with these windows in seconds; those at the places `without` have no link."""
    return tuple(
        Step(channel, None if place in without else f"{channel.value}.1", window_s)
        for place, (channel, window_s) in enumerate(zip(Channel, windows, strict=False))
    )


WINDOWS = {  # route, step, seconds left: seconds that the step has
    "its own, while all fit": (route(*STANDARD), 1, DAY_S, 60),
    "the rest, at an open end": (route(*STANDARD), 4, DAY_S, DAY_S),
    "the rest but the later steps' own, when open in the middle": (route(30, None, 60), 1, 1_000, 940),
    "its own at the last step too": (route(30, 60), 1, DAY_S, 60),
    "its own, when all fit exactly": (route(30, 60), 0, 90, 30),
    "a share, when they do not fit": (route(30, 60), 0, 45, 15),
    "all that is left, at the last step": (route(30, 60), 1, 30, 30),
    "an open end counts for a minute when time is short": (route(60, None), 0, 60, 30),
    "no time for a step without a link": (route(30, 60, 30, without=(1,)), 0, 30, 15),
    "none, when the time is over": (route(30, 60), 0, 0, 0),
    "none, when the time is long over": (route(30, 60), 0, -5, 0),
}


@pytest.mark.parametrize(("given_", "step", "left_s", "window_s"), WINDOWS.values(), ids=WINDOWS.keys())
def test_a_step_has(given_: Route, step: int, left_s: int, window_s: int) -> None:
    assert window_ends_at_ms(given_, step, T0, T0 + left_s * 1000) == T0 + window_s * 1000


PATIENCE = {  # route, step, urgent: seconds that it may wait in the queue, of a day
    "a campaign waits as long as the later steps keep their time": (route(30, 60, None), 0, False, DAY_S - 120),
    "what is urgent moves on when its window is over": (route(30, 60, None), 0, True, 30),
    "a campaign at its last step waits to the end": (route(30, None), 1, False, DAY_S),
    "what is urgent waits to the end when no step is left": (route(30, 60), 1, True, DAY_S),
    "what is urgent waits to the end when no later step has a link": (
        route(30, 60, without=(1,)), 0, True, DAY_S,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given_", "step", "is_urgent", "patience_s"), PATIENCE.values(), ids=PATIENCE.keys())
def test_in_the_queue(given_: Route, step: int, is_urgent: bool, patience_s: int) -> None:
    assert queue_ends_at_ms(given_, step, T0, T0 + DAY_S * 1000, is_urgent) == T0 + patience_s * 1000


windows = st.none() | st.integers(1, 3_600)
routes = st.lists(windows, min_size=1, max_size=6).map(lambda drawn: route(*drawn))


@given(routes, st.integers(60, 30 * DAY_S))
def test_every_step_gets_its_turn_and_together_they_stay_within_the_time(given_: Route, left_s: int) -> None:
    """Also when each step takes its window to the last moment."""
    now_ms, expires_at_ms = T0, T0 + left_s * 1000
    for step, (_, _, window_s, *_) in enumerate(given_):
        ends_at_ms = window_ends_at_ms(given_, step, now_ms, expires_at_ms)
        assert now_ms < ends_at_ms <= expires_at_ms
        assert window_s is None or ends_at_ms <= now_ms + window_s * 1000
        now_ms = ends_at_ms


@given(routes, st.data())
def test_when_time_is_short_the_last_step_ends_with_it(given_: Route, data: st.DataObject) -> None:
    nominal_s = sum(OPEN_ENDED_SHARE_S if step.window_s is None else step.window_s for step in given_)
    expires_at_ms = T0 + data.draw(st.integers(1, nominal_s)) * 1000
    now_ms = T0
    for step in range(len(given_)):
        now_ms = window_ends_at_ms(given_, step, now_ms, expires_at_ms)
    assert now_ms == expires_at_ms


@given(routes, st.integers(1, 30 * DAY_S))
def test_short_time_is_shared_in_proportion(given_: Route, left_s: int) -> None:
    shares_s = [OPEN_ENDED_SHARE_S if step.window_s is None else step.window_s for step in given_]
    if left_s < sum(shares_s):
        first_ms = window_ends_at_ms(given_, 0, T0, T0 + left_s * 1000) - T0
        assert first_ms == left_s * 1000 * shares_s[0] // sum(shares_s)


@given(routes, st.integers(0, 30 * DAY_S), st.booleans(), st.data())
def test_patience_is_never_shorter_than_the_window_nor_longer_than_the_time(
    given_: Route, left_s: int, is_urgent: bool, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, len(given_) - 1))
    expires_at_ms = T0 + left_s * 1000
    window_ends_ms = window_ends_at_ms(given_, step, T0, expires_at_ms)
    assert window_ends_ms <= queue_ends_at_ms(given_, step, T0, expires_at_ms, is_urgent) <= expires_at_ms
