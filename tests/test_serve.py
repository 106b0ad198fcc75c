"""The front hall's own work: the file with the key that seals secrets, and a start without the store."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from bench.ports import free_port
from cascade import serve
from cascade.core.errors import ConfigError, StoreUnreachableError
from cascade.core.message import State
from cascade.core.secret import Secret
from cascade.serve import Gateway, node_name, open_seal
from cascade.settings import Http, Settings, Store
from cascade.store import accounts, webhooks
from cascade.store.database import Reader
from cascade.store.postgres import PostgresDatabase
from store.given import T0, add, new, queued


def at(home: Path) -> Settings:
    return Settings(store=Store(url=f"sqlite:///{home / 'cascade.db'}"))


def test_the_first_start_makes_the_key_and_the_next_one_uses_it(tmp_path: Path) -> None:
    sealed = open_seal(at(tmp_path)).close(Secret("token"))
    assert open_seal(at(tmp_path)).open(sealed) == Secret("token")
    [file] = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_that_could_not_be_written_whole_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        open_seal(at(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_another_start_makes_meanwhile_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = open_seal(at(tmp_path)).close(Secret("token"))
    with monkeypatch.context() as earlier:
        earlier.setattr(Path, "exists", lambda _: False)
        assert open_seal(at(tmp_path)).open(sealed) == Secret("token")


async def test_a_store_that_is_away_at_the_start_is_waited_for_and_clients_are_told_to_come_back(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the key file of a store on PostgreSQL lies
    for name, value in (("START_S", 0.01), ("STORE_RETRY_S", 0.01), ("freeze_memory", lambda: None)):
        monkeypatch.setattr(serve, name, value)
    is_away = True
    opened = PostgresDatabase.open

    async def open_if_there(self: PostgresDatabase, *, owner: bool) -> None:
        if is_away:
            raise StoreUnreachableError("store.url", "no answer", "Start PostgreSQL")
        await opened(self, owner=owner)

    monkeypatch.setattr(PostgresDatabase, "open", open_if_there)
    port = free_port()
    running = asyncio.create_task(
        serve.serve(Settings(store=Store(url=postgres_url, connections=4), http=Http(port=port)))
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:

        async def ask(method: str, path: str) -> tuple[int, str | None]:
            try:
                async with client.request(method, path) as answer:
                    return answer.status, answer.headers.get("Retry-After")
            except aiohttp.ClientConnectorError:
                return 0, None

        await eventually(lambda: ask("GET", "/health/live"), (200, None))
        for method, path in (
            ("GET", "/health/ready"),
            ("POST", "/api/CascadeMessage/send_message/async"),
            ("POST", "/callbacks/viber_bot.1"),
        ):
            assert await ask(method, path) == (503, "1")
        is_away = False
        await eventually(lambda: ask("GET", "/health/ready"), (200, None))
        assert await ask("POST", "/callbacks/viber_bot.1") == (404, None)
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_what_comes_about_as_it_starts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran out of time while it was away is the first thing that a start decides, however slowly the store says who
    is told of it."""
    settings = at(tmp_path)
    before = Gateway(settings)
    await before.start()
    async with before.database.transaction() as tx:
        account_id = await accounts.add_account(tx, "acme", T0)
        webhook, _ = webhooks.new(account_id, "https://x.example", open_seal(settings), T0)
        await webhooks.add(tx, webhook)
    await before.stop()
    database = settings.store.database()
    await database.open(owner=True)
    await add(database, *(new(n, queued(state=State.WAITING, deadline_at_ms=T0)) for n in range(100)))
    await database.close()
    load = accounts.load

    async def load_slowly(reader: Reader, seal: accounts.Seal) -> accounts.Accounts:
        await asyncio.sleep(0.5)
        return await load(reader, seal)

    monkeypatch.setattr(accounts, "load", load_slowly)
    gateway = Gateway(settings)
    await gateway.start()

    async def events() -> int:
        async with gateway.database.reading() as reader:
            return len(await reader.rows("SELECT id FROM event"))

    try:
        await eventually(events, 100)
    finally:
        await gateway.stop()


async def eventually(ask: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(20):
        while await ask() != expected:  # noqa: ASYNC110 - any question will do
            await asyncio.sleep(0.01)


@pytest.mark.skipif(
    not Path("/proc/sys/kernel/random/boot_id").exists(), reason="elsewhere each start has another name"
)
def test_no_two_nodes_that_live_have_one_name() -> None:
    """Copies of a machine are told apart by their boots, containers by their networks, others by the port."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    name = node_name(8081)
    assert name == node_name(8081) != node_name(8082)
    assert boot in name
    assert name.endswith(f"/{Path('/proc/self/ns/net').stat().st_ino}")
