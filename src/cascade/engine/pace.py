"""A link's rate: how many sends its provider allows a second, as a bucket that refills."""

GATHER_S = 0.025


class Pace:
    """`rate_per_s` None: as fast as the provider answers. A full bucket holds `burst` sends.

    A bucket that was emptied opens again with what gathers in 25 ms: a claim and a record for each single send of a
    fast link cost several times the send. What is handed over waits for no company, and may be lent as much.
    """

    def __init__(self, rate_per_s: float | None, burst: float | None = None) -> None:
        self.rate_per_s = rate_per_s
        self._burst = burst if burst is not None else max(rate_per_s or 1.0, 1.0)
        self._lends = int(min((rate_per_s or 0.0) * GATHER_S, self._burst))
        self._least = max(self._lends, 1)
        self._tokens = self._burst
        self._filled_at_ms: int | None = None

    def room(self, now_ms: int) -> int | None:
        """How many may be sent now; None: no limit."""
        if self.rate_per_s is None:
            return None
        self._fill(now_ms)
        return int(self._tokens) if self._tokens >= self._least else 0

    def room_at_once(self, now_ms: int, *, may_lend: bool) -> int | None:
        """The same of what does not gather. With `may_lend` up to what gathers in 25 ms is lent, and earned before
        anything else is sent."""
        if self.rate_per_s is None:
            return None
        self._fill(now_ms)
        return max(int(self._tokens + self._lends * may_lend), 0)

    def _fill(self, now_ms: int) -> None:
        if self._filled_at_ms is not None:
            # A clock set back gives nothing and takes nothing.
            gained = max(now_ms - self._filled_at_ms, 0) * (self.rate_per_s or 0.0) / 1000
            self._tokens = min(self._tokens + gained, self._burst)
        self._filled_at_ms = now_ms

    def spend(self, sent: int) -> None:
        if self.rate_per_s is not None:
            self._tokens -= sent

    def refills_in_ms(self) -> int:
        """How long until more may be sent."""
        if self.rate_per_s is None or self._tokens >= self._least:
            return 0
        return int((self._least - self._tokens) * 1000 / self.rate_per_s) + 1
