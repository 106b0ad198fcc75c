"""A message that passed every rule and is not stored yet."""

from dataclasses import dataclass

from cascade.core.content import Content
from cascade.core.words import MessageType


@dataclass(frozen=True, slots=True)
class Draft:
    """`tracking_id` is the client's `id`, `phone` E.164 with the plus, `route` the name of a configured route.

    `scheduled_at_ms` is None for "now"; `ttl_s` counts from the later of acceptance and schedule.
    """

    tracking_id: str
    sender: str
    phone: str
    type: MessageType
    content: Content
    ttl_s: int
    route: str
    scheduled_at_ms: int | None = None
