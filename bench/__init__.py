"""What Cascade costs (`python -m bench`) and what it survives (`python -m bench.chaos`), over loopback only."""
