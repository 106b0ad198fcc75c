"""`/v1/messages`: list, look up, cancel, hasten and reschedule messages."""

import uuid
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from cascade.api.access import ReadCaller, SendCaller
from cascade.api.answers import json_answer, money
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.api.status import Seen, StatusShown, describe, find, key_of, not_found
from cascade.api.v1 import changes, cursor
from cascade.api.v1.changes import Change, Reschedule
from cascade.api.v1.fields import Cursor, Instant, Limit, Name, Phone
from cascade.api.validation import check_once, read_model
from cascade.core.message import State, Status
from cascade.core.timeline import Mark
from cascade.core.times import iso
from cascade.core.words import Channel, MessageType
from cascade.store import queries
from cascade.store.ids import LATEST_MS
from cascade.store.messages import Record
from cascade.store.queries import Filter, Summary

router = APIRouter(prefix="/v1/messages", tags=["Messages"])
MOST: Final = 1_000
LIST: Final = "messages"


class Wanted(BaseModel):
    """Which messages. Times are those of acceptance: at `from` or later, before `to`."""

    model_config = ConfigDict(extra="forbid")

    from_: Instant | None = Field(None, alias="from")
    to: Instant | None = None
    status: Status | None = None
    channel: Channel | None = Field(None, description="The one that delivered")
    messageType: MessageType | None = None  # noqa: N815 - the contract's spelling, here and below
    phone: Phone | None = None
    trackinId: Name | None = None  # noqa: N815
    tag: Name | None = None

    def filter(self) -> Filter:
        return Filter(
            0 if self.from_ is None else self.from_,
            LATEST_MS if self.to is None else self.to,
            self.status,
            self.channel,
            self.messageType,
            self.phone,
            self.trackinId,
            self.tag,
        )


class ListQuery(Wanted):
    cursor: Cursor | None = None
    limit: Limit = 100


class LookUp(BaseModel):
    """Either of the two."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messageIds: Annotated[list[str], Field(min_length=1, max_length=MOST)] | None = None  # noqa: N815
    trackinIds: Annotated[list[Name], Field(min_length=1, max_length=MOST)] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.messageIds is None) == (self.trackinIds is None):
            raise ValueError("send either messageIds or trackinIds")
        return self


class SummaryShown(TypedDict):
    messagelistId: int
    messageId: str
    trackinId: str
    messageType: MessageType
    fromName: str
    toPhone: str
    deliverystatus: Status
    channel: Annotated[Channel | None, Field(description="The one that delivered")]
    cost: float
    rateCurrency: str
    acceptedAt: str
    scheduledSent: Annotated[str | None, Field(description="Null once its hour has come")]
    finishedAt: str | None


class Page(TypedDict):
    messages: list[SummaryShown]
    nextCursor: Annotated[str | None, Field(description="Null: there is no more")]


class Found(TypedDict):
    """In the order of the request; `unknown` are the ids of which the account has no message."""

    messages: list[SummaryShown]
    unknown: list[str]


class MessageShown(StatusShown):
    messageType: MessageType  # noqa: N815 - ruff does not see that this is a TypedDict, too
    fromName: str  # noqa: N815
    toPhone: str  # noqa: N815
    scheduledSent: str | None  # noqa: N815


@router.get("", summary="List messages, the newest first", response_model=Page, responses=refusals(400))
async def list_messages(query: Annotated[ListQuery, Query()], request: Request, caller: ReadCaller) -> Response:
    """Every filter narrows the list. Take `nextCursor` with the same filters for the next page."""
    check_once(request)
    parts: Parts = request.app.state.parts
    before_id = None if query.cursor is None else cursor.decode(LIST, query.cursor)
    async with parts.database.cold_reading() as reader:
        found = await queries.find(reader, caller.account_id, query.filter(), before_id, query.limit + 1)
    page = found[: query.limit]
    next_cursor = cursor.encode(LIST, page[-1].id) if len(found) > query.limit else None
    shown = [summarise(summary, parts.currency) for summary in page]
    return json_answer({"messages": shown, "nextCursor": next_cursor})


@router.post(
    "/status",
    summary="Look up as many as 1,000 messages by your ids or ours",
    response_model=Found,
    responses=refusals(400),
    openapi_extra=body_of(LookUp, {"trackinIds": ["order-12345", "order-12346"]}),
)
async def look_up(request: Request, caller: ReadCaller) -> Response:
    """Of several messages with one tracking id the newest counts; the list with `trackinId` shows them all."""
    parts: Parts = request.app.state.parts
    wanted = await read_model(request, LookUp)
    async with parts.database.cold_reading() as reader:
        if wanted.trackinIds is not None:
            asked = list(dict.fromkeys(wanted.trackinIds))
            found = await queries.by_tracking_ids(reader, caller.account_id, asked)
        else:
            asked = list(dict.fromkeys(wanted.messageIds or ()))
            keys = {text: key for text in asked if (key := key_of(caller.account_id, text)) is not None}
            by_id = await queries.by_ids(reader, caller.account_id, [key.id for key in keys.values()])
            found = {text: by_id[key.id] for text, key in keys.items() if key.id in by_id}
    return json_answer(
        {
            "messages": [summarise(found[text], parts.currency) for text in asked if text in found],
            "unknown": [text for text in asked if text not in found],
        }
    )


@router.get("/{message_id}", summary="One message in full", response_model=MessageShown, responses=refusals(404))
async def get_message(message_id: str, request: Request, caller: ReadCaller) -> Response:
    """The status object with the message's type, sender and recipient, every attempt, and the timeline."""
    parts: Parts = request.app.state.parts
    return json_answer(show(await find(parts, caller.account_id, message_id), parts.currency))


