"""The store in one SQLite file.

One connection writes. Statements run in the event loop's own thread: they take microseconds, and a second
thread would hand the interpreter's lock back and forth for every row (measured: 733 us a row instead of 6,
docs/decisions/0002-sqlite-in-the-loop.md). What runs elsewhere, each beside the others, are a commit of many rows,
which writes to the log (`-wal`); the wait for the disk, which everyone who committed awaits before going on; and
copying the log into the file. Transactions that arrive during a commit take their turns after it and share the next
one: group commit without ever waiting for company.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import structlog

from cascade.core.errors import ConfigError, QueryTimeoutError, StoreUnavailableError
from cascade.core.events import Listeners
from cascade.core.turns import Lane
from cascade.store import schema, versions
from cascade.store.database import (
    COLD_READERS,
    COLD_S,
    IN_LIST,
    Courier,
    Database,
    Forwarder,
    Insertion,
    Reader,
    Row,
    Statement,
    Transaction,
    Wakes,
)
from cascade.store.recent import RecentDigests
from cascade.store.versions import Version

try:
    import fcntl
except ImportError:  # Windows has no flock; there the operator has to see to it that one process owns the file
    fcntl = None  # type: ignore[assignment]

log = structlog.get_logger()
Result = TypeVar("Result")

OLDEST_SQLITE = (3, 35, 0)  # RETURNING
SMALL_COMMIT_ROWS = 128
"""So few rows are written to the log sooner than another thread could be told to do it."""
CHECKPOINT_COMMITS = 64
CHECKPOINT_ROWS = 16_000
"""After so many of either the log is copied into the file: one to two thousand pages under load."""
LONGEST_LOG_PAGES = 8_000
"""Past this it is copied while nobody writes: only then nothing comes after what is copied, and it begins anew."""
sync_file: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have only the other
CACHE_KIB = 65_536
INTERRUPT_S = 0.01
SAVEPOINT = ("SAVEPOINT unit", "RELEASE unit", "ROLLBACK TO unit")
INSERT_SIZES = (100, 10, 1)
"""How many rows one statement inserts: a hundred at once take half the time of a hundred statements."""
LIST_SIZES = (1, 4, 16, 32, 64, 100, 128, 160, 256, 500)
"""How many keys one statement looks up: few numbers, so that each is prepared once. The rest is filled up with NULL,
which matches nothing but costs 0.2 us each, so the sizes of the sets that windows and webhooks bring are among them."""


@lru_cache(maxsize=512)
def with_list(statement: str, size: int) -> str:
    """The statement for a list of that size."""
    return statement.replace(IN_LIST, f"IN ({', '.join('?' * size)})")


def _rows(connection: sqlite3.Connection, statement: str, parameters: Sequence[Any]) -> list[Row]:
    if IN_LIST not in statement:
        return connection.execute(statement, parameters).fetchall()
    *before, keys = parameters
    found = []
    for start in range(0, len(keys), LIST_SIZES[-1]):
        some = keys[start : start + LIST_SIZES[-1]]
        size = next(size for size in LIST_SIZES if size >= len(some))
        values = (*before, *some, *[None] * (size - len(some)))
        found += connection.execute(with_list(statement, size), values).fetchall()
    return found


def version_of(connection: sqlite3.Connection) -> Version | None:
    """Of the store in a file; None: nothing is in it yet."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" in tables:
        return versions.found(connection.execute(versions.FIND).fetchall())
    return versions.UNRELEASED if tables else None


