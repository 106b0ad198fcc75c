"""Every command that the README and the pages in docs/ print is run, in the order of its page, against a demo.

What cannot be run here (it needs systemd, a Docker engine, another machine) is named below with its reason, and by what
it is tried instead. A command that is in no page any more must leave that list, too.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.ports import free_ports

from .processes import KEY, City, cascade, demo, environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
ELSEWHERE = {  # how a command begins: why it is not run here
    "git clone ": "this is the clone",
    "make ": "its targets are what CI runs",
    ".venv/bin/python -m pytest ": "this is the suite",
    "systemctl ": "there is no systemd here",
    "docker ": "there is no Docker engine here",
    "sleep ": "between two of those",
    "useradd ": "it would change the machine",
    "install ": "it would change the machine",
    "python3 -m venv /opt": "it would change the machine",
    "cp deploy/environment.example": "part of the steps for Docker",
    "mkdir deploy/certificates": "part of the steps for Docker",
    "cp /var/lib/cascade": "the backup of a service",
    "cd /var/lib/cascade": "the backup of a service",
    "sqlite3 ": "the backup of a service",
    "pg_dump ": "the backup of a service",
    "pg_restore ": "the backup of a service",
    "createdb ": "the backup of a service",
    "psql ": "the backup of a service",
    "cascade serve -c cascade.toml --role": "one of several nodes on PostgreSQL: tests/bench/test_nodes.py",
    "CASCADE_COPY_TO=": "copies into a PostgreSQL: tests/cli/test_store.py does",
    "pip install dist/": "make clients makes it, and tests/acceptance/test_sdks.py uses it",
    "npm install ./dist": "the same",
}
SERVES = re.compile(r"((?:\w+=\S+ )*)(?:\.venv/bin/)?cascade serve\b([^#]*)")
MESSAGE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
ABBREVIATED = re.compile(r"\b01[0-9a-f]{2}[0-9a-f-]*…")
SHELL = ("bash", "-e", "-o", "pipefail", "-c")
"""It stays until its command has ended: some ask by which shell they are run."""
PEOPLE = "Name,Mobile,Code\nОлена,0501112233,1111\nІван,0671112233,2222\n"


def commands(page: Path) -> list[str]:
    """The commands of a page's blocks: lines joined where a backslash, or an open quotation, goes on."""
    found = []
    for _, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        command = ""
        for line in block.splitlines():
            command = f"{command}\n{line.strip()}" if command else line.strip()
            if not command.endswith("\\") and command.split(" # ")[0].count("'") % 2 == 0:
                if command and not command.startswith("#"):
                    found.append(command)
                command = ""
    return found


def is_elsewhere(command: str) -> bool:
    return command.startswith(tuple(ELSEWHERE))


RUN = {page: some for page in PAGES if (some := [each for each in commands(page) if not is_elsewhere(each)])}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    with demo(tmp_path_factory.mktemp("demo")) as city:
        yield city


class Reader:
    """Somebody who follows one page in a checkout: `seen` is the newest message id that a command printed."""

    def __init__(self, home: Path, town: City) -> None:
        self.home = home
        self.town = town
        self.seen = ""
        here = Path(sys.executable).parent
        (home / ".venv").symlink_to(here.parent)
        (home / "cascade.example.toml").symlink_to(ROOT / "cascade.example.toml")
        (home / "cascade.toml").write_bytes((ROOT / "cascade.example.toml").read_bytes())
        (home / "people.csv").write_text(PEOPLE, encoding="utf-8")
        self.variables = environment(
            {
                "PATH": f"{here}:{os.environ['PATH']}",
                "HOME": str(home),
                "SHELL": "/bin/bash",
                "GATEWAY": town.gateway,
                "KEY": KEY,
                "CASCADE_URL": town.gateway,
                "CASCADE_KEY": KEY,
                "CASCADE_BOT_TOKEN": "123456:token-of-a-bot",
                "CASCADE_HTTP__PORT": str(free_ports(1)),
                "CASCADE_SMPP__PORT": str(urlsplit(town.sandbox).port + 1),  # type: ignore[operator]
                "CASCADE_SMPP__SYSTEM_ID": "demo",
                "CASCADE_SMPP__PASSWORD": "demo",
            }
        )

    def follow(self, command: str) -> None:
        command = command.replace("http://127.0.0.1:8080", self.town.gateway)
        command = command.replace("http://127.0.0.1:8081", self.town.sandbox)
        command = ABBREVIATED.sub(self.seen, command)
        if command.startswith("export "):
            return  # what it sets is set already, to the demo
        if serves := SERVES.match(command):
            self.serve(serves[2].split(), dict(word.split("=", 1) for word in serves[1].split()))
            return
        ended = subprocess.run(
            [*SHELL, f"{command}\nexit"],
            cwd=self.home,
            env=self.variables,
            input="y\n",  # whoever follows a page means it
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        if command.startswith("curl"):
            assert '"error"' not in ended.stdout, f"{command}\n{ended.stdout}"
        for match in MESSAGE_ID.finditer(ended.stdout):
            self.seen = match[0]

    def serve(self, arguments: list[str], variables: dict[str, str]) -> None:
        """Serve until it is ready, then end it as an operator would."""
        given = {name: value for name, value in self.variables.items() if name.startswith("CASCADE_")}
        for name in ("CASCADE_URL", "CASCADE_KEY"):
            given.pop(name)
        with cascade(self.home, "serve", *arguments, **given | variables) as process:
            process.wait_for("gateway_ready")
            code, _ = process.stop()
        assert code == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", RUN, ids=[str(page.relative_to(ROOT)) for page in RUN])
def test_a_page_can_be_followed(page: Path, town: City, tmp_path: Path) -> None:
    reader = Reader(tmp_path, town)
    for command in RUN[page]:
        reader.follow(command)


def test_nothing_is_excused_that_no_page_says() -> None:
    said = [command for page in PAGES for command in commands(page)]
    assert [words for words in ELSEWHERE if not any(command.startswith(words) for command in said)] == []
