"""Flash calls by an Asterisk, over its REST interface (ARI)."""
