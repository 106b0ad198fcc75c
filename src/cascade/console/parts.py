"""What the console is given by the front hall."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cascade.channels.fitting import Fitting
from cascade.core.directory import Directory, Rate
from cascade.core.link import LinkHealth, LinkState
from cascade.core.prices import Price
from cascade.core.words import Channel
from cascade.store.accounts import Seal
from cascade.store.database import Database
from cascade.store.queries import Backlog

Send = Callable[[int, bytes, bool], Awaitable["Answered"]]
"""account, body, whether it is only a preview."""


class Answered(NamedTuple):
    """What the send door answered: its status, and its body read from JSON."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Times:
    """How long a session lasts: untouched, and at most."""

    idle_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """`directory` gives the newest snapshot, `refresh()` takes in what a page has changed of it. `link_health` is how
    the links of this process do, `backlogs` how the lanes stood a moment ago; `link_states(account_id)` tells a little
    of links that other processes serve, too. `send` lets an account send as its client would.
    """

    database: Database
    directory: Callable[[], Directory]
    now_ms: Callable[[], int]
    currency: str
    seal: Callable[[], Seal]
    refresh: Callable[[], Awaitable[None]]
    link_health: Callable[[], Mapping[str, LinkHealth]]
    link_states: Callable[[int], Mapping[str, LinkState]]
    backlogs: Callable[[], Sequence[Backlog]]
    send: Send
    fittings: Mapping[Channel, Fitting]
    prices: Sequence[Price]
    send_rate: Rate
    read_rate: Rate
    times: Times
