"""The catalogues: alike in both languages, and with a word for whatever a page may have to name."""

import re
from collections.abc import Iterable
from pathlib import Path

import cascade.console
from cascade.channels.fitting import Change
from cascade.console import words
from cascade.console.pages.overview import PERIODS_MS
from cascade.core.directory import Scope
from cascade.core.machine import FAULTS_OF_LINK
from cascade.core.message import Status
from cascade.core.timeline import Mark
from cascade.core.words import Channel, MessageType, Reason
from cascade.store.console import Role
from cascade.store.deliveries import State

HOME = Path(cascade.console.__file__).parent
NAMED: dict[str, Iterable[str]] = {
    "channel": Channel,
    "status": Status,
    "type": MessageType,
    "mark": Mark,
    "reason": Reason,
    "role": Role,
    "delivery": State,
    "change": Change,
    "period": PERIODS_MS,
    "scope": Scope,
    "help": (*FAULTS_OF_LINK, Reason.NO_ANSWER, Reason.THROTTLED),
}


def _placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w*)\}", text))


def test_all_languages_have_the_same_keys_with_the_same_places_to_fill() -> None:
    english = words.CATALOGUES["en"]
    for language, catalogue in words.CATALOGUES.items():
        assert list(catalogue) == list(english), language
        for key, text in catalogue.items():
            assert _placeholders(text) == _placeholders(english[key]), (language, key)
            assert text.strip() == text != "", (language, key)


def test_whatever_the_core_can_say_has_a_word() -> None:
    wanted = {f"{prefix}.{one}" for prefix, kind in NAMED.items() for one in kind}
    assert wanted - words.CATALOGUES["en"].keys() == set()


def _asked_for() -> Iterable[str]:
    asked = re.compile(r"""\b_?t\(\s*["']([a-z_0-9.]+[a-z_0-9])["']|RefusedError\(\s*"([a-z_.]+)\"""")
    for path in [*HOME.rglob("*.py"), *HOME.rglob("*.html")]:
        for groups in asked.findall(path.read_text(encoding="utf-8")):
            yield from filter(None, groups)


def test_every_word_asked_for_exists_and_none_lies_unused() -> None:
    asked = set(_asked_for())
    known = words.CATALOGUES["en"].keys()
    assert asked - known == set()
    built = [*(f"{prefix}." for prefix in NAMED), "language", "problem."]
    built += [
        f"{prefix}."
        for prefix in ("answer", "disabled", "done", "fault", "help", "link", "span", "stage", "standing", "theme")
    ]
    titles = {key for key in known if key.endswith(".title")}
    assert {key for key in known if not key.startswith(tuple(built))} - asked - titles == set()


def test_every_action_that_is_audited_has_a_word() -> None:
    audited = re.compile(r'audit\(tx, "([a-z_]+)"|Done\([^)]*?"([a-z_]+)", None|_change\(page, [^"]*"([a-z_]+)"')
    found: set[str] = set()
    for path in [*HOME.rglob("*.py"), HOME.parent / "cli" / "console.py"]:
        for groups in audited.findall(path.read_text(encoding="utf-8")):
            found.update(filter(None, groups))
    assert len(found) > 15
    assert {f"done.{one}" for one in found} - words.CATALOGUES["en"].keys() == set()
