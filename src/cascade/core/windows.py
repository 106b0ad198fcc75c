"""How a message's time to live is shared among the steps of its route.

Nominal windows stand as long as they fit. When the time left is shorter than their sum, all of them shrink in
proportion, so that every channel still gets its turn and the last one ends with the time to live.
"""

from cascade.core.route import Route

OPEN_ENDED_SHARE_S = 60
"""What a step without a window of its own counts for when time is short."""


def window_ends_at_ms(route: Route, step: int, now_ms: int, expires_at_ms: int) -> int:
    """When `step` must end if its window opens now."""
    later_ms = _later_ms(route, step)
    left_ms = max(expires_at_ms - now_ms, 0)
    window_s = route[step].window_s
    own_ms = max(left_ms - later_ms, OPEN_ENDED_SHARE_S * 1000) if window_s is None else window_s * 1000
    if own_ms + later_ms <= left_ms:
        return now_ms + own_ms
    return now_ms + left_ms * own_ms // (own_ms + later_ms)


def queue_ends_at_ms(route: Route, step: int, now_ms: int, expires_at_ms: int, is_urgent: bool) -> int:
    """Until when a message may wait for its turn at this step's link.

    A campaign waits as long as the later steps keep their time, since the next channel costs more. What is urgent
    moves on when its window is over; with nowhere to move on to, it waits too.
    """
    later_ms = _later_ms(route, step)
    window_ends_at = window_ends_at_ms(route, step, now_ms, expires_at_ms)
    return window_ends_at if is_urgent and later_ms else max(expires_at_ms - later_ms, window_ends_at)


def _later_ms(route: Route, step: int) -> int:
    """The nominal windows of the steps after `step` that some link can carry."""
    total_s = 0
    for later in route[step + 1 :]:
        if later.link is not None:
            total_s += OPEN_ENDED_SHARE_S if later.window_s is None else later.window_s
    return total_s * 1000
