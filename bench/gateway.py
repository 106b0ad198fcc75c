"""The real `cascade serve` in a process of its own, with a store and a port of its own."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from pydantic import SecretStr

from bench.http_client import HOST, Answer, Connection, request
from bench.ports import free_port
from cascade.core.directory import ApiKey
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.serve import now_ms, open_seal
from cascade.settings import Secrets, Settings, Store
from cascade.store import accounts, engines
from cascade.store.database import Transaction

COMMAND = Path(sys.executable).with_name("cascade")
READY_S = 30.0
CONNECTIONS = 8
ACCOUNT_CONNECTIONS = 4
STOP_S = 15.0
POLL_S = 0.01
LIMITS = "[limits]\nsend_rate = 1000000\nsend_burst = 1000000\nread_rate = 1000000\nread_burst = 1000000\n"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


class GatewayDiedError(Exception):
    """The gateway ended by itself; the message holds the end of its log."""


def child_environment() -> dict[str, str]:
    """Ours without the settings of a gateway, which would win over those of the bench."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CASCADE_")}


class Gateway:
    """`settings` is TOML beyond `[store]`, `[http]` and `[limits]`. `store_url` None: a SQLite file in `home`.
    `public_url` None: its own. `seal` None: one of its own. The log is `gateway.log` in `home`, appended at each start.
    """

    def __init__(
        self,
        home: Path,
        settings: str,
        *,
        store_url: str | None = None,
        public_url: str | None = None,
        seal: str | None = None,
        role: str = "all",
    ) -> None:
        self.port = free_port()
        self.key = secrets.token_urlsafe(32)
        self.home = home
        self._settings = settings
        self.store_url = store_url or f"sqlite:///{home / 'cascade.db'}"
        self._public_url = public_url or self.url
        self._seal = seal
        self._role = role
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def prepare(self, bots: Mapping[str, str]) -> None:
        """Write the configuration, make the account with its key and its bots (channel to token)."""
        self.configure()
        database = engines.database(self.store_url, ACCOUNT_CONNECTIONS)
        await database.open(owner=False)
        try:
            async with database.transaction() as tx:
                await self._add_account(tx, bots)
        finally:
            await database.close()

    async def add_account(self, name: str) -> str:
        """One more account, while the gateway does not run; its key."""
        key = secrets.token_urlsafe(32)
        database = engines.database(self.store_url, ACCOUNT_CONNECTIONS)
        await database.open(owner=False)
        try:
            async with database.transaction() as tx:
                account_id = await accounts.add_account(tx, name, now_ms())
                await accounts.add_key(tx, ApiKey(account_id, name), Secret(key), now_ms())
        finally:
            await database.close()
        return key

    def configure(self) -> None:
        """Write the configuration."""
        self.home.mkdir(parents=True, exist_ok=True)
        keys = f'[secrets]\nkeys = ["{self._seal}"]\n' if self._seal is not None else ""
        self._configuration.write_text(
            f'[store]\nurl = "{self.store_url}"\nconnections = {CONNECTIONS}\n{LIMITS}{keys}'
            f'[http]\nport = {self.port}\npublic_url = "{self._public_url}"\n{self._settings}',
            encoding="utf-8",
        )

    async def start(self) -> float:
        """Start it; the seconds until it was ready. Raises `GatewayDiedError` when it ends before."""
        began_s = time.perf_counter()
        try:
            await self.spawn()
            await self.ready()
        except BaseException:  # nobody else will end it
            await self.kill()
            raise
        return time.perf_counter() - began_s

    async def spawn(self) -> None:
        with (self.home / "gateway.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                COMMAND,
                "serve",
                "--config",
                self._configuration,
                "--role",
                self._role,
                stdout=log,
                stderr=log,
                env=child_environment(),
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )

    async def ready(self) -> None:
        """Return when it answers that it is ready."""
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    if (await self.ask("GET", "/health/ready")).status == 200:
                        return
                except OSError:
                    pass
                if self._process is None or self._process.returncode is not None:
                    end = (self.home / "gateway.log").read_text(encoding="utf-8")[-2000:]
                    raise GatewayDiedError(f"the gateway ended before it was ready:\n{end}")
                await asyncio.sleep(POLL_S)

    async def kill(self) -> None:
        """`kill -9`; return when it is gone."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    async def terminate(self) -> tuple[int, float]:
        """SIGTERM; its exit code and the seconds it took. Killed when it takes longer than `STOP_S`."""
        if self._process is None:
            return 0, 0.0
        began_s = time.perf_counter()
        self.signal_stop()
        try:
            code = await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            await self.kill()
            code = -signal.SIGKILL
        return code, time.perf_counter() - began_s

    def signal_stop(self) -> None:
        """SIGTERM, without waiting for what follows."""
        self._signal(signal.SIGTERM)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds since its start, user and system, of it and of the processes that it began and that still run."""
        times = [process.cpu_times() for process in self._processes()]
        return float(sum(one.user + one.system for one in times))

    def memory_bytes(self) -> int:
        """What all of them hold."""
        return int(sum(process.memory_info().rss for process in self._processes()))

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """One request on a connection of its own. Raises OSError when there is no answer."""
        async with await Connection.open(self.port) as connection:
            return await connection.ask(request(method, path, self.key, body))

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        answer = await self.ask("GET", "/metrics")
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        return sum(
            float(value)
            for found, carried, value in SAMPLE.findall(answer.body.decode())
            if found == name and wanted <= set(carried.split(","))
        )

    async def until_metric(self, name: str, least: float, within_s: float, **labels: str) -> None:
        """Return when the metric has reached `least`. Raises TimeoutError.

        It asks often only when that is near: each answer costs the gateway some milliseconds.
        """
        began_s = time.perf_counter()
        async with asyncio.timeout(within_s):
            while (value := await self.metric(name, **labels)) < least:
                left_s = (time.perf_counter() - began_s) * (least - value) / max(value, 1)
                await asyncio.sleep(min(max(left_s / 2, 0.02), 1.0))

    @property
    def _configuration(self) -> Path:
        return self.home / "cascade.toml"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _add_account(self, tx: Transaction, bots: Mapping[str, str]) -> None:
        """What `cascade account add` and `cascade bot add` do, without a second of start for each."""
        account_id = await accounts.add_account(tx, "bench", now_ms())
        await accounts.add_key(tx, ApiKey(account_id, "bench"), Secret(self.key), now_ms())
        keys = [SecretStr(self._seal)] if self._seal is not None else []
        seal = open_seal(Settings.model_construct(store=Store(url=self.store_url), secrets=Secrets(keys=keys)))
        for channel, token in bots.items():
            await accounts.add_bot(tx, seal, account_id, Channel(channel), Secret(token), now_ms())


def require_command() -> None:
    """Raises FileNotFoundError when the `cascade` command is not installed beside this Python."""
    if shutil.which(COMMAND) is None:
        raise FileNotFoundError(f"{COMMAND} is missing: run `make install`")
