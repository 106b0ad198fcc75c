"""Who may send next: the urgent first, then account by account, each with its share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.turns import Lane, order, quota

LINK = "sms.smpp"


def bulk(account_id: int) -> Lane:
    return Lane(account_id, LINK, False)


def urgent(account_id: int) -> Lane:
    return Lane(account_id, LINK, True)


ORDERS = {  # lanes, who was served last: the order of service
    "urgent before bulk, whoever is next": ([bulk(1), urgent(9)], 8, [urgent(9), bulk(1)]),
    "behind the one who was last": ([bulk(1), bulk(2), bulk(3)], 1, [bulk(2), bulk(3), bulk(1)]),
    "round to the first again": ([bulk(1), bulk(2), bulk(3)], 3, [bulk(1), bulk(2), bulk(3)]),
    "who was last may have gone": ([bulk(1), bulk(3)], 2, [bulk(3), bulk(1)]),
    "among the urgent too": (
        [bulk(2), urgent(1), urgent(2), bulk(1)], 1, [urgent(2), urgent(1), bulk(2), bulk(1)],
    ),
    "nobody": ([], 1, []),
}  # fmt: skip


@pytest.mark.parametrize(("lanes", "last", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_order(lanes: list[Lane], last: int, expected: list[Lane]) -> None:
    assert order(lanes, last) == expected


QUOTAS = {  # room, lanes left: the next one's share
    "all of it for the last": (10, 1, 10),
    "an equal share": (9, 3, 3),
    "rounded up, so that room is used": (10, 3, 4),
    "one, when there are more lanes than room": (1, 5, 1),
    "nothing, when there is no room": (0, 5, 0),
}


@pytest.mark.parametrize(("room", "lanes_left", "expected"), QUOTAS.values(), ids=QUOTAS.keys())
def test_quota(room: int, lanes_left: int, expected: int) -> None:
    assert quota(room, lanes_left) == expected


def serve(waiting: dict[int, int], last: int, room: int) -> tuple[dict[int, int], int]:
    """One set: how many each account may send, and who was served last."""
    lanes = order([bulk(account) for account, many in waiting.items() if many], last)
    served: dict[int, int] = {}
    for place, lane in enumerate(lanes):
        taken = min(quota(room - sum(served.values()), len(lanes) - place), waiting[lane.account_id])
        if taken:
            served[lane.account_id] = taken
            last = lane.account_id
    return served, last


accounts = st.dictionaries(st.integers(1, 50), st.integers(1, 200), min_size=1, max_size=8)


@given(accounts, st.integers(1, 100))
def test_no_one_who_wants_more_gets_less_than_an_equal_share(waiting: dict[int, int], room: int) -> None:
    served, _ = serve(waiting, 0, room)
    assert 1 <= sum(served.values()) <= room
    unsatisfied = [served.get(account, 0) for account, many in waiting.items() if served.get(account, 0) < many]
    if unsatisfied:
        assert min(unsatisfied) >= room // len(waiting)


@given(accounts, st.integers(1, 10), st.integers(0, 50))
def test_nobody_waits_longer_than_one_round(waiting: dict[int, int], room: int, last: int) -> None:
    """However small the room is: after as many sends as there are accounts, each has had its turn."""
    unserved = set(waiting)
    left = dict(waiting)
    for _ in range(len(waiting)):
        served, last = serve(left, last, room)
        unserved -= served.keys()
        left = {account: many - served.get(account, 0) for account, many in left.items()}
    assert unserved == set()
