"""How a channel would show a content, without sending it: what the preview of a message tells its author."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cascade.core.content import Content
from cascade.core.words import MessageType


class Change(StrEnum):
    """What a channel does to a content that it cannot show as it is. Part of the API."""

    MEDIA_AS_LINKS = "media_as_links"
    BUTTONS_AS_LINKS = "buttons_as_links"
    OPTIONS_AS_NUMBERED_LINES = "options_as_numbered_lines"


@dataclass(frozen=True, slots=True)
class Fitted:
    """`encoding` None: the channel has but one."""

    text: str
    changes: tuple[Change, ...] = ()
    parts: int = 1
    encoding: str | None = None


Fitting = Callable[[Content, MessageType], Fitted | None]
"""None: the channel cannot carry the content."""
