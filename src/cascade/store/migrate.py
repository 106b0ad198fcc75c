"""Brings a store to the version of this program, by the revisions of `migrations/versions`.

On SQLite all of them are one transaction. On PostgreSQL each is one, so that none holds its locks for long; what is
interrupted goes on where it was.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, NullPool, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from cascade.core.errors import ConfigError
from cascade.store import schema, versions  # noqa: F401 - the schema says how PostgreSQL spells a text
from cascade.store.versions import UNRELEASED

log = structlog.get_logger()

MIGRATION_LOCK = 0x6D696772
LOCK_TIMEOUT = "3s"
"""How long a change waits for the transactions before it: as long, those after it wait too."""
LOCK_TRIES = 20
LOCK_PAUSE_S = 1.0
LOCK_NOT_AVAILABLE = "55P03"
Columns = dict[str, set[str]]


def upgrade(connection: Connection, to: str = "head") -> None:
    """Apply what is missing up to that version: inside the caller's transaction or, outside of one, each in its own."""
    config = Config()
    config.set_main_option("script_location", str(versions.MIGRATIONS))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(versions.REVISIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10, isolation_level=None)


def on_sqlite(path: Path, to: str = "head") -> None:
    """Migrate a file whose owner the caller is: all of it or nothing. One of UNRELEASED is recognised."""
    engine = create_engine("sqlite://", creator=lambda: _sqlite(path), poolclass=NullPool)
    # Python's driver would begin no transaction for a change of tables.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            if not inspect(connection).has_table("alembic_version"):
                _adopt(connection, str(path))
            upgrade(connection, to)
    except DBAPIError as error:
        raise (error.orig or error) from None


async def on_postgres(url: str, shown: str, to: str = "head") -> None:
    """Migrate while nodes are at work. `ConfigError` while somebody else does, and when no moment comes up in which a
    table can be changed."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.connect() as connection:

        async def run(work: Callable[[Connection], Any]) -> Any:
            return await connection.run_sync(work)

        if not await run(lambda on: on.exec_driver_sql(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})").scalar()):
            raise ConfigError("store.url", f"{shown} is being migrated by somebody else", "Wait until that is done")
        await run(lambda on: on.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        if not await run(lambda on: inspect(on).has_table("alembic_version")):
            await run(lambda on: _adopt(on, shown))
        await connection.commit()
        for tries_left in reversed(range(LOCK_TRIES)):
            try:
                await run(lambda on: upgrade(on, to))
                break
            except DBAPIError as error:
                await connection.rollback()
                if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                if not tries_left:
                    raise ConfigError(
                        "store.url",
                        f"a table of {shown} is held by transactions that do not end",
                        "Look into pg_stat_activity, end them, and run it again: it goes on where it is",
                    ) from error
            log.warning("migration_waits", store=shown)
            await asyncio.sleep(LOCK_PAUSE_S)
    await engine.dispose()


def _adopt(connection: Connection, shown: str) -> None:
    """Mark a store from before there were revisions, if its tables really are those of the first one."""
    with create_engine("sqlite://", poolclass=NullPool).begin() as blank:
        upgrade(blank, str(UNRELEASED))
        missing = _missing(_columns(blank), _columns(connection))
    if missing:
        raise ConfigError(
            "store.url",
            f"{shown} is of no version that was ever released (it lacks {', '.join(sorted(missing)[:3])})",
            "Begin a new store",
        )
    connection.exec_driver_sql(versions.TABLE)
    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{UNRELEASED}')")  # noqa: S608 - a number


def _columns(connection: Connection) -> Columns:
    inspector = inspect(connection)
    return {table: {column["name"] for column in inspector.get_columns(table)} for table in inspector.get_table_names()}


def _missing(wanted: Columns, present: Columns) -> list[str]:
    return [
        f"{table}.{column}"
        for table, columns in wanted.items()
        if table != "alembic_version"
        for column in columns - present.get(table, set())
    ]
