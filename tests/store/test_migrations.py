"""The way from every older version to the tables of schema.py, on each engine.

When one of these fails because schema.py was changed: `make migration NAME="What it does"`, see docs/migrations.md.
"""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, NullPool, create_engine, inspect

from cascade.core.errors import ConfigError
from cascade.core.message import State
from cascade.store import engines, messages, migrate, receipts, schema, versions
from cascade.store.database import Database
from cascade.store.migrations import new as revision_writer
from cascade.store.postgres import PostgresDatabase
from cascade.store.versions import HEAD, UNRELEASED

from .given import BULK, T0, URGENT, add, claim, load
from .given import new as new_message

STORES = Path(__file__).parent / "stores"
WRITE_ONE = 'schema.py and the migrations differ: make migration NAME="What it does" (docs/migrations.md)'


async def sql(url: str, *scripts: str) -> None:
    if engines.is_postgres(url):
        connection = await asyncpg.connect(url)
        for script in scripts:
            await connection.execute(script)
        await connection.close()
    else:
        file = sqlite3.connect(engines.sqlite_path(url))
        for script in scripts:
            file.executescript(script)
        file.close()


async def made_by_0_1_0_dev(url: str) -> None:
    """A store as the program made it before there were revisions, with an account and three messages."""
    engine = "postgres" if engines.is_postgres(url) else "sqlite"
    await sql(url, (STORES / f"0.1.0-dev.{engine}.sql").read_text())


async def migrated(url: str) -> None:
    if engines.is_postgres(url):
        await migrate.on_postgres(url, "the store")
    else:
        migrate.on_sqlite(engines.sqlite_path(url))


async def opened(url: str, *, owner: bool = True) -> Database:
    database = engines.database(url, 4)
    await database.open(owner=owner)
    return database


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """A place for a store, with nothing in it."""
    name = {"sqlite": "sqlite_url", "postgres": "empty_postgres_url"}[request.param]
    place: str = request.getfixturevalue(name)
    return place


# The same tables


class Tables(NamedTuple):
    """All that makes two stores the same, whatever the order in which it came to be."""

    columns: set[tuple[Any, ...]]
    indexes: set[tuple[Any, ...]]
    rest: set[tuple[Any, ...]]


SQLITE_COLUMNS = """
    SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk
    FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c WHERE m.type = 'table'
"""
SQLITE_INDEXES = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
SQLITE_REST = """
    SELECT m.name, 'unique', (SELECT group_concat(name) FROM pragma_index_info(i.name))
    FROM sqlite_master AS m, pragma_index_list(m.name) AS i WHERE m.type = 'table' AND i.origin != 'c'
    UNION ALL
    SELECT m.name, 'reference', f."from" || ' ' || f."table" || ' ' || f."to"
    FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'
    UNION ALL
    SELECT name, sql LIKE '%WITHOUT ROWID%', sql LIKE '%AUTOINCREMENT%' FROM sqlite_master WHERE type = 'table'
"""
POSTGRES_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
        pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation::text
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
        AND NOT a.attisdropped
"""
POSTGRES_INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
POSTGRES_REST = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace AND contype != 'n'
    UNION ALL
    SELECT indexrelid::regclass::text, 'valid', indisvalid::text FROM pg_index
    WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
    UNION ALL
    SELECT relname, 'option', unnest(reloptions) FROM pg_class WHERE relnamespace = current_schema()::regnamespace
"""


async def tables(url: str) -> Tables:
    if engines.is_postgres(url):
        connection = await asyncpg.connect(url)
        try:
            found = [
                {tuple(row) for row in await connection.fetch(query)}
                for query in (POSTGRES_COLUMNS, POSTGRES_INDEXES, POSTGRES_REST)
            ]
        finally:
            await connection.close()
    else:
        plain = sqlite3.connect(engines.sqlite_path(url))
        found = [set(plain.execute(query)) for query in (SQLITE_COLUMNS, SQLITE_INDEXES, SQLITE_REST)]
        plain.close()
    # A revision spells SQL as Alembic does.
    columns, indexes, rest = ({tuple(_plain(value) for value in row) for row in rows} for rows in found)
    return Tables(columns, indexes, {row for row in rest if "schema_version" not in str(row)})


