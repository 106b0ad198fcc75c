"""Attempts for these tests, with what does not matter filled in."""

from cascade.core.attempt import Attempt
from cascade.core.content import Content
from cascade.core.words import MessageType

PHONE = "+380501112233"


def attempt(
    text: str = "Hi",
    *,
    content: Content | None = None,
    phone: str = PHONE,
    sender: str = "Shop",
    window_s: int = 300,
    number: int = 1,
    kind: MessageType = MessageType.TRANSACTION,
) -> Attempt:
    return Attempt(
        account_id=1,
        message_id=bytes(16),
        number=number,
        address=phone,
        sender=sender,
        type=kind,
        content=content or Content(text),
        window_s=window_s,
    )
