"""`cascade store`: which version a store is of, and bringing it up to date."""

import json
import sqlite3
from pathlib import Path

import pytest

from cascade.store.versions import HEAD

from .conftest import Run

DEV = Path(__file__).parents[1] / "store" / "stores" / "0.1.0-dev.sqlite.sql"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_an_empty_place_becomes_a_store(
    engine: str, cascade: Run, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "postgres":
        monkeypatch.setenv("CASCADE_STORE__URL", request.getfixturevalue("empty_postgres_url"))
    assert json.loads(cascade("store", "version", "--json").output)["version"] == "none yet"
    assert f"was empty and is now {HEAD}" in cascade("store", "migrate").output
    ended = cascade("store", "version", "--json")
    assert (ended.code, json.loads(ended.output)["version"]) == (0, str(HEAD))
    assert f"is of version {HEAD} already" in cascade("store", "migrate").output


def test_an_unreleased_store_keeps_what_it_holds(store: Path, cascade: Run) -> None:
    with sqlite3.connect(store) as connection:
        connection.executescript(DEV.read_text())
    connection.close()
    assert json.loads(cascade("store", "version", "--json").output)["version"] == "1.0"
    assert cascade("store", "migrate").code == 0
    assert [one["account"] for one in json.loads(cascade("account", "list", "--json").output)] == ["acme"]


def test_a_store_of_a_newer_cascade_is_refused_with_one_line(store: Path, cascade: Run) -> None:
    with sqlite3.connect(store) as connection:
        connection.executescript(
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('9.4')"
        )
    connection.close()
    for command in (("store", "version"), ("store", "migrate"), ("account", "list"), ("serve",)):
        ended = cascade(*command)
        assert (ended.code, ended.errors.count("\n")) == (2, 1)
        assert f"was written by a newer cascade (version 9.4, this one knows {HEAD})" in ended.errors


def test_a_store_is_copied_to_postgres(store: Path, empty_postgres_url: str, cascade: Run) -> None:
    cascade("account", "add", "acme")
    copied = cascade("store", "copy", "--from", f"sqlite:///{store}", "--to", empty_postgres_url)
    assert copied.code == 0
    assert "are in postgresql:///postgres, compared and alike" in copied.output
    assert "postgres:@" not in copied.output + copied.errors
    again = cascade("store", "copy", "--from", f"sqlite:///{store}", "--to", empty_postgres_url)
    assert (again.code, "is not empty" in again.errors) == (2, True)


@pytest.mark.parametrize(
    ("from_", "to", "words"),
    [
        ("sqlite:///none.db", "postgresql://host/x", "there is no"),
        ("postgresql://host/x", "sqlite:///none.db", "from SQLite to PostgreSQL"),
    ],
)
def test_a_copy_of_nothing_is_refused(from_: str, to: str, words: str, cascade: Run) -> None:
    ended = cascade("store", "copy", "--from", from_, "--to", to)
    assert (ended.code, words in ended.errors, ended.errors.count("\n")) == (2, True, 1)
