"""What the engine asks of every channel, and what a channel declares about itself.

The engine hands over sets of attempts and gets one outcome for each; it never asks for a channel by name.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from cascade.core.attempt import Attempt, Outcome, Revocation, Sent
from cascade.core.inbound import Inbound
from cascade.core.receipt import Receipt
from cascade.core.words import Channel, Reason

Settle = Callable[[Attempt, Outcome], None]
"""Called exactly once for each attempt, in the event loop's thread; never raises."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider's call is answered with."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a provider told us, of messages and of people. `ignored` holds a word for each thing that is of no use to
    us or not to be believed, to be counted by."""

    receipts: Sequence[Receipt] = ()
    inbound: Sequence[Inbound] = ()
    answer: Answer = Answer()
    ignored: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.receipts or self.inbound or self.ignored)


TakeHeard = Callable[[Heard], Awaitable[None]]
"""Returns when it is durably stored: only then may the provider be told that we have it."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A provider's call to `/callbacks/<link>` or below it, as it came. `url` is whole and as the provider called it
    (the public one behind a proxy); `tail` what follows the link in the path, without its slash; header names are in
    lower case."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    tail: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What channels differ in, as values.

    `takes_our_id`: a repeat of the same attempt is recognised by the provider, so an unknown outcome is repeated.
    `can_revoke`: the provider can be asked to take a message back before the next step begins.
    """

    channel: Channel
    has_receipts: bool
    takes_our_id: bool = False
    can_revoke: bool = False


class Transport(Protocol):
    """One account at one provider, ready to carry attempts.

    It owns its connections, reconnects by itself, and bounds what is unanswered by its window. Pace, turns and the
    breaker are the engine's.
    """

    capabilities: Capabilities

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        """Begin to connect, in the background. `on_room` is called whenever `room()` may have grown.

        It may follow a `stop`: among several nodes a link goes away and comes back.
        """
        ...

    def room(self) -> int:
        """How many more attempts it would put on the wire at once: 0 when not connected or the window is full."""
        ...

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        """Put them on the wire, at most `room()` of them and what it holds beyond that (`HoldsMore`). Every one is
        settled, even when the connection dies."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Wait up to `grace_s` for answers under way, settle the rest as `AnswerLost`, disconnect."""
        ...


@runtime_checkable
class AnswersTogether(Protocol):
    """A transport whose provider answers a set almost at once."""

    def answers_soon(self) -> bool:
        """Whether what is on the wire is likely to be answered within some milliseconds."""
        ...


@runtime_checkable
class HoldsMore(Protocol):
    """A transport in which some may wait beyond its window, to go out with the next answers."""

    def spare(self) -> int:
        """How many attempts it would take beyond its `room()`."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A transport that keeps a connection, and can say why it has no room without one, or with one."""

    def trouble(self) -> tuple[Reason, str | None] | None:
        """The reason, and the peer's or the system's word for it, as the log has it; None: nothing is wrong, or it
        tries for the first time."""
        ...


@runtime_checkable
class Divides(Protocol):
    """A transport that may send an attempt in parts, and is told of each."""

    def receipts_of(self, attempt: Attempt) -> int:
        """How many receipts are to come of an attempt that is with the provider as a whole; at least 1."""
        ...


@runtime_checkable
class Hears(Protocol):
    """A transport, or the adapter in it, whose provider calls us."""

    def hear(self, callback: Callback) -> Heard:
        """What the call says. Raises `ForgedCallbackError` or `MalformedCallbackError`."""
        ...


@runtime_checkable
class ChecksDigits(Protocol):
    """A transport whose provider chooses who calls, and so alone can check the digits."""

    async def check_digits(self, provider_id: str, typed: str) -> bool | None:
        """Whether the number that called is the one typed; None: the provider did not say. Never raises."""
        ...


@runtime_checkable
class Replies(Protocol):
    """A transport that has something to say at once to a person who told us something."""

    async def reply(self, inbound: Inbound, *, is_known: bool) -> None:
        """`is_known`: we know the phone that belongs to their address. Never raises."""
        ...


@runtime_checkable
class Revokes(Protocol):
    """A transport with `capabilities.can_revoke`."""

    async def revoke(self, sent: Sent) -> Revocation:
        """Ask the provider to take a message back. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What a look at a provider found. `detail`: what it says of the account, or what is wrong; never a secret."""

    is_well: bool
    detail: str


@runtime_checkable
class Checks(Protocol):
    """A transport that can be asked whether its provider answers and takes our credentials."""

    async def check(self) -> Health:
        """Look, without a `start` and without sending anything to a person. Never raises."""
        ...
