"""Copies a SQLite store to PostgreSQL: in batches, resumable after a kill, compared at the end.

Each batch is one transaction, together with the note of how far it came; the marks of a finished store come last, so
that nothing can start on half a copy. Both sides hash their rows for themselves: Python what it reads from the file,
PostgreSQL what it has stored.
"""

import hashlib
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg
from sqlalchemy import Boolean, Float, LargeBinary, Table

from cascade.core.errors import ConfigError
from cascade.store import postgres, schema, versions
from cascade.store.sqlite import SqliteDatabase

BATCH = 5_000
NOTES = """
    CREATE TABLE store_copy (
        table_name TEXT PRIMARY KEY, source TEXT NOT NULL, last_key TEXT, rows_copied BIGINT NOT NULL DEFAULT 0,
        hash_1 NUMERIC NOT NULL DEFAULT 0, hash_2 NUMERIC NOT NULL DEFAULT 0)
"""
NOTE = """
    UPDATE store_copy SET last_key = $2, rows_copied = rows_copied + $3, hash_1 = hash_1 + $4, hash_2 = hash_2 + $5
    WHERE table_name = $1
"""
SEPARATOR, NULL = "\x1f", "\x1e"
# What SQLite keeps in one row for each request, and indexes in memory, PostgreSQL keeps and indexes message by message.
UNPACK_REPEATS = """
    INSERT INTO recent_message (account_id, digest, message_id, at_ms)
    SELECT DISTINCT ON (account_id, digest) account_id, digest, message_id, at_ms FROM (
        SELECT id, account_id, substr(digests, place, 16) AS digest, substr(message_ids, place, 16) AS message_id, at_ms
        FROM recent_batch, generate_series(1, length(digests), 16) AS place) AS sent
    ORDER BY account_id, digest, id DESC
    ON CONFLICT (account_id, digest) DO NOTHING
"""
HASH_DIGITS = 15
"""Hexadecimal digits in each of the two sums' addends: what fits PostgreSQL's bigint."""


class Progress(Protocol):
    """Who shows how far it is."""

    def begin(self, table: str, rows: int, done: int) -> None: ...

    def advance(self, table: str, rows: int) -> None: ...

    def verified(self, table: str) -> None: ...


class Sum(NamedTuple):
    """Of a table: how many rows, and two sums over their hashes, which are the same in whatever order."""

    rows: int = 0
    hash_1: int = 0
    hash_2: int = 0


async def copy(source: Path, target: str, progress: Progress) -> dict[str, int]:
    """Copy everything; the rows of each table. `ConfigError` when the source is in use, when the target holds anything
    but an unfinished copy of this source, and when the two differ in the end."""
    owner = SqliteDatabase(source)
    await owner.open(owner=True)  # nobody else writes to it meanwhile, and it is of the newest version
    try:
        async with postgres.connected(target) as connection:
            await _begin(connection, str(source), postgres.shown(target))
            with closing(sqlite3.connect(source)) as file:
                return await _copy(file, connection, progress)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise ConfigError(
            "--to", f"the copy was interrupted: {error}", "Mend that and run it again: it goes on where it was"
        ) from error
    finally:
        await owner.close()


async def _copy(file: sqlite3.Connection, connection: asyncpg.Connection, progress: Progress) -> dict[str, int]:
    copied = {}
    for table in schema.metadata.sorted_tables:
        copied[table.name] = await _copy_table(file, connection, table, progress)
    await _finish(file, connection, progress)
    return copied


async def _begin(connection: asyncpg.Connection, source: str, shown: str) -> None:
    """Make the tables of a new copy, without their indexes; or find those of one that was interrupted."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", postgres.SCHEMA_LOCK):
        raise ConfigError("--to", f"somebody is at work on {shown}", "Wait until that is done")
    if await connection.fetchval("SELECT to_regclass('store_copy')") is not None:
        earlier = await connection.fetchval("SELECT min(source) FROM store_copy")
        if earlier != source:
            raise ConfigError("--to", f"{shown} holds half a copy of {earlier}", "Go on with that, or empty it first")
        return
    if await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"):
        raise ConfigError("--to", f"{shown} is not empty", "Name a database, or a search_path, with nothing in it")
    async with connection.transaction():
        await connection.execute(NOTES)
        for statement in schema.postgres_tables():
            await connection.execute(statement)
        names = [table.name for table in schema.metadata.sorted_tables]
        await connection.execute("INSERT INTO store_copy SELECT unnest($1::text[]), $2", names, source)


async def _copy_table(
    file: sqlite3.Connection, connection: asyncpg.Connection, table: Table, progress: Progress
) -> int:
    note = await connection.fetchrow(
        "SELECT last_key, rows_copied, hash_1, hash_2 FROM store_copy WHERE table_name = $1", table.name
    )
    sum_ = Sum(note["rows_copied"], int(note["hash_1"]), int(note["hash_2"]))
    (total,) = file.execute(f"SELECT count(*) FROM {table.name}").fetchone()  # noqa: S608 - our own name
    progress.begin(table.name, total, sum_.rows)
    columns = [column.name for column in table.columns]
    values, text = _converter(table), _text(table)
    for key, rows in _batches(file, table, columns, note["last_key"]):
        records = [values(row) for row in rows]
        more = _sum([text(row) for row in rows])
        async with connection.transaction():
            await connection.copy_records_to_table(table.name, records=records, columns=columns)
            await connection.execute(NOTE, table.name, key, *more)
        progress.advance(table.name, len(rows))
        sum_ = Sum(*(one + other for one, other in zip(sum_, more, strict=True)))
    return sum_.rows


def _batches(
    file: sqlite3.Connection, table: Table, columns: Sequence[str], after: str | None
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows behind a key, with the key of the last one of each batch."""
    has_rowid = table.dialect_options["sqlite"]["with_rowid"]
    keys = ["rowid"] if has_rowid else [column.name for column in table.primary_key.columns]
    key = f"({', '.join(keys)})"
    since = "" if after is None else f"WHERE {key} > ({', '.join('?' * len(keys))})"
    query = f"SELECT {', '.join([*columns, *keys])} FROM {table.name} {since} ORDER BY {', '.join(keys)}"  # noqa: S608
    found = file.execute(query, [] if after is None else _key_of(after))
    while rows := found.fetchmany(BATCH):
        last = _written(rows[-1][-len(keys) :])
        yield last, [row[: -len(keys)] for row in rows]


