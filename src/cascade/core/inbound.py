"""What people tell us: by writing to a bot or a number, by tapping a button, by coming and going."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


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
    `phone` of a shared contact is as it was given; `profile` what else the provider says of the person, by its names.
    """

    id: str
    kind: InboundKind
    address: str
    text: str | None = field(default=None, repr=False)
    payload: str | None = None
    reply_to: str | None = None
    phone: str | None = field(default=None, repr=False)
    profile: Mapping[str, str] = field(default_factory=dict, repr=False)
