"""Lets messages go on that wait for a link which is down, or which is nobody's any more: to another link of their
channel, or to the next channel when their window is over."""

from collections.abc import Callable

from cascade.core.machine import LinkDown, other_link
from cascade.core.turns import Lane
from cascade.engine import decisions
from cascade.engine.decisions import News
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import NONE_SEEN, Seen, Stored

LARGEST_SWEEP = 500
WAITED_MS = 500
"""How long a message has been due before it is taken for one that waits."""


class Sweeper:
    """`links_down`: those to which no message is given."""

    def __init__(self, database: Database, links_down: Callable[[], frozenset[str]]) -> None:
        self._database = database
        self._links_down = links_down
        self._seen: dict[Lane, Seen] = {}

    def forget(self) -> None:
        """Begin anew with the oldest messages of each lane."""
        self._seen.clear()

    async def sweep(self, lane: Lane, now_ms: int) -> None:
        """Look through some of the lane. Those that cannot go on stay at its head, so each sweep looks behind the last
        one, and in the end begins anew."""
        async with self._database.reading() as reader:
            waiting, seen = await messages.waiting_for_link(
                reader, lane, now_ms - WAITED_MS, LARGEST_SWEEP, self._seen.get(lane, NONE_SEEN)
            )
        self._seen[lane] = seen or NONE_SEEN
        down = self._links_down()
        news = []
        for stored in waiting:
            is_over = _is_window_over(stored, now_ms)
            if is_over or other_link(stored.message, down) is not None:
                news.append(News(stored.key, LinkDown(now_ms, down, is_over)))
        if news:
            async with self._database.transaction() as tx:
                await decisions.apply(tx, news, {stored.key: stored for stored in waiting})


def _is_window_over(stored: Stored, now_ms: int) -> bool:
    window_s = stored.message.route[stored.message.step].window_s
    return window_s is not None and now_ms - stored.message.due_at_ms >= window_s * 1000
