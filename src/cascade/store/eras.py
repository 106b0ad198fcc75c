"""Cuts the indexes of phones and tracking ids into eras, so that accepting messages stays cheap.

Phones come in no order. In one index over all of them every message lands on a page of its own, and all of these pages
are written anew with each batch: 20 us of CPU a message and index (docs/api.md), more than all the rest. So both
indexes begin with the era: a span of time in which one process accepted some thousands of messages of an account. The
pages of the present era are few, and a batch shares them. Whoever looks a phone up looks into every era, at the price
of a step in the index each.
"""

ERA_MESSAGES = 4_096
ERA_MS = 3_600_000
"""The longest an era lasts: a message was accepted at its era's time or up to this much later."""


class Eras:
    """Those that this process writes. Another process has its own; that two may bear the same time does no harm."""

    def __init__(self) -> None:
        self._present: dict[int, tuple[int, int]] = {}

    def take(self, account_id: int, now_ms: int, count: int) -> int:
        """The era, named by the time it began, of an account's next `count` messages."""
        began_at_ms, messages = self._present.get(account_id, (0, 0))
        if messages + count > ERA_MESSAGES or not 0 <= now_ms - began_at_ms < ERA_MS:
            began_at_ms, messages = now_ms, 0
        self._present[account_id] = (began_at_ms, messages + count)
        return began_at_ms
