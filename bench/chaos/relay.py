"""A wire between two programs that can be cut, and a door behind which several stand."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import count

from bench.http_client import HOST


class Relay:
    """Listens on `port` and passes every connection on to one of `targets()`, the next one each time that answers.

    A cut wire is silent: nothing is closed and nothing gets through, in either direction; what was said meanwhile
    arrives when it is mended, as it does after a network's failure.
    """

    def __init__(self, targets: Callable[[], Sequence[int]]) -> None:
        self.port = 0
        self._targets = targets
        self._turns = count()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        self._is_whole.clear()

    def mend(self) -> None:
        self._is_whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._is_whole.wait()
            far_reader, far_writer = await self._connect()
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pass_on(reader, far_writer))
                    ways.create_task(self._pass_on(far_reader, writer))
            finally:
                far_writer.transport.abort()
        except (OSError, ExceptionGroup):
            pass  # one side has gone, and the other is told so
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ports = self._targets()
        first = next(self._turns)
        for place in range(len(ports)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(HOST, ports[(first + place) % len(ports)])
        raise ConnectionRefusedError("nobody answers")

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._is_whole.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("the connection has ended")
