"""What the doors are given by the front hall."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cascade.api.message_in import Limits
from cascade.core.directory import Directory
from cascade.core.receipt import Receipt
from cascade.store.database import Database

ReadReceipts = Callable[[str, "dict[str, str]", bytes], list[Receipt]]
"""link, headers in lower case, raw body -> receipts; raises `ForgedCallbackError` or `MalformedCallbackError`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`directory` gives the newest snapshot. `is_ready` says whether the engine of this process runs.

    `take_receipts(link, receipts)` returns when they are stored.
    """

    database: Database
    directory: Callable[[], Directory]
    now_ms: Callable[[], int]
    limits: Limits
    is_ready: Callable[[], bool]
    read_receipts: ReadReceipts
    take_receipts: Callable[[str, Sequence[Receipt]], Awaitable[None]]
