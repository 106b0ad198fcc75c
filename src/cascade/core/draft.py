"""A message that passed every rule and is not stored yet."""

from dataclasses import dataclass

from cascade.core.content import Content, Variant
from cascade.core.placeholders import Variable
from cascade.core.words import Channel, MessageType


@dataclass(frozen=True, slots=True)
class WantedStep:
    """A step that the client wrote itself. `window_s` None: for the rest of the message's time to live."""

    channel: Channel
    window_s: int | None = None
    is_until_read: bool = False
    text: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """What is sent by the route when a flash call failed."""

    type: MessageType
    text: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What few messages ask for.

    `steps` stand in place of a named route. `variants` are what single channels say instead, `addresses` where they
    find the person without a look-up. `text_after_viber` is the text of the steps behind the Viber bot's. `tags` are
    distinct.
    """

    steps: tuple[WantedStep, ...] = ()
    variants: tuple[tuple[Channel, Variant], ...] = ()
    addresses: tuple[tuple[Channel, str], ...] = ()
    text_after_viber: str | None = None
    fallback: Fallback | None = None
    max_cost_micros: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(slots=True)  # changed by nobody, and not frozen: that would take eight times as long to make
class Draft:
    """`tracking_id` is the client's `id`, `phone` E.164 with the plus, `route` the name of a configured route.

    `scheduled_at_ms` is None for "now"; `ttl_s` counts from the later of acceptance and schedule. `wishes` is None for
    nearly every message. `variables` are values for the placeholders of its own texts.
    """

    tracking_id: str
    sender: str
    phone: str
    type: MessageType
    content: Content
    ttl_s: int
    route: str
    scheduled_at_ms: int | None = None
    wishes: Wishes | None = None
    variables: tuple[Variable, ...] = ()
