"""The providers of a bench, in a process of their own: the sandbox's SMSC and the least of a Telegram Bot API.

Both note when each message's first octets came, on the monotonic clock that all processes of a machine share.
"""

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import ClassVar, NamedTuple

import uvloop

from bench.http_send import Provider
from cascade.sandbox.people import People
from cascade.sandbox.smsc import Account, Smsc

HOST = "127.0.0.1"
ARRIVALS, CPU, STOP = "arrivals", "cpu", "stop"


class Ports(NamedTuple):
    smsc: int
    telegram_bot: int


class NotingSmsc(Smsc):
    """Notes the arrival of every submit_sm before it looks at it."""

    arrivals_ns: ClassVar[list[int]] = []

    def submit(self, account: Account, data: bytes, start: int, stop: int) -> bytes | None:
        self.arrivals_ns.append(time.monotonic_ns())
        return super().submit(account, data, start, stop)


class NotingProvider(Provider):
    """Notes the arrival of every request's first octets."""

    arrivals_ns: ClassVar[list[int]] = []

    def data_received(self, data: bytes) -> None:
        if not self._buffer:
            self.arrivals_ns.append(time.monotonic_ns())
        super().data_received(data)


async def serve(pipe: Connection) -> None:
    """Answer each word of the pipe, until `STOP`: the arrivals since the last time, or the CPU seconds used."""
    loop = asyncio.get_running_loop()
    smsc = NotingSmsc(People(), HOST, 0, keep_inbox=False)
    await smsc.start()
    provider = await loop.create_server(NotingProvider, HOST, 0)
    pipe.send(Ports(smsc.port, provider.sockets[0].getsockname()[1]))
    asked = asyncio.Queue[str]()
    loop.add_reader(pipe.fileno(), lambda: asked.put_nowait(pipe.recv()))
    while (word := await asked.get()) != STOP:
        if word == CPU:
            pipe.send(time.process_time())
        else:
            pipe.send((NotingSmsc.arrivals_ns.copy(), NotingProvider.arrivals_ns.copy()))
            NotingSmsc.arrivals_ns.clear()
            NotingProvider.arrivals_ns.clear()
    loop.remove_reader(pipe.fileno())
    provider.close()
    await smsc.stop()


def serve_in_child(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    uvloop.run(serve(pipe))


class FarEnd:
    """The parent's side. `ports` tells where the providers listen."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.ports: Ports = pipe.recv()

    def arrivals_ns(self) -> tuple[list[int], list[int]]:
        """When messages came since the last time it was asked: at the SMSC, and at the Telegram Bot API."""
        self._pipe.send(ARRIVALS)
        arrivals: tuple[list[int], list[int]] = self._pipe.recv()
        return arrivals

    def cpu_s(self) -> float:
        self._pipe.send(CPU)
        cpu_s: float = self._pipe.recv()
        return cpu_s


@contextmanager
def far_end() -> Iterator[FarEnd]:
    """Start the providers and end them with the block, whatever ends it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=serve_in_child, args=(theirs,), daemon=True)
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
