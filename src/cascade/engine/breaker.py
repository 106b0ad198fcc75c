"""Stops a link whose provider is down, and tries it again with one message at a time.

Closed: all may pass. After `THRESHOLD` failures in a row it opens for a while; then one attempt may pass, and its
outcome closes it or opens it for twice as long. A message that had failed before says less: there are recipients for
whom a provider's answer is always a fault of its own. So it opens it only for as long again.
"""

THRESHOLD = 10
FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 30_000


class Breaker:
    def __init__(self) -> None:
        self._failures = 0
        self._pause_ms = 0
        self._opens_at_ms: int | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        return self._opens_at_ms is not None

    @property
    def is_probing(self) -> bool:
        """Whether an attempt is out to see if the provider is back."""
        return self._is_probing

    def room(self, now_ms: int) -> int | None:
        """How many attempts may pass now; None: any number."""
        if self._opens_at_ms is None:
            return None
        return 1 if not (self.opens_in_ms(now_ms) or self._is_probing) else 0

    def opens_in_ms(self, now_ms: int) -> int:
        if self._opens_at_ms is None:
            return 0
        # A clock set back must not keep the link shut for as long.
        self._opens_at_ms = min(self._opens_at_ms, now_ms + self._pause_ms)
        return max(self._opens_at_ms - now_ms, 0)

    def sent(self) -> None:
        """Attempts went out. While open, that is the probe."""
        self._is_probing = self.is_open

    def failed(self, now_ms: int, *, is_first_try: bool) -> bool:
        """The provider did not answer, or not sensibly, on a message's first try or a later one. True when that opens
        the breaker."""
        self._failures += 1
        was_open = self.is_open
        if self._is_probing or (self._failures >= THRESHOLD and not was_open):
            if is_first_try or not was_open:
                self._pause_ms = min(max(self._pause_ms * 2, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)
            self._opens_at_ms = now_ms + self._pause_ms
            self._is_probing = False
        return self.is_open and not was_open

    def answered(self) -> bool:
        """The provider answered, whatever it said. True when that closes the breaker."""
        was_open = self.is_open
        self._failures = self._pause_ms = 0
        self._opens_at_ms = None
        self._is_probing = False
        return was_open

    def withdrawn(self) -> None:
        """The probe never went out: let another one try."""
        self._is_probing = False
