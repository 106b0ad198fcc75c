"""Transactions on SQLite: durable, shared by all who arrive together, undone alone; and who may open the file."""

import asyncio
import errno
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from cascade.core.errors import ConfigError, StoreUnavailableError
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.turns import Lane
from cascade.store import accounts, messages, receipts, sqlite
from cascade.store.database import Transaction
from cascade.store.sqlite import CHECKPOINT_COMMITS, SMALL_COMMIT_ROWS, SqliteDatabase

from .given import BULK, T0, add, new


@asynccontextmanager
async def opened(path: Path, *, owner: bool = False) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(path)
    try:
        await database.open(owner=owner)
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with opened(tmp_path / "cascade.db", owner=True) as store:
        yield store


async def names(database: SqliteDatabase) -> list[str]:
    async with database.reading() as reader:
        return [name for name, _, _ in await accounts.list_accounts(reader)]


async def add_account(database: SqliteDatabase, name: str) -> None:
    async with database.transaction() as tx:
        await accounts.add_account(tx, name, T0)


async def gather(*units: asyncio.Task[None]) -> list[type[BaseException] | None]:
    """What each ended with: nothing, or an exception of this type."""
    ends = await asyncio.gather(*units, return_exceptions=True)
    return [type(end) if isinstance(end, BaseException) else None for end in ends]


def spawn(database: SqliteDatabase, *names_: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(add_account(database, name)) for name in names_]


@contextmanager
def commits(database: SqliteDatabase) -> Iterator[list[str]]:
    """The commits that reach SQLite."""
    seen: list[str] = []
    database._writer.set_trace_callback(lambda statement: seen.append(statement) if statement == "COMMIT" else None)
    try:
        yield seen
    finally:
        database._writer.set_trace_callback(None)


# Group commit


async def test_transactions_that_arrive_together_share_a_commit(database: SqliteDatabase) -> None:
    wanted = [f"account-{n:02}" for n in range(64)]
    with commits(database) as seen:
        assert set(await gather(*spawn(database, *wanted))) == {None}
    assert await names(database) == wanted
    assert len(seen) <= 4


async def test_a_lone_transaction_is_committed_at_once(database: SqliteDatabase) -> None:
    with commits(database) as seen:
        await add_account(database, "alone")
        assert len(seen) == 1


async def test_one_that_fails_is_undone_alone(database: SqliteDatabase) -> None:
    async def fails() -> None:
        async with database.transaction() as tx:
            await accounts.add_account(tx, "never", T0)
            raise LookupError

    with commits(database) as seen:
        units = [*spawn(database, "before"), asyncio.create_task(fails()), *spawn(database, "after")]
        assert await gather(*units) == [None, LookupError, None]
        assert len(seen) == 1
    assert await names(database) == ["after", "before"]


async def test_one_that_is_cancelled_is_undone(database: SqliteDatabase) -> None:
    is_inside = asyncio.Event()

    async def waits(tx: Transaction) -> None:
        await accounts.add_account(tx, "never", T0)
        is_inside.set()
        await asyncio.Event().wait()

    async def unit() -> None:
        async with database.transaction() as tx:
            await waits(tx)

    task = asyncio.create_task(unit())
    await is_inside.wait()
    task.cancel()
    assert await gather(task) == [asyncio.CancelledError]
    await add_account(database, "next")
    assert await names(database) == ["next"]


# Durability


async def test_what_returned_is_in_the_files(database: SqliteDatabase, tmp_path: Path) -> None:
    await add(database, new(1))
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    async with opened(tmp_path / "copy" / "cascade.db") as after_the_crash, after_the_crash.reading() as reader:
        assert (await messages.lanes(reader)) == {BULK: T0}


