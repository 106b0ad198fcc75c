"""RCS by an application at Vonage."""

from cascade.channels.vonage import VonageRcs
from cascade.core.words import Reason

from .vonage import a_case

CASE = a_case(VonageRcs, Reason.UNKNOWN_RECIPIENT, {}, "region_url")
