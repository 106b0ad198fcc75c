"""Every call as a value: what is asked, and how its answer is read. What speaks HTTP carries them out, with or without
`await`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from . import errors
from .retries import retry_after_s
from .words import FlashcallCheck, Found, Listed, Preview, Refused, Status

T = TypeVar("T")

SEND = "/api/CascadeMessage/send_message"
ROUTES = {"standard": f"{SEND}/async", "tg-viber": f"{SEND}/tg-viber/async"}
MOST_MESSAGES = 1_000
"""In one request. The gateway takes 5,000 by default; up to 1,000 is the advised size."""
MOST_BYTES = 8 * 1024 * 1024
"""Of one request's body. The gateway takes 16 MiB by default."""
MOST_LOOKED_UP = 1_000
LONGEST_PAGE = 500
FIELDS_OF_QUERY = {
    "since": "from",
    "until": "to",
    "status": "status",
    "channel": "channel",
    "message_type": "messageType",
    "phone": "phone",
    "tracking_id": "trackinId",
    "tag": "tag",
}


@dataclass(frozen=True)
class Call(Generic[T]):
    """`is_repeatable`: it does no harm when it happens twice. `offset`: the place in the caller's list of the first
    message of the request."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: bytes | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    offset: int = 0

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """What the answer says; `ApiError` when it is a refusal."""
        try:
            told = json.loads(body) if body else None
        except ValueError:
            told = None
        if 200 <= status < 300 and (told is not None or not body):
            return self.read(told)
        wait_s = retry_after_s(headers.get("retry-after"))
        failed_as = status if not 200 <= status < 300 else 502  # a proxy's page, say
        raise errors.of_answer(failed_as, told, offset=self.offset, retry_after_s=wait_s)


def _as_is(told: Any) -> Any:
    return told


def message_of(
    tracking_id: str,
    from_name: str,
    to_phone: str,
    message_type: str,
    text: str | None,
    ttl: int | None,
    scheduled: datetime | str | None,
    more: Mapping[str, object],
) -> dict[str, object]:
    """A message without the fields that nobody gave."""
    given: dict[str, object] = {
        "id": tracking_id,
        "fromName": from_name,
        "toPhone": to_phone,
        "messageType": message_type,
        "text": text,
        "ttl": ttl,
        "scheduledSent": scheduled,
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def send(
    messages: Iterable[Mapping[str, object]],
    route: str,
    *,
    is_partial: bool = False,
    idempotency_key: str | None = None,
) -> Iterator[Call[list[Any]]]:
    """One call for each request that the messages fill, made as they are read. Each has a key of its own, the same in
    every try; with `idempotency_key` also the same whenever the same messages are sent with it."""
    query = (("partial", "true"),) if is_partial else ()
    for number, (offset, body) in enumerate(_bodies(messages)):
        key = str(uuid.uuid4()) if idempotency_key is None else f"{idempotency_key}.{number}"
        yield Call("POST", ROUTES[route], _reader(offset), body, query, {"Idempotency-Key": key}, offset=offset)


def preview(messages: Iterable[Mapping[str, object]], route: str) -> Iterator[Call[list[Preview | Refused]]]:
    query = (("validate", "true"), ("partial", "true"))
    for offset, body in _bodies(messages):
        yield Call("POST", ROUTES[route], _reader(offset), body, query, offset=offset)


def _reader(offset: int) -> Callable[[Any], list[Any]]:
    def read(told: Any) -> list[Any]:
        return [{**one, "error": errors.moved(one["error"], offset)} if "error" in one else one for one in told]

    return read


def _bodies(messages: Iterable[Mapping[str, object]]) -> Iterator[tuple[int, bytes]]:
    """The place of the first message and the body of each request."""
    parts: list[bytes] = []
    size = offset = 0
    for message in messages:
        part = encode(message)
        if parts and (len(parts) == MOST_MESSAGES or size + len(part) > MOST_BYTES):
            yield offset, b"[" + b",".join(parts) + b"]"
            offset += len(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield offset, b"[" + b",".join(parts) + b"]"


def encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_written).encode(errors="replace")


def _written(value: object) -> str:
    """A value that JSON has no word for."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"a {type(value).__name__} cannot be sent: give text, numbers, lists, dicts, datetime or Decimal")


