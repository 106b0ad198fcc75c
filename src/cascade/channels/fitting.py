"""How a channel would show a content, without sending it: what the preview of a message tells its author."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cascade.core import gsm
from cascade.core.content import Content, plain_text
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


def as_sms(content: Content, type: MessageType, *, transliterates: bool = False) -> Fitted | None:  # noqa: A002
    """How an SMS shows it, whoever carries it: as text alone. `transliterates`: typographic signs become plain ones."""
    text = gsm.transliterate(plain_text(content)) if transliterates else plain_text(content)
    if type is MessageType.FLASHCALL or not text:
        return None
    changes = (
        (Change.OPTIONS_AS_NUMBERED_LINES, content.options),
        (Change.MEDIA_AS_LINKS, content.media),
        (Change.BUTTONS_AS_LINKS, content.buttons),
    )
    segments = gsm.segments(text)
    return Fitted(text, tuple(change for change, part in changes if part), segments.parts, segments.encoding)
