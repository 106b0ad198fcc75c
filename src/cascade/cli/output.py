"""What commands write: a table or a sentence for people, JSON for programs.

Only what was asked for goes to standard output, so that it can be piped; progress and complaints go to standard error.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

WIDE: Final = 200
"""Columns where nobody looks: a pipe, a log."""
KEPT_WHOLE: Final = frozenset(
    {"accepted", "added", "by", "channel", "event", "link", "message", "phone", "status", "time"}
)
"""Titles of columns that a narrow terminal does not fold."""
console = Console(width=None if sys.stdout.isatty() else WIDE)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def bare(value: str) -> None:
    """A key, a secret: alone on its line."""
    print(value)  # noqa: T201


def as_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201


def say(sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def done(sentence: str, value: object, *, is_json: bool) -> None:
    """What a command did: a sentence, or the value that tells the same."""
    if is_json:
        as_json(value)
    else:
        say(sentence)


def rows(columns: Mapping[str, str], found: Sequence[Mapping[str, Any]], *, is_json: bool) -> None:
    """`columns`: keys of each row, and their titles. JSON holds all there is, a table these."""
    if is_json:
        as_json(list(found))
    else:
        console.print(table(columns, found))


def table(columns: Mapping[str, str], found: Sequence[Mapping[str, Any]]) -> Table:
    shown = Table(
        *(Column(title, overflow="fold", no_wrap=title in KEPT_WHOLE) for title in columns.values()),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for row in found:
        shown.add_row(*(Text(written(row.get(key))) for key in columns))
    return shown


def fields(value: Mapping[str, Any], *, is_json: bool) -> None:
    """One thing with all its fields, one a line."""
    if is_json:
        as_json(dict(value))
        return
    shown = Table(box=None, show_header=False, pad_edge=False)
    for key, one in value.items():
        shown.add_row(Text(key, style="bold"), Text(written(one), overflow="fold"))
    console.print(shown)


def written(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(str, value))
        case dict():
            return ", ".join(f"{key}: {written(one)}" for key, one in value.items())
    return str(value)
