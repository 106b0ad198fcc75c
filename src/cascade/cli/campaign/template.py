"""Texts with columns in them: `Dear {Name|customer}, your code is {Code}`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cascade.core.errors import ConfigError

PART: Final = re.compile(r"\{\{|\}\}|\{([^{}|]+)(?:\|([^{}]*))?\}|[{}]")


class EmptyColumnError(Exception):
    """A row says nothing in a column that it must. `is_alone`: the column is all that there is, such as a phone."""

    def __init__(self, column: str, *, is_alone: bool) -> None:
        hint = "" if is_alone else f"; in a template, {{{column}|something}} stands in for it"
        super().__init__(f"the column {column!r} is empty{hint}")


@dataclass(frozen=True, slots=True)
class Column:
    place: int
    name: str
    default: str | None

    def of(self, values: Sequence[str], *, is_alone: bool) -> str:
        value = values[self.place].strip()
        if value:
            return value
        if self.default is None:
            raise EmptyColumnError(self.name, is_alone=is_alone)
        return self.default


Template = tuple[str | Column, ...]


def parse(option: str, text: str, columns: Sequence[str]) -> Template:
    """The template of a text; `ConfigError` for a column that is not there. `{{` and `}}` are braces."""
    return tuple(_parts(option, text, columns))


def _parts(option: str, text: str, columns: Sequence[str]) -> Iterator[str | Column]:
    end = 0
    for found in PART.finditer(text):
        if found.start() > end:
            yield text[end : found.start()]
        end = found.end()
        if found[0] in ("{{", "}}"):
            yield found[0][0]
        elif found[1] is None:
            raise ConfigError(
                option, f"a brace stands alone at {found.start() + 1}", "Write {{ or }} for the sign itself"
            )
        else:
            yield Column(place_of(option, found[1].strip(), columns), found[1].strip(), found[2])
    if end < len(text):
        yield text[end:]


def place_of(option: str, name: str, columns: Sequence[str]) -> int:
    """Where the column stands: by its very name, or else by one that differs in capitals alone."""
    for same in (str, str.casefold):
        places = [place for place, column in enumerate(columns) if same(column) == same(name)]
        if len(places) == 1:
            return places[0]
        if places:
            raise ConfigError(option, f"there are {len(places)} columns {name!r}", "Rename one of them in the file")
    raise ConfigError(option, f"there is no column {name!r}", f"There are: {', '.join(columns)}")


def fill(template: Template, values: Sequence[str]) -> str:
    """The text for one row. Raises `EmptyColumnError`."""
    is_alone = len(template) == 1
    return "".join([part if isinstance(part, str) else part.of(values, is_alone=is_alone) for part in template])


def parse_all(option: str, value: Any, columns: Sequence[str]) -> Any:
    """The same for every text in a JSON value."""
    return _each(value, lambda text: parse(option, text, columns))


def fill_all(value: Any, values: Sequence[str]) -> Any:
    if isinstance(value, tuple):
        return fill(value, values)
    if isinstance(value, dict):
        return {name: fill_all(one, values) for name, one in value.items()}
    if isinstance(value, list):
        return [fill_all(one, values) for one in value]
    return value


def _each(value: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _each(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return value
