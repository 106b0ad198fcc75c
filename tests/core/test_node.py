"""Each engine's part of the links: as even as whole links can be, and no link is left over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.node import ALONE, Role, Share

PARTS = {  # links, engines, the quota of each
    "fewer links than engines": (2, 4, [1, 1, 0, 0]),
    "as many": (4, 4, [1, 1, 1, 1]),
    "one too many": (5, 4, [2, 1, 1, 1]),
    "none": (0, 3, [0, 0, 0]),
    "alone": (7, 1, [7]),
}


@pytest.mark.parametrize("case", PARTS)
def test_parts(case: str) -> None:
    links, count, expected = PARTS[case]
    assert [Share(index, count).quota(links) for index in range(count)] == expected


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_no_link_is_left_over_and_none_is_counted_twice(links: int, count: int) -> None:
    quotas = [Share(index, count).quota(links) for index in range(count)]
    assert sum(quotas) == links
    assert max(quotas) - min(quotas) <= 1


def test_one_node_does_what_one_is_enough_for() -> None:
    assert ALONE.is_first
    assert [Share(index, 3).is_first for index in range(3)] == [True, False, False]


def test_what_a_role_has() -> None:
    assert {role: (role.has_doors, role.has_engine) for role in Role} == {
        Role.ALL: (True, True),
        Role.API: (True, False),
        Role.ENGINE: (False, True),
    }
