"""`cascade console`: who may come in, from the server's own terminal."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from cascade.console import access

from .conftest import Run


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def kept(store: Path, name: str) -> str:
    with closing(sqlite3.connect(store)) as opened:
        [(hashed,)] = opened.execute("SELECT password_hash FROM console_user WHERE name = ?", (name,)).fetchall()
    return str(hashed)


def test_a_user_is_added_with_a_password_that_is_shown_this_once(cascade: Run, store: Path) -> None:
    ended = cascade("console", "add", "olena", "--role", "operator")
    assert ended.code == 0
    password = ended.output.splitlines()[-1]
    assert PasswordHasher().verify(kept(store, "olena"), password)
    assert password.encode() not in store.read_bytes()
    listed = json.loads(cascade("console", "list", "--json").output)
    assert [(user["name"], user["role"], user["enabled"]) for user in listed] == [("olena", "operator", True)]


def test_a_password_given_by_the_environment_is_not_shown(
    cascade: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_CONSOLE_PASSWORD", "correct horse battery")
    assert "horse" not in cascade("console", "add", "olena").output
    assert PasswordHasher().verify(kept(store, "olena"), "correct horse battery")
    monkeypatch.setenv("CASCADE_CONSOLE_PASSWORD", "short")
    refused = cascade("console", "password", "olena")
    assert refused.code == 2
    assert "at least 10 characters" in refused.errors


def test_a_user_is_added_once_and_given_a_new_password_by_its_own_command(cascade: Run, store: Path) -> None:
    cascade("console", "add", "olena")
    again = cascade("console", "add", "olena", "--role", "admin")
    assert again.code == 2
    assert "cascade console password olena" in again.errors
    before = kept(store, "olena")
    assert cascade("console", "password", "olena").code == 0
    assert kept(store, "olena") != before


def test_roles_and_doors(cascade: Run) -> None:
    cascade("console", "add", "olena")
    cascade("console", "role", "olena", "admin")
    cascade("console", "disable", "olena")
    [user] = json.loads(cascade("console", "list", "--json").output)
    assert (user["role"], user["enabled"]) == ("admin", False)
    cascade("console", "enable", "olena")
    [user] = json.loads(cascade("console", "list", "--json").output)
    assert user["enabled"]


@pytest.mark.parametrize("command", [("role", "nobody", "admin"), ("disable", "nobody"), ("password", "nobody")])
def test_an_unknown_user_is_named(cascade: Run, command: tuple[str, ...]) -> None:
    ended = cascade("console", *command)
    assert ended.code == 2
    assert "no user of the console is named 'nobody'" in ended.errors
