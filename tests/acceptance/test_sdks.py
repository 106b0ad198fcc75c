"""The four clients against a live gateway; and each, installed as its users install it, runs the public examples."""

import fcntl
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import cascade
from cascade import client
from client.speakers import SPEAKERS, Ask
from programs import program

from .processes import KEY, City, demo, environment
from .test_seed_clients import BULK, CLIENTS, WITHIN_S

REPOSITORY = Path(__file__).parents[2]
SDKS = REPOSITORY / "clients"
TYPESCRIPT = REPOSITORY / "build" / "npm-typescript"
PHONE = "+380671112233"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """One demo for all of this file."""
    with demo(tmp_path_factory.mktemp("sdks")) as running:
        yield running


@pytest.fixture(params=SPEAKERS)
def ask(request: pytest.FixtureRequest, city: City) -> Ask:
    speaker = SPEAKERS[request.param]

    def asked(call: str, *, key: str = KEY, **given: Any) -> Any:
        return speaker(city.gateway, call, key=key, **given)

    return asked


def message(id_: str, **more: object) -> dict[str, object]:
    """Of a route of its own, so that it reaches the phone the same way whatever the demo has."""
    whole = {"id": id_, "fromName": "Acme", "toPhone": PHONE, "messageType": "transaction", "text": f"Hi from {id_}"}
    return {**whole, "route": ["telegram_bot", "sms"], **more}


def test_every_call_of_a_client(ask: Ask, city: City) -> None:
    run = uuid.uuid4().hex[:8]
    one = message(f"{run}-one")
    sent = ask("send_message", message=one)
    assert sent["trackinId"] == f"{run}-one"
    assert ask("send_message", message=one)["messageId"] == sent["messageId"]
    city.until(sent["messageId"], "delivered", within_s=WITHIN_S)
    status = ask("status", id=sent["messageId"])
    assert (status["deliverystatus"], status["channel"], status["toPhone"]) == ("delivered", "sms", PHONE)
    assert [one["text"] for one in city.inbox(PHONE)].count(f"Hi from {run}-one") == 1

    many = [message(f"{run}-{number}", tags=[run]) for number in range(1_100)]
    assert len({one["messageId"] for one in ask("send_bulk", messages=many)}) == 1_100
    found = ask("statuses", tracking_ids=[f"{run}-{number}" for number in range(1_101)])
    assert len(found) == 1_100
    assert len(ask("messages", tag=run)) == 1_100

    later = [
        message(f"{run}-later-{number}", scheduledSent="2099-01-01T00:00:00Z", tags=[f"{run}-later"])
        for number in range(3)
    ]
    refusal = ask("send_bulk", messages=later)
    assert (refusal.kind, refusal.code, refusal.field, refusal.place) == (
        "InvalidRequest",
        "INVALID_SCHEDULE",
        "scheduledSent",
        0,
    )
    assert len(refusal.details) == 2

    good_and_bad = [message(f"{run}-good"), message(f"{run}-bad", toPhone="0501112233")]
    good, bad = ask("send_partial", messages=good_and_bad)
    assert good["messageId"]
    assert (bad["trackinId"], bad["error"]["code"], bad["error"]["index"]) == (f"{run}-bad", "INVALID_PHONE", 1)

    shown, refused = ask("preview", messages=[message(f"{run}-shown"), good_and_bad[1]])
    assert [step["channel"] for step in shown["steps"] if step["status"] == "planned"] == ["sms"]
    assert refused["error"]["code"] == "INVALID_PHONE"
    assert ask("statuses", tracking_ids=[f"{run}-shown"]) == {}

    assert ask("put_variables", variables=[{"id": 7, "type": "name", "value": "Olena"}]) == 1
    with_variable = ask("send_message", message=message(f"{run}-var", text="Hi %name=7%"))
    city.until(with_variable["messageId"], "delivered", within_s=WITHIN_S)
    assert "Hi Olena" in [one["text"] for one in city.inbox(PHONE)]

    groups = ask("statistics", tag=run, by=["channel"])["groups"]
    assert sum(group["messages"] for group in groups) == 1_100
    assert {"sms", "telegram_bot"} <= {link["channel"] for link in ask("channels")}


def test_what_has_not_begun_is_moved_and_cancelled(ask: Ask, city: City) -> None:
    run = uuid.uuid4().hex[:8]
    soon, later = (f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (5, 6))
    scheduled = [message(f"{run}-{number}", scheduledSent=soon, tags=[run]) for number in range(3)]
    first, _, _ = ask("send_bulk", messages=scheduled)
    assert ask("reschedule", id=first["messageId"], at=later)["scheduledSent"][:19] == later[:19]
    assert ask("cancel", id=first["messageId"])["deliverystatus"] == "permanenterror"
    assert ask("cancel_tag", tag=run) == {"cancelled": 2, "tooLate": 1}
    begun = ask("send_message", message=message(f"{run}-now"))["messageId"]
    city.until(begun, "delivered", within_s=WITHIN_S)
    refusal = ask("cancel", id=begun)
    assert (refusal.kind, refusal.code) == ("InvalidRequest", "NOT_CANCELLABLE")


