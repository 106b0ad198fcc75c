"""RCS by an account at Infobip."""

from cascade.channels.infobip import InfobipRcs

from .infobip import a_case

CASE = a_case(InfobipRcs, {})
