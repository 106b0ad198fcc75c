"""What a command_status means for the attempt.

Source: SMPP 3.4, 5.1.3; the classes are channels.md, 5.4.
"""

from collections.abc import Mapping

from cascade.core.attempt import Rejected, Retry
from cascade.core.words import Reason

ESME_ROK = 0x00000000
ESME_RINVCMDLEN = 0x00000002
ESME_RINVCMDID = 0x00000003
ESME_RALYBND = 0x00000005
ESME_RX_T_APPN = 0x00000064
ESME_RX_P_APPN = 0x00000065
ESME_RUNKNOWNERR = 0x000000FF

NAMES = {
    0x01: "ESME_RINVMSGLEN",
    0x02: "ESME_RINVCMDLEN",
    0x03: "ESME_RINVCMDID",
    0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND",
    0x06: "ESME_RINVPRTFLG",
    0x07: "ESME_RINVREGDLVFLG",
    0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR",
    0x0B: "ESME_RINVDSTADR",
    0x0C: "ESME_RINVMSGID",
    0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD",
    0x0F: "ESME_RINVSYSID",
    0x14: "ESME_RMSGQFUL",
    0x15: "ESME_RINVSERTYP",
    0x43: "ESME_RINVESMCLASS",
    0x45: "ESME_RSUBMITFAIL",
    0x48: "ESME_RINVSRCTON",
    0x49: "ESME_RINVSRCNPI",
    0x50: "ESME_RINVDSTTON",
    0x51: "ESME_RINVDSTNPI",
    0x53: "ESME_RINVSYSTYP",
    0x54: "ESME_RINVREPFLAG",
    0x58: "ESME_RTHROTTLED",
    0x61: "ESME_RINVSCHED",
    0x62: "ESME_RINVEXPIRY",
    0x64: "ESME_RX_T_APPN",
    0x65: "ESME_RX_P_APPN",
    0x66: "ESME_RX_R_APPN",
    0xC0: "ESME_RINVOPTPARSTREAM",
    0xC1: "ESME_ROPTPARNOTALLWD",
    0xC2: "ESME_RINVPARLEN",
    0xC3: "ESME_RMISSINGOPTPARAM",
    0xC4: "ESME_RINVOPTPARAMVAL",
    0xFE: "ESME_RDELIVERYFAILURE",
    0xFF: "ESME_RUNKNOWNERR",
}

REBIND = frozenset({0x04, 0x05, 0x0D})
"""The SMSC does not take this connection for a bound one: only a new bind helps."""

REASONS: Mapping[int, Reason] = {
    0x58: Reason.THROTTLED,
    0x14: Reason.THROTTLED,
    0x08: Reason.PROVIDER_DOWN,
    0x64: Reason.PROVIDER_DOWN,
    0x45: Reason.PROVIDER_DOWN,
    0xFE: Reason.PROVIDER_DOWN,
    0xFF: Reason.PROVIDER_DOWN,
    0x04: Reason.PROVIDER_DOWN,
    0x05: Reason.PROVIDER_DOWN,
    0x0D: Reason.PROVIDER_DOWN,
    0x0E: Reason.MISCONFIGURED,
    0x0F: Reason.MISCONFIGURED,
    0x53: Reason.MISCONFIGURED,
    0x15: Reason.MISCONFIGURED,
    0x0B: Reason.UNKNOWN_RECIPIENT,
    0x50: Reason.UNKNOWN_RECIPIENT,
    0x51: Reason.UNKNOWN_RECIPIENT,
    0x01: Reason.INVALID_CONTENT,
    0x43: Reason.INVALID_CONTENT,
    0x61: Reason.INVALID_CONTENT,
    0x62: Reason.INVALID_CONTENT,
    0xC0: Reason.INVALID_CONTENT,
    0xC1: Reason.INVALID_CONTENT,
    0xC2: Reason.INVALID_CONTENT,
    0xC3: Reason.INVALID_CONTENT,
    0xC4: Reason.INVALID_CONTENT,
    0x0A: Reason.INVALID_SENDER,
    0x48: Reason.INVALID_SENDER,
    0x49: Reason.INVALID_SENDER,
}
"""Every other status, the vendor's own included, is PROVIDER_REFUSED unless the settings say more."""

_PASSING = frozenset({Reason.THROTTLED, Reason.PROVIDER_DOWN})


def name(status: int) -> str:
    """For the operator's eye: the standard's name, or the number alone."""
    return f"{NAMES.get(status, 'status')} (0x{status:08X})"


def bind_refusal(status: int) -> Reason:
    """Why we are not let in: a passing trouble (the old session still stands, they are overloaded), or our settings."""
    reason = REASONS.get(status)
    return reason if reason in _PASSING else Reason.MISCONFIGURED


def refusal(status: int, overrides: Mapping[int, Reason]) -> Retry | Rejected:
    """What a status other than ESME_ROK makes of the attempt; `overrides` are looked up first."""
    reason = overrides.get(status) or REASONS.get(status, Reason.PROVIDER_REFUSED)
    return Retry(reason, detail=name(status)) if reason in _PASSING else Rejected(reason, name(status))
