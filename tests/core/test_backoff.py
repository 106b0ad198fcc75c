"""How long to wait before the next try."""

import pytest

from cascade.core.backoff import delay_ms

DELAYS = {
    "no try yet": (0, 0),
    "the first failure: a second": (1, 1_000),
    "the second: twice that": (2, 2_000),
    "the sixth": (6, 32_000),
    "at most a minute": (7, 60_000),
    "and never more": (1_000_000, 60_000),
}


@pytest.mark.parametrize(("tries", "expected_ms"), DELAYS.values(), ids=DELAYS.keys())
def test_delay(tries: int, expected_ms: int) -> None:
    assert delay_ms(tries) == expected_ms
