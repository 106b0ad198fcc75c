"""What was looked at, how it is, and what to do about it."""

from enum import StrEnum
from typing import NamedTuple

from cascade.core.errors import ConfigError


class State(StrEnum):
    WELL = "ok"
    WARNING = "warning"
    ILL = "failed"


class Finding(NamedTuple):
    """`what` was looked at; `fix`: what to do about it, with the setting's name."""

    what: str
    state: State
    detail: str
    fix: str = ""


def of_error(what: str, error: ConfigError) -> Finding:
    return Finding(what, State.ILL, f"{error.setting}: {error.problem}", error.fix)


def well(what: str, detail: str) -> Finding:
    return Finding(what, State.WELL, detail)
