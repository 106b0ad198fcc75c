"""What the configuration says, shown: senders, prices, routes; and whom the bots can write to."""

import json
from pathlib import Path

import pytest

from .conftest import Run

CONFIG = """
currency = "EUR"
[smpp]
host = "smsc.example"
default_sender = "Acme"
[smpp.senders]
YourBrand = "380800"
[[prices]]
channel = "sms"
price = "0.05"
[[prices]]
channel = "sms"
prefix = "+380"
sender = "YourBrand"
price = "0.03"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "cascade.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def test_senders(cascade: Run, config: str) -> None:
    shown = json.loads(cascade("sender", "show", "-c", config, "--json").output)
    assert [(row["link"], row["fromName"], row["sender"]) for row in shown] == [
        ("sms.smpp", "YourBrand", "380800"),
        ("sms.smpp", "any other", "Acme"),
    ]
    (one,) = json.loads(cascade("sender", "show", "Shop", "-c", config, "--json").output)
    assert one["sender"] == "Acme"


def test_prices(cascade: Run, config: str) -> None:
    shown = json.loads(cascade("prices", "show", "-c", config, "--json").output)
    assert [(row["channel"], row["prefix"], row["sender"], row["price"]) for row in shown] == [
        ("sms", "", None, "0.05"),
        ("sms", "+380", "YourBrand", "0.03"),
    ]
    for sender, price in (("YourBrand", "0.03"), ("Shop", "0.05")):
        asked = cascade("prices", "show", "+380501112233", "--sender", sender, "-c", config, "--json")
        found = {row["channel"]: row["price"] for row in json.loads(asked.output)}
        assert (found["sms"], found["telegram_bot"]) == (price, "0.00")


def test_routes(cascade: Run, config: str) -> None:
    shown = json.loads(cascade("routes", "show", "-c", config, "--json").output)
    standard = [row["channel"] for row in shown if row["route"] == "standard"]
    assert standard == ["telegram_bot", "viber_bot", "viber_business", "rcs", "sms"]
    assert [row["windowS"] for row in shown if row["route"] == "standard"] == [30, 60, 60, 60, None]


def test_subscribers_are_imported_listed_and_removed(
    cascade: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cascade("account", "add", "acme")
    monkeypatch.setenv("CASCADE_BOT_TOKEN", "1:a")
    cascade("bot", "add", "acme", "telegram_bot")
    people = tmp_path / "people.csv"
    rows = [f"{number},06711{number:05},Person {number}" for number in range(2_100)]
    people.write_text("\n".join(["chat,Phone,firstName", *rows, "7,oops,Ivan", ",0671112233,Olha"]), encoding="utf-8")
    bot = ("acme", "telegram_bot.1")
    mapped = ("--map", "id=chat", "--country", "380")
    ended = cascade("subscriber", "import", *bot, str(people), *mapped, "--json")
    assert ended.code == 1
    told = json.loads(ended.output)
    assert (told["stored"], told["refused"]) == (2_100, 2)
    report = Path(told["report"]).read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[0] for line in report[1:]] == ["2101", "2102"]
    (found,) = json.loads(cascade("subscriber", "list", *bot, "--phone", "+3806711" + "00007", "--json").output)
    assert (found["address"], json.loads(found["profile"])) == ("7", {"firstName": "Person 7"})
    assert json.loads(cascade("bot", "list", "acme", "--json").output)[0]["subscribers"] == 2_100
    assert cascade("subscriber", "remove", *bot, found["phone"]).code == 0
    assert cascade("subscriber", "remove", *bot, found["phone"]).code == 1
    assert "has no bot" in cascade("subscriber", "list", "acme", "viber_bot.9").errors
