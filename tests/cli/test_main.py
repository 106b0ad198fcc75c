"""The commands an operator types."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet

from acceptance.processes import HOST, environment
from acceptance.processes import cascade as in_background
from bench.ports import free_ports

from .conftest import Run

GROUPS = {
    (): (
        *("serve", "demo", "sandbox", "send", "status", "messages", "tags", "link"),
        *("account", "key", "bot", "console", "webhook", "store", "erase"),
    ),
    ("messages",): ("list", "show", "cancel", "hasten", "reschedule"),
    ("tags",): ("progress", "cancel", "hasten", "reschedule"),
    ("link",): ("list",),
    ("subscriber",): ("import", "list", "remove"),
    ("sender",): ("show",),
    ("prices",): ("show",),
    ("routes",): ("show",),
    ("account",): ("add", "list", "show", "limit"),
    ("key",): ("add", "list", "revoke", "new-seal"),
    ("bot",): ("add", "list", "remove", "reseal"),
    ("console",): ("add", "list", "role", "enable", "disable", "password"),
    ("store",): ("version", "migrate", "copy"),
    ("webhook",): (*("add", "list", "show", "enable", "remove", "test", "rotate", "deliveries", "redeliver"),),
}
FOLLOWS_WITHIN_S = 5.0
TOKEN = "123456:telegram-secret"
STATUS = "/bat/message/0198c5a2-7b1e-7c3d-9f2a-3c4d5e6f7a8b"


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: " ".join(("cascade", *group)))
def test_help_names_every_command_and_says_what_each_does(group: tuple[str, ...], cascade: Run) -> None:
    ended = cascade(*group, "--help")
    assert (ended.code, ended.errors) == (0, "")
    for command in GROUPS[group]:
        (line,) = (line for line in ended.output.splitlines() if line.strip("│ ").startswith(f"{command} "))
        assert len(line.strip("│ ").split(maxsplit=1)[1]) > 10
        assert cascade(*group, command, "--help").code == 0


def test_an_account_is_added_with_its_first_key_alone_on_the_last_line(cascade: Run) -> None:
    ended = cascade("account", "add", "acme")
    assert ended.code == 0
    key = ended.output.splitlines()[-1]
    assert len(key) >= 40
    assert key == key.strip()


def test_an_account_is_added_once(cascade: Run) -> None:
    cascade("account", "add", "acme")
    ended = cascade("account", "add", "acme")
    assert (ended.code, ended.output) == (2, "")
    assert "there is an account 'acme' already" in ended.errors
    assert json.loads(cascade("account", "list", "--json").output) == [{"account": "acme", "keys": 1, "bots": 0}]


def test_a_limit_changes_what_it_is_told_and_nothing_else(cascade: Run) -> None:
    cascade("account", "add", "acme")
    told = cascade("account", "limit", "acme", "--strict", "--sender", "Acme", "--send-rate", "5:10", "--json")
    limits = {"strict": True, "senders": ["Acme"], "sendRate": "5:10", "readRate": "50:75 (default)"}
    assert json.loads(told.output) == {"account": "acme", **limits}
    cascade("account", "limit", "acme", "--read-rate", "7:8")
    shown = json.loads(cascade("account", "show", "acme", "--json").output)
    assert {name: shown[name] for name in limits} == limits | {"readRate": "7:8"}
    cascade("account", "limit", "acme", "--lenient", "--any-sender", "--send-rate", "default")
    shown = json.loads(cascade("account", "show", "acme", "--json").output)
    assert (shown["strict"], shown["senders"], shown["sendRate"]) == (False, "any", "100:150 (default)")
    assert shown["readRate"] == "7:8"
    assert shown["keys"] == ["first"]


def test_bots_are_listed_and_removed(cascade: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("acme", "beta"):
        cascade("account", "add", name)
    for token, link in (("1:a", "telegram_bot.1"), ("2:b", "telegram_bot.2")):
        monkeypatch.setenv("CASCADE_BOT_TOKEN", token)
        assert link in cascade("bot", "add", "acme", "telegram_bot").output
    assert "has this bot: telegram_bot.2" in cascade("bot", "add", "acme", "telegram_bot").output
    assert "belongs to another account" in cascade("bot", "add", "beta", "telegram_bot").errors
    assert "'beta' has no bot telegram_bot.2" in cascade("bot", "remove", "beta", "telegram_bot.2").errors
    assert cascade("bot", "remove", "acme", "telegram_bot.2").code == 0
    (left,) = json.loads(cascade("bot", "list", "acme", "--json").output)
    assert (left["link"], left["channel"], left["subscribers"]) == ("telegram_bot.1", "telegram_bot", 0)
    again = json.loads(cascade("bot", "add", "acme", "telegram_bot", "--json").output)
    assert again["isNew"]
    assert again["link"] not in ("telegram_bot.1", "telegram_bot.2")


def test_the_version_is_the_packages(cascade: Run) -> None:
    assert cascade("--version").output == f"cascade {version('cascade-gateway')}\n"


QUICK = """
import sys
from cascade.cli import main
sys.argv = ["cascade", "--help"]
try:
    main.main()
finally:
    heavy = ("fastapi", "sqlalchemy", "cascade.serve")
    print(*(name for name in sys.modules if name.startswith(heavy)), file=sys.stderr)
