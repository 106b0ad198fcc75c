"""Cells of a CSV file that people open as a spreadsheet."""

import re
from typing import Final

# A sign that only digits and what parts them follow is a phone or a number.
FORMULA: Final = re.compile(r"[=@\t\r\n]|[+-](?![0-9 ().,-]*\Z)")


def harmless(value: str) -> str:
    """A cell that a spreadsheet would take for a formula is shown as text; a phone's plus stays."""
    return f"'{value}" if FORMULA.match(value) else value
