"""What of a campaign has been sent, so that one which broke off goes on where it was: a line for each request, before
it is made and after it was answered, on the disk before anything else happens."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from cascade.core.errors import ConfigError

VERSION: Final = 1


@dataclass(slots=True)
class Window:
    """Rows that go in one request. `begun_at`: when that was first written down."""

    first: int
    last: int
    begun_at: datetime


@dataclass(slots=True)
class Journal:
    """`head`: what the campaign is. `sent_rows`: all up to this row are done. `open_window`: the request of which
    nobody knows how it ended."""

    path: Path
    file: IO[bytes]
    head: dict[str, Any] | None = None
    sent_rows: int = 0
    accepted: int = 0
    refused: int = 0
    open_window: Window | None = None
    finished_at: datetime | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def begin(self, head: dict[str, Any]) -> None:
        self.head = {"version": VERSION, **head}
        self._write(self.head)

    def sending(self, first: int, last: int) -> None:
        """Before the request: afterwards nobody could tell whether it was made."""
        self.open_window = Window(first, last, self.now())
        self._write({"sending": [first, last], "at": self.now().isoformat()})

    def sent(self, first: int, last: int, accepted: int, refused: int) -> None:
        self._write({"sent": [first, last], "accepted": accepted, "refused": refused, "at": self.now().isoformat()})
        self._count(last, accepted, refused)

    def finish(self) -> None:
        self.finished_at = self.now()
        self._write({"finished": self.finished_at.isoformat()})

    def _count(self, last: int, accepted: int, refused: int) -> None:
        self.sent_rows = last
        self.accepted += accepted
        self.refused += refused
        self.open_window = None

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            self.file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            fix = "Make room and go on with the same command"
            raise ConfigError("--journal", f"cannot write {self.path}: {error.strerror}", fix) from error

    def take(self, entry: dict[str, Any]) -> None:
        """An entry that an earlier run wrote."""
        if "sending" in entry:
            first, last = entry["sending"]
            if self.open_window is None or self.open_window.first != first:
                self.open_window = Window(first, last, datetime.fromisoformat(entry["at"]))
        elif "sent" in entry:
            self._count(entry["sent"][1], entry["accepted"], entry["refused"])
        elif "finished" in entry:
            self.finished_at = datetime.fromisoformat(entry["finished"])
        else:
            self.head = dict(entry)


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal, with what an earlier run wrote in it; ours alone until the end. `ConfigError` when it cannot be."""
    try:
        is_new = not path.exists()
        file = path.open("a+b")
    except OSError as error:
        raise ConfigError("--journal", f"cannot write {path}: {error.strerror}", "Name a place for it") from error
    with file:
        _lock(file, path)
        if is_new:
            _keep_name(path)
        journal = Journal(path, file)
        file.seek(0)
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break  # the run died while it wrote this one
            try:
                journal.take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                fix = "Name another --journal, or move it away: then all of the campaign is sent"
                raise ConfigError("--journal", f"{path} is no journal of a campaign", fix) from error
            whole += len(line)
        file.truncate(whole)
        file.seek(whole)
        if journal.head is not None and journal.head.get("version") != VERSION:
            raise ConfigError("--journal", f"{path} is of another version of cascade", "Finish it with that one")
        try:
            yield journal
        finally:
            if journal.head is None:
                path.unlink(missing_ok=True)  # nothing was begun


def _lock(file: IO[bytes], path: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(
            "--journal", f"{path} is in use: this campaign is being sent", "Wait until it ends"
        ) from error


def _keep_name(path: Path) -> None:
    """A file's name is on the disk only once its directory is."""
    with contextlib.suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
