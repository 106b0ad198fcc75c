"""Which rows were refused, and why: a CSV file that holds the rows too, to be mended and sent."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from cascade.cli.campaign.people import Row
from cascade.cli.campaign.rules import Fault
from cascade.core.cells import harmless
from cascade.core.errors import ConfigError

COLUMNS: Final = ("row", "line", "code", "field", "reason")


class Report:
    """Made with the first refused row. Each row is in it once, also when a campaign that broke off goes on."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.count = 0
        self._columns = columns
        self._file: IO[str] | None = None
        self._known = bytearray()

    def begin_anew(self) -> None:
        self.path.unlink(missing_ok=True)

    def go_on(self) -> None:
        """Remember what an earlier run refused."""
        if self.path.exists():
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for row in csv.DictReader(file):
                    if (row["row"] or "").isdecimal():
                        self._is_new(int(row["row"]))
                        self.count += 1

    def add(self, row: Row, fault: Fault) -> None:
        if not self._is_new(row.number):
            return
        self.count += 1
        try:
            if self._file is None:
                is_new = not self.path.exists()
                self._file = self.path.open("a", encoding="utf-8-sig" if is_new else "utf-8", newline="")
                if is_new:
                    csv.writer(self._file).writerow([*COLUMNS, *self._columns])
            csv.writer(self._file).writerow([row.number, row.line, *fault, *map(harmless, row.values)])
        except OSError as error:
            raise ConfigError(
                "--report", f"cannot write {self.path}: {error.strerror}", "Name a place for it"
            ) from error

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _is_new(self, number: int) -> bool:
        """A bit for each row: a million take 125 kB."""
        byte, bit = number >> 3, 1 << (number & 7)
        if byte >= len(self._known):
            self._known.extend(bytes(byte + 1 - len(self._known)))
        is_new = not self._known[byte] & bit
        self._known[byte] |= bit
        return is_new
