"""Viber Business by an account at SMSBAT."""

from cascade.channels.smsbat import SmsbatViber

from .smsbat import a_case

CASE = a_case(SmsbatViber)
