"""`GET /bat/message/{messageId}`: where a message stands, and everything that was tried."""

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired

from fastapi import APIRouter, Request, Response
from pydantic import Field
from typing_extensions import TypedDict

from cascade.api import callers
from cascade.api.access import ReadCaller
from cascade.api.answers import json_answer, money
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.openapi import STATUS_RESPONSES
from cascade.api.parts import Parts
from cascade.channels.fitting import Change
from cascade.core.message import Status
from cascade.core.timeline import TAKEN, Entry, Mark
from cascade.core.times import iso
from cascade.core.words import Channel, MessageType, Reason
from cascade.store import flashcalls, messages, short_links, surveys
from cascade.store.database import Reader
from cascade.store.messages import Key, Record
from cascade.store.short_links import Clicks

router = APIRouter(tags=["Status"])

NOT_USED = "not_used"
NO_CALL: Final[Mapping[str, Any]] = MappingProxyType({})
CLICKED: Final = "clicked"
NO_ATTEMPT = {Mark.EXPIRED, Mark.CANCELLED, Mark.RESCHEDULED}
"""Marks that say something of the message as a whole."""
ENDS = {Mark.DELIVERED, Mark.REJECTED, Mark.FAILED, Mark.UNKNOWN, Mark.RETRY, Mark.TIMED_OUT, Mark.DOUBLE, Mark.SKIPPED}


class Fallback(TypedDict):
    type: Channel
    status: str


class AttemptShown(TypedDict):
    """One attempt, or one skipped channel: then `attempt` is null."""

    channel: Channel
    attempt: int | None
    state: Mark
    reason: Reason | None
    startedAt: str
    endedAt: NotRequired[str]
    detail: NotRequired[str]
    changes: NotRequired[list[Change]]
    providerId: NotRequired[str]
    confirmed: NotRequired[bool]


class EntryShown(TypedDict):
    at: str
    event: Mark | Literal["clicked"]
    channel: NotRequired[Channel]
    attempt: NotRequired[int]
    reason: NotRequired[Reason]
    providerId: NotRequired[str]
    detail: NotRequired[str]
    changes: NotRequired[Annotated[list[Change], Field(description="What was changed to show it on the channel")]]
    confirmed: NotRequired[bool]
    url: NotRequired[Annotated[str, Field(description="Where the link that was clicked leads")]]
    clicks: NotRequired[int]
    lastAt: NotRequired[Annotated[str, Field(description="The latest click")]]


class StatusShown(TypedDict):
    """The contract's status object, as `describe` makes it."""

    messagelistId: Annotated[int, Field(description="The number of the batch it came in")]
    messageId: str
    trackinId: Annotated[str, Field(description="Your tracking id")]
    deliverystatus: Status
    partscount: int
    cost: float
    rate: Annotated[float, Field(description="What the channel that delivered, or else the present one, costs")]
    rateCurrency: str
    channel: Annotated[Channel | None, Field(description="The one that delivered")]
    deliveredVia: Annotated[Channel | None, Field(description="The same, by the name that webhooks give it")]
    fallbacks: list[Fallback]
    extendedStatuses: dict[Channel, str]
    read: bool
    clicks: NotRequired[Annotated[int, Field(description="Of people on its short links; only where it has some")]]
    machineClicks: NotRequired[Annotated[int, Field(description="Of previews and crawlers on its short links")]]
    survey: NotRequired[Annotated[str, Field(description="The option that was chosen; only once one was")]]
    callerId: NotRequired[Annotated[str, Field(description="Who calls; of a flash call")]]
    pattern: NotRequired[Annotated[str, Field(description="The same with its last digits alone: they are the code")]]
    digitsMatched: NotRequired[Annotated[bool, Field(description="Whether the right digits were checked with us")]]
    checksLeft: NotRequired[Annotated[int, Field(description="How often the digits may yet be checked")]]
    acceptedAt: str
    expiresAt: str
    finishedAt: str | None
    attempts: list[AttemptShown]
    timeline: list[EntryShown]


