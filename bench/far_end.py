"""The far end of a bench, in a process of its own: the sandbox's SMSC, the least of those who are sent to over HTTP,
and whoever is told by webhooks.

All note when each message's first octets came, on the monotonic clock that all processes of a machine share.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from typing import ClassVar, NamedTuple

import uvloop

from bench.http_send import Provider, answer_of
from cascade.sandbox.people import People
from cascade.sandbox.smsc import Account, Smsc

HOST = "127.0.0.1"
ARRIVALS, CPU, STOP = "arrivals", "cpu", "stop"


WATCHED = b"Your code is"
"""How the text of a message begins whose arrival is wanted among others."""


class Ports(NamedTuple):
    """`http`: Telegram, Viber, Infobip and Google's RCS."""

    smsc: int
    http: int
    webhook: int = 0


class Arrivals(NamedTuple):
    """When messages came: at the SMSC (`watched`: those of them that begin so), at a provider over HTTP, by webhook."""

    smsc: list[int]
    http: list[int]
    webhook: list[int]
    watched: list[int]


class NotingSmsc(Smsc):
    """Notes the arrival of every submit_sm before it looks at it."""

    arrivals_ns: ClassVar[list[int]] = []
    watched_ns: ClassVar[list[int]] = []

    def submit(self, account: Account, data: bytes, start: int, stop: int) -> bytes | None:
        now_ns = time.monotonic_ns()
        self.arrivals_ns.append(now_ns)
        if data.find(WATCHED, start, stop) >= 0:
            self.watched_ns.append(now_ns)
        return super().submit(account, data, start, stop)


class NotingProvider(Provider):
    """Notes the arrival of every request's first octets. Who takes a message calls it by the id that it came with, or
    by the next number."""

    arrivals_ns: ClassVar[list[int]] = []
    numbers: ClassVar[Iterator[int]] = count(1)

    def answer(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/v1/phones/"):
            if b"/capabilities?" in path:
                return answer_of(b'{"features":["RICHCARD_STANDALONE"]}')
            given = path.partition(b"messageId=")[2].partition(b"&")[0]
            return answer_of(b'{"name":"phones/x/agentMessages/%b"}' % given)
        if path.startswith(b"/pa/"):
            return answer_of(b'{"status":0,"status_message":"ok","message_token":%d}' % next(self.numbers))
        if path.startswith(b"/viber/"):
            given = body.partition(b'"messageId":"')[2].partition(b'"')[0]
            return answer_of(b'{"messages":[{"messageId":"%b","status":{"groupName":"PENDING"}}]}' % given)
        if path == b"/token":
            return answer_of(b'{"access_token":"bench","expires_in":3600}')
        return super().answer(head, body)

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self.arrivals_ns.append(time.monotonic_ns())
        super().data_received(data)


class NotingSink(Provider):
    """Takes every event, and notes when its first octets came."""

    arrivals_ns: ClassVar[list[int]] = []

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self.arrivals_ns.append(time.monotonic_ns())
        super().data_received(data)


async def serve(pipe: Connection, answer_delay_s: float) -> None:
    """Answer each word of the pipe, until `STOP` or its end: the arrivals since the last time, or the CPU used."""
    loop = asyncio.get_running_loop()
    smsc = NotingSmsc(People(), HOST, 0, keep_inbox=False, answer_delay_s=answer_delay_s)
    await smsc.start()
    provider = await loop.create_server(NotingProvider, HOST, 0)
    sink = await loop.create_server(NotingSink, HOST, 0)
    pipe.send(Ports(smsc.port, provider.sockets[0].getsockname()[1], sink.sockets[0].getsockname()[1]))
    noted = Arrivals(NotingSmsc.arrivals_ns, NotingProvider.arrivals_ns, NotingSink.arrivals_ns, NotingSmsc.watched_ns)
    asked = asyncio.Queue[str]()

    def hear() -> None:
        try:
            asked.put_nowait(pipe.recv())
        except EOFError:  # whoever measures was killed
            asked.put_nowait(STOP)

    loop.add_reader(pipe.fileno(), hear)
    os.set_blocking(pipe.fileno(), True)  # a hundred thousand arrivals do not go in one piece
    while (word := await asked.get()) != STOP:
        if word == CPU:
            pipe.send(time.process_time())
        else:
            pipe.send(noted)
            for some in noted:
                some.clear()
    loop.remove_reader(pipe.fileno())
    provider.close()
    sink.close()
    await smsc.stop()


def serve_in_child(pipe: Connection, answer_delay_s: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    uvloop.run(serve(pipe, answer_delay_s))


class FarEnd:
    """The parent's side. `ports` tells where the providers listen."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.ports: Ports = pipe.recv()

    def arrivals_ns(self) -> Arrivals:
        """When messages came since the last time it was asked."""
        self._pipe.send(ARRIVALS)
        arrivals: Arrivals = self._pipe.recv()
        return arrivals

    def cpu_s(self) -> float:
        self._pipe.send(CPU)
        cpu_s: float = self._pipe.recv()
        return cpu_s


@contextmanager
def far_end(*, answer_delay_s: float = 0.0) -> Iterator[FarEnd]:
    """Start the providers and end them with the block, whatever ends it. `answer_delay_s`: how long the SMSC takes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=serve_in_child, args=(theirs, answer_delay_s), daemon=True)
    child.start()
    theirs.close()
    try:
        yield FarEnd(ours)
        ours.send(STOP)
        child.join(5)
    finally:
        child.kill()
        child.join()
        ours.close()
