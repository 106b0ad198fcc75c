"""The bench's own client: what a gateway does to its connections spoils no measurement."""

import asyncio

import pytest

from bench import http_client
from bench.http_client import HOST, Connection, request


async def test_whoever_was_hung_up_on_while_idle_asks_by_a_new_connection() -> None:
    peers = []

    async def answer_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer_and_hang_up, HOST, 0)
    async with await Connection.open(server.sockets[0].getsockname()[1]) as connection:
        for _ in range(3):
            assert (await connection.ask(request("GET", "/"))).body == b"ok"
            await asyncio.sleep(0.02)
    assert len(set(peers)) == 3
    server.close()


async def test_after_a_long_rest_a_connection_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended it may not have come to us yet."""
    handlers = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, HOST, 0)
    async with await Connection.open(server.sockets[0].getsockname()[1]) as connection:
        for rest_s, made in ((4.0, 1), (4.0, 1), (0.0, 2)):
            monkeypatch.setattr(http_client, "IDLE_S", rest_s)
            assert (await connection.ask(request("GET", "/"))).body == b"ok"
            assert len(handlers) == made
    server.close()
    await asyncio.wait([task for task in handlers if task is not None])
