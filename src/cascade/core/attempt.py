"""One try to send one message through one link: what an adapter is given, and what it may answer."""

from dataclasses import dataclass
from enum import Enum

from cascade.core.content import Content
from cascade.core.words import MessageType, Reason


@dataclass(slots=True, unsafe_hash=True)  # changed by nobody, and not frozen: that would take several times as long
class Attempt:
    """`address` is the channel's own: a chat id, a Viber user id, or a phone with its plus.

    `number` counts the message's attempts from 1, whatever the `step`. `window_s` is how long we shall wait for a
    receipt: the provider gets it as its own time to live, so that it does not deliver after we moved on.
    """

    account_id: int
    message_id: bytes
    number: int
    address: str
    sender: str
    type: MessageType
    content: Content
    window_s: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt that a provider accepted, as much of it as taking it back needs. `provider_ids`: see `Accepted`."""

    message_id: bytes
    number: int
    step: int
    address: str
    provider_ids: tuple[str, ...]


class Revocation(Enum):
    """What became of the wish to take a message back from its provider."""

    WITHDRAWN = "withdrawn"  # the person will not get it
    TOO_LATE = "too late"  # it arrived, or is about to
    UNKNOWN = "unknown"  # nobody knows


@dataclass(slots=True, unsafe_hash=True)
class Accepted:
    """The provider has it; a receipt may follow. One id a part (SMS), in the order of the parts."""

    provider_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """As good as delivered: the channel sends no receipts, so its acceptance is all there will ever be."""

    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will never work for this message on this link: next step. `detail` is the provider's wording, for the
    operator; never a phone or a secret. `is_ours`: no request left, so it says nothing of the provider. `parts`: see
    `Retry`."""

    reason: Reason
    detail: str | None = None
    is_ours: bool = False
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not work now; the same may work later. `after_s` None: our own backoff decides. `parts`: how many receipts
    would tell of it; where there are several, some parts may be with the provider, but not all."""

    reason: Reason
    after_s: float | None = None
    detail: str | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True)
class AnswerLost:
    """The request left us and no answer came: it may have been sent. Never to be called sent nor failed. `parts`: how
    many receipts tell of it."""

    detail: str | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True)
class NotSent:
    """It never left us (no connection, we are stopping, its recipient has had enough for now): give it back, this was
    no attempt. Not to be tried before `after_s`."""

    after_s: float = 0.0


Outcome = Accepted | Delivered | Rejected | Retry | AnswerLost | NotSent
