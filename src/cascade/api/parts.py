"""What the doors are given by the front hall."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from cascade.api.callers import Pools
from cascade.api.message_in import Limits
from cascade.api.rates import OwnRates, Rates
from cascade.api.texts import LinkRules
from cascade.channels.base import Callback, Heard
from cascade.channels.fitting import Fitting
from cascade.core.directory import Directory, Rate
from cascade.core.flashcalls import FlashcallRules
from cascade.core.link import LinkState
from cascade.core.prices import Prices
from cascade.core.replies import ReplyHints
from cascade.core.short_links import Click
from cascade.core.words import Channel
from cascade.store.accounts import Seal
from cascade.store.batches import BatchNumbers
from cascade.store.database import Database
from cascade.store.eras import Eras

Hear = Callable[[str, Callback], Heard]
"""What a call to a link says. Raises `ForgedCallbackError`, `MalformedCallbackError`, or `LookupError` when the link
takes none."""

CheckDigits = Callable[[str, str, str], Awaitable[bool | None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """`directory` gives the newest snapshot. `is_ready` says whether the engine of this process runs.

    `take_heard(link, heard)` returns when it is stored. The rates are those of an account that has none of its
    own. `repeat_ms`: for how long a repeat is answered with the first message; 0: never. `keys_used` gathers when each
    key, by its digest, was last used, until the front hall writes it down. `link_states(account_id)` is how the links
    that this process serves do for an account. `currency` is that of every cost, as ISO 4217 names it.
    `check_target(url)` raises `TargetRefusedError` when a client's URL may not be called. `refresh()` takes in what a
    door has changed of accounts and webhooks. `fittings` say how a channel would show a content. `count_click` returns
    at once; what it is given is written down soon. `check_digits(link, provider_id, typed)` asks a provider that alone
    knows who called; None: it did not say. `callers` are the numbers that each link may call from.
    `reply_hints` tell how a survey is answered by SMS.
    """

    database: Database
    directory: Callable[[], Directory]
    now_ms: Callable[[], int]
    limits: Limits
    is_ready: Callable[[], bool]
    hear: Hear
    take_heard: Callable[[str, Heard], Awaitable[None]]
    check_target: Callable[[str], Awaitable[None]]
    seal: Callable[[], Seal]
    refresh: Callable[[], Awaitable[None]]
    send_rate: Rate
    read_rate: Rate
    repeat_ms: int
    batches: BatchNumbers
    link_states: Callable[[int], Mapping[str, LinkState]]
    currency: str
    prices: Prices
    fittings: Mapping[Channel, Fitting]
    link_rules: LinkRules
    count_click: Callable[[Click], None]
    check_digits: CheckDigits
    callers: Pools = field(default_factory=dict)
    flashcalls: FlashcallRules = field(default_factory=FlashcallRules)
    reply_hints: ReplyHints = field(default_factory=ReplyHints)
    rates: Rates = field(default_factory=OwnRates)
    eras: Eras = field(default_factory=Eras)
    keys_used: dict[bytes, int] = field(default_factory=dict)
