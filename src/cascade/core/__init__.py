"""Values and rules. No I/O, no clock, no framework: the standard library only."""
