"""Cascade: one API request, and the message reaches the person through the first channel that works."""

__version__ = "0.1.0"
