"""`cascade erase`: a person goes from every account, or from one."""

import json
import sqlite3
from pathlib import Path

from .conftest import Run

DEV = Path(__file__).parents[1] / "store" / "stores" / "0.1.0-dev.sqlite.sql"
NOTHING = {"messages": 0, "unfinished": 0, "subscribers": 0, "events": 0, "inbound": 0}


def test_a_person_is_erased(store: Path, cascade: Run) -> None:
    with sqlite3.connect(store) as connection:
        connection.executescript(DEV.read_text())
    connection.close()
    assert cascade("store", "migrate").code == 0
    told = cascade("erase", "+380500000003", "--json")
    assert json.loads(told.output) == NOTHING | {"messages": 1}
    assert "Erased: 1 messages" in cascade("erase", "+380500000001", "--account", "acme").output
    assert json.loads(cascade("erase", "+380500000001", "--json").output) == NOTHING
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT phone, text FROM message ORDER BY id").fetchall()
    connection.close()
    assert rows == [("", ""), ("+380500000002", "text 2"), ("", "")]


def test_a_phone_is_written_with_its_country(cascade: Run) -> None:
    ended = cascade("erase", "0501112233")
    assert (ended.code, ended.errors.count("\n")) == (2, 1)
