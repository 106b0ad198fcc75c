"""Who may send next on a link that several lanes share."""

from collections.abc import Sequence
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
