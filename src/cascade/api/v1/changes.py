"""What a client may do to messages that have not begun: cancel, hasten, reschedule them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from fastapi import Request
from pydantic import BaseModel, ConfigDict

from cascade.api import metrics
from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.message_in import MAX_AHEAD_MS
from cascade.api.parts import Parts
from cascade.api.v1.fields import INSTANT_EXAMPLE, Instant
from cascade.api.validation import read_model
from cascade.core.machine import Cancelled, Event, Rescheduled
from cascade.core.message import Message, State
from cascade.store import decisions, messages
from cascade.store.decisions import News
from cascade.store.messages import Key


class Reschedule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    scheduledSent: Instant  # noqa: N815 - the contract's spelling


class Change(NamedTuple):
    """`begins_at_ms`: the new hour; 0, or one that has passed, is now. None: it is cancelled."""

    name: str
    begins_at_ms: int | None

    def event(self, message: Message, now_ms: int) -> Event | None:
        """What to tell the machine of a message that has not begun; None when it stands as wanted."""
        if self.begins_at_ms is None:
            return Cancelled(now_ms)
        if self.begins_at_ms <= now_ms and message.state is State.QUEUED:
            return None  # its time has come already: to begin anew would cost it its place
        return Rescheduled(now_ms, self.begins_at_ms)


CANCEL: Final = Change("cancel", None)
HASTEN: Final = Change("hasten", 0)
RESCHEDULE_EXAMPLE: Final = {"scheduledSent": INSTANT_EXAMPLE}


async def read_reschedule(request: Request) -> Change:
    """The new hour from the request's body; `InvalidRequest` when it is no time, or too far ahead."""
    parts: Parts = request.app.state.parts
    wanted = await read_model(request, Reschedule)
    if wanted.scheduledSent > parts.now_ms() + MAX_AHEAD_MS:
        message = "scheduledSent is more than 30 days ahead: choose an earlier time"
        raise InvalidRequest([Fault(ErrorCode.INVALID_SCHEDULE, message, "scheduledSent")])
    return Change("reschedule", wanted.scheduledSent)


async def make(parts: Parts, keys: Sequence[Key], change: Change) -> int:
    """Change those of the messages that have not begun, in one transaction; how many stand as wanted now."""
    async with parts.database.transaction() as tx:
        now_ms = parts.now_ms()
        loaded = await messages.load(tx, keys)
        not_begun = {key: stored for key, stored in loaded.items() if not stored.message.has_begun}
        events = {key: change.event(stored.message, now_ms) for key, stored in not_begun.items()}
        news = [News(key, event) for key, event in events.items() if event is not None]
        changed = len(await decisions.apply(tx, news, not_begun))
    metrics.CHANGED.labels(change.name).inc(changed)
    return changed + len(events) - len(news)