@router.get(
    "/bat/message/{message_id}",
    summary="Status and timeline of a message",
    response_model=StatusShown,
    responses=STATUS_RESPONSES,
)
async def get_status(message_id: str, request: Request, caller: ReadCaller) -> Response:
    """Another account's message and one that does not exist are answered alike."""
    parts: Parts = request.app.state.parts
    seen = await find(parts, caller.account_id, message_id)
    return json_answer(describe(seen, parts.currency))


class Seen(NamedTuple):
    """A message, how its short links were followed, what is told of its flash call, and the answer to its survey."""

    record: Record
    links: Sequence[Clicks]
    flashcall: Mapping[str, Any] = NO_CALL
    survey: str | None = None


async def find(parts: Parts, account_id: int, message_id: str) -> Seen:
    """The account's message; `RequestError` 404 when there is none, whatever else the id may be."""
    key = key_of(account_id, message_id)
    if key is None:
        raise not_found()
    async with parts.database.reading() as reader:
        record = await messages.record(reader, key)
        clicks = await short_links.of_message(reader, key)
        call = NO_CALL
        if record is not None and record.message.type is MessageType.FLASHCALL:
            call = await _call(parts, reader, key)
        answer = None
        if record is not None and record.message.type is MessageType.VIBER_SURVEY:
            answer = await surveys.answer(reader, key)
    if record is None:
        raise not_found()
    return Seen(record, clicks, call, None if answer is None else answer.option)


async def _call(parts: Parts, reader: Reader, key: Key) -> Mapping[str, Any]:
    stored = (await flashcalls.find(reader, key.account_id, [key.id])).get(key.id)
    if stored is None:
        return NO_CALL
    has_matched = stored.matched_at_ms is not None
    left = 0 if has_matched else max(parts.flashcalls.most_checks - stored.wrong, 0)
    return {**callers.tell(stored, parts.flashcalls), "digitsMatched": has_matched, "checksLeft": left}


def not_found() -> RequestError:
    return RequestError(404, ErrorCode.NOT_FOUND, "No such message: check the messageId and the account's key")


def key_of(account_id: int, message_id: str) -> Key | None:
    """None when it is no UUID, and so no message's id."""
    try:
        return Key(account_id, uuid.UUID(message_id).bytes)
    except ValueError:
        return None


def describe(seen: Seen, currency: str) -> dict[str, Any]:
    """The contract's status object, with ours beside it. What is not known (None) has no key."""
    record, followed, call, survey = seen
    message = record.message
    channels = _by_channel(record)
    known: dict[str, Any] = {} if survey is None else {"survey": survey}
    if followed:
        known["clicks"] = sum(link.people for link in followed)
        known["machineClicks"] = sum(link.machines for link in followed)
    delivered_by = None if message.delivered_step is None else message.route[message.delivered_step].channel
    reached = message.delivered_step if message.delivered_step is not None else message.step
    return {
        "messagelistId": record.batch_id,
        "messageId": str(uuid.UUID(bytes=record.key.id)),
        "trackinId": record.tracking_id,
        "deliverystatus": message.status.value,
        "partscount": _parts_count(record),
        "cost": money(message.cost_micros),
        "rate": money(message.route[max(reached, 0)].cost_micros if message.route else 0),
        "rateCurrency": currency,
        "channel": delivered_by.value if delivered_by else None,
        "deliveredVia": delivered_by.value if delivered_by else None,
        "fallbacks": [
            {"type": step.channel.value, "status": channels[step.channel]}
            for place, step in enumerate(message.route)
            if place > max(reached, 0)
        ],
        "extendedStatuses": {channel.value: word for channel, word in channels.items()},
        "read": message.is_read,
        **known,
        **call,
        "acceptedAt": iso(record.accepted_at_ms),
        "expiresAt": iso(message.expires_at_ms),
        "finishedAt": iso(record.finished_at_ms) if record.finished_at_ms is not None else None,
        "attempts": _attempts(record),
        "timeline": _timeline(record, followed),
    }


