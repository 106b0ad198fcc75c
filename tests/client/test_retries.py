"""When the client asks again, and how long it waits before."""

from datetime import UTC, datetime

import pytest

from cascade.client.errors import ApiError, CascadeError, UnreachableError
from cascade.client.retries import Retries, retry_after_s

RETRIES = Retries(most=3, first_s=1.0, longest_s=3.0, patience_s=10.0)
UNSENT = UnreachableError("refused", is_unsent=True)
SILENT = UnreachableError("lost", is_unsent=False)


def answered(status: int, retry_after: float | None = None) -> ApiError:
    return ApiError(status, {}, retry_after_s=retry_after)


CASES: dict[str, tuple[CascadeError, int, bool, float | None]] = {  # failure, tried, is repeatable -> the longest pause
    "no connection: again": (UNSENT, 1, False, 1.0),
    "answer lost: again where it does no harm": (SILENT, 1, True, 1.0),
    "answer lost: never where it does": (SILENT, 1, False, None),
    "the pause doubles": (SILENT, 2, True, 2.0),
    "up to the longest": (SILENT, 3, True, 3.0),
    "and then it is given up": (SILENT, 4, True, None),
    "throttled: again": (answered(429), 1, False, 1.0),
    "throttled: never before its time": (answered(429, 5.0), 1, False, 5.0),
    "throttled for too long: given up": (answered(429, 11.0), 1, False, None),
    "store away: again": (answered(503, 1.0), 1, False, 1.0),
    "its fault: again where it does no harm": (answered(500), 1, True, 1.0),
    "its fault: never where it does": (answered(500), 1, False, None),
    "a proxy's fault: as its own": (answered(502), 1, True, 1.0),
    "refused: never": (answered(400), 1, True, None),
    "unauthorized: never": (answered(401), 1, True, None),
    "not found: never": (answered(404), 1, True, None),
}


@pytest.mark.parametrize("case", CASES)
def test_pause(case: str) -> None:
    failure, tried, is_repeatable, longest = CASES[case]
    assert RETRIES.pause_s(failure, tried, is_repeatable=is_repeatable, chance=lambda: 1.0) == longest


def test_pauses_are_spread_at_random() -> None:
    assert RETRIES.pause_s(UNSENT, 2, is_repeatable=True, chance=lambda: 0.25) == 0.5


NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WRITTEN = {
    None: None,
    "7": 7.0,
    " 7 ": 7.0,
    "Tue, 24 Nov 2026 12:00:09 GMT": 9.0,
    "Tue, 24 Nov 2026 11:00:00 GMT": 0.0,
    "soon": None,
    "-1": None,
    f"Tue, 24 Nov {'9' * 20} 12:00:09 GMT": None,
}


@pytest.mark.parametrize("header", WRITTEN)
def test_retry_after(header: str | None) -> None:
    assert retry_after_s(header, lambda: NOW) == WRITTEN[header]
