"""What keeps Cascade from starting is one line that names the setting and the fix, and exit code 2."""

import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.ports import free_ports

from .processes import HOST, City, run

AT_ONCE = 4
PORTS = 4
"""As many has a demo, and each case its own: a start that is refused late has listened for a moment."""


class Case(NamedTuple):
    """`{home}` is a directory of the test's own, `{taken}` a port that another program has, `{free}` none has."""

    arguments: str
    variables: dict[str, str]
    toml: str
    names: str
    fix: str


CASES = {
    "no such file": Case("serve -c {home}/nowhere.toml", {}, "", "--config", "Name a file that exists"),
    "malformed TOML": Case("serve -c {home}/c.toml", {}, "[http\n", "--config", "Mend that line"),
    "a mistyped setting": Case("serve -c {home}/c.toml", {}, "[http]\nprot = 1\n", "http.prot", "Did you mean 'port'?"),
    "a mistyped variable": Case("serve", {"CASCADE_HTPP__PORT": "1"}, "", "CASCADE_HTPP__PORT", "CASCADE_HTTP"),
    "a variable that is no JSON": Case("serve", {"CASCADE_ROUTES": "x"}, "", "CASCADE_ROUTES", "Write JSON"),
    "a port that is taken": Case(
        "serve", {"CASCADE_HTTP__PORT": "{taken}"}, "", "http.port", "Stop what uses it, or name another"
    ),
    "an address of another machine": Case("serve", {"CASCADE_HTTP__HOST": "192.0.2.1"}, "", "http.host", "127.0.0.1"),
    "a directory that is a file": Case(
        "serve", {"CASCADE_STORE__URL": "sqlite:///{home}/c.toml/c.db"}, "", "store.url", "can be written to"
    ),
    "a directory nobody can write to": Case(
        "serve", {"CASCADE_STORE__URL": "sqlite:////proc/cascade/c.db"}, "", "store.url", "can be written to"
    ),
    "a store that is no database": Case(
        "serve", {"CASCADE_STORE__URL": "sqlite:///{home}/c.toml"}, "no database" * 500, "store.url", "Name a file"
    ),
    "a seal that is no key": Case("serve", {"CASCADE_SECRETS__KEYS": '["x"]'}, "", "secrets.keys", "new-seal"),
    "demo: its port is taken": Case("demo --port {taken} --home {home}", {}, "", "--port", "name another"),
    "demo: the sandbox's port is taken": Case("demo --port {before} --home {home}", {}, "", "--port", "name another"),
    "demo: its home is a file": Case("demo --port {free} --home {home}/c.toml", {}, "", "--home", "can be written"),
    "sandbox: its port is taken": Case("sandbox --port {taken}", {}, "", "--port", "name another"),
}


@pytest.fixture(scope="module")
def endings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "subprocess.CompletedProcess[str]"]]:
    """How each case ended. They do not touch one another, and most of the time is the interpreter's start."""
    before = free_ports(2 + PORTS * len(CASES))
    taken, free = before + 1, before + 2
    with socket.socket() as other, ThreadPoolExecutor(AT_ONCE) as pool:
        other.bind((HOST, taken))
        other.listen()
        places = {"taken": str(taken), "before": str(before)}
        begun = {}
        for number, case in enumerate(CASES):
            own = {"free": str(free + number * PORTS), "home": str(tmp_path_factory.mktemp("home"))}
            begun[case] = pool.submit(start, CASES[case], places | own)
        yield {case: ending.result() for case, ending in begun.items()}


def start(case: Case, places: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    home = Path(places["home"])
    (home / "c.toml").write_text(case.toml)
    ours = {"CASCADE_STORE__URL": f"sqlite:///{home / 'cascade.db'}", "CASCADE_HTTP__PORT": places["free"]}
    theirs = {name: re.sub(r"{(\w+)}", lambda place: places[place[1]], text) for name, text in case.variables.items()}
    return run(*case.arguments.format(**places).split(), **(ours | theirs))


@pytest.mark.parametrize("case", CASES)
def test_is_refused(case: str, endings: dict[str, "subprocess.CompletedProcess[str]"]) -> None:
    ended = endings[case]
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("cascade: ")
    assert CASES[case].names in line
    assert CASES[case].fix in line


def test_two_gateways_cannot_share_a_store(city: City) -> None:
    home = city.process.output.parent / "cascade-home"
    ended = run("demo", "--port", str(free_ports(4)), "--home", str(home))
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "is in use by another cascade. Stop it" in line
