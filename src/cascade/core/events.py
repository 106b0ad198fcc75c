"""What a client is told of by webhook, and what of a decision is worth telling (contract, section 6)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from cascade.core.flashcalls import Verdict
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.message import Message, State, Status
from cascade.core.timeline import Entry
from cascade.core.words import Channel, Reason


class EventType(StrEnum):
    """Part of the API: a webhook names the types that it wants."""

    PROCESSING = "message.processing"
    FALLBACK = "message.fallback"
    DELIVERED = "message.delivered"
    READ = "message.read"
    UNDELIVERABLE = "message.undeliverable"
    PERMANENT_ERROR = "message.permanenterror"
    SURVEY_ANSWERED = "survey.answered"
    LINK_CLICKED = "link.clicked"
    INBOUND_RECEIVED = "inbound.received"
    FLASHCALL_COMPLETED = "flashcall.completed"
    TEST = "webhook.test"

    @property
    def has_status(self) -> bool:
        """Whether it says where a message stands: nothing else fits the flat body."""
        return self.value.startswith("message.") or self is EventType.TEST


ENDS = {
    Status.DELIVERED: EventType.DELIVERED,
    Status.UNDELIVERABLE: EventType.UNDELIVERABLE,
    Status.PERMANENT_ERROR: EventType.PERMANENT_ERROR,
}


class Listener(NamedTuple):
    """An enabled webhook as the writers of events see it. `types` None: every type."""

    webhook_id: str
    types: frozenset[EventType] | None

    def wants(self, type_: EventType) -> bool:
        return self.types is None or type_ in self.types


ALL = frozenset(EventType)


def wanted(listeners: Iterable[Listener]) -> frozenset[EventType]:
    """The types that at least one of them wants."""
    return frozenset().union(*(ALL if listener.types is None else listener.types for listener in listeners))


Listeners = Mapping[int, tuple[Listener, ...]]
"""By account; an account that nobody listens to is not in it."""
NOBODY: Listeners = MappingProxyType({})


class Happened(NamedTuple):
    """Something to tell an account. `data` is the event's own part of the body, ready for JSON.

    `message_id` None: it is about no message of ours, and waits for no other event.
    """

    account_id: int
    message_id: bytes | None
    type: EventType
    at_ms: int
    data: Mapping[str, Any]


class Told(NamedTuple):
    """Which message an event is about, as its body names it."""

    account_id: int
    message_id: bytes
    tracking_id: str


def of(
    about: Told,
    before: Message,
    after: Message,
    entries: Sequence[Entry],
    at_ms: int,
    types: frozenset[EventType] = ALL,
) -> Iterator[Happened]:
    """What a decision, or several taken as one, means to the client, in the order in which it came about; of these
    types alone.

    A claim makes no decision of its own, so `message.processing` comes with the first news of the first attempt: its
    answer, its receipt or its silence.
    """
    if (
        before.state is State.SENDING
        and before.attempt == 1
        and after.state is not State.SENDING
        and after.attempt
        and EventType.PROCESSING in types
    ):
        yield _happened(about, before, EventType.PROCESSING, at_ms, _channel(before, before.step))
    if after.step > before.step >= 0 and EventType.FALLBACK in types:
        yield _happened(
            about,
            after._replace(status=Status.PROCESSING),
            EventType.FALLBACK,
            at_ms,
            _channel(after, after.step),
            {"fallbackFrom": before.route[before.step].channel.value, "reason": _reason(entries, before.step)},
        )
    if after.status is not before.status and (type_ := ENDS.get(after.status)) in types:
        step = after.step if after.delivered_step is None else after.delivered_step
        channel = _channel(after, step)
        more: dict[str, Any]
        if after.status is Status.DELIVERED:
            more = {"confirmed": channel is not None and channel.confirms_delivery}
        else:
            more = {"reason": _reason(entries, None)}
        yield _happened(about, after, type_, at_ms, channel, more)
    if after.is_read and not before.is_read and EventType.READ in types:
        yield _happened(about, after, EventType.READ, at_ms, _channel(after, after.delivered_step))


def clicked(about: Told, message: Message, at_ms: int, url: str, clicks: int) -> Happened:
    """People followed a short link of the message; `at_ms` is when the first of these `clicks` came."""
    channel = _channel(message, message.step if message.delivered_step is None else message.delivered_step)
    return _happened(about, message, EventType.LINK_CLICKED, at_ms, channel, {"url": url, "clicks": clicks})


def survey_answered(about: Told, message: Message, at_ms: int, option: str, place: int, channel: Channel) -> Happened:
    """The person chose the option at that place, counted from 0, by way of that channel."""
    return _happened(
        about, message, EventType.SURVEY_ANSWERED, at_ms, channel, {"answer": option, "answerNumber": place + 1}
    )


def inbound_received(
    account_id: int, inbound: Inbound, channel: Channel, link: str, phone: str | None, about: Told | None, at_ms: int
) -> Happened:
    """A person told us something. `about`: the message that it answers; `phone` None: it is not known."""
    said = {"text": inbound.text, "payload": inbound.payload} if inbound.kind is not InboundKind.TAP else {}
    reference = {} if about is None else {"messageId": _shown(about.message_id), "trackinId": about.tracking_id}
    data = {
        "kind": inbound.kind.value,
        "channel": channel.value,
        "link": link,
        "phone": phone,
        "address": inbound.address,
        **{name: value for name, value in said.items() if value is not None},
        **reference,
    }
    return Happened(account_id, None if about is None else about.message_id, EventType.INBOUND_RECEIVED, at_ms, data)


def flashcall_completed(about: Told, message: Message, at_ms: int, result: Verdict, checks: int) -> Happened:
    """The digits of a flash call were typed right, or wrong too often; `checks` is how often they were typed."""
    channel = _channel(message, message.step if message.delivered_step is None else message.delivered_step)
    more = {"result": result.value, "checks": checks}
    return _happened(about, message, EventType.FLASHCALL_COMPLETED, at_ms, channel, more)


def sample(message_id: UUID, at_ms: int, account_id: int) -> Happened:
    """A test event: a message that was never sent, so that both formats have something to show."""
    data = _data(Told(account_id, message_id.bytes, "test"), Status.DELIVERED, Channel.SMS, Channel.SMS, 0)
    return Happened(account_id, None, EventType.TEST, at_ms, data | {"confirmed": True})


def _happened(
    about: Told,
    message: Message,
    type_: EventType,
    at_ms: int,
    channel: Channel | None,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> Happened:
    via = _channel(message, message.delivered_step)
    data = {**_data(about, message.status, channel, via, message.cost_micros), **more}
    return Happened(about.account_id, about.message_id, type_, at_ms, data)


def _data(
    about: Told, status: Status, channel: Channel | None, via: Channel | None, cost_micros: int
) -> dict[str, Any]:
    return {
        "messageId": _shown(about.message_id),
        "trackinId": about.tracking_id,
        "deliverystatus": status.value,
        "channel": channel.value if channel else None,
        "deliveredVia": via.value if via else None,
        "cost": cost_micros / 1_000_000,
    }


def _shown(message_id: bytes) -> str:
    """As a UUID is written, in a quarter of the time that `uuid.UUID` takes."""
    digits = message_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _channel(message: Message, step: int | None) -> Channel | None:
    return message.route[step].channel if step is not None and 0 <= step < len(message.route) else None


def _reason(entries: Sequence[Entry], step: int | None) -> Reason | None:
    """Why it did not go on: the last reason given, at that step alone where one is named."""
    reasons = [entry.reason for entry in entries if entry.reason is not None and step in (None, entry.step)]
    return reasons[-1] if reasons else None
