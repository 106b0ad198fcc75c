"""SMS over SMPP 3.4: receipts come by the same connection."""

from cascade.channels.smpp import SmppSettings, SmppTransport
from cascade.core.content import Content
from cascade.core.words import MessageType, Reason

from .case import NO_CALLBACKS, Case, Refusal

PASSWORD = "smpp-secret"

CASE = Case(
    kind="sms.smpp",
    transport=lambda twins: SmppTransport(
        SmppSettings(port=twins.smsc_port, system_id="acme", password=PASSWORD, throttle_min_s=0.02, window=2)
    ),
    refusals={
        "rejects": Refusal(Reason.UNKNOWN_RECIPIENT),
        "blocked": Refusal(Reason.PROVIDER_REFUSED, by_receipt=True),
        "absent": Refusal(Reason.UNDELIVERABLE, by_receipt=True),
    },
    secrets=(PASSWORD,),
    credential={},
    has_no=NO_CALLBACKS
    | {
        "read": "no phone reports that an SMS was read",
        "out of order": "there is only one receipt a message",
        "misconfigured": "a link that cannot bind has no room, so nothing is sent",
        "revoked": "it is not asked to cancel",
        "answered": "what people write is not heard yet",
    },
    unfit=(MessageType.TRANSACTION, Content("x" * 50_000)),
)
