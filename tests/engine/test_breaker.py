"""When a link is left alone, and how it is tried again."""

import pytest

from cascade.engine.breaker import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, THRESHOLD, Breaker

T0 = 1_000_000_000_000


def after_failures(count: int) -> Breaker:
    breaker = Breaker()
    for _ in range(count):
        breaker.failed(T0, is_first_try=True)
    return breaker


def test_a_closed_breaker_lets_all_pass() -> None:
    assert (Breaker().room(T0), Breaker().is_open, Breaker().opens_in_ms(T0)) == (None, False, 0)


def test_it_opens_at_the_threshold_and_says_so_once() -> None:
    breaker = Breaker()
    assert [breaker.failed(T0, is_first_try=True) for _ in range(THRESHOLD + 2)] == [False] * (THRESHOLD - 1) + [
        True,
        False,
        False,
    ]


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = after_failures(THRESHOLD - 1)
    assert breaker.answered() is False
    assert [breaker.failed(T0, is_first_try=True) for _ in range(THRESHOLD - 1)] == [False] * (THRESHOLD - 1)


ROOMS = {  # time after it opened: how many may pass, how long until it opens
    "at once": (0, 0, FIRST_PAUSE_MS),
    "just before the pause is over": (FIRST_PAUSE_MS - 1, 0, 1),
    "when the pause is over: a probe": (FIRST_PAUSE_MS, 1, 0),
    "long after: still one probe": (FIRST_PAUSE_MS * 1_000, 1, 0),
    "when the clock was set back by an hour": (-3_600_000, 0, FIRST_PAUSE_MS),
}


@pytest.mark.parametrize(("after_ms", "room", "wait_ms"), ROOMS.values(), ids=ROOMS.keys())
def test_an_open_breaker(after_ms: int, room: int, wait_ms: int) -> None:
    breaker = after_failures(THRESHOLD)
    assert (breaker.room(T0 + after_ms), breaker.opens_in_ms(T0 + after_ms)) == (room, wait_ms)


def test_a_clock_set_back_shuts_a_link_for_no_longer_than_its_pause() -> None:
    breaker = after_failures(THRESHOLD)
    assert [breaker.room(T0 - 3_600_000 + after_ms) for after_ms in (0, FIRST_PAUSE_MS)] == [0, 1]


def test_nothing_passes_beside_the_probe() -> None:
    breaker = after_failures(THRESHOLD)
    breaker.sent()
    assert breaker.room(T0 + LONGEST_PAUSE_MS) == 0


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker = after_failures(THRESHOLD)
    breaker.sent()
    assert breaker.answered() is True
    assert (breaker.room(T0), breaker.is_open) == (None, False)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker = after_failures(THRESHOLD)
    now_ms, pauses = T0, []
    for _ in range(8):
        pauses.append(breaker.opens_in_ms(now_ms))
        now_ms += pauses[-1]
        assert breaker.room(now_ms) == 1
        breaker.sent()
        breaker.failed(now_ms, is_first_try=True)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]


def test_a_probe_that_had_failed_before_does_not_lengthen_the_pause() -> None:
    breaker = after_failures(THRESHOLD)
    now_ms = T0
    for is_first_try, pause_ms in [(False, 1_000), (True, 2_000), (False, 2_000), (False, 2_000), (True, 4_000)]:
        now_ms += breaker.opens_in_ms(now_ms)
        breaker.sent()
        breaker.failed(now_ms, is_first_try=is_first_try)
        assert breaker.opens_in_ms(now_ms) == pause_ms


def test_later_tries_that_fail_open_it_too() -> None:
    """Where little is sent they are all that tells of a dead provider."""
    breaker = Breaker()
    assert [breaker.failed(T0, is_first_try=False) for _ in range(THRESHOLD)] == [False] * (THRESHOLD - 1) + [True]
    assert breaker.opens_in_ms(T0) == FIRST_PAUSE_MS


def test_the_pause_begins_short_again_after_it_was_closed() -> None:
    breaker = after_failures(THRESHOLD)
    for _ in range(3):
        breaker.sent()
        breaker.failed(T0, is_first_try=True)
    breaker.answered()
    for _ in range(THRESHOLD):
        breaker.failed(T0, is_first_try=True)
    assert breaker.opens_in_ms(T0) == FIRST_PAUSE_MS


def test_failures_of_what_was_sent_before_it_opened_do_not_lengthen_the_pause() -> None:
    assert after_failures(THRESHOLD * 5).opens_in_ms(T0) == FIRST_PAUSE_MS


def test_a_probe_that_never_went_out_makes_way_for_another() -> None:
    breaker = after_failures(THRESHOLD)
    breaker.sent()
    breaker.withdrawn()
    assert breaker.room(T0 + FIRST_PAUSE_MS) == 1