def version_at(path: Path) -> Version | None:
    """Of the store in this file, which is there and stays as it is."""
    with _opening(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return version_of(connection)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(
            "store.url", f"cannot open {path}: {error}", "Name a file in a directory that can be written to"
        ) from error


class _SqliteReader:
    is_distributed = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> list[Row]:
        return _rows(self._connection, _text(statement), parameters)


class _ColdSqliteReader:
    """Runs each statement in a thread. It takes the interpreter's lock around every row, so that rows come slowly
    while the loop is busy, but whatever SQLite does between two rows delays nobody."""

    is_distributed = False

    def __init__(self, connection: sqlite3.Connection, threads: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._threads = threads

    async def rows(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> list[Row]:
        loop = asyncio.get_running_loop()
        begun_at_s = loop.time()
        work = loop.run_in_executor(self._threads, _rows, self._connection, _text(statement), parameters)
        timer = loop.call_later(COLD_S, self._connection.interrupt)
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the next one gets the connection: let it be free
            while not work.done():  # an interrupt that comes before the statement has nothing to stop
                self._connection.interrupt()
                await asyncio.wait([work], timeout=INTERRUPT_S)
            work.exception()
            raise
        finally:
            timer.cancel()
        error = work.exception()
        if isinstance(error, sqlite3.OperationalError) and loop.time() - begun_at_s >= COLD_S:
            raise QueryTimeoutError(f"It took longer than {COLD_S:.0f} s") from error
        return work.result()


class _SqliteTransaction(_SqliteReader, Wakes):
    has_writing_with = False

    def __init__(
        self,
        connection: sqlite3.Connection,
        listeners: Listeners,
        courier: Courier,
        forwarder: Forwarder,
        recent: RecentDigests | None,
    ) -> None:
        _SqliteReader.__init__(self, connection)
        Wakes.__init__(self)
        self.listeners = listeners
        self.courier = courier
        self.forwarder = forwarder
        self.recent = recent

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        # The next transaction of the same group sees what this one stored, and must not store what overtakes it.
        self.forwarder.lane_filled(lane, due_at_ms)
        Wakes.lane_ready(self, lane, due_at_ms)

    async def execute(self, statement: str | Statement, parameters: Sequence[Any] = ()) -> int:
        return self._connection.execute(_text(statement), parameters).rowcount

    async def many(self, statement: str | Statement, parameters: Iterable[Sequence[Any]]) -> int:
        return self._connection.executemany(_text(statement), parameters).rowcount

    async def insert(self, into: Insertion, rows: Sequence[Sequence[Any]], shared: Sequence[Any] = ()) -> int:
        changed = start = 0
        for size in INSERT_SIZES:
            while len(rows) - start >= size:
                values = (*shared, *chain.from_iterable(rows[start : start + size]))
                changed += self._connection.execute(into.sqlite(size), values).rowcount
                start += size
        return changed

    async def insert_all(self, sets: Sequence[tuple[Insertion, Sequence[Sequence[Any]]]]) -> None:
        for into, rows in sets:
            await self.insert(into, rows)

    async def each(self, statement: Statement, parameters: Sequence[Sequence[Any]]) -> list[bool]:
        text = statement.sqlite
        return [self._connection.execute(text, row).rowcount > 0 for row in parameters]


def _text(statement: str | Statement) -> str:
    return statement if isinstance(statement, str) else statement.sqlite


def _recent_digests(connection: sqlite3.Connection) -> RecentDigests:
    """The index of all that is remembered; it takes a third of a microsecond a message."""
    [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM recent_batch")
    recent = RecentDigests(last)
    for batch_id, digests in connection.execute("SELECT id, digests FROM recent_batch ORDER BY id"):
        recent.note(digests, batch_id)
    return recent


class SqliteDatabase(Database):
    is_shared = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._turn = asyncio.Lock()
        self._group: asyncio.Future[None] | None = None
        self._committing: set[asyncio.Task[None]] = set()
        self._at_the_disk = asyncio.Lock()
        self._sync_error: OSError | None = None
        self._log_fd: int | None = None
        self._rows_before = 0
        self._rows_copied = 0
        self._commits = 0
        self._is_copying = False
        self._is_log_long = False
        self._disk = ThreadPoolExecutor(2, "disk")
        self._cold_threads = ThreadPoolExecutor(COLD_READERS, "cold")
        self._cold_turns = asyncio.Semaphore(COLD_READERS)
        self._cold: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection
        self._reader: sqlite3.Connection
        self._copier: sqlite3.Connection
        self._lock: Any = None
        self._recent: RecentDigests | None = None

    async def open(self, *, owner: bool) -> None:
        """Open the file, making it and its tables when new. Only one process may be the owner: another is refused with
        `ConfigError` while that one runs."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise ConfigError(
                "store.url",
                f"SQLite {sqlite3.sqlite_version} is too old",
                "Use a Python built with SQLite 3.35 or newer",
            )
        try:
            with _opening(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if owner:
                    self._own()
                self._make_private()
                self._writer = self._connect()
                self._writer.execute("PRAGMA journal_mode = WAL")
                # NORMAL: a commit leaves the log to be synced by us, and copying it syncs log and file.
                self._writer.execute("PRAGMA synchronous = NORMAL")
                self._writer.execute("PRAGMA secure_delete = ON")  # what was erased is not in the file either
                # What is kept to undo a statement: a file in /var/tmp would hold texts and phones, and cost writes.
                self._writer.execute("PRAGMA temp_store = MEMORY")
                self._writer.execute("PRAGMA wal_autocheckpoint = 0")
                self._migrate(is_owner=owner)
                if owner:
                    self._recent = _recent_digests(self._writer)
                self._reader = self._connect_reader()
                self._copier = self._connect()
                # Of the log, unlike the file, a descriptor may be closed: no lock of SQLite's is on it.
                self._log_fd = os.open(f"{self._path}-wal", os.O_RDWR)
                sync_file(self._log_fd)  # the tables, if they are new
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

    def _make_private(self) -> None:
        """SQLite would let everyone on the machine read a new file. Its -wal and -shm get the mode of the file.

        One that is there is never opened here: to close it would end the locks that this process has on it.
        """
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        except sqlite3.Error:  # no database, or one that cannot be read: nobody else could close it
            connection.close()
            raise
        return connection

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _migrate(self, *, is_owner: bool) -> None:
        """The one process that owns the file brings it up to date: nobody else is at work, and it is one transaction.
        Alembic, which costs 0.2 s to load, is asked only then."""
        version = version_of(self._writer)
        if version is None:
            self._writer.executescript(";".join(["BEGIN IMMEDIATE", *schema.sqlite_statements(), "COMMIT"]))
            return
        if is_owner and version < versions.HEAD:
            from cascade.store import migrate

            log.warning("store_migrating", store=str(self._path), before=str(version), after=str(versions.HEAD))
            migrate.on_sqlite(self._path)
            version = versions.HEAD
        versions.check(version, str(self._path))

    async def close(self) -> None:
        while self._committing:
            await asyncio.wait(self._committing)
        self._disk.shutdown()
        self._cold_threads.shutdown()
        self._close_files()

    def _close_files(self) -> None:
        while self._cold:
            self._cold.pop().close()
        if self._log_fd is not None:
            os.close(self._log_fd)
            self._log_fd = None
        for name in ("_copier", "_reader", "_writer"):
            connection = self.__dict__.pop(name, None)
            if connection is not None:
                connection.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        self._check_disk()
        try:
            yield _SqliteReader(self._reader)
        except sqlite3.Error as error:
            raise StoreUnavailableError(str(error)) from error

    @asynccontextmanager
    async def cold_reading(self, *, newest: bool = False) -> AsyncIterator[Reader]:
        self._check_disk()
        async with self._cold_turns:
            try:
                connection = self._cold.pop() if self._cold else self._connect_reader()
                try:
                    yield _ColdSqliteReader(connection, self._cold_threads)
                finally:
                    self._cold.append(connection)
            except sqlite3.Error as error:
                raise StoreUnavailableError(str(error)) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._turn:
            self._check_disk()
            connection = self._writer
            group = self._group
            # The first unit of a group needs no savepoint, which would copy every page before it changes.
            begin, end, undo = ("BEGIN IMMEDIATE", None, "ROLLBACK") if group is None else SAVEPOINT
            try:
                connection.execute(begin)
            except sqlite3.Error as error:
                raise StoreUnavailableError(str(error)) from error
            if group is None:
                self._rows_before = connection.total_changes
            transaction = _SqliteTransaction(connection, self.listeners, self.courier, self.forwarder, self._recent)
            try:
                yield transaction
                if end is not None:
                    connection.execute(end)
            except BaseException as error:
                self.take_back(transaction)
                if connection.in_transaction:
                    connection.execute(undo)
                    if end is not None:
                        connection.execute(end)
                elif group is not None:
                    # On a full disk SQLite takes back the whole transaction, and with it the units before this one.
                    self._fail(group, error)
                if isinstance(error, sqlite3.OperationalError):
                    raise StoreUnavailableError(str(error)) from error
                raise
            if group is None:
                group = self._begin_group()
        try:
            await asyncio.shield(group)
        except asyncio.CancelledError:  # whoever waited is gone; the commit goes on, and with it what it stores
            group.add_done_callback(lambda done: self._end(transaction, is_stored=done.exception() is None))
            raise
        except BaseException:
            self._end(transaction, is_stored=False)
            raise
        self._end(transaction, is_stored=True)

    def _end(self, wakes: Wakes, *, is_stored: bool) -> None:
        if is_stored:
            self.tell(wakes)
            self.wake(wakes)
        else:
            self.take_back(wakes)

    def _begin_group(self) -> asyncio.Future[None]:
        group = self._group = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._commit(group))
        self._committing.add(task)
        task.add_done_callback(self._committing.discard)
        return group

    async def _commit(self, group: asyncio.Future[None]) -> None:
        """Commit, once the disk has the commit before, after everyone who is already waiting for a turn has had it; and
        wait for the disk, while others have their turns."""
        async with self._at_the_disk:
            async with self._turn:
                if group.done():
                    return
                try:
                    self._check_disk()
                    if self._writer.total_changes - self._rows_before <= SMALL_COMMIT_ROWS:
                        self._writer.execute("COMMIT")
                    else:
                        await self._elsewhere(self._writer.execute, "COMMIT")
                except (sqlite3.Error, StoreUnavailableError) as error:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    self._fail(group, error)
                    return
                self._group = None
                if self._is_log_long:
                    await self._copy_log()
                    self._is_log_long = False  # who still reads older pages is not waited for
            try:
                await self._elsewhere(sync_file, self._log_fd)
            except OSError as error:
                log.critical("sync_failed", store=str(self._path), error=str(error))
                self._sync_error = error
                self._fail(group, error)
            else:
                group.set_result(None)
        self._commits += 1
        rows = self._writer.total_changes - self._rows_copied
        if (self._commits >= CHECKPOINT_COMMITS or rows >= CHECKPOINT_ROWS) and not self._is_copying:
            await self._copy_log()

    async def _copy_log(self) -> None:
        """Into the file, as far as nobody reads older pages."""
        self._is_copying = True
        self._commits = 0
        self._rows_copied = self._writer.total_changes
        try:
            [(_, pages, _)] = await self._elsewhere(_rows, self._copier, "PRAGMA wal_checkpoint(PASSIVE)", ())
            self._is_log_long = pages > LONGEST_LOG_PAGES
        except sqlite3.Error as error:
            log.warning("checkpoint_failed", error=str(error))
        finally:
            self._is_copying = False

    async def _elsewhere(self, work: Callable[..., Result], *arguments: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)

    def _check_disk(self) -> None:
        """What could not be synced may be in the log, or not, or in part, and what follows it would be lost with it."""
        if self._sync_error is not None:
            raise StoreUnavailableError(
                f"{self._path}-wal could not be synced: {self._sync_error}. See to the disk and start Cascade again"
            )

    def _fail(self, group: asyncio.Future[None], error: BaseException) -> None:
        """Tell every unit of the group that nothing of it was stored."""
        log.error("commit_failed", error=str(error))
        if self._group is group:
            self._group = None
        group.set_exception(StoreUnavailableError(str(error)))
        group.exception()  # nobody may be left to read it
