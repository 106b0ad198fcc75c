"""Slowing down and climbing back."""

from cascade.channels.smpp.throttle import Throttle


def test_pauses_double_to_the_longest() -> None:
    throttle = Throttle(window=10, min_s=1, max_s=30)
    pauses = []
    for _ in range(7):
        pauses.append(throttle.slow_down())
        throttle.resume()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_refusals_of_one_window_are_one_pause() -> None:
    throttle = Throttle(window=10, min_s=1, max_s=30)
    assert [throttle.slow_down() for _ in range(5)] == [1, None, None, None, None]


def test_the_window_halves_and_never_closes() -> None:
    throttle = Throttle(window=10, min_s=1, max_s=30)
    windows = []
    for _ in range(5):
        throttle.slow_down()
        throttle.resume()
        windows.append(throttle.window)
    assert windows == [5, 2, 1, 1, 1]


def test_acceptances_widen_it_slowly_and_then_all_is_forgotten() -> None:
    throttle = Throttle(window=4, min_s=1, max_s=30)
    throttle.slow_down()
    throttle.resume()
    windows = []
    for _ in range(8):
        throttle.accepted()
        windows.append(throttle.window)
    assert windows == sorted(windows)
    assert (windows[0], windows[-1]) == (2, 4)
    assert throttle.slow_down() == 1


def test_an_answer_on_its_way_before_the_pause_widens_nothing() -> None:
    throttle = Throttle(window=1, min_s=1, max_s=30)
    throttle.slow_down()
    throttle.accepted()
    throttle.resume()
    assert throttle.slow_down() == 2
