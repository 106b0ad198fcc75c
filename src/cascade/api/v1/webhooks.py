"""`/v1/webhooks`: where an account wants to be told of events, and what became of the telling (contract, section 6)."""

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cascade.api.access import AdminCaller
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.api.validation import check_once, read_model, unknown_field
from cascade.core import events as core_events
from cascade.core.events import EventType
from cascade.core.targets import TargetRefusedError
from cascade.core.times import iso
from cascade.store import deliveries, events, webhooks
from cascade.store.deliveries import Listed, State
from cascade.store.webhooks import Format, Webhook

router = APIRouter(prefix="/v1/webhooks", tags=["Webhooks"])

MOST_WEBHOOKS = 50
MOST_PAGE = 500
DEFAULT_PAGE = 100
MOST_REDELIVERED = 10_000
DEFAULT_OVERLAP_S = 86_400
WRITTEN_WEBHOOK_ID = re.compile(r"wh_[0-9a-f]{32}")
WRITTEN_EVENT_ID = re.compile(r"msg_[0-9a-f]{32}")
WEBHOOK_ID = "wh_0198c5a27b1e7c3d9f2a3c4d5e6f7a8b"
EVENT_ID = "msg_0198c5a27b1e7c3d9f2a3c4d5e6f7a8c"


def _not_the_test(types: list[EventType]) -> list[EventType]:
    if EventType.TEST in types:
        raise ValueError("a test event is sent when you ask for it, to any webhook: leave webhook.test out")
    return types


def _webhook_id(webhook_id: str, caller: AdminCaller) -> str:
    """As we write them; 404 for any other, which no store need be asked about."""
    if not WRITTEN_WEBHOOK_ID.fullmatch(webhook_id):
        raise _missing()
    return webhook_id


WebhookId = Annotated[str, Depends(_webhook_id)]
Types = Annotated[list[EventType], Field(min_length=1, max_length=len(EventType)), AfterValidator(_not_the_test)]
Delays = Annotated[list[Annotated[int, Field(ge=1, le=604_800)]], Field(max_length=30)]


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)


class WebhookIn(_Body):
    """`types` absent: every type. `batchMax`: how many events one request may carry. `retryDelaysS`: seconds after
    each failed try until the next; absent: the gateway's."""

    url: Annotated[str, Field(min_length=1, max_length=2048, examples=["https://shop.example/cascade"])]
    types: Types | None = None
    format: Format = Format.STANDARD
    batch_max: Annotated[int, Field(ge=1, le=100)] = 1
    retry_delays_s: Delays | None = None


class WebhookChange(_Body):
    """What is absent stays as it is; `null` for `types` means every type, for `retryDelaysS` the gateway's."""

    url: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    types: Types | None = None
    enabled: bool | None = None
    retry_delays_s: Delays | None = None


class Rotation(_Body):
    """`overlapS`: for how long requests are signed with the old secret too."""

    overlap_s: Annotated[int, Field(ge=0, le=604_800)] = DEFAULT_OVERLAP_S


class Range(_Body):
    """Events from `from` until before `to` (ISO 8601; UTC unless it has an offset). `state` `all`: also those that
    arrived."""

    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    state: Literal["failed", "all"] = "failed"


class WebhookOut(_Body):
    """`disabledReason` says why it was disabled, by whomever. `failingSince`: no try has succeeded since then."""

    id: Annotated[str, Field(examples=[WEBHOOK_ID])]
    url: str
    types: list[EventType] | None
    format: Format
    batch_max: int
    retry_delays_s: list[int] | None
    enabled: bool
    disabled_reason: str | None
    disabled_at: str | None
    failing_since: str | None
    created_at: str


class WebhookWithSecret(WebhookOut):
    """The secret is shown this once: keep it, and check the signature of every request with it."""

    secret: Annotated[str, Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])]


class WebhookList(_Body):
    webhooks: list[WebhookOut]


class Rotated(_Body):
    """Until `previousUntil` every request carries two signatures, one of them by the old secret."""

    secret: str
    previous_until: str


class EventOut(_Body):
    event_id: Annotated[str, Field(examples=[EVENT_ID])]


class Answered(_Body):
    """How the last try ended. `status` null: no answer came, and `error` says why. `body` is how the answer began."""

    at: str
    status: int | None
    body: str | None
    error: str | None
    duration_ms: int


class Asked(_Body):
    """The `webhook-id` that the request carried, and its event."""

    webhook_id: str
    event: dict[str, Any]


