"""Opens the store and gives out transactions. This is the only place that knows which engine it is.

On SQLite one connection writes. Statements run in the event loop's own thread: they take microseconds, and a second
thread would hand the interpreter's lock back and forth for every row (measured: 733 us a row instead of 6,
docs/decisions/0002-sqlite-in-the-loop.md). Only the commit, which waits for the disk, runs elsewhere. Transactions
that arrive meanwhile take their turns after it and share the next one: group commit without ever waiting for company.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import structlog

from cascade.core.errors import ConfigError, StoreUnavailableError
from cascade.core.turns import Lane
from cascade.store import schema

try:
    import fcntl
except ImportError:  # Windows has no flock; there the operator has to see to it that one process owns the file
    fcntl = None  # type: ignore[assignment]

log = structlog.get_logger()

Row = tuple[Any, ...]
OnReady = Callable[[Lane, int], None]
OLDEST_SQLITE = (3, 35, 0)  # RETURNING
CHECKPOINT_PAGES = 4_000
CACHE_KIB = 65_536


class Reader(Protocol):
    async def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]: ...


class Transaction(Reader, Protocol):
    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        ...

    async def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each set of parameters; the number of rows changed in all."""
        ...

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        """Once this is committed, tell whoever serves the lane that a message is due there at that time."""
        ...

    def receipts_ready(self) -> None:
        """Once this is committed, wake whoever works the receipt inbox."""
        ...


class _SqliteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(statement, parameters).fetchall()


class _SqliteTransaction(_SqliteReader):
    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.lanes: dict[Lane, int] = {}
        self.has_receipts = False

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self._connection.execute(statement, parameters).rowcount

    async def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> int:
        return self._connection.executemany(statement, parameters).rowcount

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        earliest = self.lanes.get(lane)
        if earliest is None or due_at_ms < earliest:
            self.lanes[lane] = due_at_ms

    def receipts_ready(self) -> None:
        self.has_receipts = True


class Database:
    """One SQLite file. `on_lane_ready` and `on_receipts_ready` are called in the loop's thread after a commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._group: asyncio.Future[None] | None = None
        self._committing: set[asyncio.Task[None]] = set()
        self._disk = ThreadPoolExecutor(1, "commit")
        self._writer: sqlite3.Connection
        self._reader: sqlite3.Connection
        self._lock: Any = None
        self.on_lane_ready: OnReady = lambda lane, due_at_ms: None
        self.on_receipts_ready: Callable[[], None] = lambda: None

    async def open(self, *, owner: bool) -> None:
        """Open the file, making it and its tables when new.

        `owner`: this process runs the engine. Only one may, and it is refused with `ConfigError` while another does;
        commands that merely read or add an account open it without.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigError(
                "store.url",
                f"SQLite {sqlite3.sqlite_version} is too old",
                "Use a Python built with SQLite 3.35 or newer",
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if owner:
                self._own()
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._migrate()
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
        except (sqlite3.Error, OSError) as error:
            self._close_files()
            raise ConfigError(
                "store.url", f"cannot open {self._path}: {error}", "Name a file in a directory that can be written to"
            ) from error
        except ConfigError:
            self._close_files()
            raise

    def _own(self) -> None:
        if fcntl is None:
            return
        self._lock = self._path.with_name(self._path.name + ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise ConfigError(
                "store.url", f"{self._path} is in use by another cascade", "Stop it, or give this one a file of its own"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return connection

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > schema.VERSION:
            raise ConfigError(
                "store.url",
                f"{self._path} was written by a newer cascade (version {version})",
                "Start that one, or restore a backup from before the upgrade",
            )
        if version == 0:
            self._writer.executescript(";".join(["BEGIN IMMEDIATE", *schema.sqlite_statements(), "COMMIT"]))

    async def close(self) -> None:
        while self._committing:
            await asyncio.wait(self._committing)
        self._disk.shutdown()
        self._close_files()

    def _close_files(self) -> None:
        for name in ("_reader", "_writer"):
            connection = self.__dict__.pop(name, None)
            if connection is not None:
                connection.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """What is committed, as of each statement."""
        try:
            yield _SqliteReader(self._reader)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """All of it or nothing. On leaving it is on the disk: a crash of the process or the machine loses none of it.

        Await nothing in it but the transaction itself: every other writer waits meanwhile.
        """
        async with self._turn:
            connection = self._writer
            group = self._group
            try:
                if group is None:
                    connection.execute("BEGIN IMMEDIATE")
                    group = self._group = asyncio.get_running_loop().create_future()
                    task = asyncio.create_task(self._commit(group))
                    self._committing.add(task)
                    task.add_done_callback(self._committing.discard)
                connection.execute("SAVEPOINT unit")
            except sqlite3.Error as error:
                raise StoreUnavailableError(str(error)) from error
            transaction = _SqliteTransaction(connection)
            try:
                yield transaction
                connection.execute("RELEASE unit")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK TO unit")
                    connection.execute("RELEASE unit")
                else:  # on a full disk SQLite takes back the whole transaction, and with it the units before this one
                    self._fail(group, error)
                if isinstance(error, sqlite3.OperationalError):
                    raise StoreUnavailableError(str(error)) from error
                raise
        await asyncio.shield(group)
        for lane, due_at_ms in transaction.lanes.items():
            self.on_lane_ready(lane, due_at_ms)
        if transaction.has_receipts:
            self.on_receipts_ready()

    async def _commit(self, group: asyncio.Future[None]) -> None:
        """Commit after everyone who is already waiting for a turn has had it."""
        async with self._turn:
            if group.done():
                return
            try:
                await asyncio.get_running_loop().run_in_executor(self._disk, self._writer.execute, "COMMIT")
            except sqlite3.Error as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._fail(group, error)
            else:
                self._group = None
                group.set_result(None)

    def _fail(self, group: asyncio.Future[None], error: BaseException) -> None:
        """Tell every unit of the group that nothing of it was stored."""
        log.error("commit_failed", error=str(error))
        self._group = None
        group.set_exception(StoreUnavailableError(str(error)))
        group.exception()  # nobody may be left to read it
