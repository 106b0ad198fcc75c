"""The code of a flash call: the last digits of the number that calls."""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_CALLER = re.compile(r"\+?[0-9]{5,15}")
_TYPED = re.compile(r"\+?[0-9][0-9 ().-]{0,30}")
HIDDEN = "***"
"""How a pattern begins: whatever digits come before those shown."""


@dataclass(frozen=True, slots=True)
class FlashcallRules:
    """`digits` make the code; `most_checks`: how often one may be typed wrong; `reveals_caller`: the account is told
    who calls, before the call is made, so that it can check the digits itself."""

    digits: int = 6
    most_checks: int = 3
    reveals_caller: bool = True


class Verdict(StrEnum):
    """What a check of typed digits found. Part of the API."""

    MATCHED = "matched"
    WRONG = "wrong"
    EXHAUSTED = "exhausted"  # wrong too often: nothing more is compared
    EXPIRED = "expired"  # the call's time to live is over
    USED = "used"  # it was matched before, and counts once
    NOT_CALLED = "not_called"  # no call was made yet


def is_caller(number: str) -> bool:
    return _CALLER.fullmatch(number) is not None


def code_of(caller: str, digits: int) -> str:
    return caller.removeprefix("+")[-digits:]


def pattern_of(caller: str, digits: int) -> str:
    return HIDDEN + code_of(caller, digits)


def typed_digits(text: str) -> str | None:
    """What a person typed, as digits alone; None when it is no number."""
    return re.sub(r"[^0-9]", "", text) if text.isascii() and _TYPED.fullmatch(text.strip()) else None


def is_match(typed: str, caller: str, digits: int) -> bool:
    """Whether the digits typed, or the last of them where a person types the whole number, are the code. It takes the
    same time wherever they differ."""
    return hmac.compare_digest(typed[-digits:], code_of(caller, digits))


def choose(pool: Sequence[str], last: str | None, digits: int, pick: Callable[[Sequence[str]], str]) -> str:
    """A caller whose code is another than `last`'s, where the pool has one."""
    if last is None:
        return pick(pool)
    code = code_of(last, digits)
    return pick([caller for caller in pool if code_of(caller, digits) != code] or pool)
