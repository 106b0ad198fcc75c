"""What Asterisk's answers and the cause of a hang-up mean for the attempt.

Source: ITU-T Q.850, 2.2.7; the classes are channels.md, 6.5.
"""

from cascade.channels.http import redact
from cascade.core.attempt import Delivered, Outcome, Rejected, Retry
from cascade.core.words import Reason

RANG_ALL_THE_SAME = frozenset({0, 16, 17, 18, 19, 21, 31, 127})
"""Causes that a phone that was ringing may bring: it was turned off, or the person declined. 0, 31 and 127 say
nothing."""

REASONS: dict[int, Reason] = {
    1: Reason.UNKNOWN_RECIPIENT,
    2: Reason.UNKNOWN_RECIPIENT,
    3: Reason.UNKNOWN_RECIPIENT,
    16: Reason.UNDELIVERABLE,
    17: Reason.BUSY,
    18: Reason.UNDELIVERABLE,
    19: Reason.UNDELIVERABLE,
    20: Reason.UNDELIVERABLE,
    21: Reason.BLOCKED,
    22: Reason.UNKNOWN_RECIPIENT,
    27: Reason.UNDELIVERABLE,
    28: Reason.UNKNOWN_RECIPIENT,
    31: Reason.UNDELIVERABLE,
    34: Reason.PROVIDER_DOWN,
    38: Reason.PROVIDER_DOWN,
    41: Reason.PROVIDER_DOWN,
    42: Reason.THROTTLED,
    44: Reason.PROVIDER_DOWN,
    47: Reason.PROVIDER_DOWN,
    50: Reason.MISCONFIGURED,
    57: Reason.MISCONFIGURED,
    58: Reason.MISCONFIGURED,
    65: Reason.MISCONFIGURED,
    88: Reason.MISCONFIGURED,
    102: Reason.PROVIDER_DOWN,
}
"""Every other cause is PROVIDER_REFUSED."""

_PASSING = frozenset({Reason.THROTTLED, Reason.PROVIDER_DOWN})


def verdict(cause: int, words: str, name: str, *, rang: bool, busy_retry_s: float = 0) -> Outcome:
    """`rang`: ringing was seen. `busy_retry_s` above 0: call a busy phone again after so long."""
    if rang and cause in RANG_ALL_THE_SAME:
        return Delivered(name)
    reason = REASONS.get(cause, Reason.PROVIDER_REFUSED)
    detail = redact(f"Q.850 {cause} {words}".strip())
    if reason is Reason.BUSY and busy_retry_s > 0:
        return Retry(reason, busy_retry_s, detail)
    return Retry(reason, detail=detail) if reason in _PASSING else Rejected(reason, detail)


def refusal(status: int, words: str) -> Outcome:
    """An answer other than 200 to the wish for a call."""
    detail = redact(f"HTTP {status} {words}".strip())
    if status >= 500:
        return Retry(Reason.PROVIDER_DOWN, detail=detail)
    if status == 429:
        return Retry(Reason.THROTTLED, detail=detail)
    return Rejected(Reason.MISCONFIGURED, detail)
