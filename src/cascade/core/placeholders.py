"""Placeholders in a text: `%name=1%`, `%url=3%`, `%short_url=4%` (contract, section 3).

A type of 1 to 32 letters and `_`, and an id of 1 to 64 letters, digits, `_`, `.` and `-`; case counts. Any other
per cent sign is text. What a placeholder is replaced with is not looked through again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

TYPE: Final = r"[A-Za-z_]{1,32}"
ID: Final = r"[A-Za-z0-9_.-]{1,64}"
URL: Final = "url"
SHORT_URL: Final = "short_url"
URL_TYPES: Final = frozenset({URL, SHORT_URL})
"""The types whose values must be URLs."""

_PLACEHOLDER = re.compile(f"%({TYPE})=({ID})%")


class Slot(NamedTuple):
    """Which value a placeholder stands for."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}={self.id}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A value as a client gives it; an id given as a number is its digits."""

    type: str
    id: str
    value: str

    @property
    def slot(self) -> Slot:
        return Slot(self.type, self.id)


def find(text: str) -> Sequence[Slot]:
    """The placeholders of a text, from left to right."""
    if "%" not in text:
        return ()
    return [Slot(*match) for match in _PLACEHOLDER.findall(text)]


def replace(text: str, values: Mapping[Slot, str]) -> str:
    """The text with its placeholders replaced. One without a value stays as it is."""
    if "%" not in text:
        return text
    return _PLACEHOLDER.sub(lambda match: values.get(Slot(*match.groups()), match[0]), text)
