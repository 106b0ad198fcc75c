"""`cascade webhook`: what an operator does from the server's own terminal."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Run

URL = "https://8.8.8.8/hook"


@pytest.fixture(autouse=True)
def account(cascade: Run) -> None:
    cascade("account", "add", "acme")


def added(cascade: Run, *options: str) -> str:
    ended = cascade("webhook", "add", "acme", URL, *options)
    assert ended.code == 0, ended.errors
    return ended.output.strip()


def webhook_id(store: Path) -> str:
    with closing(sqlite3.connect(store)) as opened:
        [(id_,)] = opened.execute("SELECT id FROM webhook").fetchall()
    return str(id_)


def test_added_listed_and_rotated_with_secrets_shown_once(cascade: Run, store: Path) -> None:
    first = added(cascade, "--type", "message.read")
    assert re.fullmatch("whsec_[A-Za-z0-9+/=]{44}", first)
    listed = cascade("webhook", "list", "acme").output
    assert "message.read" in listed
    second = cascade("webhook", "rotate", "acme", webhook_id(store)).output.strip()
    assert second.startswith("whsec_")
    assert second != first
    assert first not in listed
    assert first.encode() not in store.read_bytes()


def test_a_test_event_waits_for_the_gateway(cascade: Run, store: Path) -> None:
    added(cascade)
    assert cascade("webhook", "test", "acme", webhook_id(store)).code == 0
    with closing(sqlite3.connect(store)) as opened:
        assert opened.execute("SELECT state FROM delivery").fetchall() == [("pending",)]


def test_an_address_of_the_inside_is_refused(cascade: Run) -> None:
    ended = cascade("webhook", "add", "acme", "https://127.0.0.1/")
    assert (ended.code, ended.output) == (2, "")
    assert "public" in ended.errors


def test_an_unknown_webhook_is_named(cascade: Run) -> None:
    ended = cascade("webhook", "test", "acme", "wh_nothing")
    assert ended.code == 2
    assert "wh_nothing" in ended.errors


def test_resealing_covers_the_secrets(cascade: Run) -> None:
    added(cascade)
    assert "1 sealed anew" in cascade("bot", "reseal").output
