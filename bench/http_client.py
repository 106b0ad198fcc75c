"""An HTTP client that costs so little that a bench does not measure it: one request at a time on each connection."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self, cast

HOST = "127.0.0.1"
IDLE_S = 4.0
"""A gateway hangs up after five idle seconds: whoever was held up for so long may not have heard of it yet."""


class Answer(NamedTuple):
    status: int
    body: bytes


def request(method: str, path: str, key: str = "", body: bytes = b"") -> bytes:
    """The octets of a request, with the API key `key` where one is given."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n"
    if key:
        head += f"X-Authorization-Key: {key}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode("ascii") + b"\r\n" + body


class Connection(asyncio.Protocol):
    """A keep-alive connection. `async with await Connection.open(port) as connection`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._rest = b""
        self._answer: asyncio.Future[Answer] | None = None
        self._used_s = 0.0

    @classmethod
    async def open(cls, port: int) -> Self:
        """Raises OSError when nobody listens."""
        connection = cls(port)
        await connection._connect()
        return connection

    async def _connect(self) -> None:
        self._rest = b""
        self._used_s = time.monotonic()
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self._port)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    async def ask(self, octets: bytes) -> Answer:
        """Send a request and wait for its answer; by a new connection if the gateway has hung up, or is about
        to. Raises ConnectionError when the connection ends first, OSError when nobody listens."""
        if self._transport.is_closing() or time.monotonic() - self._used_s > IDLE_S:
            self._transport.close()
            await self._connect()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(octets)
        answer = await self._answer
        self._used_s = time.monotonic()
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) >= length and self._answer is not None:
            self._rest = rest[length:]
            self._answer.set_result(Answer(int(head[9:12]), rest[:length]))
            self._answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the connection ended before the answer"))


async def ask_each(port: int, requests: Sequence[bytes], connections: int) -> list[Answer]:
    """Send all requests over that many connections at once; their answers in the same order."""
    answers: dict[int, Answer] = {}
    waiting = iter(enumerate(requests))

    async def work(connection: Connection) -> None:
        for place, octets in waiting:
            answers[place] = await connection.ask(octets)

    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(await Connection.open(port)) for _ in range(connections)]
        await asyncio.gather(*map(work, opened))
    return [answers[place] for place in range(len(requests))]


async def ask_all(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Like `ask_each`; the seconds it took. Raises RuntimeError on any answer but 200."""
    began_s = time.perf_counter()
    answers = await ask_each(port, requests, connections)
    elapsed_s = time.perf_counter() - began_s
    for status, body in answers:
        if status != 200:
            raise RuntimeError(f"the gateway answered {status}: {body[:300]!r}")
    return elapsed_s
