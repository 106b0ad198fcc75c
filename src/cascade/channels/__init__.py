"""A provider's words, one file for each."""
