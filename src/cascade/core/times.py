"""Instants as our answers write them."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=64)  # what happens in one set happens at one time
def iso(at_ms: int) -> str:
    """ISO 8601 in UTC to the millisecond: `2026-11-23T09:30:00.123Z`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
