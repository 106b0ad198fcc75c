"""Calls that ring and are dropped before an answer: the last digits of the caller are the code."""

from cascade.channels.fitting import Fitted
from cascade.core.content import Content
from cascade.core.words import MessageType


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002 - the word of the house
    """A call says nothing but who calls."""
    return Fitted("") if type is MessageType.FLASHCALL else None
