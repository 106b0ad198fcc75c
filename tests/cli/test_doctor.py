"""`cascade doctor` before the sandbox's providers, well and ill."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from acceptance.processes import HOST, SMPP_PASSWORD, TELEGRAM, VIBER, gateway_settings, sandbox
from bench.ports import free_ports
from cascade.cli.checkup import outside
from cascade.serve import now_ms
from conftest import on_server as run_on_server

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
    assert findings["link sms.smpp"]["detail"] == f"{HOST}:{nobody} cannot be reached: ConnectionRefusedError"
    assert "no answer" in findings["bot telegram_bot.1"]["detail"]
    assert findings["bot viber_bot.2"]["state"] == "ok"
    assert "link sms.smpp" not in examined(cascade, "--offline")
    settings.setenv("CASCADE_SMPP__HOST", "smsc.invalid")
    assert "there is no such host" in examined(cascade, code=1)["link sms.smpp"]["detail"]


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
    assert "secrets.keys: no key opens the bot tokens" in findings["secrets"]["detail"]
    settings.delenv("CASCADE_SECRETS__KEYS")
    (store.parent / "cascade.key").unlink()
    found = examined(cascade, "--offline", code=1)["secrets"]
    assert f"there is no {store.parent / 'cascade.key'}" in found["detail"]
    assert found["fix"] == "Put it back, or name its keys in secrets.keys"
    assert not (store.parent / "cascade.key").exists()
    settings.setenv("CASCADE_STORE__URL", "mysql://shop:hunter2@localhost/shop")
    findings = examined(cascade, "--offline", code=1)
    assert findings["store"]["state"] == "failed"
    assert findings["store"]["detail"].startswith("store.url: ")
    assert "hunter2" not in json.dumps(findings)


def test_a_setting_that_does_not_exist_is_a_finding(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CASCADE_STOER__URL", "x")
    (finding,) = examined(cascade, code=1).values()
    assert (finding["what"], finding["state"]) == ("configuration", "failed")
    assert "STORE" in finding["fix"]


def test_a_new_gateway_has_nothing_sealed_yet(cascade: Run, store: Path, settings: pytest.MonkeyPatch) -> None:
    cascade("account", "add", "acme")
    found = examined(cascade, "--offline")
    assert (found["secrets"]["detail"], found["accounts"]["state"]) == ("nothing is sealed yet", "ok")
    assert not (store.parent / "cascade.key").exists()


def test_a_fix_names_the_setting(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    add_bots(cascade, settings, "9:wrong-telegram")
    settings.setenv("CASCADE_SMPP__PORT", str(free_ports(1)))
    found = examined(cascade, code=1)
    assert "cannot be reached" in found["link sms.smpp"]["detail"]
    assert "[smpp]" in found["link sms.smpp"]["fix"]
    assert "`cascade bot remove acme telegram_bot.1` and `add`" in found["bot telegram_bot.1"]["fix"]
    assert "telegram_bot.base_url" in found["bot telegram_bot.1"]["fix"]


def test_a_webhook_that_nobody_listens_at(cascade: Run, settings: pytest.MonkeyPatch, twin: Twin) -> None:
    cascade("account", "add", "acme")
    url, _ = twin
    settings.setenv("CASCADE_WEBHOOKS__ALLOW", json.dumps([HOST]))
    settings.setenv("CASCADE_WEBHOOKS__ALLOW_HTTP", "true")
    settings.setenv("CASCADE_WEBHOOKS__PORTS", "[]")
    away = f"http://{HOST}:{free_ports(1)}/hook"
    secure = url.replace("http:", "https:") + "/no-tls"
    for one in (f"{url}/hook", away, secure):
        assert cascade("webhook", "add", "acme", one).code == 0
    found = examined(cascade)
    assert found[f"webhook {url}/hook"]["detail"] == "it can be reached"
    for one in (away, secure):
        assert found[f"webhook {one}"]["state"] == "warning"
        assert "cannot be reached" in found[f"webhook {one}"]["detail"]
    settings.delenv("CASCADE_WEBHOOKS__ALLOW")
    refused = examined(cascade, code=1)[f"webhook {url}/hook"]
    assert "not a public one" in refused["detail"]
    assert "webhooks.allow" in refused["fix"]
    assert f"webhook {url}/hook" not in examined(cascade, "--offline")


def test_a_sender_that_no_sms_can_carry(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    cascade("account", "add", "acme")
    cascade("account", "limit", "acme", "--sender", "Acme", "--sender", "Магазин")
    found = examined(cascade, "--offline")["senders of acme"]
    assert found["detail"] == "acme may send as Магазин, which sms.smpp cannot carry"
    assert "smpp.senders" in found["fix"]
    settings.setenv("CASCADE_SMPP__SENDERS", json.dumps({"Магазин": "Shop"}))
    assert "senders of acme" not in examined(cascade, "--offline")


@pytest.mark.parametrize(("minutes", "words"), [(10, "600 s ahead of"), (-10, "600 s behind")])
def test_a_clock_that_is_off(cascade: Run, settings: pytest.MonkeyPatch, minutes: int, words: str) -> None:
    add_bots(cascade, settings)
    assert examined(cascade)["clock"]["detail"] == f"agrees with that of {HOST}"
    settings.setattr(outside, "now_ms", lambda: now_ms() + minutes * 60_000)
    found = examined(cascade, code=1)["clock"]
    assert words in found["detail"].replace("601", "600").replace("599", "600")
    assert "NTP" in found["fix"]


def test_a_place_that_cannot_be_written(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("CASCADE_STORE__URL", "sqlite:////sys/cascade.db")
    found = examined(cascade, "--offline", code=1)["disk"]
    assert found["detail"].startswith("/sys cannot be written: ")
    assert "store.url" in found["fix"]


ROUTES: dict[str, tuple[list[str], str, str, str]] = {  # channels, state, words of the detail and of the fix
    "all have a link": (["telegram_bot", "sms"], "ok", "goes by telegram_bot, sms", ""),
    "one has none": (
        ["rcs", "sms"],
        "warning",
        "passed over, without a link: rcs",
        "or take it out of routes.standard",
    ),
    "a bot that nobody added": (
        ["viber_bot", "sms"],
        "warning",
        "without a link: viber_bot",
        "`cascade bot add ACCOUNT",
    ),
    "none has any": (["rcs"], "failed", "none of its channels has a link: rcs", "[providers.NAME] of kind rcs.…"),
}


@pytest.mark.parametrize("case", ROUTES)
def test_a_route_by_channels_without_a_link(case: str, cascade: Run, settings: pytest.MonkeyPatch) -> None:
    channels, state, detail, fix = ROUTES[case]
    cascade("account", "add", "acme")
    settings.setenv("CASCADE_BOT_TOKEN", TELEGRAM)
    cascade("bot", "add", "acme", "telegram_bot")
    routes = {"standard": [{"channel": one} for one in channels], "tg-viber": [{"channel": "sms"}]}
    settings.setenv("CASCADE_ROUTES", json.dumps(routes))
    found = examined(cascade, "--offline", code=1 if state == "failed" else 0)["route standard"]
    assert (found["state"], detail in found["detail"], fix in found["fix"]) == (state, True, True), found


def test_the_routes_that_come_with_it_name_what_is_passed_over(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    cascade("account", "add", "acme")
    found = examined(cascade, "--offline")["route tg-viber"]
    assert found["state"] == "ok"
    assert found["detail"].startswith("goes by sms; passed over, without a link: telegram_bot, viber_bot")


def test_a_link_kept_for_an_account_that_there_is_not(cascade: Run, settings: pytest.MonkeyPatch) -> None:
    cascade("account", "add", "acme")
    smpp = {"kind": "sms.smpp", "host": HOST, "system_id": "a", "password": "b", "accounts": ["acme", "acne"]}
    settings.setenv("CASCADE_PROVIDERS", json.dumps({"second": smpp}))
    found = examined(cascade, "--offline")["link sms.second"]
    assert "kept for 'acne'" in found["detail"]
    assert "providers.second.accounts" in found["fix"]


def test_what_postgres_does_not_let_us_do(
    cascade: Run, settings: pytest.MonkeyPatch, postgres_url: str, postgres_server: str
) -> None:
    def on_server(*statements: str) -> None:
        asyncio.run(run_on_server(postgres_url, *statements))

    role, schema = "cascade_doctor", postgres_url.rpartition("=")[2]
    settings.setenv("CASCADE_STORE__URL", postgres_url.replace(schema, "nowhere"))
    assert "search_path" in examined(cascade, "--offline", code=1)["rights"]["fix"]
    settings.setenv("CASCADE_STORE__URL", postgres_url)
    settings.setenv("CASCADE_SECRETS__KEYS", json.dumps([cascade("key", "new-seal").output.strip()]))
    cascade("account", "add", "acme")
    found = examined(cascade, "--offline")
    for what in ("store", "rights", "connections", "clock"):
        assert found[what]["state"] == "ok", found[what]

    on_server(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 10", f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    try:
        on_server(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        settings.setenv("CASCADE_STORE__URL", of_role(postgres_url, role))
        found = examined(cascade, "--offline", code=1)
        assert found["connections"]["detail"] == "1 node of store.connections + 2 = 18 need 18, PostgreSQL gives 10"
        assert "store.connections" in found["connections"]["fix"]
        assert found["rights"]["state"] == "failed"
        assert f"TO {role}" in found["rights"]["fix"]

        on_server(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}", f"ALTER ROLE {role} CONNECTION LIMIT 40")
        on_server(f"ALTER ROLE {role} SET synchronous_commit = off")
        found = examined(cascade, "--offline", code=1)
        assert (found["connections"]["state"], found["rights"]["state"]) == ("ok", "warning")
        assert found["rights"]["fix"].startswith(f"GRANT CREATE ON SCHEMA {schema} TO {role}")
        assert (found["commits"]["state"], found["commits"]["detail"]) == ("failed", "synchronous_commit is off")
    finally:
        on_server(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def of_role(url: str, role: str) -> str:
    """The same place for another user, who needs no password there."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
