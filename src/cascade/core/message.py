"""A message as the machine sees it: where it stands in its route, and until when."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from cascade.core.route import Route
from cascade.core.words import MessageType


class State(StrEnum):
    """What a message is doing. Every state but the last has a deadline."""

    SCHEDULED = "scheduled"  # until its time comes
    QUEUED = "queued"  # in the lane of its step's link
    SENDING = "sending"  # claimed by a node, which holds it until the lease ends
    WAITING = "waiting"  # the provider has it, or may have it; a receipt may come
    REVOKING = "revoking"  # the window closed, and the provider is asked to take it back before the next step
    FINAL = "final"


class Status(StrEnum):
    """What the client is told (contract, section 5). It only moves up: see `rank`."""

    SCHEDULED = "scheduled"
    PROCESSING = "processing"
    PERMANENT_ERROR = "permanenterror"
    UNDELIVERABLE = "undeliverable"
    DELIVERED = "delivered"

    @property
    def rank(self) -> int:
        """The lattice: no event lowers it. `undeliverable` may still become `delivered`, since that is the truth."""
        return RANKS[self]


RANKS = {
    Status.SCHEDULED: 0,
    Status.PROCESSING: 1,
    Status.PERMANENT_ERROR: 2,
    Status.UNDELIVERABLE: 2,
    Status.DELIVERED: 3,
}

NO_ADDRESSES: Mapping[str, str] = MappingProxyType({})


class Message(NamedTuple):
    """A tuple, not a dataclass: several are made for every message sent, and a tuple takes a fifth of the time.

    `step` is -1 before the first. `attempt` counts attempts begun over all steps, `tries` those at this step.
    `link` carries the present step: the step's own, or one of its others after that failed; None before the first.
    `step_ends_at_ms` bounds the step's queueing and retries; `deadline_at_ms` is when the present state must end.
    `address` is the recipient on the step's channel, None: the phone. `delivered` lists the attempts that reached the
    person, so more than one is a double. `open_parts` holds, for attempts of several parts, a bit for each part whose
    receipt is missing; none, for those in one that only their provider may repeat. An attempt that was called lost and
    then proven stands there once more, by its negative number: it is charged. `cost_micros` is what the accepted
    attempts cost in all; a step that would take it over `max_cost_micros` is skipped. `addresses` is what the
    decision may need to know of the world: the recipient's addresses by link, for the links that have a directory;
    it is not stored with the message.
    """

    type: MessageType
    route: Route
    expires_at_ms: int
    state: State = State.SCHEDULED
    status: Status = Status.SCHEDULED
    step: int = -1
    link: str | None = None
    attempt: int = 0
    tries: int = 0
    address: str | None = None
    due_at_ms: int = 0
    deadline_at_ms: int | None = None
    step_ends_at_ms: int = 0
    delivered_step: int | None = None
    delivered: tuple[int, ...] = ()
    is_read: bool = False
    open_parts: tuple[tuple[int, int], ...] = ()
    cost_micros: int = 0
    max_cost_micros: int | None = None
    addresses: Mapping[str, str] = NO_ADDRESSES

    @property
    def is_final(self) -> bool:
        return self.state is State.FINAL

    @property
    def has_begun(self) -> bool:
        """Whether an attempt was begun: from then on it can neither be cancelled nor rescheduled."""
        return self.attempt > 0 or self.state not in (State.SCHEDULED, State.QUEUED)

    def is_proven(self, attempt: int) -> bool:
        """Whether the provider is known to have taken an attempt that was called lost."""
        return (-attempt, 0) in self.open_parts
