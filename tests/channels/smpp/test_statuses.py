"""What each command_status makes of an attempt."""

import pytest

from cascade.channels.smpp.statuses import refusal
from cascade.core.attempt import Rejected, Retry
from cascade.core.words import Reason

STATUSES = {  # status, outcome, reason
    "throttled": (0x58, Retry, Reason.THROTTLED),
    "message queue full": (0x14, Retry, Reason.THROTTLED),
    "system error": (0x08, Retry, Reason.PROVIDER_DOWN),
    "temporary application error": (0x64, Retry, Reason.PROVIDER_DOWN),
    "submit failed": (0x45, Retry, Reason.PROVIDER_DOWN),
    "delivery failure": (0xFE, Retry, Reason.PROVIDER_DOWN),
    "unknown error": (0xFF, Retry, Reason.PROVIDER_DOWN),
    "not bound": (0x04, Retry, Reason.PROVIDER_DOWN),
    "wrong password": (0x0E, Rejected, Reason.MISCONFIGURED),
    "wrong service type": (0x15, Rejected, Reason.MISCONFIGURED),
    "wrong number": (0x0B, Rejected, Reason.UNKNOWN_RECIPIENT),
    "wrong type of number": (0x50, Rejected, Reason.UNKNOWN_RECIPIENT),
    "permanent application error": (0x65, Rejected, Reason.PROVIDER_REFUSED),
    "wrong length": (0x01, Rejected, Reason.INVALID_CONTENT),
    "wrong validity": (0x62, Rejected, Reason.INVALID_CONTENT),
    "wrong parameter": (0xC4, Rejected, Reason.INVALID_CONTENT),
    "wrong sender": (0x0A, Rejected, Reason.INVALID_SENDER),
    "wrong command length": (0x02, Rejected, Reason.PROVIDER_REFUSED),
    "the vendor's own": (0x432, Rejected, Reason.PROVIDER_REFUSED),
    "a number nobody knows": (0xFFFFFFFF, Rejected, Reason.PROVIDER_REFUSED),
}


@pytest.mark.parametrize(("status", "kind", "reason"), STATUSES.values(), ids=STATUSES)
def test_statuses(status: int, kind: type[Retry | Rejected], reason: Reason) -> None:
    outcome = refusal(status, {})
    assert (type(outcome), outcome.reason) == (kind, reason)
    assert outcome.detail is not None
    assert f"0x{status:08X}" in outcome.detail


CLASSES = {  # SMPP 3.4, 5.1.3: every number of the standard's that is no success
    Reason.THROTTLED: (0x14, 0x58),
    Reason.PROVIDER_DOWN: (0x04, 0x05, 0x08, 0x0D, 0x45, 0x64, 0xFE, 0xFF),
    Reason.MISCONFIGURED: (0x0E, 0x0F, 0x15, 0x53),
    Reason.UNKNOWN_RECIPIENT: (0x0B, 0x50, 0x51),
    Reason.INVALID_CONTENT: (0x01, 0x43, 0x61, 0x62, 0xC0, 0xC1, 0xC2, 0xC3, 0xC4),
    Reason.INVALID_SENDER: (0x0A, 0x48, 0x49),
    Reason.PROVIDER_REFUSED: (0x02, 0x03, 0x06, 0x07, 0x0C, 0x54, 0x65, 0x66),
}


@pytest.mark.parametrize(
    ("status", "reason"), [(status, reason) for reason, some in CLASSES.items() for status in some]
)
def test_each_status_has_its_class_and_its_name(status: int, reason: Reason) -> None:
    outcome = refusal(status, {})
    is_passing = reason in (Reason.THROTTLED, Reason.PROVIDER_DOWN)
    assert (type(outcome), outcome.reason) == (Retry if is_passing else Rejected, reason)
    assert (outcome.detail or "").startswith("ESME_")


OVERRIDES = {  # status, its meaning here, outcome
    "a vendor's own may mean: no money": (0x432, Reason.NO_CREDIT, Rejected),
    "a vendor's own may mean: slower": (0x433, Reason.THROTTLED, Retry),
    "a standard one may mean another thing": (0x45, Reason.UNKNOWN_RECIPIENT, Rejected),
}


@pytest.mark.parametrize(("status", "reason", "kind"), OVERRIDES.values(), ids=OVERRIDES)
def test_settings_override_a_status(status: int, reason: Reason, kind: type[Retry | Rejected]) -> None:
    outcome = refusal(status, {status: reason})
    assert (type(outcome), outcome.reason) == (kind, reason)
