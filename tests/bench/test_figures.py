"""How runs become figures."""

import pytest

from bench.figures import Figure, Sample, percentile, summary

RUNS = {
    "one run: its own spread": ([1.5], Figure("f", 1.5, "ms", (1.5, 1.5), 1)),
    "three runs: the median, not the mean": ([9.0, 1.0, 2.0], Figure("f", 2.0, "ms", (1.0, 9.0), 3)),
    "large values lose their fractions": ([1234.56], Figure("f", 1235.0, "ms", (1235.0, 1235.0), 1)),
}
PERCENTILES = {
    "the median of three": ([3.0, 1.0, 2.0], 0.5, 2.0),
    "99 of 100: all but the worst": ([float(n) for n in range(1, 101)], 0.99, 99.0),
    "of one value: itself": ([7.0], 0.99, 7.0),
}


@pytest.mark.parametrize(("values", "figure"), RUNS.values(), ids=RUNS.keys())
def test_runs_are_summed_up_as(values: list[float], figure: Figure) -> None:
    assert summary([Sample("f", value, "ms") for value in values]) == [figure]


def test_figures_keep_the_order_of_their_first_run() -> None:
    samples = [Sample("b", 1, "ms"), Sample("a", 1, "ms"), Sample("b", 3, "ms")]
    assert [(one.figure, one.runs) for one in summary(samples)] == [("b", 2), ("a", 1)]


@pytest.mark.parametrize(("values", "share", "expected"), PERCENTILES.values(), ids=PERCENTILES.keys())
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
