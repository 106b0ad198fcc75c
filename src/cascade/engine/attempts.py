"""What an adapter is given of a message."""

from cascade.core import content
from cascade.core.attempt import Attempt
from cascade.core.windows import window_ends_at_ms
from cascade.store.messages import Claimed


def attempt_of(claimed: Claimed, now_ms: int) -> Attempt:
    """The message's current attempt, as it goes out at that time."""
    stored, sender, text, extras = claimed
    message = stored.message
    said = content.for_step(text, extras, message.step)
    window_ends_at = window_ends_at_ms(message.route, message.step, now_ms, message.expires_at_ms)
    return Attempt(
        account_id=stored.key.account_id,
        message_id=stored.key.id,
        number=message.attempt,
        address=message.address if message.address is not None else stored.phone,
        sender=said.sender or sender,
        type=said.type or message.type,
        content=said.content,
        window_s=max((window_ends_at - now_ms) // 1000, 1),
        step=message.step,
    )