def _timeline(record: Record, followed: Sequence[Clicks]) -> list[dict[str, Any]]:
    """What happened to the message, with the first click on each of its links at its time."""
    entries = [(entry.at_ms, _entry(record, entry)) for entry in record.entries]
    for link in followed:
        if link.first_at_ms is not None and link.last_at_ms is not None:
            shown = {"event": CLICKED, "url": link.target, "clicks": link.people, "lastAt": iso(link.last_at_ms)}
            entries.append((link.first_at_ms, {"at": iso(link.first_at_ms), **shown}))
    entries.sort(key=lambda entry: entry[0])
    return [shown for _, shown in entries]


def _parts_count(record: Record) -> int:
    """How many parts the delivering attempt had, or else the last one that a provider accepted; 1 before that."""
    parts = 1
    for entry in record.entries:
        if entry.mark is Mark.ACCEPTED and entry.provider_id and _is_counted(record, entry):
            parts = entry.provider_id.count(",") + 1
    return parts


def _is_counted(record: Record, entry: Entry) -> bool:
    delivered = record.message.delivered
    return not delivered or entry.attempt == delivered[0]


def _by_channel(record: Record) -> dict[Channel, str]:
    """The last word about each channel of the route."""
    message = record.message
    words = {step.channel: NOT_USED for step in message.route}
    for entry in record.entries:
        if entry.step >= 0 and entry.mark not in NO_ATTEMPT and entry.mark is not Mark.PART_DELIVERED:
            channel = message.route[entry.step].channel
            if words[channel] not in (Mark.DELIVERED, Mark.READ) or entry.mark in (Mark.READ, Mark.DOUBLE):
                words[channel] = entry.mark.value
    if not message.is_final and message.step >= 0 and message.attempt:
        channel = message.route[message.step].channel
        if words[channel] in (NOT_USED, Mark.RETRY):
            words[channel] = "processing"
    return words


def _attempts(record: Record) -> list[dict[str, Any]]:
    """One object for each attempt and each skipped step, in order: how it stands, why, and when."""
    attempts: dict[tuple[int, int], dict[str, Any]] = {}
    for at_ms, step, number, mark, reason, provider_id, detail in record.entries:
        if mark in NO_ATTEMPT or step < 0:
            continue
        attempt = attempts.get((step, number))
        if attempt is None:
            attempt = attempts[step, number] = {
                "channel": record.message.route[step].channel.value,
                "attempt": number or None,
                "state": mark.value,
                "reason": None,
                "startedAt": iso(at_ms),
            }
        if attempt["state"] not in (Mark.DELIVERED, Mark.READ) or mark in (Mark.READ, Mark.DOUBLE):
            attempt["state"] = mark.value
        attempt["reason"] = reason.value if reason else None
        if detail is not None:
            attempt |= _detail(mark, detail)
        if provider_id is not None:
            attempt["providerId"] = provider_id
        if mark is Mark.DELIVERED:
            attempt["confirmed"] = record.message.route[step].channel.confirms_delivery
        if mark in ENDS:
            attempt["endedAt"] = iso(at_ms)
    return list(attempts.values())


def _detail(mark: Mark, detail: str) -> dict[str, Any]:
    return {"changes": detail.split(",")} if mark in TAKEN else {"detail": detail}


def _entry(record: Record, entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": iso(entry.at_ms), "event": entry.mark.value}
    if entry.step >= 0:
        shown["channel"] = record.message.route[entry.step].channel.value
    if entry.attempt:
        shown["attempt"] = entry.attempt
    if entry.reason is not None:
        shown["reason"] = entry.reason.value
    if entry.provider_id is not None:
        shown["providerId"] = entry.provider_id
    if entry.detail is not None:
        shown |= _detail(entry.mark, entry.detail)
    if entry.mark is Mark.DELIVERED:
        shown["confirmed"] = record.message.route[entry.step].channel.confirms_delivery
    return shown
