"""SMS by an account at SMSBAT."""

from cascade.channels.smsbat import SmsbatSms

from .smsbat import a_case

CASE = a_case(SmsbatSms)
