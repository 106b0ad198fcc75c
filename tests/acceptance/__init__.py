"""Cascade as a user starts it: processes, real ports, clients by other hands."""
