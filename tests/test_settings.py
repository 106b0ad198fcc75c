"""The settings: what the example shows, where they come from, and what a wrong one is answered with."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cascade.channels.registry import PROVIDERS
from cascade.channels.smpp.settings import SmppSettings
from cascade.core.errors import ConfigError
from cascade.settings import PREFIX, ProviderLink, Settings, load

EXAMPLE = Path(__file__).parents[1] / "cascade.example.toml"
SECTION = re.compile(r"^(?:# )?\[{1,2}(\w+)(?:\.[\w-]+)?\]{1,2}(?: #.*)?$")
KIND = re.compile(r'^# kind = "([\w.]+)"')
SETTING = re.compile(r"^(?:# )?([a-z][\w-]*) = ")


def in_example() -> set[str]:
    """The dotted name of every setting that the example shows, commented out or not."""
    names = set()
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if match := SECTION.match(line):
            section = f"{match[1]}."
        elif match := KIND.match(line):
            section = f"providers.{match[1]}."
        elif match := SETTING.match(line):
            names.add(section + match[1])
    return names


def in_code() -> set[str]:
    names = {f"routes.{route}" for route in Settings.model_fields["routes"].default}
    for kind, provider in PROVIDERS.items():
        if provider.settings is not SmppSettings:  # shown under [smpp]
            names |= {f"providers.{kind}.{field.name}" for field in dataclasses.fields(provider.settings) if field.init}
    names |= {f"providers.sms.smpp.{name}" for name in ProviderLink.model_fields if name not in ("kind", "own")}
    for section, field in Settings.model_fields.items():
        if section not in ("routes", "providers"):
            names |= {f"{section}.{name}" for name in inside(field.annotation)} or {section}
    return names


def inside(annotation: Any) -> set[str]:
    """The settings of a section, or of each entry where there may be several; none where the setting is one value."""
    names = {*getattr(annotation, "model_fields", ()), *getattr(annotation, "__dataclass_fields__", ())}
    return names.union(*map(inside, get_args(annotation)))


def test_the_example_names_every_setting_and_no_other() -> None:
    assert in_example() == in_code()


def test_the_example_holds_the_defaults() -> None:
    assert load(EXAMPLE) == Settings(smpp=SmppSettings())


EVERY_KIND = re.compile(r"^# (\[providers\.\w+\]|[a-z]\w* = .*)$")


def a_service_account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"client_email": "a@b", "private_key": pem, "token_uri": "https://oauth2.example"}


def test_the_commented_providers_are_right_too(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("# [providers."))
    shown = lines[first : lines.index("[routes]")]
    path = tmp_path / "cascade.toml"
    files = ("service_account_file", "private_key_file")
    given = "\n".join(line[2:] for line in shown if EVERY_KIND.match(line) and not any(name in line for name in files))
    account = a_service_account()
    given = given.replace('"{…}"', f"'{json.dumps(account)}'")
    given = given.replace('private_key = "…"', f"private_key = {json.dumps(account['private_key'])}")
    path.write_text(given, encoding="utf-8")
    links = load(path).provider_links
    assert {link.kind for link in links.values()} == PROVIDERS.keys()


def test_without_a_file_the_defaults_stand() -> None:
    assert load(None) == Settings()


FROM_ENVIRONMENT: dict[str, tuple[str, str, Any]] = {
    "a text": ("CASCADE_STORE__URL", "sqlite:////var/lib/c.db", lambda settings: settings.store.url),
    "a number": ("CASCADE_HTTP__PORT", "9090", lambda settings: str(settings.http.port)),
    "in small letters": ("cascade_http__port", "9090", lambda settings: str(settings.http.port)),
    "of the SMSC": ("CASCADE_SMPP__SYSTEM_ID", "acme", lambda settings: settings.smpp.system_id),
    "a list": (
        "CASCADE_SECRETS__KEYS",
        '["k1"]',
        lambda settings: f'["{settings.secrets.keys[0].get_secret_value()}"]',
    ),
    "a table of the SMSC": (
        "CASCADE_SMPP__SENDERS",
        '{"Shop": "380441234567"}',
        lambda settings: json.dumps(settings.smpp.senders),
    ),
    "a list of the SMSC": (
        "CASCADE_SMPP__NAME_TON_NPI",
        "[1, 2]",
        lambda settings: json.dumps(settings.smpp.name_ton_npi),
    ),
}


@pytest.mark.parametrize("case", FROM_ENVIRONMENT)
def test_the_environment_wins_over_the_file(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value, read = FROM_ENVIRONMENT[case]
    monkeypatch.setenv(name, value)
    assert read(load(EXAMPLE)) == value


def test_a_provider_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_PROVIDERS__SECOND__KIND", "sms.smpp")
    monkeypatch.setenv("CASCADE_PROVIDERS__SECOND__HOST", "smsc.example")
    monkeypatch.setenv("CASCADE_PROVIDERS__SECOND__PORT", "3550")
    (link,) = load(None).provider_links.values()
    assert (link.own.host, link.own.port) == ("smsc.example", 3550)


WRONG: dict[str, tuple[str, str, str]] = {
    # the file, the setting that is named, what the fix says
    "unknown setting": ('[store]\nulr = "x"', "store.ulr", "Did you mean 'url'?"),
    "unknown section": ("[htpp]\nport = 1", "htpp", "Did you mean 'http'?"),
    "unknown setting of the SMSC": ('[smpp]\nhots = "x"', "smpp.hots", "Did you mean 'host'?"),
    "nothing like any": ("[log]\nzebra = 1", "log.zebra", "Known here: format, level"),
    "a text for a number": ('[http]\nport = "abc"', "http.port", "cascade.example.toml"),
    "a port beyond all": ("[http]\nport = 70000", "http.port", "cascade.example.toml"),
    "a word that is none of them": ('[log]\nlevel = "loud"', "log.level", "cascade.example.toml"),
    "a section that is no table": ("http = 1", "http", "cascade.example.toml"),
    "a window of nothing": ("[smpp]\nwindow = 0", "smpp.window", "Write how many"),
    "a provider of no kind": ("[providers.a]\nweight = 1", "providers.a", "example"),
    "a provider of an unknown kind": ('[providers.a]\nkind = "sms.pigeon"', "providers.a", "example"),
    "an unknown setting of a provider": ('[providers.a]\nkind = "sms.smpp"\nhots = "x"', "providers.a", "example"),
    "a wrong one of ours": ('[providers.a]\nkind = "sms.smpp"\nweight = 0', "providers.a.weight", "example"),
    "a wrong one of its own": ('[providers.a]\nkind = "sms.smpp"\nport = "x"', "providers.a", "example"),
    "one that cannot work": ('[providers.a]\nkind = "sms.smpp"\nwindow = 0', "providers.a", "example"),
    "a provider's name that no link can have": (
        '[providers."a b"]\nkind = "sms.smpp"',
        "providers.a b.[key]",
        "example",
    ),
    "an unknown channel": ('[routes]\nstandard = [{channel = "fax"}]', "routes.standard.0.channel", "example"),
    "no second route": ('[routes]\nstandard = [{channel = "sms"}]', "routes", "add it"),
    "a route without steps": ("[routes]\nstandard = []", "routes.standard", "example"),
    "malformed TOML": ("[store\nurl = 1", "--config", "Mend that line"),
    "not UTF-8": ("\udcff", "--config", "Mend that line"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_named_with_its_fix(case: str, tmp_path: Path) -> None:
    text, setting, fix = WRONG[case]
    path = tmp_path / "cascade.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.setting == setting
    assert fix in caught.value.fix
    assert "\n" not in str(caught.value)


WRONG_VARIABLES: dict[str, tuple[str, str, str, str]] = {
    "unknown section": ("CASCADE_HTPP__PORT", "1", "CASCADE_HTPP__PORT", "Did you mean 'CASCADE_HTTP'?"),
    "unknown setting": ("CASCADE_HTTP__PROT", "1", "http.prot", "Did you mean 'port'?"),
    "a wrong value": ("CASCADE_HTTP__PORT", "abc", "http.port", "cascade.example.toml"),
    "a section that is no JSON": ("CASCADE_ROUTES", "sms", "CASCADE_ROUTES", "Write JSON"),
    "a list that is no JSON": ("CASCADE_SECRETS__KEYS", "abc", "CASCADE_SECRETS", "Write JSON"),
}


@pytest.mark.parametrize("case", WRONG_VARIABLES)
def test_a_wrong_variable_is_named_with_its_fix(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value, setting, fix = WRONG_VARIABLES[case]
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(None)
    assert caught.value.setting == setting
    assert fix in caught.value.fix


@pytest.mark.parametrize("name", ["CASCADE_BOT_TOKEN", "CASCADE_SANDBOX_KEY", "CASCADES", "PATH"])
def test_a_variable_that_is_no_setting_of_ours_is_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    assert load(None) == Settings()


STORES = {
    "sqlite:///cascade.db": "cascade.db",
    "sqlite:////var/lib/cascade.db": "/var/lib/cascade.db",
    "sqlite:///": None,
    "mysql://root:hunter2@db/cascade": None,
    "cascade.db": None,
}


@pytest.mark.parametrize("url", STORES)
def test_the_store_is_a_file_or_refused_without_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}STORE__URL", url)
    store = load(None).store
    if (path := STORES[url]) is not None:
        assert store.path == Path(path)
        return
    with pytest.raises(ConfigError, match=r"^store\.url: ") as caught:
        _ = store.path
    assert "hunter2" not in str(caught.value)


def test_no_secret_of_the_settings_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_SMPP__PASSWORD", "hunter2")
    monkeypatch.setenv("CASCADE_SECRETS__KEYS", '["hunter2"]')
    assert "hunter2" not in repr(load(None))


PROBLEMS = {  # a provider's entry: what is said of it
    'kind = "sms.pigeon"': "`kind` must be one of ",
    'kind = "sms.smpp"\nhots = "x"': "no such setting `hots`. Did you mean 'host'?",
    'kind = "sms.smpp"\nport = "x"': "`port`: Input should be a valid integer",
    'kind = "sms.infobip"\nbase_url = "https://x"\napi_key = "k"\ncallback_secret = ""': (
        "`callback_secret`: Value should have at least 1 item"
    ),
    'kind = "sms.smpp"\nresponse_timeout_s = 31': "`response_timeout_s`: it is above 30",
}


@pytest.mark.parametrize(("entry", "problem"), PROBLEMS.items())
def test_what_is_wrong_with_a_provider_is_said(entry: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "cascade.toml"
    path.write_text(f"[providers.second]\n{entry}", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert problem in caught.value.problem


def test_the_short_form_is_a_provider_and_all_are_links(tmp_path: Path) -> None:
    path = tmp_path / "cascade.toml"
    path.write_text(
        '[smpp]\nrate_per_s = 5\n[providers.second]\nkind = "sms.smpp"\nweight = 3\nrate_per_s = 7\nwindow = 9'
        '\naccounts = ["acme"]',
        encoding="utf-8",
    )
    links = load(path).provider_links
    assert list(links) == ["sms.smpp", "sms.second"]
    assert [(link.weight, link.rate_per_s, link.accounts) for link in links.values()] == [
        (1, 5, None),
        (3, 7, ["acme"]),
    ]
    assert links["sms.second"].own.window == 9