def test_the_digits_of_a_flash_call_are_checked(ask: Ask, city: City) -> None:
    run = uuid.uuid4().hex[:8]
    call = {"id": run, "fromName": "Acme", "toPhone": f"+38067{int(run, 16) % 10**7:07}", "messageType": "flashcall"}
    sent = ask("send_message", message=call)
    city.until(sent["messageId"], "delivered", within_s=WITHIN_S)
    wrong = ask("check_flashcall", id=sent["messageId"], digits="0000000001")
    assert (wrong["matched"], wrong["trackinId"]) == (False, run)
    (heard,) = city.inbox(str(call["toPhone"]))
    right = ask("check_flashcall", id=sent["messageId"], digits=heard["from"].lstrip("+"))
    assert right["matched"]


def test_refused(ask: Ask) -> None:
    assert ask("status", id=str(uuid.uuid4())).kind == "NotFound"
    assert ask("channels", key="wrong").kind == "Unauthorized"
    refusal = ask("add_webhook", to="http://10.0.0.1/hook")
    assert (refusal.kind, refusal.field) == ("InvalidRequest", "url")


def of_the_public_example(name: str, marker: str) -> str:
    """What the printed client program does with its class: everything after the class itself."""
    return (CLIENTS / name).read_text(encoding="utf-8").partition(marker)[2]


def quietly(*command: str, cwd: Path, **variables: str) -> str:
    """Run to a good end; what it wrote."""
    ended = subprocess.run(
        command, cwd=cwd, env=environment(variables), capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def python(place: Path) -> list[str]:
    """A wheel, and from it a place that holds nothing else."""
    built, installed = place / "wheel", place / "site"
    quietly(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built), cwd=SDKS / "python")
    (wheel,) = built.iterdir()
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(installed))
    quietly(*pip, str(wheel), cwd=place)
    usage = of_the_public_example("client.py", "# Usage")
    script = place / "usage.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(installed)!r})\n"
        "from datetime import datetime, timedelta\nfrom cascade_client import CascadeMessenger\n"
        f"{usage}\nassert 'cascade' not in sys.modules and 'pydantic' not in sys.modules\n",
        encoding="utf-8",
    )
    return [sys.executable, str(script)]


def javascript(place: Path) -> list[str]:
    """A tarball, and from it a project that depends on nothing else."""
    pack = (program("npm"), "pack", "--silent", "--pack-destination", str(place))
    packed = quietly(*pack, cwd=SDKS / "javascript").strip()
    (place / "package.json").write_text('{"type": "module", "private": true}', encoding="utf-8")
    quietly("npm", "install", "--offline", "--no-audit", "--no-fund", "--no-package-lock", f"./{packed}", cwd=place)
    usage = of_the_public_example("client.mjs", "// Usage")
    script = place / "usage.js"
    script.write_text(f"import {{ CascadeMessenger }} from 'cascade-client';\n{usage}", encoding="utf-8")
    return [program("node"), str(script)]


def php(place: Path) -> list[str]:
    """A project of composer's, with the package from its directory and nothing from anywhere else."""
    options = {"symlink": False, "versions": {"cascade/client": "0.1.0"}}
    composer = {
        "repositories": [{"type": "path", "url": str(SDKS / "php"), "options": options}, {"packagist.org": False}],
        "require": {"cascade/client": "0.1.0"},
    }
    (place / "composer.json").write_text(json.dumps(composer), encoding="utf-8")
    variables = {"COMPOSER_ALLOW_SUPERUSER": "1", "COMPOSER_HOME": str(place / "home")}
    quietly(program("composer"), "validate", "--strict", "--no-interaction", cwd=SDKS / "php", **variables)
    quietly("composer", "install", "--no-interaction", "--quiet", cwd=place, **variables)
    usage = of_the_public_example("client.php", "// Usage")
    script = place / "usage.php"
    script.write_text(
        f"<?php\nrequire 'vendor/autoload.php';\nuse Cascade\\CascadeMessenger;\n{usage}", encoding="utf-8"
    )
    return [program("php"), str(script)]


@pytest.mark.parametrize("installed", [python, javascript, php])
def test_installed_it_does_what_the_public_examples_do(
    installed: Callable[[Path], list[str]], city: City, tmp_path: Path
) -> None:
    for phone in ("+380501112233", *BULK):
        city.people(phone, sms="delivers")
    told = quietly(*installed(tmp_path), cwd=tmp_path, CASCADE_URL=city.gateway)
    assert "Message ID: " in told
    assert "Sent 100 messages" in told
    message_id = told.partition("Message ID: ")[2].split()[0]
    city.until(message_id, "delivered", within_s=WITHIN_S)


def test_what_typescript_says_of_the_types() -> None:
    TYPESCRIPT.mkdir(parents=True, exist_ok=True)
    with (TYPESCRIPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compiler = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
        if not compiler.exists():
            shutil.copy(Path(__file__).parent / "typescript" / "package.json", TYPESCRIPT)
            quietly(program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=TYPESCRIPT)
    quietly(str(compiler), "--project", str(Path(__file__).parent / "typescript"), cwd=REPOSITORY)


VERSIONED = ("javascript/package.json", "javascript/src/version.js", "php/src/CascadeMessenger.php")


@pytest.mark.parametrize("file", VERSIONED)
def test_all_clients_have_the_gateways_version(file: str) -> None:
    assert client.__version__ == cascade.__version__
    assert cascade.__version__ in (SDKS / file).read_text(encoding="utf-8")
