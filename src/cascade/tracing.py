"""OpenTelemetry traces, one a message, from the request that brought it to its last receipt.

A trace's id is the message's: every node adds its spans to it, and whoever knows the message finds its trace. Nothing
is remembered between two spans, in memory or in the store, and nothing personal is in any.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

import cascade
from cascade.core import message as core
from cascade.core.message import State
from cascade.core.timeline import Entry, Mark
from cascade.engine.dispatcher import LEASE_MS
from cascade.store import ids
from cascade.store.messages import Change, Key, NewMessage

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
ANSWERS = frozenset({Mark.ACCEPTED, Mark.DELIVERED, Mark.REJECTED, Mark.RETRY, Mark.UNKNOWN})
"""Marks that an attempt under way may end with."""
RECEIPTS = frozenset({Mark.DELIVERED, Mark.READ, Mark.FAILED, Mark.PART_DELIVERED, Mark.DOUBLE})
WRONG = frozenset({Mark.REJECTED, Mark.FAILED, Mark.TIMED_OUT, Mark.EXPIRED, Mark.UNKNOWN})
EXPORT_S = 5
UNKNOWN = 0
SEND_PATH = "/api/CascadeMessage/send_message"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]


class Requests:
    """Middleware: tells of the request that brought a message. It knows the messages by the answer: many small requests
    are stored as one, in a task of their own."""

    def __init__(self, app: App, tracer: "Tracer") -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(SEND_PATH):
            await self._app(scope, receive, send)
            return
        begun_ns = time.time_ns()
        status = 0
        body = b""

        async def listening(message: Message) -> None:
            nonlocal status, body
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status == 200:
                body += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, listening)
        if status == 200:
            parent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
            self._tracer.accepted(body, begun_ns, parent)


class _Ids(IdGenerator):
    """Random, but for a message's own span: its ids are told beforehand."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.next: SpanContext | None = None

    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id() if self.next is None else self.next.trace_id

    def generate_span_id(self) -> int:
        return self._random.generate_span_id() if self.next is None else self.next.span_id


class Tracer:
    """An observer of the store. `share` of the messages are traced, the same ones by every node."""

    def __init__(self, exporter: SpanExporter, share: float) -> None:
        self._below = round(share * (1 << 32))
        self._ids = _Ids()
        resource = Resource.create({"service.name": "cascade", "service.version": cascade.__version__})
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cascade")

    def accepted(self, answer: bytes, begun_ns: int, parent: str | None) -> None:
        """A request was answered so. `parent`: its `traceparent`. A preview stores nothing and names no message."""
        ends_ns = time.time_ns()
        links = _links(parent)
        for one in orjson.loads(answer):
            if "messageId" in one:
                key = Key(UNKNOWN, uuid.UUID(one["messageId"]).bytes)
                if self._is_traced(key):
                    self._span(key, "accept", begun_ns, ends_ns, {}, SpanKind.SERVER, links=links)

    def added(self, new: Sequence[NewMessage]) -> None:
        for one in new:
            if not self._is_traced(one.key):
                continue
            self._entries(one.key, None, one.message, one.entries)
            if one.message.is_final:
                self._whole(one.key, one.message, one.accepted_at_ms)

    def changed(self, changes: Sequence[Change]) -> None:
        for stored, message, entries, at_ms in changes:
            if self._is_traced(stored.key):
                self._entries(stored.key, stored.message, message, entries)
                if message.is_final and message.status is not stored.message.status:
                    self._whole(stored.key, message, at_ms)

    def stop(self) -> None:
        """Send what waits. It may take some seconds: not for the loop's own thread."""
        self._provider.shutdown()

    def _is_traced(self, key: Key) -> bool:
        return int.from_bytes(key.id[-4:]) < self._below

    def _entries(self, key: Key, before: core.Message | None, message: core.Message, entries: Sequence[Entry]) -> None:
        """A span for each: an attempt from its claim to its answer, anything else where it happened."""
        for entry in entries:
            at_ns = entry.at_ms * 1_000_000
            begins_ns, name, kind = at_ns, entry.mark.value, SpanKind.INTERNAL
            is_under_way = before is not None and before.state is State.SENDING and entry.attempt == before.attempt
            if is_under_way and before is not None and entry.mark in ANSWERS and before.deadline_at_ms is not None:
                name, kind = "attempt", SpanKind.CLIENT
                begins_ns = min((before.deadline_at_ms - LEASE_MS) * 1_000_000, at_ns)
                before = before._replace(attempt=-1)  # what else came with it is no answer to it
            elif entry.mark in RECEIPTS:
                name, kind = "receipt", SpanKind.CONSUMER
            self._span(key, name, begins_ns, at_ns, _of_entry(message, entry), kind, is_wrong=entry.mark in WRONG)

    def _whole(self, key: Key, message: core.Message, at_ms: int) -> None:
        """The message's own span, which all others belong to. It is made when it ends."""
        attributes: dict[str, AttributeValue] = {
            "cascade.message.type": message.type.value,
            "cascade.message.status": message.status.value,
            "cascade.message.attempts": message.attempt,
            "cascade.message.cost_micros": message.cost_micros,
        }
        if message.delivered_step is not None:
            attributes["cascade.channel"] = message.route[message.delivered_step].channel.value
        self._ids.next = _context_of(key)
        try:
            self._span(
                key,
                "message",
                ids.at_ms(key.id) * 1_000_000,
                at_ms * 1_000_000,
                attributes,
                SpanKind.INTERNAL,
                is_wrong=message.status is not core.Status.DELIVERED,
                parent=Context(),
            )
        finally:
            self._ids.next = None

    def _span(
        self,
        key: Key,
        name: str,
        begins_ns: int,
        ends_ns: int,
        attributes: dict[str, Any],
        kind: SpanKind,
        *,
        is_wrong: bool = False,
        links: Sequence[Link] = (),
        parent: Context | None = None,
    ) -> None:
        within = set_span_in_context(NonRecordingSpan(_context_of(key)), Context()) if parent is None else parent
        named = {"cascade.message.id": key.id.hex(), **attributes}
        if key.account_id != UNKNOWN:
            named["cascade.account.id"] = key.account_id
        span = self._tracer.start_span(name, within, kind, named, list(links), begins_ns)
        if is_wrong:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ends_ns)


def tracer(endpoint: str, share: float) -> Tracer:
    """One that sends its spans there by OTLP over HTTP."""
    return Tracer(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_S), share)


def _context_of(key: Key) -> SpanContext:
    """A message's own span: the trace has the message's id, the span the random part of it."""
    return SpanContext(int.from_bytes(key.id), int.from_bytes(key.id[8:]), is_remote=False, trace_flags=SAMPLED)


def _links(parent: str | None) -> list[Link]:
    """To the trace that the client's request belongs to. A header that cannot be read leads nowhere."""
    if parent is None:
        return []
    found = TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())
    context = get_current_span(found).get_span_context()
    return [Link(context)] if context.is_valid else []


def _of_entry(message: core.Message, entry: Entry) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"cascade.mark": entry.mark.value}
    if 0 <= entry.step < len(message.route):
        step = message.route[entry.step]
        attributes["cascade.channel"] = step.channel.value
        if step.link is not None:
            attributes["cascade.link"] = step.link
    if entry.attempt:
        attributes["cascade.attempt"] = entry.attempt
    if entry.reason is not None:
        attributes["cascade.reason"] = entry.reason.value
    return attributes