"""


def test_what_lists_the_commands_loads_none_of_them() -> None:
    ended = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
    assert "webhook" in ended.stdout
    assert ended.stderr == "\n"


def test_a_shell_completes_commands_and_their_options(tmp_path: Path) -> None:
    def completed(typed: str) -> set[str]:
        variables = environment(
            {"_CASCADE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        )
        command = (
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'cascade'; from cascade.cli.main import main; main()",
        )
        ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        return set(ended.stdout.split())

    assert {"account", "webhook"} <= completed("cascade ")
    assert completed("cascade account ") == {"add", "list", "show", "limit"}
    assert "--send-rate" in completed("cascade account limit --")


def test_accounts_are_listed_with_their_keys_and_bots(cascade: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_BOT_TOKEN", TOKEN)
    for name in ("beta", "acme"):
        cascade("account", "add", name)
    cascade("key", "add", "acme", "--name", "shop")
    cascade("bot", "add", "acme", "telegram_bot")
    rows = [line.split() for line in cascade("account", "list").output.splitlines()]
    assert ["account", "keys", "bots"] in rows
    assert [row for row in rows if row and row[0] in ("acme", "beta")] == [["acme", "2", "1"], ["beta", "1", "0"]]


def test_nothing_secret_lies_in_the_store_in_the_clear(
    cascade: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_BOT_TOKEN", TOKEN)
    key = cascade("account", "add", "acme").output.split()[-1]
    assert TOKEN not in cascade("bot", "add", "acme", "telegram_bot").output
    kept = b"".join(path.read_bytes() for path in store.parent.iterdir())
    for secret in (key, TOKEN):
        assert secret.encode() not in kept


def test_the_seals_key_is_the_owners_alone(cascade: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_BOT_TOKEN", TOKEN)
    cascade("account", "add", "acme")
    cascade("bot", "add", "acme", "viber_bot")
    assert (store.parent / "cascade.key").stat().st_mode & 0o077 == 0


def test_a_new_seal_can_seal(cascade: Run) -> None:
    Fernet(cascade("key", "new-seal").output.strip())


def test_a_command_line_that_makes_no_sense_is_explained(cascade: Run) -> None:
    ended = cascade("frobnicate")
    assert ended.code == 2
    assert "No such command" in ended.errors


REFUSED = {
    "a key for nobody": (("key", "add", "nobody", "--name", "x"), 2, "no account is named 'nobody'"),
    "a key of nobody revoked": (("key", "revoke", "nobody", "x"), 2, "`cascade account list` names them"),
    "a bot for nobody": (("bot", "add", "nobody", "telegram_bot", "--token", "t"), 2, "no account is named"),
    "a bot for a channel without bots": (("bot", "add", "acme", "sms", "--token", "t"), 2, "telegram_bot or viber_bot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_in_one_line(case: str, cascade: Run) -> None:
    arguments, code, words = REFUSED[case]
    cascade("account", "add", "acme")
    ended = cascade(*arguments)
    assert (ended.code, ended.output) == (code, "")
    (line,) = ended.errors.splitlines()
    assert line.startswith("cascade: ")
    assert words in line


NO_STORE = {  # a command, a URL, and words of the line that refuses it
    "PostgreSQL is not there": (
        ("account", "list"),
        "postgresql://shop:hunter2@127.0.0.1:9/shop",
        "cannot open postgresql://127.0.0.1:9/shop",
    ),
    "no port": (("serve",), "postgresql://shop:hunter2@127.0.0.1:port/shop", "it is no PostgreSQL URL"),
    "another engine": (("serve",), "mysql://shop:hunter2@127.0.0.1/shop", "it names no store"),
}


@pytest.mark.parametrize("case", NO_STORE)
def test_a_store_that_cannot_be_opened_is_one_line(case: str, cascade: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    command, url, words = NO_STORE[case]
    monkeypatch.setenv("CASCADE_STORE__URL", url)
    monkeypatch.setenv("CASCADE_HTTP__PORT", "0")
    ended = cascade(*command)
    assert (ended.code, ended.output) == (2, "")
    (line,) = ended.errors.splitlines()
    assert line.startswith("cascade: store.url: ")
    assert words in line
    assert "hunter2" not in line


def test_a_key_that_is_not_there_cannot_be_revoked(cascade: Run) -> None:
    cascade("account", "add", "acme")
    assert cascade("key", "revoke", "acme", "nothing").code == 1


@pytest.fixture
def gateway(store: Path) -> Iterator[str]:
    """A gateway that runs on the same store, and its URL."""
    port = free_ports(1)
    variables = {"CASCADE_STORE__URL": f"sqlite:///{store}", "CASCADE_HTTP__PORT": str(port)}
    with in_background(store.parent / "gateway", "serve", **variables) as process:
        process.wait_for("gateway_ready")
        yield f"http://{HOST}:{port}"


def test_a_running_gateway_follows_within_seconds(cascade: Run, gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cascade("account", "add", "acme")
    key = {"X-Authorization-Key": cascade("key", "add", "acme", "--name", "shop").output.strip()}
    until(gateway, key, 404)
    monkeypatch.setenv("CASCADE_BOT_TOKEN", TOKEN)
    cascade("bot", "add", "acme", "telegram_bot")
    until(gateway, {"X-Tg-Bot-Key": TOKEN}, 404)
    assert cascade("key", "revoke", "acme", "shop").code == 0
    until(gateway, key, 401)


def until(gateway: str, credential: dict[str, str], status: int) -> None:
    """Until asking for an unknown message is answered so: 404 for whoever is let in, 401 for others."""
    deadline = time.monotonic() + FOLLOWS_WITHIN_S
    while requests.get(gateway + STATUS, headers=credential, timeout=5).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)
