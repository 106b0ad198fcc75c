"""What a provider says about a message it took earlier."""

from dataclasses import dataclass
from enum import StrEnum

from cascade.core.words import Reason


class ReceiptState(StrEnum):
    DELIVERED = "delivered"
    READ = "read"  # implies delivered, and may come first or alone
    FAILED = "failed"


@dataclass(slots=True, unsafe_hash=True)  # changed by nobody, and not frozen: that would take several times as long
class Receipt:
    """`provider_id` is normalised: the same text as in the `Accepted` that it belongs to.

    `recipient` is the phone or address as the provider gave it (no plus), to find a message whose answer was lost;
    None where the provider does not say.
    """

    provider_id: str
    state: ReceiptState
    reason: Reason | None = None
    detail: str | None = None
    recipient: str | None = None
