"""Starts the `cascade` command as a user does, on free ports and in a directory of its own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from bench.ports import free_ports

HOST = "127.0.0.1"
KEY = "your-api-key"
TELEGRAM = "your-telegram-key"
VIBER = "your-viber-token"
SMPP_PASSWORD = "hunter2!"
SEND = "/api/CascadeMessage/send_message/async"
COMMAND = (sys.executable, "-c", "from cascade.cli.main import main; main()")
START_S = 45.0
STOP_S = 10.0
FINAL = {"delivered", "undeliverable", "permanenterror"}


@dataclass
class Process:
    """A `cascade` command that runs; what it writes is in `output` and, the log, in `errors`."""

    popen: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    @property
    def log(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def stop(self) -> tuple[int, float]:
        """Ask it to end; its exit code, and how many seconds it took."""
        begun_at = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(STOP_S), time.monotonic() - begun_at

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """The first match in what it wrote; fails when it ends, or takes too long, without one."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            has_ended = self.popen.poll() is not None
            match = re.search(pattern, self.output.read_text(encoding="utf-8") + self.log)
            if match:
                return match
            assert not has_ended, f"ended with {self.popen.returncode}: {self.log}"
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in {START_S} s: {self.log}")


@contextlib.contextmanager
def cascade(home: Path, *arguments: str, **variables: str) -> Iterator[Process]:
    """Run a command in the background; killed in the end if it still runs."""
    home.mkdir(parents=True, exist_ok=True)
    number = len(list(home.glob("*.out")))
    output, errors = home / f"{number}.out", home / f"{number}.err"
    with output.open("wb") as out, errors.open("wb") as err:
        popen = subprocess.Popen([*COMMAND, *arguments], cwd=home, env=environment(variables), stdout=out, stderr=err)
    try:
        yield Process(popen, output, errors)
    finally:
        popen.kill()
        popen.wait()


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without any settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CASCADE_")} | dict(variables)


@dataclass(frozen=True)
class City:
    """A running gateway, and the sandbox behind it."""

    process: Process
    gateway: str
    sandbox: str
    key: str = KEY

    @property
    def auth(self) -> dict[str, str]:
        return {"X-Authorization-Key": self.key}

    def people(self, phone: str, **channels: str) -> None:
        requests.put(f"{self.sandbox}/people/{phone}", json=channels, timeout=10).raise_for_status()

    def inbox(self, phone: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.sandbox}/people/{phone}/inbox", timeout=10)
        answer.raise_for_status()
        return list(answer.json())

    def send(self, *messages: dict[str, Any]) -> list[str]:
        answer = requests.post(self.gateway + SEND, json=messages, headers=self.auth, timeout=10)
        assert answer.status_code == 200, answer.text
        return [sent["messageId"] for sent in answer.json()]

    def status(self, message_id: str) -> dict[str, Any]:
        while True:
            answer = requests.get(f"{self.gateway}/bat/message/{message_id}", headers=self.auth, timeout=10)
            if answer.status_code != 429:
                answer.raise_for_status()
                return dict(answer.json())
            time.sleep(float(answer.headers["Retry-After"]))

    def until(self, message_id: str, *words: str, within_s: float) -> dict[str, Any]:
        """Its status object, once its delivery status or the event of a timeline entry is one of `words`."""
        deadline = time.monotonic() + within_s
        while True:
            status = self.status(message_id)
            if {status["deliverystatus"], *(entry["event"] for entry in status["timeline"])} & set(words):
                return status
            assert time.monotonic() < deadline, status
            time.sleep(0.1)


@contextlib.contextmanager
def demo(home: Path) -> Iterator[City]:
    """`cascade demo --quiet`, ready."""
    port = free_ports(4)
    with cascade(home, "demo", "--quiet", "--port", str(port), "--home", str(home / "cascade-home")) as process:
        process.wait_for("ready")
        yield City(process, f"http://{HOST}:{port}", f"http://{HOST}:{port + 1}")


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(variables), capture_output=True, text=True, timeout=60, check=False
    )


def add_account(home: Path) -> str:
    """Make the gateway's store, with an account; its API key."""
    added = run("account", "add", "acme", CASCADE_STORE__URL=store_url(home))
    assert added.returncode == 0, added.stderr
    return added.stdout.split()[-1]


@contextlib.contextmanager
def sandbox(home: Path, gateway_port: int, key: str) -> Iterator[tuple[str, int]]:
    """`cascade sandbox`, ready: its URL and its SMSC's port. It tells the gateway of subscribers, with that key."""
    port = free_ports(2)
    arguments = (
        "--port",
        str(port),
        "--smsc-port",
        str(port + 1),
        "--sip-port",
        "0",
        "--gateway",
        f"http://{HOST}:{gateway_port}",
    )
    with cascade(home, "sandbox", *arguments, CASCADE_SANDBOX_KEY=key) as process:
        process.wait_for("sandbox_started")
        yield f"http://{HOST}:{port}", port + 1


def store_url(home: Path) -> str:
    return f"sqlite:///{home / 'cascade.db'}"


def gateway_settings(home: Path, port: int, sandbox_url: str, smsc_port: int) -> dict[str, str]:
    """The environment of a gateway whose providers are the sandbox's."""
    return {
        "CASCADE_STORE__URL": store_url(home),
        "CASCADE_HTTP__PORT": str(port),
        "CASCADE_HTTP__PUBLIC_URL": f"http://{HOST}:{port}",
        "CASCADE_LIMITS__READ_RATE": "0",
        "CASCADE_LOG__LEVEL": "debug",
        "CASCADE_TELEGRAM_BOT__BASE_URL": sandbox_url,
        "CASCADE_VIBER_BOT__BASE_URL": sandbox_url,
        "CASCADE_SMPP__PORT": str(smsc_port),
        "CASCADE_SMPP__SYSTEM_ID": "acme",
        "CASCADE_SMPP__PASSWORD": SMPP_PASSWORD,
    }
