"""When to try a request again.

That is safe for sends: each carries an `Idempotency-Key`, the same in every try, so that the gateway answers a repeat
with the first answer and sends nothing again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from .errors import ApiError, CascadeError, UnreachableError

NOT_DONE = frozenset({429, 503})
"""Nothing has happened: whatever was asked may be asked again."""
PERHAPS_DONE = frozenset({500, 502, 504})
"""Only what does no harm when it happens twice is asked again."""


@dataclass(frozen=True)
class Retries:
    """`most`: tries after the first; 0: none. The pause before the n-th is random up to `first_s` * 2^(n-1), at most
    `longest_s`, and never shorter than the gateway asked for. One that asks for more than `patience_s` is not waited
    for: then the error is raised, and says when to come again."""

    most: int = 5
    first_s: float = 0.5
    longest_s: float = 30.0
    patience_s: float = 60.0

    def pause_s(
        self, failure: CascadeError, tried: int, *, is_repeatable: bool, chance: Callable[[], float] = random.random
    ) -> float | None:
        """How long to wait after the try number `tried`, from 1; None: give up."""
        if tried > self.most or not _may_repeat(failure, is_repeatable):
            return None
        asked_s = failure.retry_after_s if isinstance(failure, ApiError) else None
        if asked_s is not None and asked_s > self.patience_s:
            return None
        own_s: float = chance() * min(self.first_s * 2.0 ** (tried - 1), self.longest_s)
        return max(own_s, asked_s or 0.0)


def _may_repeat(failure: CascadeError, is_repeatable: bool) -> bool:
    if isinstance(failure, UnreachableError):
        return failure.is_unsent or is_repeatable
    if isinstance(failure, ApiError):
        return failure.status in NOT_DONE or (is_repeatable and failure.status in PERHAPS_DONE)
    return False


def retry_after_s(header: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds from a `Retry-After`: a number, or a date. None: there is none that can be read."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max((at - now()).total_seconds(), 0.0)
