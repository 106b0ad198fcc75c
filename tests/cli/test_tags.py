"""What `cascade tags` says of money: to the cent, however much it is."""

from collections import Counter

import pytest

from cascade.cli import tags

COSTS = {0: "0.00 USD", 6_000_000: "6.00 USD", 1_552_000: "1.552 USD", 12_345_678_900_000: "12345678.90 USD"}


@pytest.mark.parametrize("micros", COSTS)
def test_cost_is_written_out(micros: int) -> None:
    assert tags._row("all", Counter(cost=micros), "USD")["cost"] == COSTS[micros]
