"""Viber Business by an account at Infobip."""

from cascade.channels.infobip import InfobipViber

from .infobip import a_case

CASE = a_case(InfobipViber, {})
