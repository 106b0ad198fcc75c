"""What the doors are given by the front hall."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from cascade.api.message_in import Limits
from cascade.api.rates import Rates
from cascade.core.directory import Directory, Rate
from cascade.core.receipt import Receipt
from cascade.store.database import Database

ReadReceipts = Callable[[str, "dict[str, str]", bytes], list[Receipt]]
"""link, headers in lower case, raw body -> receipts; raises `ForgedCallbackError` or `MalformedCallbackError`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`directory` gives the newest snapshot. `is_ready` says whether the engine of this process runs.

    `take_receipts(link, receipts)` returns when they are stored. The rates are those of an account that has none of its
    own. `repeat_ms`: for how long a repeat is answered with the first message; 0: never. `keys_used` gathers when each
    key, by its digest, was last used, until the front hall writes it down.
    """

    database: Database
    directory: Callable[[], Directory]
    now_ms: Callable[[], int]
    limits: Limits
    is_ready: Callable[[], bool]
    read_receipts: ReadReceipts
    take_receipts: Callable[[str, Sequence[Receipt]], Awaitable[None]]
    send_rate: Rate
    read_rate: Rate
    repeat_ms: int
    rates: Rates = field(default_factory=Rates)
    keys_used: dict[bytes, int] = field(default_factory=dict)
