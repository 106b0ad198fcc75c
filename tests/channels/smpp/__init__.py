"""SMPP: the codec, and sessions against three different peers."""
