"""What the engine asks of every channel, and what a channel declares about itself.

The engine hands over sets of attempts and gets one outcome for each; it never asks for a channel by name.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cascade.core.attempt import Attempt, Outcome
from cascade.core.receipt import Receipt
from cascade.core.words import Channel

Settle = Callable[[Attempt, Outcome], None]
"""Called exactly once for each attempt, in the event loop's thread; never raises."""

TakeReceipts = Callable[[Sequence[Receipt]], Awaitable[None]]
"""Returns when the receipts are durably stored: only then may the provider be told that we have them."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What channels differ in, as values.

    `takes_our_id`: a repeat of the same attempt is recognised by the provider, so an unknown outcome is repeated.
    """

    channel: Channel
    has_receipts: bool
    takes_our_id: bool = False


class Transport(Protocol):
    """One account at one provider, ready to carry attempts.

    It owns its connections, reconnects by itself, and bounds what is unanswered by its window. Pace, turns and the
    breaker are the engine's.
    """

    capabilities: Capabilities

    def start(self, on_room: Callable[[], None], take_receipts: TakeReceipts) -> None:
        """Begin to connect, in the background. `on_room` is called whenever `room()` may have grown."""
        ...

    def room(self) -> int:
        """How many more attempts it would put on the wire at once: 0 when not connected or the window is full."""
        ...

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        """Put them on the wire, at most `room()` of them. Every one is settled, even when the connection dies."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Wait up to `grace_s` for answers under way, settle the rest as `AnswerLost`, disconnect."""
        ...
