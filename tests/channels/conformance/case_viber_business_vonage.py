"""Viber Business by an application at Vonage."""

from cascade.channels.vonage import VonageViber
from cascade.core.words import Reason

from .vonage import a_case

CASE = a_case(VonageViber, Reason.UNKNOWN_RECIPIENT, {"revoked": "Viber takes nothing back"})