@router.post("/{message_id}/cancel", summary="Cancel", response_model=MessageShown, responses=refusals(400, 404))
async def cancel(message_id: str, request: Request, caller: SendCaller) -> Response:
    """NOT_CANCELLABLE once an attempt has begun. To cancel twice is to cancel once."""
    return await _change(request, caller.account_id, message_id, changes.CANCEL)


@router.post("/{message_id}/hasten", summary="Send now", response_model=MessageShown, responses=refusals(400, 404))
async def hasten(message_id: str, request: Request, caller: SendCaller) -> Response:
    """Its time to live moves along. NOT_CANCELLABLE once an attempt has begun."""
    return await _change(request, caller.account_id, message_id, changes.HASTEN)


@router.post(
    "/{message_id}/reschedule",
    summary="Send at another time",
    response_model=MessageShown,
    responses=refusals(400, 404),
    openapi_extra=body_of(Reschedule, changes.RESCHEDULE_EXAMPLE),
)
async def reschedule(message_id: str, request: Request, caller: SendCaller) -> Response:
    """At most 30 days ahead; a time in the past means now. Its time to live moves along. NOT_CANCELLABLE once an
    attempt has begun."""
    return await _change(request, caller.account_id, message_id, await changes.read_reschedule(request))


async def _change(request: Request, account_id: int, message_id: str, change: Change) -> Response:
    parts: Parts = request.app.state.parts
    key = key_of(account_id, message_id)
    if key is None:
        raise not_found()
    is_done = await changes.make(parts, [key], change) > 0
    seen = await find(parts, account_id, message_id)
    if not is_done and not (change is changes.CANCEL and _was_cancelled(seen.record)):
        raise RequestError(
            400, ErrorCode.NOT_CANCELLABLE, "It has begun or ended: what is on its way can be neither stopped nor moved"
        )
    return json_answer(show(seen, parts.currency))


def _was_cancelled(record: Record) -> bool:
    return any(entry.mark is Mark.CANCELLED for entry in record.entries)


def show(seen: Seen, currency: str) -> dict[str, Any]:
    """The status object with what the message is."""
    record = seen.record
    message = record.message
    scheduled_at_ms = message.deadline_at_ms if message.state is State.SCHEDULED else None
    return {
        **describe(seen, currency),
        "messageType": message.type.value,
        "fromName": record.sender,
        "toPhone": record.phone,
        "scheduledSent": None if scheduled_at_ms is None else iso(scheduled_at_ms),
    }


def summarise(summary: Summary, currency: str) -> dict[str, Any]:
    """One message of a list."""
    return {
        "messagelistId": summary.batch_id,
        "messageId": str(uuid.UUID(bytes=summary.id)),
        "trackinId": summary.tracking_id,
        "messageType": summary.type,
        "fromName": summary.sender,
        "toPhone": summary.phone,
        "deliverystatus": summary.status,
        "channel": summary.channel,
        "cost": money(summary.cost_micros),
        "rateCurrency": currency,
        "acceptedAt": iso(summary.accepted_at_ms),
        "scheduledSent": None if summary.scheduled_at_ms is None else iso(summary.scheduled_at_ms),
        "finishedAt": None if summary.finished_at_ms is None else iso(summary.finished_at_ms),
    }
