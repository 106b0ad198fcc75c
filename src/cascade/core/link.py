"""How a link does, as whoever sends through it may know."""

from typing import NamedTuple

from cascade.core.words import Reason


class LinkState(NamedTuple):
    """`is_up`: it can take messages or is merely full. `in_flight`: the account's attempts sent and not yet
    answered; None: another node serves the link."""

    is_up: bool
    in_flight: int | None


class Trouble(NamedTuple):
    """What went wrong at a link last, and nothing went right since. `detail`: the provider's or the system's wording,
    never a phone or a secret."""

    at_ms: int
    reason: Reason
    detail: str | None


class LinkHealth(NamedTuple):
    """How a link does as its operator sees it.

    `in_flight`: everybody's attempts. `room`: how many more it would take at once. `rate_per_s` None: as fast as the
    provider answers. `is_open`: the breaker keeps messages away, for `pause_ms` yet; `is_probing`: one attempt is out
    to see whether the provider is back. `trouble` None: the last attempt was taken.
    """

    is_up: bool
    in_flight: int
    room: int
    rate_per_s: float | None
    is_open: bool
    is_probing: bool
    pause_ms: int
    trouble: Trouble | None