def _plain(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


async def test_the_revisions_lead_to_the_tables_of_the_schema(url: str, tmp_path: Path) -> None:
    await made_by_0_1_0_dev(url)
    await migrated(url)
    found = await tables(url)
    if engines.is_postgres(url):
        name = url.rpartition("=")[2]
        await sql(url, f"DROP SCHEMA {name} CASCADE", f"CREATE SCHEMA {name}")
        wanted_url = url
    else:
        wanted_url = f"sqlite:///{tmp_path / 'wanted.db'}"
    await (await opened(wanted_url)).close()
    wanted = await tables(wanted_url)
    found.columns.difference_update([row for row in found.columns if row[0] == "schema_version"])
    for kind in Tables._fields:
        ours, theirs = getattr(wanted, kind), getattr(found, kind)
        assert (ours - theirs, theirs - ours) == (set(), set()), f"{kind}: {WRITE_ONE}"


def test_the_files_make_one_line() -> None:
    versions.check_line()


LINES = {
    "two with one number": ("1.0 None", '1.1 "1.0"', '1.1 "1.0"'),
    "one that follows another": ("1.0 None", '1.1 "1.0"', '1.2 "1.0"'),
    "a number left out": ("1.0 None", '1.2 "1.1"'),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_no_line(line: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, one in enumerate(line):
        version, before = one.split()
        path = tmp_path / f"v{version.replace('.', '_')}_{place}.py"
        path.write_text(f'\nrevision = "{version}"\ndown_revision = {before}\n')
    monkeypatch.setattr(versions, "REVISIONS", tmp_path)
    with pytest.raises(ConfigError, match="does not follow"):
        versions.check_line()


def test_a_minor_version_only_adds() -> None:
    """What stands in older programs must go on working: they read and write beside it during an upgrade."""
    with create_engine("sqlite://", poolclass=NullPool).begin() as connection:
        before: dict[str, dict[str, Any]] = {}
        for version in versions.known():
            migrate.upgrade(connection, str(version))
            inspector = inspect(connection)
            present = {
                table: {column["name"]: column for column in inspector.get_columns(table)}
                for table in inspector.get_table_names()
            }
            if version.minor:
                for table, columns in before.items():
                    assert columns.keys() <= present[table].keys(), f"{version} takes away from {table}"
                    for name in present[table].keys() - columns.keys():
                        column = present[table][name]
                        assert column["nullable"] or column["default"] is not None, f"{version}: {table}.{name}"
            before = present


# Stores of older and newer programs


async def test_an_unreleased_store_is_brought_up_to_date(url: str) -> None:
    await made_by_0_1_0_dev(url)
    assert await engines.version_of(url) == UNRELEASED
    await migrated(url)
    await migrated(url)  # there is nothing left to do
    assert await engines.version_of(url) == HEAD
    database = await opened(url)
    async with database.reading() as reader:
        assert await messages.lanes(reader) == {BULK: T0, URGENT: T0}
        assert await receipts.find_parts(reader, [("sms.smpp", "77")])
    assert (await load(database, 3)).message.state is State.FINAL
    assert [one.text for one in await claim(database)] == ["text 1"]
    await database.close()


async def test_a_store_is_made_of_the_newest_version(url: str) -> None:
    assert await engines.version_of(url) is None
    await (await opened(url)).close()
    assert await engines.version_of(url) == HEAD
    await migrated(url)


async def test_serve_brings_a_sqlite_file_up_to_date(sqlite_url: str) -> None:
    await made_by_0_1_0_dev(sqlite_url)
    database = await opened(sqlite_url)
    assert await engines.version_of(sqlite_url) == HEAD
    assert [one.text for one in await claim(database)] == ["text 1"]
    await database.close()


@pytest.fixture
def of_a_newer_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "HEAD", HEAD._replace(minor=HEAD.minor + 1))


@pytest.mark.usefixtures("of_a_newer_program")
async def test_an_older_postgres_is_refused_with_the_command_to_run(empty_postgres_url: str) -> None:
    await made_by_0_1_0_dev(empty_postgres_url)
    with pytest.raises(ConfigError, match=r"of version 1.0.*Run `cascade store migrate`"):
        await PostgresDatabase(empty_postgres_url, 4).open(owner=True)


@pytest.mark.usefixtures("of_a_newer_program")
async def test_a_command_leaves_an_older_file_to_its_owner(sqlite_url: str) -> None:
    await made_by_0_1_0_dev(sqlite_url)
    with pytest.raises(ConfigError, match="Run `cascade store migrate`"):
        await opened(sqlite_url, owner=False)


async def test_a_store_with_additions_of_a_newer_program_is_taken(url: str) -> None:
    """So nodes of before the upgrade may start again in the middle of it."""
    await (await opened(url)).close()
    newer = f"UPDATE alembic_version SET version_num = '{HEAD.major}.{HEAD.minor + 7}'"  # noqa: S608 - a number
    await sql(url, newer)
    await (await opened(url)).close()


async def test_other_tables_are_not_taken_for_ours(url: str) -> None:
    if engines.is_postgres(url):
        await sql(url, "CREATE TABLE schema_version (version bigint)")
    else:
        await sql(url, "CREATE TABLE message (id blob)")
    with pytest.raises(ConfigError, match=r"no version that was ever released \(it lacks account\."):
        await migrated(url)
    assert await engines.version_of(url) == UNRELEASED


async def test_a_second_migration_is_refused(empty_postgres_url: str) -> None:
    await made_by_0_1_0_dev(empty_postgres_url)
    first = await asyncpg.connect(empty_postgres_url)
    try:
        await first.execute("SELECT pg_advisory_lock($1)", migrate.MIGRATION_LOCK)
        with pytest.raises(ConfigError, match="somebody else"):
            await migrated(empty_postgres_url)
    finally:
        await first.close()


# Writing one


def test_a_changed_schema_is_seen_and_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = MetaData()
    for table in schema.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["account"].append_column(Column("flavour", Integer))
    index = next(index for index in changed.tables["message"].indexes if index.name == "message_queue")
    type(index)("message_waiting", *index.columns, sqlite_where=index.dialect_options["sqlite"]["where"])
    monkeypatch.setattr(schema, "metadata", changed)
    first, second = revision_writer.write(
        "Know the flavour", revision_writer.bodies(*revision_writer.differences()), HEAD, tmp_path
    )
    assert (first.name, second.name) == (
        f"v{HEAD.major}_{HEAD.minor + 1}_know_the_flavour.py",
        f"v{HEAD.major}_{HEAD.minor + 2}_know_the_flavour.py",
    )
    assert "add_column" in first.read_text()
    assert "create_index" not in first.read_text()
    assert "add_index(" in second.read_text()
    assert f'down_revision = "{HEAD.major}.{HEAD.minor + 1}"' in second.read_text()
    for path in (first, second):
        compile(path.read_text(), path.name, "exec")


def test_the_schema_has_its_revision() -> None:
    assert revision_writer.bodies(*revision_writer.differences()) == [], WRITE_ONE


async def test_an_index_is_added_while_messages_come_and_go(
    empty_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that an interrupted try left invalid is made anew."""
    await made_by_0_1_0_dev(empty_postgres_url)
    await migrated(empty_postgres_url)
    for path in versions.REVISIONS.glob("v*.py"):
        (tmp_path / path.name).write_text(path.read_text())
    code = 'add_index("message_by_sender", "message", ["account_id", "sender"])'
    revision_writer.write("Find by sender", [code], HEAD, tmp_path)
    monkeypatch.setattr(versions, "REVISIONS", tmp_path)
    await sql(
        empty_postgres_url,
        "CREATE INDEX message_by_sender ON message (sender)",
        "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = 'message_by_sender'::regclass",
    )
    database = await opened(empty_postgres_url)
    async with database.transaction() as tx:  # it is under way, and the index waits for it
        await messages.add(tx, [new_message(11)])
        work = asyncio.create_task(migrated(empty_postgres_url))
        while not await is_waiting(empty_postgres_url):
            assert not work.done()
        await add(database, new_message(12))
    await work
    await database.close()
    assert ("message", "message_by_sender") in {row[:2] for row in (await tables(empty_postgres_url)).indexes}
    assert ("message_by_sender", "valid", "true") in (await tables(empty_postgres_url)).rest


async def is_waiting(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CONCURRENTLY%' AND wait_event_type = 'Lock'"
        return bool(await connection.fetchval(query))
    finally:
        await connection.close()
