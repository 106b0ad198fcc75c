"""`cascade webhook`: what an operator does from the server's own terminal."""

import json
import re
import sqlite3
import uuid
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


def test_shown_disabled_enabled_and_removed(cascade: Run, store: Path) -> None:
    added(cascade)
    id_ = webhook_id(store)
    with closing(sqlite3.connect(store)) as opened, opened:
        opened.execute("UPDATE webhook SET is_enabled = FALSE, disabled_reason = 'answered 410'")
    assert "`cascade webhook enable`" in cascade("webhook", "test", "acme", id_).errors
    shown = json.loads(cascade("webhook", "show", "acme", id_, "--json").output)
    assert (shown["id"], shown["url"], shown["enabled"], shown["disabledReason"]) == (id_, URL, False, "answered 410")
    assert cascade("webhook", "enable", "acme", id_).code == 0
    (shown,) = json.loads(cascade("webhook", "list", "acme", "--json").output)
    assert (shown["enabled"], shown["disabledReason"]) == (True, None)
    assert cascade("webhook", "remove", "acme", id_).code == 0
    assert json.loads(cascade("webhook", "list", "acme", "--json").output) == []


def test_what_failed_is_listed_and_tried_again(cascade: Run, store: Path) -> None:
    added(cascade)
    id_ = webhook_id(store)
    event_id = json.loads(cascade("webhook", "test", "acme", id_, "--json").output)["eventId"]
    with closing(sqlite3.connect(store)) as opened, opened:
        opened.execute("UPDATE delivery SET state = 'failed', tries = 3, error = 'timeout', tried_at_ms = 0")
    (failed,) = json.loads(cascade("webhook", "deliveries", "acme", id_, "--state", "failed", "--json").output)
    assert (failed["eventId"], failed["tries"], failed["said"]) == (event_id, 3, "timeout")
    assert failed["event"]["type"] == "webhook.test"
    assert cascade("webhook", "redeliver", "acme", id_, "msg_0").code == 1
    assert "0 will be tried" in cascade("webhook", "redeliver", "acme", id_, "--since", "2999-01-01").output
    assert "1 will be tried" in cascade("webhook", "redeliver", "acme", id_, "--since", "2h").output
    assert "0 will be tried" in cascade("webhook", "redeliver", "acme", id_).output
    (pending,) = json.loads(cascade("webhook", "deliveries", "acme", id_, "--json").output)
    assert (pending["state"], pending["tries"]) == ("pending", 0)


def test_what_was_told_of_one_message_is_listed(cascade: Run, store: Path) -> None:
    added(cascade)
    id_ = webhook_id(store)
    message_id = uuid.uuid4()
    event_id = json.loads(cascade("webhook", "test", "acme", id_, "--json").output)["eventId"]
    cascade("webhook", "test", "acme", id_)
    with closing(sqlite3.connect(store)) as opened, opened:
        opened.execute("UPDATE event SET message_id = ? WHERE id = ?", (message_id.bytes, event_id))
    list_ = ("webhook", "deliveries", "acme", id_, "--json", "--message")
    (told,) = json.loads(cascade(*list_, str(message_id)).output)
    assert (told["eventId"], told["messageId"]) == (event_id, str(message_id))
    assert json.loads(cascade(*list_, str(uuid.uuid4())).output) == []
    assert cascade(*list_, "order-1").code == 2


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
