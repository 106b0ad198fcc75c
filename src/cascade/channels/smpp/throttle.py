"""How a link slows down when the SMSC asks for it, and climbs back."""


class Throttle:
    """Pauses from `min_s`, doubling to `max_s`, and halves the window each time; acceptances widen it again.

    It knows no clock: the caller counts the pause and then calls `resume`.
    """

    def __init__(self, window: int, min_s: float, max_s: float) -> None:
        self._full_window = float(window)
        self._window = float(window)
        self._min_s = min_s
        self._max_s = max_s
        self._pause_s = min_s
        self.is_paused = False

    @property
    def window(self) -> int:
        """How many submits may be unanswered just now, at least 1."""
        return int(self._window)

    def slow_down(self) -> float | None:
        """The SMSC refused a submit: how many seconds to pause. None in a pause: it is the same window's refusal."""
        if self.is_paused:
            return None
        self.is_paused = True
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, self._max_s)
        self._window = max(1.0, self._window // 2)
        return pause_s

    def resume(self) -> None:
        """The pause is over."""
        self.is_paused = False

    def accepted(self) -> None:
        """The SMSC took a submit. About a window of these is one more place; fully wide again, all is forgotten."""
        if self.is_paused or (self._window == self._full_window and self._pause_s == self._min_s):
            return
        self._window = min(self._full_window, self._window + 1 / self._window)
        if self._window == self._full_window:
            self._pause_s = self._min_s
