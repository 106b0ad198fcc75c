"""How fast a long work goes, and how long it will take."""

from cascade.cli.meter import Meter


def test_rate_and_time_left_are_those_of_the_last_while() -> None:
    now_s = 0.0
    meter = Meter("sending", 100_000, "rows", clock=lambda: now_s)
    assert str(meter) == "sending: 0 of 100,000 rows"
    for second in range(1, 61):  # 1,000 a second, then 500
        now_s = float(second)
        meter.at(min(second, 30) * 1_000 + max(second - 30, 0) * 500)
    assert meter.rate_per_s == 500
    assert meter.left_s == 110
    assert str(meter) == "sending: 45,000 of 100,000 rows, 500/s, 0:01:50 left"


def test_what_was_done_before_is_not_taken_for_speed() -> None:
    now_s = 0.0
    meter = Meter("sending", 100_000, "rows", begun_with=90_000, clock=lambda: now_s)
    now_s = 1.0
    meter.at(91_000)
    assert (meter.rate_per_s, meter.left_s) == (1_000, 9)


def test_a_standstill_has_no_end() -> None:
    now_s = 0.0
    meter = Meter("sending", 10, "rows", clock=lambda: now_s)
    now_s = 5.0
    meter.at(0)
    assert (meter.rate_per_s, meter.left_s) == (None, None)
