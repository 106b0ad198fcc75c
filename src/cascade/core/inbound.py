"""What people tell us: by writing to a bot or a number, by tapping a button, by coming and going."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PART = "part"
"""In `profile`: of a text that came in several parts, `<reference>:<parts>:<number>`, counted from 1."""


class InboundKind(StrEnum):
    TEXT = "text"  # wrote something
    TAP = "tap"  # tapped a button or chose an option that we sent
    CONTACT = "contact"  # shared a phone that is surely their own
    STARTED = "started"  # began to talk to the bot, or unblocked it
    STOPPED = "stopped"  # left or blocked it: nothing reaches them there any more


@dataclass(frozen=True, slots=True)
class Inbound:
    """`id` is the provider's own, so that a repeat of the callback is told. `address` is the person's on the channel: a
    chat id, a Viber user id, or digits without the plus where the channel is addressed by phone.

    `payload` is what we hid behind a button or in tracking data, as it came back: the person's program may forge it.
    `reply_to` is the provider's id of the message that this one answers, None where the provider does not say.
    Of a person who began, it is the word that the link to the bot carried.
    `phone` of a shared contact is as it was given; `profile` what else the provider says of the person, by the
    contract's names (section 4), and of a long SMS which part this is: see `PART`.
    """

    id: str
    kind: InboundKind
    address: str
    text: str | None = field(default=None, repr=False)
    payload: str | None = None
    reply_to: str | None = None
    phone: str | None = field(default=None, repr=False)
    profile: Mapping[str, str] = field(default_factory=dict, repr=False)