class DeliveryOut(_Body):
    """`nextTryAt`: when it is due, if it is pending; the end of the try's lease while one is under way."""

    event_id: str
    type: str
    message_id: str | None
    state: State
    tries: int
    created_at: str
    next_try_at: str | None
    request: Asked
    answer: Answered | None


class DeliveryList(_Body):
    """`nextCursor` null: this was the last page."""

    deliveries: list[DeliveryOut]
    next_cursor: str | None


class Redelivered(_Body):
    """`more`: the range holds further ones; ask again from the end of what has been delivered by then."""

    redelivered: int
    more: bool


PAGE_FIELDS = ("state", "messageId", "cursor", "limit")
PAGE_PARAMETERS = {
    "parameters": [
        {"name": "state", "in": "query", "schema": {"type": "string", "enum": [state.value for state in State]}},
        {
            "name": "messageId",
            "in": "query",
            "schema": {"type": "string", "format": "uuid"},
            "description": "Only what was told of this message",
        },
        {"name": "cursor", "in": "query", "schema": {"type": "string"}, "description": "`nextCursor` of the last page"},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": MOST_PAGE, "default": DEFAULT_PAGE},
        },
    ]
}


@router.post(
    "",
    status_code=201,
    summary="Add a webhook",
    response_model=WebhookWithSecret,
    responses=refusals(400),
    openapi_extra=body_of(WebhookIn),
)
async def add_webhook(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Answers its secret, which is shown this once. The address must be a public one over https."""
    parts: Parts = request.app.state.parts
    given = await read_model(request, WebhookIn)
    types = _types(given.types, given.format)
    await _check_target(parts, given.url)
    webhook, secret = webhooks.new(
        caller.account_id,
        given.url,
        parts.seal(),
        parts.now_ms(),
        types=types,
        format_=given.format,
        batch_max=given.batch_max,
        retry_delays_s=None if given.retry_delays_s is None else tuple(given.retry_delays_s),
    )
    async with parts.database.transaction() as tx:
        if len(await webhooks.of_account(tx, caller.account_id)) >= MOST_WEBHOOKS:
            raise RequestError(
                400, ErrorCode.INVALID_FIELD, f"An account has at most {MOST_WEBHOOKS} webhooks: delete one first"
            )
        await webhooks.add(tx, webhook)
    await parts.refresh()
    return {**_shown(webhook), "secret": secret.reveal()}


@router.get("", summary="List the webhooks", response_model=WebhookList, responses=refusals())
async def list_webhooks(request: Request, caller: AdminCaller) -> dict[str, Any]:
    """The oldest first, with why and when each was disabled."""
    parts: Parts = request.app.state.parts
    async with parts.database.reading() as reader:
        found = await webhooks.of_account(reader, caller.account_id)
    return {"webhooks": [_shown(webhook) for webhook in found]}


@router.get("/{webhook_id}", summary="One webhook", response_model=WebhookOut, responses=refusals(404))
async def get_webhook(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Everything but its secret."""
    return _shown(await _find(request, caller, webhook_id))


@router.patch(
    "/{webhook_id}",
    summary="Change or enable a webhook",
    response_model=WebhookOut,
    responses=refusals(400, 404),
    openapi_extra=body_of(WebhookChange),
)
async def change_webhook(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Enabling forgets its failures and goes on with what is pending. Nothing is kept for it while it is disabled."""
    parts: Parts = request.app.state.parts
    given = await read_model(request, WebhookChange)
    changes: dict[str, Any] = {}
    webhook = await _find(request, caller, webhook_id)
    if given.url is not None:
        await _check_target(parts, given.url)
        changes["url"] = given.url
    if "types" in given.model_fields_set:
        changes["types"] = _types(given.types, webhook.format)
    if "retry_delays_s" in given.model_fields_set:
        changes["retry_delays_s"] = None if given.retry_delays_s is None else tuple(given.retry_delays_s)
    async with parts.database.transaction() as tx:
        present = await webhooks.find(tx, caller.account_id, webhook_id)
        if present is None:
            raise _missing()
        if given.enabled is not None and given.enabled is not present.is_enabled:
            changes |= {
                "is_enabled": given.enabled,
                "disabled_reason": None if given.enabled else "disabled by its owner",
                "disabled_at_ms": None if given.enabled else parts.now_ms(),
                "failing_since_ms": None,
            }
        changed = replace(present, **changes)
        await webhooks.change(tx, changed)
    await parts.refresh()
    return _shown(changed)


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook", responses=refusals(404))
async def delete_webhook(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> None:
    """With everything that is pending for it."""
    parts: Parts = request.app.state.parts
    async with parts.database.transaction() as tx:
        if not await webhooks.remove(tx, caller.account_id, webhook_id):
            raise _missing()
    await parts.refresh()


@router.post(
    "/{webhook_id}/rotate-secret",
    summary="Give a webhook a new secret",
    response_model=Rotated,
    responses=refusals(400, 404),
    openapi_extra=body_of(Rotation, is_required=False),
)
async def rotate_secret(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """For `overlapS` seconds both secrets sign, so that no request is refused while you change over."""
    parts: Parts = request.app.state.parts
    overlap_s = (await read_model(request, Rotation, if_empty=Rotation())).overlap_s
    now_ms = parts.now_ms()
    async with parts.database.transaction() as tx:
        webhook = await webhooks.find(tx, caller.account_id, webhook_id)
        if webhook is None:
            raise _missing()
        changed, secret = webhooks.rotated(webhook, parts.seal(), now_ms, overlap_s)
        await webhooks.change(tx, changed)
    await parts.refresh()
    return {"secret": secret.reveal(), "previousUntil": iso(now_ms + overlap_s * 1000)}


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    summary="Send a test event",
    response_model=EventOut,
    responses=refusals(400, 404),
)
async def send_test(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """An event of type `webhook.test`, delivered like any other: its deliveries say what became of it."""
    parts: Parts = request.app.state.parts
    webhook = await _find(request, caller, webhook_id)
    if not webhook.is_enabled:
        raise RequestError(400, ErrorCode.INVALID_FIELD, "The webhook is disabled: enable it first")
    happened = core_events.sample(uuid.uuid4(), parts.now_ms(), caller.account_id)
    async with parts.database.transaction() as tx:
        event_id = await events.add_for(tx, happened, [webhook_id])
    return {"eventId": event_id}


@router.get(
    "/{webhook_id}/deliveries",
    summary="What became of a webhook's events",
    response_model=DeliveryList,
    responses=refusals(400, 404),
    openapi_extra=PAGE_PARAMETERS,
)
async def list_deliveries(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """The newest first, each with its request, the answer and the time it took."""
    parts: Parts = request.app.state.parts
    wanted = _page(request)
    webhook = await _find(request, caller, webhook_id)
    limit = wanted.limit
    async with parts.database.cold_reading() as reader:
        found = await deliveries.page(
            reader, webhook.key, wanted.state, wanted.before_id, limit + 1, message_id=wanted.message_id
        )
    next_cursor = found[limit - 1].event_id if len(found) > limit else None
    return {"deliveries": [_delivery(one) for one in found[:limit]], "nextCursor": next_cursor}


@router.post(
    "/{webhook_id}/deliveries/{event_id}/redeliver",
    status_code=202,
    summary="Deliver one event again",
    response_model=EventOut,
    responses=refusals(404),
)
async def redeliver(webhook_id: WebhookId, event_id: str, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """Under the same id and with the same body, at once, and by the whole schedule if need be. One that is pending
    stays as it is."""
    parts: Parts = request.app.state.parts
    missing = RequestError(404, ErrorCode.NOT_FOUND, "No such delivery: check the event's id, or it is too old")
    webhook = await _find(request, caller, webhook_id)
    if not WRITTEN_EVENT_ID.fullmatch(event_id):
        raise missing
    async with parts.database.transaction() as tx:
        is_again = await deliveries.redeliver(tx, webhook.key, event_id, parts.now_ms())
        if not is_again and not await deliveries.is_pending(tx, webhook.key, event_id):
            raise missing
    return {"eventId": event_id}


@router.post(
    "/{webhook_id}/redeliver",
    status_code=202,
    summary="Deliver a range again",
    response_model=Redelivered,
    responses=refusals(400, 404),
    openapi_extra=body_of(Range),
)
async def redeliver_range(webhook_id: WebhookId, request: Request, caller: AdminCaller) -> dict[str, Any]:
    """At most 10,000 at once, the oldest first, under the same ids and with the same bodies."""
    parts: Parts = request.app.state.parts
    given = await read_model(request, Range)
    webhook = await _find(request, caller, webhook_id)
    async with parts.database.transaction() as tx:
        count = await deliveries.redeliver_range(
            tx,
            webhook.key,
            from_ms=_ms(given.from_),
            to_ms=_ms(given.to),
            is_failed_only=given.state == "failed",
            limit=MOST_REDELIVERED,
            now_ms=parts.now_ms(),
        )
    return {"redelivered": count, "more": count == MOST_REDELIVERED}


async def _find(request: Request, caller: AdminCaller, webhook_id: str) -> Webhook:
    parts: Parts = request.app.state.parts
    async with parts.database.reading() as reader:
        webhook = await webhooks.find(reader, caller.account_id, webhook_id)
    if webhook is None:
        raise _missing()
    return webhook


def _missing() -> RequestError:
    return RequestError(404, ErrorCode.NOT_FOUND, "No such webhook: check its id and the account's key")


async def _check_target(parts: Parts, url: str) -> None:
    try:
        await parts.check_target(url)
    except TargetRefusedError as refusal:
        raise InvalidRequest([Fault(ErrorCode.INVALID_FIELD, str(refusal), "url")]) from None


def _types(types: list[EventType] | None, format_: Format) -> frozenset[EventType] | None:
    """Those to listen to; the flat body holds a status and nothing else, so it takes no other event."""
    if format_ is Format.STANDARD:
        return None if types is None else frozenset(types)
    with_status = frozenset(type_ for type_ in EventType if type_.has_status) - {EventType.TEST}
    if types is None:
        return with_status
    if not with_status.issuperset(types):
        raise InvalidRequest(
            [Fault(ErrorCode.INVALID_FIELD, "The flat format carries only message.* events: use standard", "types")]
        )
    return frozenset(types)


def _ms(at: datetime) -> int:
    return round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)


class _Wanted(NamedTuple):
    """What of the deliveries the query asks for. `before_id`: the event before which to begin."""

    state: State | None
    message_id: bytes | None
    before_id: str
    limit: int


def _page(request: Request) -> _Wanted:
    check_once(request)
    query = request.query_params
    faults = [unknown_field(name) for name in query if name not in PAGE_FIELDS]
    state, cursor, limit = query.get("state"), query.get("cursor", deliveries.AFTER_ALL), query.get("limit")
    if state is not None and state not in list(State):
        faults.append(Fault(ErrorCode.INVALID_FIELD, "state: write pending, delivered or failed", "state"))
    message_id = None
    if (written := query.get("messageId")) is not None:
        try:
            message_id = uuid.UUID(written).bytes
        except ValueError:
            faults.append(Fault(ErrorCode.INVALID_FIELD, "messageId: write the UUID of a message", "messageId"))
    if cursor != deliveries.AFTER_ALL and not WRITTEN_EVENT_ID.fullmatch(cursor):
        faults.append(Fault(ErrorCode.INVALID_FIELD, "cursor: repeat the nextCursor of the page before", "cursor"))
    length = DEFAULT_PAGE
    if limit is not None:
        length = int(limit) if re.fullmatch("[0-9]{1,4}", limit) else 0
        if not 1 <= length <= MOST_PAGE:
            faults.append(Fault(ErrorCode.INVALID_FIELD, f"limit: write 1 to {MOST_PAGE}", "limit"))
    if faults:
        raise InvalidRequest(faults)
    return _Wanted(None if state is None else State(state), message_id, cursor, length)


def _shown(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": None if webhook.types is None else sorted(webhook.types),
        "format": webhook.format,
        "batchMax": webhook.batch_max,
        "retryDelaysS": None if webhook.retry_delays_s is None else list(webhook.retry_delays_s),
        "enabled": webhook.is_enabled,
        "disabledReason": webhook.disabled_reason,
        "disabledAt": _iso(webhook.disabled_at_ms),
        "failingSince": _iso(webhook.failing_since_ms),
        "createdAt": iso(webhook.created_at_ms),
    }


def _delivery(one: Listed) -> dict[str, Any]:
    answer = None
    if one.tried_at_ms is not None:
        answer = {
            "at": iso(one.tried_at_ms),
            "status": one.http_status,
            "body": one.answer,
            "error": one.error,
            "durationMs": one.duration_ms,
        }
    return {
        "eventId": one.event_id,
        "type": one.type,
        "messageId": None if one.message_id is None else str(uuid.UUID(bytes=one.message_id)),
        "state": one.state,
        "tries": one.tries,
        "createdAt": iso(one.created_at_ms),
        "nextTryAt": iso(one.due_at_ms) if one.state is State.PENDING else None,
        "request": {"webhookId": one.batch_id or one.event_id, "event": orjson.loads(one.body)},
        "answer": answer,
    }


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)
