"""RCS by an account at SMSBAT."""

from cascade.channels.smsbat import SmsbatRcs

from .smsbat import a_case

CASE = a_case(SmsbatRcs)
