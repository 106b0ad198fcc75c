"""`Egress` in a process of its own: requests go there and answers come back in sets, over a pair of sockets.

Who calls addresses that clients name takes no time from the process that owns the store, and the two use two cores
(docs/decisions/0028-webhooks-from-a-process-of-their-own.md).
"""

import asyncio
import json
import marshal
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

import structlog

from cascade.core.targets import Targets
from cascade.engine.egress import Answer, Egress
from cascade.engine.supervision import supervise

log = structlog.get_logger()

LENGTH = struct.Struct("!I")
GATHER_S = 0.002
"""How long answers wait for others on their way back: whoever records them waits for longer."""
OVERDUE_S = 5.0
"""How long after its time a request may be without an answer before the process is taken for hung."""
LOOK_S = 1.0
RESTART_S = 1.0
ENDED = "The process that sends webhooks ended"


class _Request(NamedTuple):
    number: int
    url: str
    headers: Mapping[str, str]
    body: bytes


class _Waiting(NamedTuple):
    done: Callable[[Answer], None]
    overdue_at_s: float


class _Frames(asyncio.Protocol):
    """Sets of tuples, each set as its length and as `marshal` has it: both ends are the same program."""

    def __init__(self, take: Callable[[list[Any]], None], gather_s: float = 0.0) -> None:
        self.ended = asyncio.Event()
        self._take = take
        self._gather_s = gather_s
        self._buffer = bytearray()
        self._outbox: list[tuple[Any, ...]] = []
        self._transport: asyncio.Transport

    def put(self, one: tuple[Any, ...]) -> None:
        """It goes with all that is put before the set leaves."""
        if not self._outbox:
            asyncio.get_running_loop().call_later(self._gather_s, self._flush)
        self._outbox.append(tuple(one))

    def _flush(self) -> None:
        data = marshal.dumps(self._outbox)
        self._outbox = []
        self._transport.write(LENGTH.pack(len(data)) + data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._buffer, start)
            stop = start + LENGTH.size + size
            if len(self._buffer) < stop:
                break
            self._take(marshal.loads(bytes(self._buffer[start + LENGTH.size : stop])))  # noqa: S302 - our own process
            start = stop
        del self._buffer[:start]

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()


class EgressProcess:
    """The same as `Egress`, of which only `send` goes elsewhere. The process is begun with the first request, and again
    when it ended; what was under way is answered then with an error. It ends with us, however we end."""

    def __init__(self, targets: Targets, timeout_s: float) -> None:
        self._targets = targets
        self._timeout_s = timeout_s
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}  # in the order of sending, so of time too
        self._unsent: list[_Request] = []  # while there is no process
        self._frames: _Frames | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Nothing yet: most gateways never send one."""

    async def close(self) -> None:
        """What is under way is abandoned."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def check(self, url: str) -> None:
        """See `Egress.check`."""
        await Egress(self._targets, self._timeout_s).check(url)

    def send(self, url: str, headers: Mapping[str, str], body: bytes, done: Callable[[Answer], None]) -> None:
        """See `Egress.send`."""
        self._number += 1
        request = _Request(self._number, url, headers, body)
        overdue_at_s = asyncio.get_running_loop().time() + self._timeout_s + OVERDUE_S
        self._waiting[self._number] = _Waiting(done, overdue_at_s)
        if self._frames is not None:
            self._frames.put(request)
            return
        self._unsent.append(request)
        if self._keeper is None:
            self._keeper = asyncio.create_task(supervise("egress", self._keep))

    async def _keep(self) -> None:
        while True:
            try:
                await self._run()
            except OSError as error:
                log.error("egress_not_started", error=type(error).__name__)
            finally:
                self._frames = None
            self._unsent.clear()
            waiting, self._waiting = self._waiting, {}
            for one in waiting.values():
                one.done(Answer(None, ENDED))
            await asyncio.sleep(RESTART_S)

    async def _run(self) -> None:
        """One process, from its beginning to its end."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", f"from {__name__} import main; main()"),
                *(str(theirs.fileno()), json.dumps(_plain(self._targets, self._timeout_s))),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith("CASCADE_")},
            )
            theirs.close()
            frames = _Frames(self._take)
            try:
                transport, _ = await asyncio.get_running_loop().create_connection(lambda: frames, sock=ours)
                try:
                    for request in self._unsent:
                        frames.put(request)
                    self._unsent = []
                    self._frames = frames
                    await self._watch(frames)
                finally:
                    transport.abort()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _watch(self, frames: _Frames) -> None:
        """Until the process ended, or answers nothing any more."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await frames.ended.wait()
                log.error("egress_ended")
                return
            oldest = next(iter(self._waiting.values()), None)
            if oldest is not None and oldest.overdue_at_s < asyncio.get_running_loop().time():
                log.error("egress_hung")
                return

    def _take(self, answers: list[Any]) -> None:
        for number, *answer in answers:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.done(Answer(*answer))


def _plain(targets: Targets, timeout_s: float) -> list[Any]:
    allow = [*map(str, targets.networks), *sorted(targets.hosts)]
    return [allow, targets.is_http_allowed, sorted(targets.ports), timeout_s]


async def _serve(connection: socket.socket, given: list[Any]) -> None:
    """Send what comes over the connection, until its other end is closed."""
    allow, is_http_allowed, ports, timeout_s = given
    egress = Egress(Targets.of(allow, is_http_allowed=is_http_allowed, ports=ports), timeout_s)
    await egress.open()

    def take(requests: list[Any]) -> None:
        for number, url, headers, body in requests:
            egress.send(url, headers, body, partial(answered, number))

    def answered(number: int, answer: Answer) -> None:
        frames.put((number, *answer))

    frames = _Frames(take, GATHER_S)
    await asyncio.get_running_loop().create_connection(lambda: frames, sock=connection)
    await frames.ended.wait()


def main() -> None:
    """The process. Whoever stops the gateway may signal all of its processes: this one ends when the gateway did."""
    import uvloop

    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.setblocking(False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(connection, json.loads(sys.argv[2])))
