"""`POST /api/CascadeMessage/send_message[/tg-viber][/async]`: bytes in, stored messages out."""

from typing import Any, Final

import orjson
import uuid_utils
from fastapi import APIRouter, Request, Response

from cascade.api import metrics
from cascade.api.access import Caller, SendCaller
from cascade.api.body import read_body
from cascade.api.message_in import Batch, parse_batch
from cascade.api.openapi import SEND_BODY, SEND_RESPONSES
from cascade.api.parts import Parts
from cascade.core.content import encode_extras
from cascade.core.machine import Begun, decide
from cascade.core.message import NO_ADDRESSES, Message, State
from cascade.core.route import Route, Step
from cascade.core.timeline import Entry
from cascade.core.words import Channel, MessageType
from cascade.store import messages, subscribers
from cascade.store.database import Transaction
from cascade.store.messages import Key, NewMessage

router = APIRouter(tags=["Sending"])
PATH = "/api/CascadeMessage/send_message"
FLASHCALL: Final[Route] = (Step(Channel.FLASHCALL, None, None),)
"""A flash call is a phone call and never a text, whichever route was asked for. No link places one yet."""


@router.post(f"{PATH}/async", summary="Send by the standard route", responses=SEND_RESPONSES, openapi_extra=SEND_BODY)
@router.post(PATH, include_in_schema=False)
async def send_standard(request: Request, caller: SendCaller) -> Response:
    """Telegram Bot, Viber Bot, Viber Business, RCS, SMS, in that order. 200 means that a crash loses nothing."""
    return await _send(request, caller, "standard")


@router.post(
    f"{PATH}/tg-viber/async", summary="Send by both bots first", responses=SEND_RESPONSES, openapi_extra=SEND_BODY
)
@router.post(f"{PATH}/tg-viber", include_in_schema=False)
async def send_tg_viber(request: Request, caller: SendCaller) -> Response:
    """The same channels tuned for speed: both bots with short windows, RCS and SMS as the last resort."""
    return await _send(request, caller, "tg-viber")


async def _send(request: Request, caller: Caller, route_name: str) -> Response:
    parts: Parts = request.app.state.parts
    body = await read_body(request, parts.limits.max_body_bytes)
    now_ms = parts.now_ms()
    batch = parse_batch(body, route=route_name, now_ms=now_ms, limits=parts.limits)
    route = parts.directory().route(caller.account_id, route_name, caller.bots, is_limited=caller.is_limited)
    async with parts.database.transaction() as tx:
        new = await _begin(tx, caller.account_id, route, batch, now_ms)
        await messages.add(tx, new)
    metrics.ACCEPTED.inc(len(new))
    return Response(_answer(new, batch), media_type="application/json")


async def _begin(tx: Transaction, account_id: int, route: Route, batch: Batch, now_ms: int) -> list[NewMessage]:
    """The batch as it is stored: what is due now already stands in the lane of its first usable step."""
    links = [step.link for step in route if step.link is not None and step.channel.needs_subscriber]
    known = await subscribers.addresses(tx, account_id, links, {draft.phone for draft in batch.drafts})
    begun = Begun(now_ms)
    new = []
    for draft in batch.drafts:
        begins_at_ms = draft.scheduled_at_ms
        expires_at_ms = (begins_at_ms or now_ms) + draft.ttl_s * 1000
        own_route = FLASHCALL if draft.type is MessageType.FLASHCALL else route
        message = Message(draft.type, own_route, expires_at_ms, addresses=known.get(draft.phone, NO_ADDRESSES))
        entries: list[Entry] = []
        if begins_at_ms is None:
            message, entries = decide(message, begun)
        else:
            message = message._replace(
                state=State.SCHEDULED, due_at_ms=begins_at_ms, deadline_at_ms=begins_at_ms, step_ends_at_ms=begins_at_ms
            )
        new.append(
            NewMessage(
                Key(account_id, uuid_utils.uuid7().bytes),
                draft.tracking_id,
                draft.sender,
                draft.phone,
                draft.content.text,
                encode_extras(draft.content),
                now_ms,
                message,
                entries,
            )
        )
    return new


def _answer(new: list[NewMessage], batch: Batch) -> bytes:
    answer: list[dict[str, Any]] = [
        {"messageId": str(uuid_utils.UUID(bytes=one.key.id)), "trackinId": one.tracking_id} for one in new
    ]
    for index, names in batch.ignored.items():
        answer[index]["ignored"] = names
    return orjson.dumps(answer)
