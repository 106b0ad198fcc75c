"""How a link does, as whoever sends through it may know."""

from typing import NamedTuple


class LinkState(NamedTuple):
    """`is_up`: it can take messages or is merely full. `in_flight`: the account's attempts sent and not yet
    answered; None: another node serves the link."""

    is_up: bool
    in_flight: int | None


class LinkHealth(NamedTuple):
    """How a link does as its operator sees it.

    `in_flight`: everybody's attempts. `room`: how many more it would take at once. `rate_per_s` None: as fast as the
    provider answers. `is_open`: the breaker keeps messages away, for `pause_ms` yet; `is_probing`: one attempt is out
    to see whether the provider is back.
    """

    is_up: bool
    in_flight: int
    room: int
    rate_per_s: float | None
    is_open: bool
    is_probing: bool
    pause_ms: int
