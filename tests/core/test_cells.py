"""What a spreadsheet makes of a cell."""

import pytest

from cascade.core.cells import harmless

FORMULAS = (
    "=1+1",
    "@SUM(A1)",
    "+cmd|' /C calc'!A0",
    "-cmd|' /C calc'!A0",
    "+1+HYPERLINK(A1)",
    "+380501234567\n=1+1",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
)
PLAIN = ("", "order-1", "a=b", "olena@example.com", "+380501234567", "+380 (50) 123-45-67", "-1.50", "-1,5", "'=1+1")


@pytest.mark.parametrize("value", FORMULAS)
def test_a_formula_is_shown_as_text(value: str) -> None:
    assert harmless(value) == f"'{value}"


@pytest.mark.parametrize("value", PLAIN)
def test_a_phone_a_number_or_a_text_stays_as_it_is(value: str) -> None:
    assert harmless(value) == value
