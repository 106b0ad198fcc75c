"""What is a placeholder, what is text, and what stands there in the end."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.placeholders import ID, TYPE, Slot, Variable, find, replace

JOHN = {Slot("name", "1"): "John"}

PLACEHOLDERS = {
    "a name": ("Hello, %name=1%!", [("name", "1")]),
    "a URL": ("%url=3%", [("url", "3")]),
    "a short URL": ("see %short_url=4%", [("short_url", "4")]),
    "an id that is a word": ("%name=first.one_2-b%", [("name", "first.one_2-b")]),
    "side by side": ("%a=1%%b=2%", [("a", "1"), ("b", "2")]),
    "twice": ("%a=1% %a=1%", [("a", "1"), ("a", "1")]),
    "a negative id": ("%a=-1%", [("a", "-1")]),
    "case counts": ("%Name=1% %name=1%", [("Name", "1"), ("name", "1")]),
    "a zero before an id is another id": ("%a=01%", [("a", "01")]),
    "the longest": (f"%{'t' * 32}={'9' * 64}%", [("t" * 32, "9" * 64)]),
    "behind a per cent sign": ("100%%a=1%", [("a", "1")]),
    "within words": ("50%a=1%off", [("a", "1")]),
    "amid Cyrillic": ("Вітаємо, %name=1%!", [("name", "1")]),
}


@pytest.mark.parametrize(("text", "slots"), PLACEHOLDERS.values(), ids=PLACEHOLDERS.keys())
def test_a_placeholder_is_found(text: str, slots: list[tuple[str, str]]) -> None:
    assert list(find(text)) == slots


PLAIN = {
    "nothing": "",
    "no per cent sign": "name=1",
    "a discount": "-50%",
    "two discounts": "from 20% to 50% off",
    "spaces": "%name = 1%",
    "no id": "%name=%",
    "no type": "%=1%",
    "no equals sign": "%name%",
    "never closed": "%name=1",
    "a digit in the type": "%name2=1%",
    "a type too long": f"%{'t' * 33}=1%",
    "an id too long": f"%a={'9' * 65}%",
    "an id in Cyrillic": "%name=перше%",
    "a line break": "%name=1\n%",
    "an escaped URL": "https://e.com/?q=a%20b%3D1",
    "a sum": "5%=5%",
}


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
def test_anything_else_is_text(text: str) -> None:
    assert list(find(text)) == []
    assert replace(text, JOHN) == text


REPLACED = {
    "once": ("Hello, %name=1%!", "Hello, John!"),
    "everywhere": ("%name=1%%name=1% %name=1%", "JohnJohn John"),
    "what has no value stays": ("%name=2% %name=1%", "%name=2% John"),
    "a discount beside it stays": ("%name=1%: -50%", "John: -50%"),
}


@pytest.mark.parametrize(("text", "said"), REPLACED.values(), ids=REPLACED.keys())
def test_a_placeholder_becomes_its_value(text: str, said: str) -> None:
    assert replace(text, JOHN) == said


def test_a_value_is_not_looked_through_again() -> None:
    values = {Slot("a", "1"): "%b=2% \\1 \\g<0>", Slot("b", "2"): "no"}
    assert replace("%a=1%", values) == "%b=2% \\1 \\g<0>"


def test_what_no_value_has_is_empty() -> None:
    assert replace("<%name=1%>", {Slot("name", "1"): ""}) == "<>"


def test_a_slot_and_a_variable_are_written_as_clients_write_them() -> None:
    assert str(Slot("name", "1")) == "name=1"
    assert Variable("name", "1", "John").slot == Slot("name", "1")


pieces = st.sampled_from(["%", "=", "a", "b_", "1", "2", " ", "%a=1%", "%b_=2%", "ї", "\n", "\0", "🙂"]) | st.text(
    max_size=3
)
texts = st.lists(pieces, max_size=30).map("".join)
slots = st.builds(Slot, st.from_regex(TYPE, fullmatch=True), st.from_regex(ID, fullmatch=True))


@given(texts)
def test_every_text_is_read_and_what_is_found_stands_in_it(text: str) -> None:
    found = find(text)
    assert all(f"%{slot}%" in text for slot in found)
    assert replace(text, {}) == text
    marked = replace(text, dict.fromkeys(found, "\x07"))
    assert marked.count("\x07") - text.count("\x07") == len(found)


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="%"), max_size=5), slots), max_size=5), st.text())
def test_each_placeholder_of_a_text_gets_its_own_value(parts: list[tuple[str, Slot]], value: str) -> None:
    text = "".join(f"{before}%{slot}%" for before, slot in parts)
    values = {slot: f"{value}{number}" for number, (_, slot) in enumerate(parts)}
    assert replace(text, values) == "".join(before + values[slot] for before, slot in parts)
    assert list(find(text)) == [slot for _, slot in parts]


def test_type_and_id_are_the_same_in_a_placeholder_and_in_a_variable() -> None:
    """The doors take the same patterns, anchored: what they let in can be written in a text."""
    assert re.fullmatch(TYPE, "short_url")
    assert re.fullmatch(ID, "4")
