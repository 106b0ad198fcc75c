"""`GET /bat/message/{messageId}`: where a message stands, and everything that was tried."""

import uuid
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from cascade.api.access import ReadCaller
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.openapi import STATUS_RESPONSES
from cascade.api.parts import Parts
from cascade.core.timeline import Entry, Mark
from cascade.core.words import Channel
from cascade.store import messages
from cascade.store.messages import Key, Record

router = APIRouter(tags=["Status"])

NOT_USED = "not_used"
ENDS = {Mark.DELIVERED, Mark.REJECTED, Mark.FAILED, Mark.UNKNOWN, Mark.RETRY, Mark.TIMED_OUT, Mark.DOUBLE, Mark.SKIPPED}


@router.get("/bat/message/{message_id}", summary="Status and timeline of a message", responses=STATUS_RESPONSES)
async def get_status(message_id: str, request: Request, caller: ReadCaller) -> dict[str, Any]:
    """Another account's message and one that does not exist are answered alike."""
    parts: Parts = request.app.state.parts
    record = None
    try:
        key = Key(caller.account_id, uuid.UUID(message_id).bytes)
    except ValueError:
        key = None
    if key is not None:
        async with parts.database.reading() as reader:
            record = await messages.record(reader, key)
    if record is None:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No such message: check the messageId and the account's key")
    return describe(record)


def describe(record: Record) -> dict[str, Any]:
    """The contract's status object, with ours beside it."""
    message = record.message
    channels = _by_channel(record)
    delivered_by = None if message.delivered_step is None else message.route[message.delivered_step].channel
    reached = message.delivered_step if message.delivered_step is not None else message.step
    return {
        "messageId": str(uuid.UUID(bytes=record.key.id)),
        "trackinId": record.tracking_id,
        "deliverystatus": message.status.value,
        "partscount": _parts_count(record),
        "channel": delivered_by.value if delivered_by else None,
        "fallbacks": [
            {"type": step.channel.value, "status": channels[step.channel]}
            for place, step in enumerate(message.route)
            if place > max(reached, 0)
        ],
        "extendedStatuses": {channel.value: word for channel, word in channels.items()},
        "read": message.is_read,
        "acceptedAt": _iso(record.accepted_at_ms),
        "expiresAt": _iso(message.expires_at_ms),
        "finishedAt": _iso(record.finished_at_ms) if record.finished_at_ms is not None else None,
        "attempts": _attempts(record),
        "timeline": [_entry(record, entry) for entry in record.entries],
    }


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
        if 0 <= entry.step < len(message.route) and entry.mark not in (Mark.EXPIRED, Mark.PART_DELIVERED):
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
        if mark is Mark.EXPIRED:
            continue
        attempt = attempts.get((step, number))
        if attempt is None:
            attempt = attempts[step, number] = {
                "channel": record.message.route[step].channel.value,
                "attempt": number or None,
                "state": mark.value,
                "reason": None,
                "startedAt": _iso(at_ms),
            }
        if attempt["state"] not in (Mark.DELIVERED, Mark.READ) or mark in (Mark.READ, Mark.DOUBLE):
            attempt["state"] = mark.value
        attempt["reason"] = reason.value if reason else None
        if detail is not None:
            attempt["detail"] = detail
        if provider_id is not None:
            attempt["providerId"] = provider_id
        if mark is Mark.DELIVERED:
            attempt["confirmed"] = record.message.route[step].channel.confirms_delivery
        if mark in ENDS:
            attempt["endedAt"] = _iso(at_ms)
    return list(attempts.values())


def _entry(record: Record, entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": _iso(entry.at_ms), "event": entry.mark.value}
    if 0 <= entry.step < len(record.message.route):
        shown["channel"] = record.message.route[entry.step].channel.value
    if entry.attempt:
        shown["attempt"] = entry.attempt
    if entry.reason is not None:
        shown["reason"] = entry.reason.value
    if entry.provider_id is not None:
        shown["providerId"] = entry.provider_id
    if entry.detail is not None:
        shown["detail"] = entry.detail
    if entry.mark is Mark.DELIVERED:
        shown["confirmed"] = record.message.route[entry.step].channel.confirms_delivery
    return shown


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
