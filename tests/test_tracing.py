"""Traces, taken in by a real receiver of OTLP: one a message, whole, and nothing personal in any."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from api.doors import AUTH, HOST, PHONE, opened
from cascade import tracing
from cascade.settings import Tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
TEXT = "a text that no trace may show"


class Receiver(NamedTuple):
    url: str
    bodies: list[bytes]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    yield Receiver(f"http://{HOST}:{runner.addresses[0][1]}/v1/traces", bodies)
    await runner.cleanup()


def told(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


async def test_a_messages_way_is_one_trace_from_the_request_to_the_receipt(tmp_path: Path, receiver: Receiver) -> None:
    async with opened(tmp_path, has_sandbox=True, tracing=Tracing(endpoint=receiver.url)) as doors:
        await doors.gateway.webhooks_settled()
        await doors.people(telegram_bot="blocked", viber_bot="absent", sms="delivers")
        id_ = await doors.send_one({**AUTH, "traceparent": PARENT}, text=TEXT)
        await doors.until(id_, "delivered")
    spans = receiver.spans
    assert {span.trace_id for span in spans} == {uuid.UUID(id_).bytes}
    (whole,) = [span for span in spans if span.name == "message"]
    assert whole.parent_span_id == b""
    assert {span.parent_span_id for span in spans if span is not whole} == {whole.span_id}
    (accept,) = [span for span in spans if span.name == "accept"]
    assert [link.trace_id.hex() for link in accept.links] == [TRACE]
    attempts = [told(span) for span in spans if span.name == "attempt"]
    assert [(one["cascade.channel"], one["cascade.mark"]) for one in attempts] == [
        ("telegram_bot", "rejected"),
        ("sms", "accepted"),
    ]
    assert [told(span)["cascade.channel"] for span in spans if span.name == "receipt"] == ["sms"]
    assert told(whole)["cascade.message.status"] == "delivered"
    for span in spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    everything = b"".join(receiver.bodies)
    assert PHONE.encode() not in everything
    assert PHONE[1:].encode() not in everything
    assert TEXT.encode() not in everything


async def test_a_share_of_the_messages_is_traced_and_a_receiver_that_is_away_harms_nobody(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "EXPORT_S", 0.5)
    async with opened(tmp_path, tracing=Tracing(endpoint=receiver.url, share=0.5)) as doors:
        ids = [await doors.send_one() for _ in range(40)]
    traced = {span.trace_id for span in receiver.spans}
    assert 0 < len(traced) < 40
    assert traced == {one.bytes for one in map(uuid.UUID, ids) if int.from_bytes(one.bytes[-4:]) < 1 << 31}
    async with opened(tmp_path, tracing=Tracing(endpoint=f"http://{HOST}:9/v1/traces")) as doors:
        assert await doors.send_one()
