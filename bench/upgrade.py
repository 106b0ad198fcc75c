"""An upgrade without a pause, tried with two real versions: two gateways of the old one behind nginx on PostgreSQL,
clients that send all the time; the tables are migrated, then one gateway after the other becomes the new version.

    python -m bench.upgrade --old COMMIT --new HEAD

Prints one JSON line a figure, and ends with 1 when a request failed or a message was lost. Needs git and nginx.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import asyncpg
import uvloop
from cryptography.fernet import Fernet

from bench.gateway import child_environment
from bench.ports import free_port
from bench.store import postgres
from cascade.store import engines

ROOT = Path(__file__).parents[1]
SITE = ROOT / "deploy" / "nginx" / "cascade.conf"
SCHEMA = "bench_upgrade"
CLIENTS = 16
CALM_S = 4.0
READY_S = 60.0
SETTLED_S = 60.0
COMMAND = "from cascade.cli.main import main; main()"


def say(figure: str, value: float | str, unit: str = "") -> None:
    print(json.dumps({"figure": figure, "value": value, "unit": unit}), flush=True)


class Load:
    """Clients that send one message after the other through the proxy, each once."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.accepted = 0
        self.failed: list[str] = []
        self.slowest_s = 0.0
        self.is_over = False

    async def run(self) -> None:
        async with aiohttp.ClientSession(headers={"X-Authorization-Key": self._key}) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        count = 0
        while not self.is_over:
            count += 1
            words = {
                "fromName": "Shop",
                "toPhone": f"+38050{number:02}{count:05}",
                "messageType": "promo",
                "text": "Hi",
            }
            begun_at_s = time.perf_counter()
            try:
                async with session.post(
                    f"{self._url}/api/CascadeMessage/send_message/async", json=[{"id": f"{number}-{count}", **words}]
                ) as answer:
                    text = await answer.text()
                    if answer.status == 200:
                        self.accepted += 1
                    else:
                        self.failed.append(f"{answer.status} {text[:200]}")
            except aiohttp.ClientError as error:
                self.failed.append(repr(error))
            self.slowest_s = max(self.slowest_s, time.perf_counter() - begun_at_s)
            await asyncio.sleep(0.05)


class Version:
    """A commit's program, with the libraries of this one."""

    def __init__(self, commit: str, home: Path) -> None:
        self.commit = subprocess.run(
            ["git", "rev-parse", "--short", commit], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.strip()
        self._tree = home / self.commit
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(self._tree), commit], cwd=ROOT, check=True)

    def remove(self) -> None:
        subprocess.run(["git", "worktree", "remove", "--force", str(self._tree)], cwd=ROOT, check=True)

    async def run(self, variables: dict[str, str], *arguments: str) -> str:
        process = await self.start(variables, *arguments, output=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        if process.returncode:
            sys.exit(f"{self.commit}: cascade {' '.join(arguments)} ended with {process.returncode}")
        return output.decode()

    async def start(
        self, variables: dict[str, str], *arguments: str, output: int = asyncio.subprocess.DEVNULL
    ) -> asyncio.subprocess.Process:
        environment = child_environment() | variables | {"PYTHONPATH": str(self._tree / "src")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, *arguments), env=environment, stdout=output, stderr=output or None
        )


async def until_ready(port: int) -> float:
    """The seconds it took."""
    begun_at_s = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - begun_at_s < READY_S:
            try:
                async with session.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                    if answer.status == 200:
                        return time.perf_counter() - begun_at_s
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
    sys.exit(f"the gateway on port {port} is not ready after {READY_S:.0f} s")


def kill(gateways: list[asyncio.subprocess.Process]) -> None:
    for gateway in gateways:
        if gateway.returncode is None:
            gateway.kill()


async def replace(
    old: asyncio.subprocess.Process, new: Version, variables: dict[str, str]
) -> asyncio.subprocess.Process:
    begun_at_s = time.perf_counter()
    old.send_signal(signal.SIGTERM)
    code = await old.wait()
    stopped_s = time.perf_counter() - begun_at_s
    process = await new.start(variables, "serve")
    ready_s = await until_ready(int(variables["CASCADE_HTTP__PORT"]))
    say("gateway_stopped_with", code)
    say("gateway_stop", round(stopped_s, 2), "s")
    say("gateway_start", round(ready_s, 2), "s")
    return process


