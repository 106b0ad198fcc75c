"""How far a long work has come, how fast, and how long it takes: a bar for people, a line now and then for a log."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SPAN_S: Final = 20.0
"""The rate is that of so long a time."""
LINE_EVERY_S: Final = 10.0


class Meter:
    """`begun_with`: what an earlier run had done, which says nothing of how fast this one is."""

    def __init__(
        self, label: str, total: int, unit: str, begun_with: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = begun_with
        self._clock = clock
        self._samples = deque([(clock(), begun_with)])

    def at(self, done: int) -> None:
        """So much is done now, of all."""
        now_s = self._clock()
        self.done = done
        self._samples.append((now_s, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - SPAN_S:
            self._samples.popleft()

    @property
    def rate_per_s(self) -> float | None:
        """None: nothing has been done yet."""
        since_s, before = self._samples[0]
        now_s, done = self._samples[-1]
        return (done - before) / (now_s - since_s) if now_s > since_s and done > before else None

    @property
    def left_s(self) -> float | None:
        rate = self.rate_per_s
        return None if rate is None else max(self.total - self.done, 0) / rate

    def __str__(self) -> str:
        parts = [f"{self.label}: {self.done:,} of {self.total:,} {self.unit}"]
        if self.rate_per_s is not None and self.left_s is not None:
            parts += [f"{self.rate_per_s:,.0f}/s", f"{timedelta(seconds=round(self.left_s))} left"]
        return ", ".join(parts)


@contextmanager
def shown(meter: Meter, console: Console) -> Iterator[Callable[[int], None]]:
    """Show it while the work is done; call with what is done by now."""
    if console.is_terminal:
        columns = (TextColumn("{task.description}", markup=False), BarColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(str(meter), total=meter.total, completed=meter.done)

            def at(done: int) -> None:
                meter.at(done)
                progress.update(task, completed=done, description=str(meter))

            yield at
        return
    line_at_s = time.monotonic() + LINE_EVERY_S

    def tell(done: int) -> None:
        nonlocal line_at_s
        meter.at(done)
        if time.monotonic() >= line_at_s:
            line_at_s = time.monotonic() + LINE_EVERY_S
            console.print(str(meter), highlight=False, markup=False, soft_wrap=True)

    yield tell