class Disk:
    """Lets what is synced wait, or fail, and keeps what a loss of power would leave once it is."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.free = threading.Event()
        self.free.set()
        self.is_broken = False
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        assert self.free.wait(timeout=10)
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(descriptor)
        shutil.copytree(self.home, self.left(self.syncs + 1).parent, ignore=shutil.ignore_patterns("*-shm"))
        self.syncs += 1

    def left(self, syncs: int) -> Path:
        """The store as it was after so many."""
        return self.home.with_name(f"{self.home.name}-{syncs}") / "cascade.db"


@pytest.fixture
async def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Disk, SqliteDatabase]]:
    home = tmp_path / "store"
    async with opened(home / "cascade.db") as database:
        disk = Disk(home)
        monkeypatch.setattr(sqlite, "sync_file", disk.sync)
        yield disk, database
        disk.free.set()


async def test_what_was_told_is_there_after_a_loss_of_power(disk: tuple[Disk, SqliteDatabase]) -> None:
    the_disk, database = disk
    told: dict[str, int] = {}

    async def add_and_tell(name: str) -> None:
        await add_account(database, name)
        told[name] = the_disk.syncs

    async with asyncio.TaskGroup() as clients:
        for number in range(40):
            clients.create_task(add_and_tell(f"account-{number:02}"))
            await asyncio.sleep(0.001 * (number % 3))
    assert list(told) == sorted(told)
    for syncs in set(told.values()):
        async with opened(the_disk.left(syncs)) as after_the_loss:
            assert {name for name, told_after in told.items() if told_after <= syncs} <= set(
                await names(after_the_loss)
            )


async def test_while_the_disk_is_waited_for_others_are_stored_and_share_its_next_turn(
    disk: tuple[Disk, SqliteDatabase],
) -> None:
    the_disk, database = disk
    stored: list[str] = []

    async def store(name: str) -> None:
        async with database.transaction() as tx:
            await accounts.add_account(tx, name, T0)
            stored.append(name)

    the_disk.free.clear()
    units = [asyncio.create_task(store("first"))]
    async with asyncio.timeout(10):
        while await names(database) != ["first"]:  # noqa: ASYNC110 - nobody is told of it yet
            await asyncio.sleep(0.001)
    units += [asyncio.create_task(store("second")), asyncio.create_task(store("third"))]
    async with asyncio.timeout(10):
        while stored != ["first", "second", "third"]:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.001)
    assert not any(unit.done() for unit in units)
    the_disk.free.set()
    assert await gather(*units) == [None, None, None]
    assert the_disk.syncs == 2


async def test_after_a_disk_that_failed_nothing_is_stored_or_read_until_the_next_start(
    disk: tuple[Disk, SqliteDatabase],
) -> None:
    the_disk, database = disk
    await add_account(database, "before")
    the_disk.is_broken = True
    assert await gather(*spawn(database, "lost"), *spawn(database, "lost too")) == [StoreUnavailableError] * 2
    the_disk.is_broken = False
    with pytest.raises(StoreUnavailableError, match=r"cascade\.db-wal could not be synced: .*start Cascade again"):
        await add_account(database, "after")
    with pytest.raises(StoreUnavailableError):
        await names(database)
    with pytest.raises(StoreUnavailableError):
        async with database.cold_reading():
            pass
    await database.close()
    async with opened(the_disk.home / "cascade.db") as again:
        await add_account(again, "after")
        assert {"before", "after"} <= set(await names(again))


async def test_the_log_is_copied_into_the_file_beside_the_work(database: SqliteDatabase, tmp_path: Path) -> None:
    for number in range(CHECKPOINT_COMMITS):
        await add_account(database, f"account-{number:02}")
    async with asyncio.timeout(10):
        while True:
            shutil.copy(database._path, tmp_path / "without-its-log.db")
            # A copy made in the middle is none.
            with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(tmp_path / "without-its-log.db")) as file:
                if file.execute("SELECT count(*) FROM account").fetchone() == (CHECKPOINT_COMMITS,):
                    break
            await asyncio.sleep(0.01)


async def test_a_log_that_grew_long_begins_anew(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_COMMITS", 2)
    monkeypatch.setattr(sqlite, "LONGEST_LOG_PAGES", 20)
    for start in range(1, 2_000, 20):
        await add(database, *map(new, range(start, start + 20)))
    log_pages = Path(f"{database._path}-wal").stat().st_size / 4096  # noqa: ASYNC240 - nothing else runs here
    assert log_pages < 500  # 100 sets of some 20 pages


@pytest.mark.parametrize(("rows", "is_here"), [(1, True), (SMALL_COMMIT_ROWS // 2, True), (500, False)])
async def test_only_a_small_commit_is_written_by_the_loop(database: SqliteDatabase, rows: int, is_here: bool) -> None:
    threads: list[int] = []
    database._writer.set_trace_callback(
        lambda statement: threads.append(threading.get_ident()) if statement == "COMMIT" else None
    )
    await add(database, *map(new, range(1, rows + 1)))
    database._writer.set_trace_callback(None)
    assert [thread == threading.get_ident() for thread in threads] == [is_here]


async def test_what_is_not_committed_is_seen_by_no_reader(database: SqliteDatabase) -> None:
    async with database.transaction() as tx:
        await accounts.add_account(tx, "half", T0)
        assert await names(database) == []
    assert await names(database) == ["half"]


async def test_nobody_is_told_before_the_commit(database: SqliteDatabase) -> None:
    seen_by_others: dict[str, list[tuple[object, ...]]] = {}
    looking = sqlite3.connect(database._path)

    def look(table: str) -> None:
        seen_by_others[table] = looking.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608

    def lane_ready(lane: Lane, due_at_ms: int) -> None:
        look("message")

    database.on_lane_ready = lane_ready
    database.on_receipts_ready = lambda: look("receipt")
    async with database.transaction() as tx:
        await messages.add(tx, [new(1)])
        await receipts.add(tx, "sms.smpp", [Receipt("77", ReceiptState.DELIVERED)], T0)
        assert seen_by_others == {}
    looking.close()
    assert seen_by_others == {"message": [(1,)], "receipt": [(1,)]}


async def test_nobody_is_told_of_what_was_undone(database: SqliteDatabase) -> None:
    told: list[Lane] = []
    database.on_lane_ready = lambda lane, due_at_ms: told.append(lane)

    async def fails() -> None:
        async with database.transaction() as tx:
            await messages.add(tx, [new(1)])
            raise LookupError

    assert await gather(asyncio.create_task(fails()), *spawn(database, "next")) == [LookupError, None]
    assert told == []


# A store that is away


@contextmanager
def full_at_a_commit(database: SqliteDatabase) -> Iterator[None]:
    """No file of this process may grow: statements still work in memory, and the commit fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(f"{database._path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(database: SqliteDatabase) -> Iterator[None]:
    """Another program writes to the file and does not end."""
    database._writer.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(database._path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


Away = Callable[[SqliteDatabase], AbstractContextManager[None]]
AWAY: dict[str, Away] = {"the disk is full at the commit": full_at_a_commit, "another program holds the file": locked}


@pytest.mark.parametrize("away", AWAY.values(), ids=AWAY.keys())
async def test_a_store_away_says_so_to_all_and_then_works_again(database: SqliteDatabase, away: Away) -> None:
    await add_account(database, "before")
    told: list[Lane] = []
    database.on_lane_ready = lambda lane, due_at_ms: told.append(lane)
    with away(database):
        units = [*spawn(database, "one", "two"), asyncio.create_task(add(database, new(1)))]
        assert await gather(*units) == [StoreUnavailableError] * 3
        assert await gather(*spawn(database, "three")) == [StoreUnavailableError]
    assert told == []
    await add_account(database, "after")
    assert await names(database) == ["after", "before"]


def temporary_files() -> list[str]:
    """SQLite's that are open: it deletes them at once, and their names are its own backwards."""
    names = (str(at.readlink()) for at in Path("/proc/self/fd").iterdir() if at.is_symlink())
    return [name for name in names if "etilqs" in name]


async def test_what_is_kept_to_undo_a_statement_is_in_no_other_file(database: SqliteDatabase) -> None:
    async with database.transaction() as tx:
        await messages.add(tx, [new(n) for n in range(2_000)])
        assert len(await messages.claim(tx, BULK, 2_000, T0, T0 + 60_000)) == 2_000
        assert temporary_files() == []


async def test_a_disk_full_in_the_middle_stores_nothing_of_what_was_refused(database: SqliteDatabase) -> None:
    """SQLite takes back the whole transaction then: also of those who came before and were content."""
    await add_account(database, "before")
    (pages,) = database._writer.execute("PRAGMA page_count").fetchone()
    database._writer.execute(f"PRAGMA max_page_count = {pages + 1}")
    ends = await gather(*spawn(database, "small", "large" * 10_000, "next"))
    assert ends == [StoreUnavailableError, StoreUnavailableError, None]
    assert await names(database) == ["before", "next"]
    database._writer.execute("PRAGMA max_page_count = 1000000")
    await add_account(database, "large" * 10_000)
    assert len(await names(database)) == 3


async def test_a_broken_read_is_a_store_away(database: SqliteDatabase) -> None:
    database._reader.close()
    with pytest.raises(StoreUnavailableError):
        await names(database)


# Opening


def in_a_file(home: Path) -> Path:
    (home / "file").write_text("")
    return home / "file" / "cascade.db"


def no_database(home: Path) -> Path:
    (home / "cascade.db").write_text("these are not the bytes of a database " * 100)
    return home / "cascade.db"


def of_a_newer_cascade(home: Path) -> Path:
    with sqlite3.connect(home / "cascade.db") as newer:
        newer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        newer.execute("INSERT INTO alembic_version VALUES ('1000.0')")
    newer.close()
    return home / "cascade.db"


def a_directory(home: Path) -> Path:
    (home / "cascade.db").mkdir()
    return home / "cascade.db"


REFUSED = {
    "a directory that cannot be made": (in_a_file, "cannot open"),
    "a file that is no database": (no_database, "not a database"),
    "a directory": (a_directory, "cannot open"),
    "a store of a newer cascade": (of_a_newer_cascade, "newer cascade"),
}


@pytest.mark.parametrize(("path", "problem"), REFUSED.values(), ids=REFUSED.keys())
async def test_open_refuses(tmp_path: Path, path: Callable[[Path], Path], problem: str) -> None:
    database = SqliteDatabase(path(tmp_path))
    with pytest.raises(ConfigError, match=problem) as refused:
        await database.open(owner=True)
    assert refused.value.setting == "store.url"
    with pytest.raises(ConfigError, match=problem):  # it kept nothing, so the answer is the same
        await SqliteDatabase(database._path).open(owner=True)
    await database.close()


async def test_a_second_owner_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    async with opened(tmp_path / "cascade.db", owner=True):
        with pytest.raises(ConfigError, match="in use by another cascade") as refused:
            async with opened(tmp_path / "cascade.db", owner=True):
                pass
        assert refused.value.setting == "store.url"
    async with opened(tmp_path / "cascade.db", owner=True) as second:
        assert await names(second) == []


async def test_a_command_works_beside_the_owner(database: SqliteDatabase, tmp_path: Path) -> None:
    async with opened(tmp_path / "cascade.db") as command:
        await add_account(command, "added by the command")
    assert await names(database) == ["added by the command"]


async def test_a_new_store_is_made_with_its_directories(tmp_path: Path) -> None:
    async with opened(tmp_path / "a" / "b" / "cascade.db", owner=True) as database:
        assert await names(database) == []


async def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(tmp_path / "cascade.db", owner=True) as database:
            await add_account(database, "acme")
            modes = [oct((tmp_path / f"cascade.db{end}").stat().st_mode & 0o777) for end in ("", "-wal", "-shm")]
    finally:
        os.umask(before)
    assert modes == ["0o600"] * 3


async def test_a_store_is_opened_again_as_it_was_left(tmp_path: Path) -> None:
    async with opened(tmp_path / "cascade.db", owner=True) as database:
        await add_account(database, "kept")
    async with opened(tmp_path / "cascade.db", owner=True) as database:
        assert await names(database) == ["kept"]


async def test_closing_waits_for_what_is_being_committed(tmp_path: Path) -> None:
    async with opened(tmp_path / "cascade.db", owner=True) as database:
        [task] = spawn(database, "last")
        await asyncio.sleep(0)  # it has begun, and its commit has not
    await task
    async with opened(tmp_path / "cascade.db", owner=True) as database:
        assert await names(database) == ["last"]
