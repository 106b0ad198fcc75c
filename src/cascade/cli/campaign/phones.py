"""Which phones a campaign has already met: a person who stands in the file twice gets one message."""

import sqlite3
from types import TracebackType
from typing import Final, Self

from cascade.cli.campaign.rules import Fault

TABLE: Final = "CREATE TABLE met (phone INTEGER PRIMARY KEY, number INTEGER NOT NULL)"
MEET: Final = "INSERT INTO met VALUES (?, ?) ON CONFLICT DO NOTHING"
FIND: Final = "SELECT number FROM met WHERE phone = ?"


class Phones:
    """A table in a file that SQLite makes for itself and removes, so that a million phones take no memory."""

    def __init__(self) -> None:
        self._met = sqlite3.connect("", isolation_level=None)
        self._met.execute("PRAGMA journal_mode = OFF")
        self._met.execute(TABLE)
        self._met.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._met.close()

    def meet(self, phone: str, number: int) -> Fault | None:
        """Why the row of this number gets nothing; None: the phone (`+` and digits) is met for the first time."""
        digits = int(phone[1:])
        if self._met.execute(MEET, (digits, number)).rowcount:
            return None
        ((first,),) = self._met.execute(FIND, (digits,))
        reason = f"the phone of row {first} again; --repeat-phones sends to each row"
        return Fault("REPEATED_PHONE", "toPhone", reason)
