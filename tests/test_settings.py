"""The settings: what the example shows, where they come from, and what a wrong one is answered with."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from cascade.channels.smpp.settings import SmppSettings
from cascade.core.errors import ConfigError
from cascade.settings import PREFIX, Settings, load

EXAMPLE = Path(__file__).parents[1] / "cascade.example.toml"
SECTION = re.compile(r"^(?:# )?\[{1,2}(\w+)\]{1,2}(?: #.*)?$")
SETTING = re.compile(r"^(?:# )?([a-z][\w-]*) = ")


def in_example() -> set[str]:
    """The dotted name of every setting that the example shows, commented out or not."""
    names = set()
    section = ""
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if match := SECTION.match(line):
            section = f"{match[1]}."
        elif match := SETTING.match(line):
            names.add(section + match[1])
    return names


def in_code() -> set[str]:
    names = {f"routes.{route}" for route in Settings.model_fields["routes"].default}
    for section, field in Settings.model_fields.items():
        if section != "routes":
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
}


@pytest.mark.parametrize("case", FROM_ENVIRONMENT)
def test_the_environment_wins_over_the_file(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value, read = FROM_ENVIRONMENT[case]
    monkeypatch.setenv(name, value)
    assert read(load(EXAMPLE)) == value


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
