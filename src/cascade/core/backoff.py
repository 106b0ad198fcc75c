"""How long to wait before the next try."""

FIRST_MS = 1_000
LONGEST_MS = 60_000


def delay_ms(tries: int) -> int:
    """After `tries` failed tries: 1 s, doubled each time, at most a minute."""
    return min(FIRST_MS << min(tries - 1, 16), LONGEST_MS) if tries > 0 else 0
