"""Texts with columns in them."""

import pytest

from cascade.cli.campaign.template import EmptyColumnError, fill, fill_all, parse, parse_all
from cascade.core.errors import ConfigError

COLUMNS = ("Name", "Code", "City ")
FILLED = {  # template, values -> text
    "no column": ("Hello", ("A", "1", ""), "Hello"),
    "a column": ("Dear {Name}!", ("Olena", "1", ""), "Dear Olena!"),
    "twice, and beside another": ("{Name}{Name} {Code}", ("A", "7", ""), "AA 7"),
    "spaces around a value": ("<{Name}>", ("  A ", "7", ""), "<A>"),
    "in other capitals": ("{name} {CODE}", ("A", "7", ""), "A 7"),
    "what stands in for an empty one": ("Dear {Name|customer}", (" ", "7", ""), "Dear customer"),
    "and is not needed": ("Dear {Name|customer}", ("Olena", "7", ""), "Dear Olena"),
    "nothing may stand in": ("{Name|}{Code}", ("", "7", ""), "7"),
    "braces": ("{{Name}} {Name}", ("A", "7", ""), "{Name} A"),
    "a value's own braces and percent signs": ("{Name}", ("{Code} %s", "7", ""), "{Code} %s"),
    "the gateway's placeholders are left to it": ("%name=1% {Name}", ("A", "7", ""), "%name=1% A"),
}


@pytest.mark.parametrize("case", FILLED)
def test_filled(case: str) -> None:
    text, values, expected = FILLED[case]
    assert fill(parse("TEXT", text, COLUMNS), values) == expected


def test_an_empty_column_is_no_text() -> None:
    with pytest.raises(EmptyColumnError, match=r"'Name' is empty; in a template, \{Name\|something\} stands in for it"):
        fill(parse("TEXT", "Hi {Name}", COLUMNS), ("", "7", ""))
    with pytest.raises(EmptyColumnError, match=r"'Name' is empty$"):  # where a column is all, nothing could stand in
        fill(parse("--map", "{Name}", COLUMNS), ("", "7", ""))


REFUSED = {
    "a column that is not there": ("{Surname}", COLUMNS, "no column 'Surname'. There are: Name, Code"),
    "a column that is there twice": ("{Name}", ("Name", "Name"), "2 columns 'Name'"),
    "a lone brace": ("100 { off", COLUMNS, "a brace stands alone at 5"),
    "a lone closing brace": ("100 }", COLUMNS, "a brace stands alone at 5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_a_row_is_read(case: str) -> None:
    text, columns, words = REFUSED[case]
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        parse("TEXT", text, columns)


def test_every_text_of_a_json_value_is_a_template() -> None:
    value = {
        "button": {"text": "{Name}", "url": "https://x.example/{Code}"},
        "surveyOptions": ["{Code}", "b"],
        "ttl": 5,
    }
    filled = {"button": {"text": "A", "url": "https://x.example/7"}, "surveyOptions": ["7", "b"], "ttl": 5}
    assert fill_all(parse_all("--message", value, COLUMNS), ("A", "7", "")) == filled
