"""`cascade send` and what follows a message, as typed in a terminal, against a live gateway."""

import csv
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptance.processes import COMMAND, KEY, City, demo
from bench.ports import free_ports

from .conftest import Ended, Run
from .proxy import Proxy, proxy

SEND = ("send", "--csv", "people.csv", "Dear {Name}, your code is {Code}", "--from", "Acme", "--route", "sms")
ROWS = 2_000


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """One demo for all of this file."""
    with demo(tmp_path_factory.mktemp("send")) as running:
        yield running


class Terminal:
    """A directory, and a gateway to ask. What is only run to its end runs in the test's own process."""

    def __init__(self, home: Path, url: str, cascade: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._cascade = cascade
        monkeypatch.chdir(home)
        self.ask(url, monkeypatch)

    def ask(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CASCADE_URL", url)
        monkeypatch.setenv("CASCADE_KEY", KEY)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """In a process of its own, to be killed."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.home,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str) -> Ended:
        return self._cascade(*arguments)

    def json(self, *arguments: str, code: int = 0) -> Any:
        ended = self.run(*arguments, "--json")
        assert ended.code == code, ended.errors
        return json.loads(ended.output)

    def people(self, rows: Sequence[Sequence[str]], columns: Sequence[str] = ("Name", "Phone", "Code")) -> Path:
        path = self.home / "people.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return path


@pytest.fixture
def terminal(city: City, tmp_path: Path, cascade: Run, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(tmp_path, city.gateway, cascade, monkeypatch)


def crowd(count: int) -> list[tuple[str, str, str]]:
    """So many people with phones that nobody else has."""
    first = uuid.uuid4().int % 10**8 // ROWS * ROWS
    return [(f"Person {number}", f"+38067{first + number:09}"[:15], str(number)) for number in range(count)]


def test_one_message_is_sent_and_followed(terminal: Terminal, city: City) -> None:
    (_, phone, _) = crowd(1)[0]
    route = ("--route", "telegram_bot,sms")
    sent = terminal.json("send", phone, "Hello there", "--from", "Acme", "--id", f"one-{phone}", *route, "--wait")
    assert (sent["deliverystatus"], sent["channel"], sent["trackinId"]) == ("delivered", "sms", f"one-{phone}")
    assert [one["text"] for one in city.inbox(phone)] == ["Hello there"]
    code, output, _ = terminal.run("status", f"one-{phone}")
    assert code == 0
    assert sent["messageId"] in output
    assert "the person never talked to the bot" in output
    (listed,) = terminal.json("messages", "list", "--phone", phone, "--since", "1h")
    assert listed["messageId"] == sent["messageId"]
    assert terminal.run("messages", "cancel", sent["messageId"])[0] == 2


def test_what_would_happen_to_one(terminal: Terminal) -> None:
    (_, phone, _) = crowd(1)[0]
    told = terminal.json("send", phone, "Hello", "--from", "Acme", "--dry-run")
    assert told["steps"][-1] == told["steps"][-1] | {"channel": "sms", "status": "planned", "parts": 1}
    assert terminal.json("messages", "list", "--phone", phone) == []


def test_a_scheduled_one_is_moved_and_cancelled(terminal: Terminal) -> None:
    (_, phone, _) = crowd(1)[0]
    id_ = f"later-{phone[1:]}"
    assert terminal.run("send", phone, "Hello", "--from", "Acme", "--id", id_, "--at", "2h", "--tag", id_)[0] == 0
    moved = terminal.json("messages", "reschedule", id_, "--at", "3h")
    assert datetime.fromisoformat(moved["scheduledSent"]) > datetime.now(UTC) + timedelta(minutes=170)
    assert terminal.json("tags", "cancel", id_, "--yes") == {"cancelled": 1, "tooLate": 0}
    assert terminal.json("messages", "show", id_)["deliverystatus"] == "permanenterror"


def test_links_are_listed(terminal: Terminal) -> None:
    assert {link["link"]: link["state"] for link in terminal.json("link", "list")}["sms.smpp"] == "up"


REFUSED = {  # arguments, exit code, words
    "a bad phone": (("send", "0501112233", "Hi", "--from", "A"), 2, "INVALID_PHONE"),
    "no sender": (("send", "+380501112233", "Hi"), 2, "--from: it is missing"),
    "no such message": (("status", "nothing"), 2, "there is no message 'nothing'"),
    "no such tag": (("tags", "progress", "nothing"), 2, "has the tag 'nothing'"),
    "no such time": (("messages", "list", "--since", "yore"), 2, "'yore' is no time"),
    "no gateway": (("link", "list", "--url", f"http://127.0.0.1:{free_ports(1)}"), 2, "Is it running there?"),
    "a wrong key": (("link", "list", "--key", "wrong"), 2, "--key or CASCADE_KEY"),
    "no key": (("link", "list", "--key", ""), 2, "there is no key. --key or CASCADE_KEY"),
    "no campaign": (("send", "+380501112233", "Hi", "--from", "A", "--map", "phone=x"), 2, "it is for a campaign"),
    "one id for all": (("send", "--csv", __file__, "Hi", "--from", "A", "--id", "x"), 2, "--id: all rows"),
    "no URL": (("link", "list", "--url", "http://gateway:port"), 2, "is no URL of a gateway"),
    "no code": (("send", "--csv", __file__, "Hi", "--from", "A", "--country", "UA"), 2, "'UA' is no code of a country"),
    "no file": (("send", "--csv", "none.csv", "Hi", "--from", "A"), 2, "cannot read none.csv"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str, terminal: Terminal) -> None:
    arguments, code, words = REFUSED[case]
    ended, output, errors = terminal.run(*arguments)
    assert (ended, output) == (code, "")
    assert len(errors.splitlines()) == 1
    assert errors.startswith("cascade: ")
    assert words in errors


def test_nothing_is_sent_before_all_is_checked(terminal: Terminal, city: City) -> None:
    good = crowd(3)
    people = terminal.people(
        [good[0], ("", good[1][1], "1"), ("Ivan", "0501112233", "2"), ("Olha", good[2][1], "3", "4")]
    )
    code, output, errors = terminal.run(*SEND, "--yes")
    assert code == 1
    assert "1 of 4 rows can be sent" in output
    assert "Nothing was sent" in errors
    assert sorted(path.name for path in people.parent.iterdir()) == ["people.csv", "people.csv.refused.csv"]
    with (people.parent / "people.csv.refused.csv").open(encoding="utf-8-sig", newline="") as file:
        report = list(csv.DictReader(file))
    assert [(row["row"], row["line"], row["code"], row["field"]) for row in report] == [
        ("2", "3", "MISSING_FIELD", ""),
        ("3", "4", "INVALID_PHONE", "toPhone"),
        ("4", "5", "INVALID_FIELD", ""),
    ]
    assert report[1]["Name"] == "Ivan"
    assert city.inbox(good[0][1]) == []

    told = terminal.json(*SEND, "--yes", "--skip-refused")
    assert (told["accepted"], told["refused"], told["rows"]) == (1, 3, 4)


def test_a_phone_that_stands_twice_gets_one_message_unless_two_are_asked_for(terminal: Terminal, city: City) -> None:
    (_, phone, _), (_, other, _) = crowd(2)
    rows = [("Ivan", phone, "1"), ("Olha", other, "2"), ("Ivan K", f" {phone[:6]} {phone[6:]}", "3")]
    terminal.people([*rows, ("", phone, "4")])  # the last is refused for its name
    told = terminal.json(*SEND, "--yes", "--skip-refused")
    assert (told["accepted"], told["refused"]) == (2, 2)
    with (terminal.home / "people.csv.refused.csv").open(encoding="utf-8-sig", newline="") as file:
        again, _ = csv.DictReader(file)
    assert (again["row"], again["code"], again["Name"]) == ("3", "REPEATED_PHONE", "Ivan K")
    assert again["reason"] == "the phone of row 1 again; --repeat-phones sends to each row"

    code, _, errors = terminal.run(*SEND, "--yes", "--skip-refused", "--repeat-phones")
    assert (code, "differs in: repeats_phones" in errors) == (2, True)  # half of the people would get both
    terminal.people(rows)
    both = terminal.json(*SEND, "--yes", "--repeat-phones", "--campaign", "both")
    assert (both["accepted"], both["refused"]) == (3, 0)


def test_a_phone_met_before_the_command_was_killed_is_met(between: Proxy, terminal: Terminal) -> None:
    people = crowd(1_500)
    terminal.people([*people[:-1], people[0]])

    def kill(number: int) -> None:
        if number == 2:
            process.kill()
            process.wait()

    between.before = kill
    process = terminal.start(*SEND, "--yes", "--skip-refused")
    process.communicate(timeout=60)
    assert process.returncode == -9
    told = terminal.json(*SEND, "--yes", "--skip-refused")
    assert (told["accepted"], told["refused"]) == (1_499, 1)


def test_who_stops_a_campaign_is_told_how_to_stop_what_was_sent(between: Proxy, terminal: Terminal) -> None:
    terminal.people(crowd(1_500))

    def interrupt(number: int) -> None:
        if number == 2:
            process.send_signal(signal.SIGINT)
            process.wait()

    between.before = interrupt
    process = terminal.start(*SEND, "--yes")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped after row 1,000 of 1,500. The same command goes on from there." in errors
    assert "cascade tags cancel people stops what has not begun" in " ".join(errors.split())


def test_a_long_text_is_told_before_it_is_paid(terminal: Terminal) -> None:
    (first, second) = crowd(2)
    terminal.people([("Ann", *first[1:]), ("Ann" * 60, *second[1:])])
    assert terminal.json(*SEND, "--dry-run")["smsParts"] == {"1": 1, "2": 1}
    assert "by its parts: 1 in 1, 1 in 2" in terminal.run(*SEND, "--dry-run").output


def test_what_only_the_gateway_can_refuse_is_refused_before_anything_is_sent(terminal: Terminal, city: City) -> None:
    people = crowd(2)
    terminal.people([people[0], (*people[1][:2], "%name=404%")])
    told = terminal.json(*SEND, "--yes", code=1)
    assert (told["good"], told["refused"]) == (1, 1)
    assert "UNKNOWN_VARIABLE" in (terminal.home / "people.csv.refused.csv").read_text(encoding="utf-8-sig")
    assert city.inbox(people[0][1]) == []


def test_columns_go_where_they_are_mapped(terminal: Terminal, city: City) -> None:
    (_, phone, _) = crowd(1)[0]
    message = terminal.home / "message.json"
    message.write_text(json.dumps({"media": {"image": "https://x.example/{Code}.png"}, "tags": ["spring-{Code}"]}))
    terminal.people([("Olena", phone[3:], "7", f"own-{phone}")], ("Name", "Mobile", "Code", "Ref"))
    mapped = ("--map", "phone=mobile", "--map", "id=Ref", "--country", "+380", "--message", "message.json")
    told = terminal.json(
        "send", "--csv", "people.csv", "Hi {Name}", "--from", "Acme", "--route", "sms", *mapped, "--yes"
    )
    assert told["accepted"] == 1
    status = terminal.json("status", f"own-{phone}")
    city.until(status["messageId"], "delivered", within_s=20)
    (received,) = city.inbox(phone)
    assert received["text"].startswith("Hi Olena")
    assert "https://x.example/7.png" in received["text"]
    assert status["messageId"] in [one["messageId"] for one in terminal.json("messages", "list", "--tag", "spring-7")]


def test_a_campaign_that_nobody_confirmed_is_not_sent(terminal: Terminal, city: City) -> None:
    people = crowd(1)
    terminal.people(people)
    code, _, errors = terminal.run(*SEND)
    assert code == 2
    assert "--yes" in errors
    told = terminal.json(*SEND, "--dry-run")
    assert (told["good"], told["firstChannels"]) == (1, {"sms": 1})
    assert city.inbox(people[0][1]) == []
    assert [path.name for path in terminal.home.iterdir()] == ["people.csv"]


def test_the_same_campaign_is_sent_once_and_another_is_not_taken_for_it(terminal: Terminal) -> None:
    terminal.people(crowd(3))
    assert terminal.json(*SEND, "--yes")["accepted"] == 3
    *_, total = terminal.json("tags", "progress", "people")
    assert total["by"] == "all"
    assert total["messages"] >= 3
    code, output, errors = terminal.run(*SEND, "--yes")
    assert (code, "3 accepted" in output) == (0, True)
    assert "Nothing is sent again" in errors
    code, _, errors = terminal.run(*SEND, "--yes", "--ttl", "60")
    assert code == 2
    assert "differs in: message" in errors
    assert terminal.json(*SEND, "--yes", "--campaign", "second")["accepted"] == 3


def test_progress_tells_what_reached_nobody_from_what_is_not_there_yet(terminal: Terminal, city: City) -> None:
    arrives, fails, waits = (phone for _, phone, _ in crowd(3))
    city.people(arrives, sms="delivers")
    city.people(fails, sms="rejects")
    tag = f"told-{arrives[1:]}"
    message = ("Hello there", "--from", "Acme", "--route", "sms", "--tag", tag)
    for phone in (arrives, fails):
        terminal.json("send", phone, *message, "--wait")
    terminal.json("send", waits, *message, "--at", "2h")
    found = {row["by"]: row for row in terminal.json("tags", "progress", tag)}
    assert {name: row["messages"] for name, row in found.items()} == {"sms": 1, "nobody": 1, "none yet": 1, "all": 3}
    assert found["sms"]["cost"] == found["all"]["cost"] != found["nobody"]["cost"] == found["none yet"]["cost"]


@pytest.fixture
def between(city: City, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the terminal asks instead of the gateway itself."""
    with proxy(city.gateway) as proxied:
        terminal.ask(proxied.url, monkeypatch)
        yield proxied


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_and_resumed_without_a_double(moment: str, between: Proxy, city: City, terminal: Terminal) -> None:
    """Killed twice: while a request is on its way, or once the gateway has stored it and before its answer arrives."""
    people = crowd(ROWS)
    terminal.people(people)
    killed = 0

    def kill(number: int) -> None:
        nonlocal killed
        if number in (1, 3):
            killed += 1
            process.kill()
            process.wait()

    setattr(between, moment, kill)
    for _ in range(2):
        process = terminal.start(*SEND, "--yes")
        process.communicate(timeout=60)
        assert process.returncode == -9
    told = terminal.json(*SEND, "--yes")
    assert killed == 2
    assert (told["accepted"], told["refused"]) == (ROWS, 0)

    listed = terminal.json("messages", "list", "--tag", told["tag"], "--limit", "0", "--since", "10m")
    mine = [one for one in listed if one["trackinId"].startswith(told["campaign"])]
    assert len(mine) == ROWS
    assert {one["toPhone"] for one in mine} == {phone for _, phone, _ in people}
    for one in mine[:: ROWS // 40]:
        city.until(one["messageId"], "delivered", within_s=60)
        (received,) = city.inbox(one["toPhone"])
        name, _, code = people[int(one["trackinId"].rpartition("-")[2]) - 1]
        assert received["text"] == f"Dear {name}, your code is {code}"


def test_a_day_later_the_gateway_is_asked_what_it_has(between: Proxy, terminal: Terminal) -> None:
    """Its answers to keys are forgotten by then: a request that nobody knows the end of is not simply repeated."""
    people = crowd(1_500)
    terminal.people(people)

    def kill(number: int) -> None:
        if number == 1:
            process.kill()

    between.after = kill
    process = terminal.start(*SEND, "--yes")
    process.communicate(timeout=60)
    journal = terminal.home / "people.csv.journal"
    head, sending = journal.read_text(encoding="utf-8").splitlines()
    old = json.loads(sending) | {"at": (datetime.now(UTC) - timedelta(days=2)).isoformat()}
    journal.write_text(f"{head}\n{json.dumps(old)}\n", encoding="utf-8")
    assert terminal.json(*SEND, "--yes")["accepted"] == 1_500
    sent = [len(json.loads(seen.body)) for seen in between.sends]
    assert sent == [1_000, 500]


def test_the_gateway_may_be_away_for_a_while(between: Proxy, terminal: Terminal) -> None:
    people = crowd(5)
    terminal.people(people)

    def away(number: int) -> None:
        if number == 1:
            raise ConnectionError("the test's")

    between.before = away
    assert terminal.json(*SEND, "--yes")["accepted"] == 5
    assert len({seen.headers["Idempotency-Key"] for seen in between.sends}) == 1
    assert len(between.sends) == 2


def test_the_command_loads_nothing_of_the_server() -> None:
    script = (
        "import sys\nfrom cascade.cli import send, tags, link, status\n"
        "print(*(name for name in sys.modules if name.startswith(('cascade.serve', 'cascade.store', 'fastapi'))))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"
