"""Calls that ring and are dropped before an answer: the last digits of the caller are the code."""
