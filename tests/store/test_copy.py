"""From SQLite to PostgreSQL: every table, every row once, whatever interrupts it; half a copy is no store."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Boolean, Float, LargeBinary, Table, Text

from cascade.core.errors import ConfigError
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.store import accounts, copy, engines, repeats, schema
from cascade.store.accounts import Seal
from cascade.store.postgres import PostgresDatabase
from cascade.store.sqlite import SqliteDatabase
from cascade.store.versions import HEAD

from .given import DAY_MS, T0

ROWS = 7
ONE_ROW = ("directory_version", "batch_number")
REPEATS = ("recent_message", "recent_batch")
"""Kept otherwise on PostgreSQL."""


class Killed(Exception):  # noqa: N818 - it is no error
    pass


class Watched:
    """Sees how far it comes, and may stop it there."""

    def __init__(self, batches: int | None = None) -> None:
        self.copied: dict[str, int] = {}
        self.compared: list[str] = []
        self._batches_left = batches

    def begin(self, table: str, rows: int, done: int) -> None:
        self.copied[table] = done

    def advance(self, table: str, rows: int) -> None:
        self.copied[table] += rows
        if self._batches_left is not None:
            self._batches_left -= 1
            if not self._batches_left:
                raise Killed

    def verified(self, table: str) -> None:
        self.compared.append(table)


def row(table: Table, number: int) -> list[Any]:
    """Of every type something, NULL where it may be, and texts of more than one language."""
    values: list[Any] = []
    for place, column in enumerate(table.columns):
        if column.nullable and (number + place) % 3 == 0:
            values.append(None)
        elif isinstance(column.type, Boolean):
            values.append(number % 2)
        elif isinstance(column.type, LargeBinary):
            values.append(bytes([number]) * 16)
        elif isinstance(column.type, Float):
            values.append(number / 3)
        elif isinstance(column.type, Text):
            values.append(f"{column.name} '{number}' ґ🚚\n")
        else:
            values.append(number)
    return values


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    path = tmp_path / "cascade.db"
    database = SqliteDatabase(path)
    await database.open(owner=True)
    await database.close()
    with sqlite3.connect(path) as file:
        for table in schema.metadata.sorted_tables:
            if table.name in REPEATS:
                continue
            if table.name in ONE_ROW:
                file.execute(f"UPDATE {table.name} SET {table.columns[0].name} = 41")  # noqa: S608
                continue
            places = ", ".join("?" * len(table.columns))
            file.executemany(f"INSERT INTO {table.name} VALUES ({places})", [row(table, n + 1) for n in range(ROWS)])  # noqa: S608
        file.execute("DELETE FROM bot WHERE id = ?", (ROWS,))
    file.close()
    return path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "BATCH", 3)


def there(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(path) as file:
        found = {table.name: sorted(file.execute(_query(table)), key=repr) for table in schema.metadata.sorted_tables}
    file.close()
    return found


async def here(url: str) -> dict[str, list[tuple[Any, ...]]]:
    connection = await asyncpg.connect(url)
    try:
        return {
            table.name: sorted((_as_sqlite(one) for one in await connection.fetch(_query(table))), key=repr)
            for table in schema.metadata.sorted_tables
        }
    finally:
        await connection.close()


def unpacked(copied: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """PostgreSQL has every repeat in a row of its own."""
    return copied | {"recent_batch": []}


def _query(table: Table) -> str:
    return f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name}"  # noqa: S608


def _as_sqlite(row: Any) -> tuple[Any, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in row)


async def test_what_may_be_repeated_is_known_by_the_message(source: Path, empty_postgres_url: str) -> None:
    with sqlite3.connect(source) as file:
        for number in (1, 2):
            row = (number, 1, b"ab" * 8 + bytes([number]) * 16, b"cd" * 8 + bytes([number + 8]) * 16, T0)
            file.execute("INSERT INTO recent_batch VALUES (?, ?, ?, ?, ?)", row)
    file.close()
    await copy.copy(source, empty_postgres_url, Watched())
    database = PostgresDatabase(empty_postgres_url, 4)
    await database.open(owner=False)
    async with database.transaction() as tx:
        sent = [(bytes([number]) * 16, b"x" * 16) for number in (1, 2)] + [(b"ab" * 8, b"x" * 16)]
        known = await repeats.remember(tx, 1, sent, T0 + 1, 0)
    await database.close()
    assert known == {bytes([1]) * 16: bytes([9]) * 16, bytes([2]) * 16: bytes([10]) * 16, b"ab" * 8: b"cd" * 8}


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_everything_is_copied_and_compared(source: Path, empty_postgres_url: str) -> None:
    watched = Watched()
    copied = await copy.copy(source, empty_postgres_url, watched)
    assert await here(empty_postgres_url) == unpacked(there(source))
    assert copied == watched.copied == {name: len(rows) for name, rows in there(source).items()}
    assert set(watched.compared) == set(copied)
    assert await engines.version_of(empty_postgres_url) == HEAD


async def test_a_repeat_of_what_was_sent_before_the_copy_is_one(tmp_path: Path, empty_postgres_url: str) -> None:
    source = SqliteDatabase(tmp_path / "cascade.db")
    await source.open(owner=True)
    sent = [(bytes([number]) * 16, bytes([number]) * 16) for number in range(5)]
    for digests, at_ms in ((sent[:3], T0), (sent[3:], T0 + 1), ([(sent[0][0], b"sent a day later")], T0 + DAY_MS)):
        async with source.transaction() as tx:
            assert await repeats.remember(tx, 1, digests, at_ms, at_ms - DAY_MS) == {}
    await source.close()
    await copy.copy(tmp_path / "cascade.db", empty_postgres_url, Watched())
    database = PostgresDatabase(empty_postgres_url, 4)
    await database.open(owner=False)
    async with database.transaction() as tx:
        again = [(digest, bytes(16)) for digest, _ in sent]
        assert await repeats.remember(tx, 1, again, T0 + 2, T0 + 2 - DAY_MS) == {
            **dict(sent),
            sent[0][0]: b"sent a day later",
        }
    await database.close()


async def test_the_copy_counts_on_where_the_file_stopped(source: Path, empty_postgres_url: str) -> None:
    """Also where the last row is gone: a bot's number never comes again."""
    await copy.copy(source, empty_postgres_url, Watched())
    database = PostgresDatabase(empty_postgres_url, 4)
    await database.open(owner=False)
    async with database.transaction() as tx:
        assert await accounts.add_account(tx, "next", T0) == ROWS + 1
        await accounts.add_bot(
            tx, Seal([Secret(Fernet.generate_key().decode())]), ROWS + 1, Channel.TELEGRAM_BOT, Secret("1:a"), T0
        )
        assert await tx.rows("SELECT max(id) FROM bot") == [(ROWS + 1,)]
    await database.close()


