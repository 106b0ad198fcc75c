"""`cascade doctor` before the sandbox's providers, well and ill."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.processes import HOST, SMPP_PASSWORD, TELEGRAM, VIBER, gateway_settings, sandbox
from bench.ports import free_ports

from .conftest import Run

Twin = tuple[str, int]


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """The sandbox's URL and its SMSC's port."""
    with sandbox(tmp_path_factory.mktemp("twin"), free_ports(1), "no-gateway") as places:
        yield places


@pytest.fixture
def settings(twin: Twin, store: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A gateway that is set up well, and does not run."""
    url, smsc_port = twin
    for name, value in gateway_settings(store.parent, free_ports(1), url, smsc_port).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def add_bots(cascade: Run, monkeypatch: pytest.MonkeyPatch, telegram: str = TELEGRAM, viber: str = VIBER) -> None:
    cascade("account", "add", "acme")
    for channel, token in (("telegram_bot", telegram), ("viber_bot", viber)):
        monkeypatch.setenv("CASCADE_BOT_TOKEN", token)
        assert cascade("bot", "add", "acme", channel).code == 0


def examined(cascade: Run, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    ended = cascade("doctor", "--json", *options)
    assert ended.code == code, ended
    return {finding["what"]: finding for finding in json.loads(ended.output)}


def test_a_redis_that_does_not_answer_is_named_without_its_password(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    add_bots(cascade, settings)
    port = free_ports(1)
    settings.setenv("CASCADE_LIMITS__REDIS_URL", f"redis://:redis-secret@{HOST}:{port}/0")
    found = examined(cascade, code=1)["redis"]
    assert (found["state"], "redis-secret" in str(found)) == ("failed", False)
    assert found["detail"].startswith(f"redis://{HOST}:{port}/0 does not answer")


def test_all_is_well(cascade: Run, settings: pytest.MonkeyPatch, twin: Twin) -> None:
    add_bots(cascade, settings)
    findings = examined(cascade)
    well = {what: finding["detail"] for what, finding in findings.items() if finding["state"] == "ok"}
    assert well["link sms.smpp"] == f"127.0.0.1:{twin[1]} let us bind as acme"
    assert well["bot telegram_bot.1"].startswith("@")
    assert "Sandbox bot" in well["bot viber_bot.2"]
    assert {"configuration", "store", "secrets", "accounts", "disk"} <= set(well)
    assert findings["gateway"]["state"] == "warning"  # it does not run
    assert "cannot be reached: All connection attempts failed" in findings["gateway"]["detail"]


def test_wrong_credentials_are_found_and_shown_to_nobody(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    add_bots(cascade, settings, "9:wrong-telegram", "wrong-viber-token-9")
    ended = cascade("doctor")
    assert ended.code == 1
    findings = examined(cascade, code=1)
    for what in ("bot telegram_bot.1", "bot viber_bot.2"):
        assert findings[what]["state"] == "failed", findings[what]
    assert "Unauthorized" in findings["bot telegram_bot.1"]["detail"]
    for secret in ("wrong-telegram", "wrong-viber", SMPP_PASSWORD):
        assert secret not in ended.output + ended.errors


def test_providers_that_are_not_there(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    add_bots(cascade, settings)
    nobody = free_ports(1)
    settings.setenv("CASCADE_SMPP__PORT", str(nobody))
    settings.setenv("CASCADE_TELEGRAM_BOT__BASE_URL", f"http://{HOST}:{nobody}")
    findings = examined(cascade, code=1)
    assert "cannot be reached" in findings["link sms.smpp"]["detail"]
    assert "no answer" in findings["bot telegram_bot.1"]["detail"]
    assert findings["bot viber_bot.2"]["state"] == "ok"
    assert "link sms.smpp" not in examined(cascade, "--offline")


def test_what_is_wrong_here_is_found_without_the_outside(
    cascade: Run, store: Path, settings: pytest.MonkeyPatch
) -> None:
    findings = examined(cascade, "--offline", code=1)
    assert findings["store"]["fix"] == "`cascade account add NAME` makes it"
    add_bots(cascade, settings)
    cascade("key", "add", "acme", "--name", "shop", "--days", "3")
    findings = examined(cascade, "--offline")
    assert findings["key acme/shop"]["detail"] == "expires within two weeks"
    settings.setenv("CASCADE_SECRETS__KEYS", json.dumps([cascade("key", "new-seal").output.strip()]))
    findings = examined(cascade, "--offline", code=1)
    assert "no key opens the bot tokens" in findings["secrets"]["detail"]
    settings.delenv("CASCADE_SECRETS__KEYS")
    (store.parent / "cascade.key").unlink()
    assert "there is no" in examined(cascade, "--offline")["secrets"]["detail"]
    assert not (store.parent / "cascade.key").exists()
    settings.setenv("CASCADE_STORE__URL", "mysql://shop:hunter2@localhost/shop")
    findings = examined(cascade, "--offline", code=1)
    assert findings["store"]["state"] == "failed"
    assert "hunter2" not in json.dumps(findings)


def test_a_setting_that_does_not_exist_is_a_finding(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CASCADE_STOER__URL", "x")
    (finding,) = examined(cascade, code=1).values()
    assert (finding["what"], finding["state"]) == ("configuration", "failed")
    assert "STORE" in finding["fix"]
