"""Ours beside the public contract: lists, changes, sums, and how the channels do."""
