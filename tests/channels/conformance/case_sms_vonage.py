"""SMS by an application at Vonage."""

from cascade.channels.vonage import VonageSms
from cascade.core.words import Reason

from .vonage import a_case

CASE = a_case(
    VonageSms,
    Reason.UNKNOWN_RECIPIENT,
    {
        "read": "no phone reports that an SMS was read",
        "out of order": "there is only one receipt a message",
        "revoked": "an SMS cannot be taken back",
    },
)