@pytest.mark.parametrize("batches", [1, 2, 11, 40])
async def test_an_interrupted_copy_goes_on(source: Path, empty_postgres_url: str, batches: int) -> None:
    with pytest.raises(Killed):
        await copy.copy(source, empty_postgres_url, Watched(batches))
    with pytest.raises(ConfigError, match="half a copy"):
        await PostgresDatabase(empty_postgres_url, 4).open(owner=True)
    second = Watched()
    await copy.copy(source, empty_postgres_url, second)
    assert await here(empty_postgres_url) == unpacked(there(source))


async def test_a_file_in_use_is_refused(source: Path, empty_postgres_url: str) -> None:
    gateway = SqliteDatabase(source)
    await gateway.open(owner=True)
    with pytest.raises(ConfigError, match="in use by another cascade"):
        await copy.copy(source, empty_postgres_url, Watched())
    await gateway.close()


async def test_other_data_is_left_alone(source: Path, empty_postgres_url: str) -> None:
    await execute(empty_postgres_url, "CREATE TABLE theirs (id int)", "INSERT INTO theirs VALUES (1)")
    with pytest.raises(ConfigError, match="is not empty"):
        await copy.copy(source, empty_postgres_url, Watched())


async def test_a_store_is_not_copied_over(source: Path, empty_postgres_url: str) -> None:
    await copy.copy(source, empty_postgres_url, Watched())
    with pytest.raises(ConfigError, match="is not empty"):
        await copy.copy(source, empty_postgres_url, Watched())


async def test_half_a_copy_of_another_file_is_not_gone_on_with(source: Path, empty_postgres_url: str) -> None:
    with pytest.raises(Killed):
        await copy.copy(source, empty_postgres_url, Watched(2))
    other = shutil.copy(source, source.with_name("other.db"))
    with pytest.raises(ConfigError, match=r"holds half a copy of .*cascade\.db"):
        await copy.copy(Path(other), empty_postgres_url, Watched())


def _in_the_file(statement: str) -> Callable[[Path, str], Any]:
    async def spoil(source: Path, url: str) -> None:
        with sqlite3.connect(source) as file:
            file.execute(statement)
        file.close()

    return spoil


def _in_the_copy(statement: str) -> Callable[[Path, str], Any]:
    async def spoil(source: Path, url: str) -> None:
        await execute(url, statement)

    return spoil


AGAIN = """
    INSERT INTO receipt (id, link, provider_id, state, received_at_ms, due_at_ms)
    SELECT {}, link, provider_id, state, received_at_ms, due_at_ms FROM receipt WHERE id = 5
"""
SPOILED = {
    "a row in the copy was changed": _in_the_copy("UPDATE receipt SET link = 'other' WHERE id = 3"),
    "a NULL became an empty text": _in_the_copy("UPDATE receipt SET detail = '' WHERE detail IS NULL"),
    "a row in the copy is gone": _in_the_copy("DELETE FROM receipt WHERE id = 5"),
    "a row in the copy came twice": _in_the_copy(AGAIN.format(99)),
    "a row was added to the file": _in_the_file(AGAIN.format(0)),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
async def test_what_differs_is_found(source: Path, empty_postgres_url: str, spoil: Callable[[Path, str], Any]) -> None:
    with pytest.raises(Killed):
        await copy.copy(source, empty_postgres_url, Watched(60))
    await spoil(source, empty_postgres_url)
    with pytest.raises(ConfigError, match="receipt differs"):
        await copy.copy(source, empty_postgres_url, Watched())
    with pytest.raises(ConfigError, match="half a copy"):
        await engines.version_of(empty_postgres_url)
