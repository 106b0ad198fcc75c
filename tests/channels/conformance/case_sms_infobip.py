"""SMS by an account at Infobip."""

from cascade.channels.infobip import InfobipSms

from .infobip import a_case

CASE = a_case(
    InfobipSms, {"read": "no phone reports that an SMS was read", "out of order": "there is only one receipt a message"}
)