def _written(key: Sequence[Any]) -> str:
    return json.dumps([{"hex": value.hex()} if isinstance(value, bytes) else value for value in key])


def _key_of(text: str) -> list[Any]:
    return [bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for value in json.loads(text)]


def _converter(table: Table) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """SQLite's booleans are numbers."""
    places = [place for place, column in enumerate(table.columns) if isinstance(column.type, Boolean)]

    def converted(row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place in places:
            if values[place] is not None:
                values[place] = bool(values[place])
        return tuple(values)

    return converted if places else tuple


def _text(table: Table) -> Callable[[tuple[Any, ...]], str]:
    """A row as both sides spell it."""
    spell: list[Callable[[Any], str]] = []
    for column in table.columns:
        if isinstance(column.type, Boolean):
            spell.append(lambda value: "true" if value else "false")
        elif isinstance(column.type, LargeBinary):
            spell.append(bytes.hex)
        elif isinstance(column.type, Float):
            spell.append(lambda value: struct.pack(">d", value).hex())
        else:
            spell.append(str)

    def text(row: tuple[Any, ...]) -> str:
        return SEPARATOR.join([NULL if value is None else word(value) for word, value in zip(spell, row, strict=True)])

    return text


def _sum(texts: Sequence[str]) -> Sum:
    digests = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in texts]
    return Sum(
        len(digests),
        sum(int(digest[:HASH_DIGITS], 16) for digest in digests),
        sum(int(digest[16 : 16 + HASH_DIGITS], 16) for digest in digests),
    )


def _sum_query(table: Table) -> str:
    """The same, by PostgreSQL."""
    words = []
    for column in table.columns:
        word = f"{column.name}::text"
        if isinstance(column.type, LargeBinary):
            word = f"encode({column.name}, 'hex')"
        elif isinstance(column.type, Float):
            word = f"encode(float8send({column.name}), 'hex')"
        words.append(f"coalesce({word}, E'\\x1e')")
    bits = HASH_DIGITS * 4
    sums = [f"coalesce(sum(('x' || substr(h, {start}, {HASH_DIGITS}))::bit({bits})::bigint), 0)" for start in (1, 17)]
    return (
        f"SELECT count(*), {', '.join(sums)} "  # noqa: S608 - our own names
        f"FROM (SELECT md5(concat_ws(E'\\x1f', {', '.join(words)})) AS h FROM {table.name}) AS hashed"
    )


async def _finish(file: sqlite3.Connection, connection: asyncpg.Connection, progress: Progress) -> None:
    """Compare, add the indexes, set the counters, and only then say that this is a store."""
    for table in schema.metadata.sorted_tables:
        wanted = await connection.fetchrow(
            "SELECT rows_copied, hash_1, hash_2 FROM store_copy WHERE table_name = $1", table.name
        )
        (total,) = file.execute(f"SELECT count(*) FROM {table.name}").fetchone()  # noqa: S608 - our own name
        there = Sum(*map(int, await connection.fetchrow(_sum_query(table))))
        if there != Sum(*map(int, wanted)) or there.rows != total:
            raise ConfigError(
                "--to",
                f"{table.name} differs: {total} rows here, {there.rows} there, or the same number with other contents",
                "Something changed it meanwhile: empty the database and copy again",
            )
        progress.verified(table.name)
    async with connection.transaction():
        for statement in schema.postgres_indexes():
            await connection.execute(statement)
        for name, last in _last_numbers(file):
            await connection.execute(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {last})")
        await connection.execute(UNPACK_REPEATS)
        await connection.execute("TRUNCATE recent_batch")
        await connection.execute("DROP TABLE store_copy")
        for statement in versions.statements():
            await connection.execute(statement)
    await connection.execute("ANALYZE")


def _last_numbers(file: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Of the tables that number their rows, those that have given out a number."""
    for table in schema.metadata.sorted_tables:
        if table.autoincrement_column is None:
            continue
        (last,) = file.execute(f"SELECT max(id) FROM {table.name}").fetchone()  # noqa: S608 - our own name
        if table.dialect_options["sqlite"]["autoincrement"]:
            given = file.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
            last = given[0] if given else last
        if last:
            yield table.name, last