def nginx_configuration(home: Path, port: int, gateways: list[int]) -> Path:
    """The example's, on our ports and without TLS."""
    site = SITE.read_text()
    site = re.sub(r"server \{\s*listen 80;.*?\n\}\n", "", site, flags=re.DOTALL)
    site = site.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};")
    site = re.sub(r"\n\s*ssl_[^\n]*", "", site)
    for place, gateway in enumerate(gateways):
        site = site.replace(f"127.0.0.1:808{place + 1}", f"127.0.0.1:{gateway}")
    places = "".join(
        f"{kind}_temp_path {home / kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    path = home / "nginx.conf"
    path.write_text(
        f"{user} daemon off; pid {home}/pid; error_log {home}/error.log; events {{}}"
        f" http {{ access_log off; {places} {site} }}"
    )
    return path


async def settled(url: str, count: int) -> tuple[int, int]:
    """How many messages are stored, and how many of them have ended, once all have or the patience is over."""
    connection = await asyncpg.connect(url)
    until_s = time.perf_counter() + SETTLED_S
    try:
        while True:
            stored, final = await connection.fetchrow(
                "SELECT count(*), count(*) FILTER (WHERE state = 'final') FROM message"
            )
            if final >= count or time.perf_counter() > until_s:
                return stored, final
            await asyncio.sleep(0.5)
    finally:
        await connection.close()


async def trial(old: Version, new: Version, home: Path, server: str) -> bool:
    url = f"{server}{'&' if '?' in server else '?'}search_path={SCHEMA}"
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.close()
    proxy, first, second, sandbox, smsc = (free_port() for _ in range(5))
    variables = {
        "CASCADE_STORE__URL": url,
        "CASCADE_SECRETS__KEYS": json.dumps([Fernet.generate_key().decode()]),
        "CASCADE_SMPP__HOST": "127.0.0.1",
        "CASCADE_SMPP__PORT": str(smsc),
        "CASCADE_SMPP__SYSTEM_ID": "bench",
        "CASCADE_SMPP__PASSWORD": "bench",
        "CASCADE_LIMITS__SEND_RATE": "0",
        "CASCADE_LOG__LEVEL": "warning",
    }
    ports = [{**variables, "CASCADE_HTTP__PORT": str(port)} for port in (first, second)]
    key = (await old.run(variables, "account", "add", "acme")).split()[-1]
    say("store_before", str(await engines.version_of(url)))
    async with AsyncExitStack() as stack:
        twins = await new.start({}, "sandbox", "--port", str(sandbox), "--smsc-port", str(smsc))
        stack.callback(twins.kill)
        gateways = [await old.start(one, "serve") for one in ports]
        stack.callback(kill, gateways)
        for port in (first, second):
            await until_ready(port)
        nginx = await asyncio.create_subprocess_exec(
            *(
                "nginx",
                "-p",
                str(home),
                "-e",
                f"{home}/error.log",
                "-c",
                str(nginx_configuration(home, proxy, [first, second])),
            )
        )
        stack.callback(nginx.terminate)
        load = Load(f"http://127.0.0.1:{proxy}", key)
        sending = asyncio.create_task(load.run())
        await asyncio.sleep(CALM_S)
        calm_s, load.slowest_s = load.slowest_s, 0.0
        begun_at_s = time.perf_counter()
        await new.run(variables, "store", "migrate")
        say("migration", round(time.perf_counter() - begun_at_s, 2), "s")
        say("store_after", str(await engines.version_of(url)))
        await asyncio.sleep(CALM_S)
        for place, one in enumerate(ports):
            gateways[place] = await replace(gateways[place], new, one)
            await asyncio.sleep(CALM_S)
        load.is_over = True
        await sending
        stored, final = await settled(url, load.accepted)
        for gateway in gateways:
            gateway.send_signal(signal.SIGTERM)
            await gateway.wait()
    say("requests", load.accepted + len(load.failed))
    say("requests_failed", len(load.failed))
    say("slowest_before", round(calm_s * 1000), "ms")
    say("slowest_during", round(load.slowest_s * 1000), "ms")
    say("messages_stored", stored)
    say("messages_ended", final)
    for fault in load.failed[:10]:
        print(fault, file=sys.stderr)
    return not load.failed and stored == final == load.accepted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, help="a commit")
    parser.add_argument("--new", default="HEAD", help="a commit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cascade-bench-") as temporary, postgres() as server:
        home = Path(temporary)
        old, new = Version(given.old, home), Version(given.new, home)
        say("old", old.commit)
        say("new", new.commit)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                is_well = runner.run(trial(old, new, home, server))
        finally:
            for version in (old, new):
                version.remove()
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
