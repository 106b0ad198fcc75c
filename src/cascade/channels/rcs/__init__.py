"""RCS, by whoever sells it."""
