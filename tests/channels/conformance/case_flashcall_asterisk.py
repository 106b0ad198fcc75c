"""Flash calls by an Asterisk: its events tell what became of each, whose name is ours."""

from cascade.channels.flashcall.asterisk.settings import AsteriskSettings
from cascade.channels.flashcall.asterisk.transport import AsteriskTransport
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, NO_CALLBACKS, NO_RECEIPTS, Case, Refusal, Twins

PASSWORD = "ari-secret"
CALLER = "+380441234567"


def transport(twins: Twins) -> AsteriskTransport:
    settings = AsteriskSettings("acme", Secret(PASSWORD), twins.url, ring_s=0.05, no_ring_s=2)
    return AsteriskTransport(settings, LINK)


CASE = Case(
    kind="flashcall.asterisk",
    transport=transport,
    refusals={
        "rejects": Refusal(Reason.MISCONFIGURED),
        "blocked": Refusal(Reason.BLOCKED),
        "absent": Refusal(Reason.UNKNOWN_RECIPIENT),
    },
    secrets=(PASSWORD, CALLER[1:]),
    credential={},
    has_no=NO_RECEIPTS
    | NO_CALLBACKS
    | {
        "answer lost": "the events of the call find it by the name that we gave it",
        "misconfigured": "a link that cannot listen has no room, so nothing is sent",
        "revoked": "a call that rang cannot be taken back",
        "answered": "a call asks nothing",
    },
    sandbox={"ari_users": {"acme": PASSWORD}},
    sender=CALLER,
    shown=f"Missed call from {CALLER}",
    type=MessageType.FLASHCALL,
    content=Content(""),
    unfit=(MessageType.TRANSACTION, Content("Your code is 918273")),
)
