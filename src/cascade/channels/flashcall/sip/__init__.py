"""Flash calls over a SIP trunk, without an engine in between."""
