"""Whose turn it is: among the lanes that share a link, and among the links that share a channel."""

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple


class Lane(NamedTuple):
    """The queue of one account's messages of one urgency for one link."""

    account_id: int
    link: str
    is_urgent: bool


def order(lanes: Sequence[Lane], last: int) -> list[Lane]:
    """Urgent lanes first; among equals account by account, beginning behind account `last`, who was served last."""
    return sorted(lanes, key=lambda lane: (not lane.is_urgent, lane.account_id <= last, lane.account_id))


def quota(room: int, lanes_left: int) -> int:
    """How much of `room` the next of `lanes_left` lanes may take; what it leaves is shared among the others."""
    return -(-room // lanes_left)


def in_turn(weights: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Each name as often as its weight says, spread as evenly as can be: what is given to each in turn. Weights are
    above 0."""
    if len(weights) == 1:
        return (weights[0][0],)
    divisor = gcd(*(weight for _, weight in weights))
    total = sum(weight for _, weight in weights) // divisor
    credits_ = dict.fromkeys((name for name, _ in weights), 0)
    order = []
    for _ in range(total):
        for name, weight in weights:
            credits_[name] += weight // divisor
        chosen = max(credits_, key=credits_.__getitem__)
        credits_[chosen] -= total
        order.append(chosen)
    return tuple(order)
