"""Over real sockets: nobody fills our memory, or holds a connection, with the head of a request that never ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cascade import http_server
from cascade.http_server import MAX_HEAD_BYTES, listen

HOST = "127.0.0.1"
PATIENCE_S = 10.0
HEAD = b"GET / HTTP/1.1\r\nHost: cascade\r\n"
GET = HEAD + b"\r\n"
POST = b"POST / HTTP/1.1\r\nHost: cascade\r\nTransfer-Encoding: chunked\r\n\r\n"
TOO_LARGE = b"The head of a request is at most 65536 bytes."
SLOW_S = 0.3


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_LIMIT_S", SLOW_S)
    monkeypatch.setattr(http_server, "TICKS_PER_SWEEP", 1)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body; at `/early` before it has come, and at `/late` after a while."""
    size = 0
    while scope["path"] != "/early":
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        size += len(event["body"])
        if not event["more_body"]:
            break
    if scope["path"] == "/late":
        await asyncio.sleep(3 * SLOW_S)
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _connected() -> AsyncIterator[Streams]:
    listening: socket.socket = listen(HOST, 0, "http.port")
    server = http_server.http_server(_app, [])
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    reader, writer = await asyncio.open_connection(HOST, listening.getsockname()[1])
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Until the server ends the connection, in whichever way."""
    came = b""
    with contextlib.suppress(ConnectionError):
        while some := await reader.read(MAX_HEAD_BYTES):
            came += some
    return came


LARGE = {
    "one header": HEAD + b"X-Large: " + b"x" * MAX_HEAD_BYTES,
    "many headers": HEAD + b"X-Small: x\r\n" * (MAX_HEAD_BYTES // 12),
    "a path": b"GET /" + b"x" * MAX_HEAD_BYTES,
    "after a request": GET + HEAD + b"X-Large: " + b"x" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("case", LARGE)
async def test_a_head_that_is_too_large_is_refused(case: str) -> None:
    async with _connected() as (reader, writer):
        first = case == "after a request"
        writer.write(LARGE[case][: len(GET)] if first else b"")
        assert not first or await _answer(reader) == b"0"
        writer.write(LARGE[case][len(GET) if first else 0 :])
        rest = await _rest(reader)
    assert rest.startswith(b"HTTP/1.1 400 ")
    assert rest.endswith(TOO_LARGE)


async def test_trailers_that_do_not_end_end_the_connection() -> None:
    async with _connected() as (reader, writer):
        writer.write(POST + b"1\r\nx\r\n0\r\n" + b"X-Trailer: x\r\n" * MAX_HEAD_BYTES)
        assert not await _rest(reader)


async def test_a_body_in_small_chunks_may_be_larger_than_a_head() -> None:
    async with _connected() as (reader, writer):
        writer.write(POST + b"1\r\nx\r\n" * MAX_HEAD_BYTES + b"0\r\n\r\n")
        assert await _answer(reader) == b"%d" % MAX_HEAD_BYTES


async def test_many_requests_at_once_are_no_head() -> None:
    many = 2 * MAX_HEAD_BYTES // len(GET)
    async with _connected() as (reader, writer):
        writer.write(GET * many)
        for _ in range(many):
            assert await _answer(reader) == b"0"


@pytest.mark.parametrize("begun", [b"", HEAD, b"POST /early HTTP/1.1\r\nContent-Length: 999\r\n\r\nx"])
async def test_who_does_not_finish_a_request_is_let_go(begun: bytes) -> None:
    """However often another octet of it comes."""
    async with _connected() as (reader, writer):
        writer.write(begun)
        ended = asyncio.create_task(_rest(reader))
        while not ended.done():
            writer.write(b"x" if begun else b"")
            await asyncio.wait({ended}, timeout=SLOW_S / 10)
        early = await ended
    assert (b"200" in early) == begun.startswith(b"POST")


async def test_a_connection_may_be_busy_for_longer_than_a_head_may_take() -> None:
    async with _connected() as (reader, writer):
        loop = asyncio.get_running_loop()
        until_s = loop.time() + 2 * SLOW_S
        writer.write(HEAD)
        while loop.time() < until_s:
            writer.write(b"\r\n" + HEAD)
            assert await _answer(reader) == b"0"
        writer.write(b"\r\n")
        assert await _answer(reader) == b"0"


async def test_an_answer_may_take_longer_than_a_head() -> None:
    async with _connected() as (reader, writer):
        writer.write(b"GET /late HTTP/1.1\r\n\r\n")
        assert await _answer(reader) == b"0"


async def test_what_is_written_to_a_connection_leaves_at_once() -> None:
    """Also with asyncio's own loop, which asks the listening socket whether its connections are TCP's."""
    found: asyncio.Queue[int] = asyncio.Queue()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        found.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = listen(HOST, 0, "http.port")
    async with await asyncio.start_server(take, sock=listening), asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection(HOST, listening.getsockname()[1])
        assert await found.get() != 0
        writer.close()
        await writer.wait_closed()
