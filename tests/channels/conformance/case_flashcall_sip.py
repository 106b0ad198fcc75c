"""Flash calls over SIP: how a call ends is all there is to say of it."""

from dataclasses import replace

from cascade.channels.flashcall.sip.settings import SipSettings
from cascade.channels.flashcall.sip.transport import SipTransport
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, NO_CALLBACKS, NO_RECEIPTS, Case, Refusal, Twins

PASSWORD = "trunk-secret"
CALLER = "+380441234567"


def settings(twins: Twins) -> SipSettings:
    return SipSettings(
        "127.0.0.1", twins.sip_port, username="acme", password=Secret(PASSWORD), ring_s=0.05, no_ring_s=2, trunk_s=0.4
    )


CASE = Case(
    kind="flashcall.sip",
    transport=lambda twins: SipTransport(settings(twins), LINK),
    stranger=lambda twins: SipTransport(replace(settings(twins), password=Secret("a stranger's secret")), LINK),
    refusals={
        "rejects": Refusal(Reason.INVALID_SENDER),
        "blocked": Refusal(Reason.BLOCKED),
        "absent": Refusal(Reason.UNKNOWN_RECIPIENT),
    },
    secrets=(PASSWORD, CALLER[1:]),
    credential={},
    has_no=NO_RECEIPTS
    | NO_CALLBACKS
    | {
        "revoked": "a call that rang cannot be taken back",
        "answered": "a call asks nothing",
    },
    sandbox={"sip_accounts": {"acme": PASSWORD}},
    sender=CALLER,
    shown=f"Missed call from {CALLER}",
    type=MessageType.FLASHCALL,
    content=Content(""),
    unfit=(MessageType.TRANSACTION, Content("Your code is 918273")),
)