def instant(at: datetime | str) -> str:
    """ISO 8601 with an offset: a time without a zone is local time. What is text already goes as it is."""
    if isinstance(at, str):
        return at
    return (at.astimezone() if at.tzinfo is None else at).isoformat()


def status(message_id: str) -> Call[Status]:
    return Call("GET", f"/v1/messages/{_segment(message_id)}", _as_is)


def look_up(ids: Iterable[str], name: str) -> Iterator[Call[Found]]:
    """`name`: `messageIds` or `trackinIds`. One call for each 1,000."""
    wanted = list(ids)
    for start in range(0, len(wanted), MOST_LOOKED_UP):
        body = encode({name: wanted[start : start + MOST_LOOKED_UP]})
        yield Call("POST", "/v1/messages/status", _as_is, body)


def page(filters: Mapping[str, object], cursor: str | None, limit: int) -> Call[tuple[list[Listed], str | None]]:
    query = _query(filters) + [("limit", str(limit))] + ([] if cursor is None else [("cursor", cursor)])
    return Call("GET", "/v1/messages", lambda told: (told["messages"], told["nextCursor"]), query=tuple(query))


def change(message_id: str, verb: str, body: Mapping[str, object] | None = None) -> Call[Status]:
    """`verb`: cancel, hasten or reschedule."""
    path = f"/v1/messages/{_segment(message_id)}/{verb}"
    return Call("POST", path, _as_is, None if body is None else encode(body))


def change_tag(tag: str, verb: str, body: Mapping[str, object] | None = None) -> Call[dict[str, int]]:
    return Call("POST", f"/v1/tags/{_segment(tag)}/{verb}", _as_is, None if body is None else encode(body))


def check_flashcall(message_id: str, digits: str) -> Call[FlashcallCheck]:
    """Each check counts, so none is made twice."""
    path = f"/v1/flashcalls/{_segment(message_id)}/check"
    return Call("POST", path, _as_is, encode({"digits": digits}), is_repeatable=False)


def statistics(filters: Mapping[str, object], interval: str, by: Iterable[str]) -> Call[dict[str, Any]]:
    query = [*_query(filters), ("interval", interval), *(("by", one) for one in by)]
    return Call("GET", "/v1/statistics", _as_is, query=tuple(query))


def channels() -> Call[list[dict[str, Any]]]:
    return Call("GET", "/v1/channels", lambda told: told["channels"])


def put_variables(variables: Iterable[Mapping[str, object]]) -> Call[int]:
    return Call("POST", "/api/items", lambda told: told["stored"], encode({"variables": list(variables)}))


def add_webhook(url: str, types: Iterable[str] | None) -> Call[dict[str, Any]]:
    body = {"url": url} if types is None else {"url": url, "types": list(types)}
    return Call("POST", "/v1/webhooks", _as_is, encode(body), is_repeatable=False)


def webhooks() -> Call[list[dict[str, Any]]]:
    return Call("GET", "/v1/webhooks", lambda told: told["webhooks"])


def remove_webhook(webhook_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/webhooks/{_segment(webhook_id)}", lambda told: None, is_repeatable=False)


def _query(filters: Mapping[str, object]) -> list[tuple[str, str]]:
    query = []
    for name, value in filters.items():
        if name not in FIELDS_OF_QUERY:
            raise TypeError(f"there is no filter {name!r}: there are {', '.join(FIELDS_OF_QUERY)}")
        if value is not None:
            query.append((FIELDS_OF_QUERY[name], instant(value) if isinstance(value, datetime) else str(value)))
    return query


def _segment(text: str) -> str:
    return quote(text, safe="")
