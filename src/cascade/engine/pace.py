"""A link's rate: how many sends its provider allows a second, as a bucket that refills; and that of each recipient."""

import math

GATHER_S = 0.025
ADDRESS_BURST = 5
"""Telegram allows "short bursts" in one chat and does not say how short."""
FEW_ADDRESSES = 1_000


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


class AddressPace:
    """How many sends a second one recipient's address bears, `burst` of them at once. Only addresses that had
    something a moment ago are remembered."""

    def __init__(self, rate_per_s: float, burst: int = ADDRESS_BURST) -> None:
        self._every_ms = 1000 / rate_per_s
        self._ahead_ms = self._every_ms * (burst - 1)
        self._rests_at_ms: dict[str, float] = {}
        """When the whole burst may be sent to the address again."""
        self._most = FEW_ADDRESSES
        self._now_ms = 0

    def wait_ms(self, address: str, now_ms: int, behind: int = 0) -> int:
        """How long until one more may be sent to the address, `behind` so many that wait already; 0: now, and then it
        counts as sent."""
        self._forget(now_ms)
        rests_at_ms = max(self._rests_at_ms.get(address, 0.0), now_ms)
        wait_ms = math.ceil(rests_at_ms - self._ahead_ms - now_ms + behind * self._every_ms)
        if wait_ms > 0:
            return wait_ms
        self._rests_at_ms[address] = rests_at_ms + self._every_ms
        return 0

    def hold(self, address: str, until_ms: int) -> None:
        """Send nothing to the address before that."""
        self._rests_at_ms[address] = max(self._rests_at_ms.get(address, 0.0), until_ms + self._ahead_ms)

    def _forget(self, now_ms: int) -> None:
        if now_ms < self._now_ms:  # a clock set back must not hold anyone for as long
            self._rests_at_ms.clear()
        self._now_ms = now_ms
        if len(self._rests_at_ms) >= self._most:
            self._rests_at_ms = {address: at_ms for address, at_ms in self._rests_at_ms.items() if at_ms > now_ms}
            self._most = max(2 * len(self._rests_at_ms), FEW_ADDRESSES)
