"""One file a change, named `v1_3_what_it_does.py`. Once released, a file is never touched again."""
