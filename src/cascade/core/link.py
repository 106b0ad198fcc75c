"""How a link does, as whoever sends through it may know."""

from typing import NamedTuple


class LinkState(NamedTuple):
    """`is_up`: it can take messages or is merely full. `in_flight`: the account's attempts sent and not yet
    answered."""

    is_up: bool
    in_flight: int
