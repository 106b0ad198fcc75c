"""What the end of a call means for the attempt.

Source: RFC 3261, 21; RFC 8197 and 8688 for 607 and 608; the classes are channels.md, 6.4.
"""

from cascade.channels.http import redact
from cascade.core.attempt import Delivered, Outcome, Rejected, Retry
from cascade.core.words import Reason

RANG_ALL_THE_SAME = frozenset({408, 480, 486, 487, 600, 603})
"""Finals that a phone that was ringing may cause: it is there, it was turned off or the person declined. Any other
final after a 180 says that the ringing was not the phone's."""

CREDENTIALS = frozenset({401, 407})

REASONS: dict[int, Reason] = {
    400: Reason.MISCONFIGURED,
    401: Reason.MISCONFIGURED,
    403: Reason.INVALID_SENDER,
    404: Reason.UNKNOWN_RECIPIENT,
    407: Reason.MISCONFIGURED,
    408: Reason.UNDELIVERABLE,
    410: Reason.UNKNOWN_RECIPIENT,
    415: Reason.MISCONFIGURED,
    429: Reason.THROTTLED,
    480: Reason.UNDELIVERABLE,
    484: Reason.UNKNOWN_RECIPIENT,
    486: Reason.BUSY,
    487: Reason.UNDELIVERABLE,
    488: Reason.MISCONFIGURED,
    491: Reason.PROVIDER_DOWN,
    501: Reason.MISCONFIGURED,
    505: Reason.MISCONFIGURED,
    513: Reason.MISCONFIGURED,
    600: Reason.BUSY,
    603: Reason.BLOCKED,
    604: Reason.UNKNOWN_RECIPIENT,
    606: Reason.MISCONFIGURED,
    607: Reason.BLOCKED,
    608: Reason.BLOCKED,
}
"""Every other 3xx is MISCONFIGURED (we follow no redirect), 5xx PROVIDER_DOWN, and the rest PROVIDER_REFUSED."""

_PASSING = frozenset({Reason.THROTTLED, Reason.PROVIDER_DOWN})


def verdict(
    status: int, phrase: str, call_id: str, *, rang: bool, busy_retry_s: float = 0, after_s: float | None = None
) -> Outcome:
    """`rang`: ringing was seen. `busy_retry_s` above 0: call a busy phone again after so long. `after_s`: the pause
    that the trunk asked for; a 503 with one says that it is overloaded, not that it is down (21.5.4)."""
    if rang and status in RANG_ALL_THE_SAME:
        return Delivered(call_id)
    detail = redact(f"{status} {phrase}".strip())
    reason = REASONS.get(status) or _by_class(status)
    if status == 503 and after_s is not None:
        reason = Reason.THROTTLED
    if reason is Reason.BUSY and busy_retry_s > 0:
        return Retry(reason, busy_retry_s, detail)
    return Retry(reason, after_s, detail) if reason in _PASSING else Rejected(reason, detail)


def _by_class(status: int) -> Reason:
    match status // 100:
        case 3:
            return Reason.MISCONFIGURED
        case 5:
            return Reason.PROVIDER_DOWN
    return Reason.PROVIDER_REFUSED
