"""CPU that one message costs on its way out over HTTP, against a server in another process that answers at once.

Prints one JSON line: `cpu_us_per_send` is this process's user and system time for each settled attempt.
Run: `python -m bench.http_send [--sends 20000] [--window 64]`.
"""

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.connection
import time
from collections import Counter
from typing import cast

import uvloop

from cascade.channels.base import Heard
from cascade.channels.http import HttpSettings, HttpTransport
from cascade.channels.telegram_bot import TelegramBot
from cascade.core.attempt import Attempt, Delivered, Outcome
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType

ANSWER_BODY = (
    b'{"ok":true,"result":{"message_id":4711,"date":1700000000,"chat":{"id":1000,"type":"private"},"text":"x"}}'
)


def answer_of(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


ANSWER = answer_of(ANSWER_BODY)


class Provider(asyncio.Protocol):
    """The least that speaks HTTP: every request that came whole gets the same answer, that of Telegram."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by inheritance
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) >= length:
            self._buffer = rest[length:]
            self._transport.write(self.answer(head, rest[:length]))

    def answer(self, head: bytes, body: bytes) -> bytes:
        return ANSWER


def serve(ready: "multiprocessing.connection.Connection[int, int]") -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


async def measure(port: int, sends: int, window: int) -> dict[str, float | int | str]:
    transport = HttpTransport(
        TelegramBot(Secret("1:bench"), f"http://127.0.0.1:{port}"), "bench", HttpSettings(window=window)
    )
    has_room = asyncio.Event()
    all_settled = asyncio.Event()
    outcomes: Counter[type[Outcome]] = Counter()
    settled = 0

    async def nobody(_: Heard) -> None:
        raise AssertionError("HTTP takes receipts by callback")

    def settle(_: Attempt, outcome: Outcome) -> None:
        nonlocal settled
        settled += 1
        outcomes[type(outcome)] += 1
        if settled == sends:
            all_settled.set()

    content = Content("Your code is 482910. It is valid for five minutes.")
    attempts = [
        Attempt(1, n.to_bytes(16), 1, str(100_000 + n), "Cascade", MessageType.TRANSACTION, content, 30)
        for n in range(sends)
    ]
    transport.start(has_room.set, nobody)
    began, cpu_began = time.perf_counter(), time.process_time()
    sent = 0
    while sent < sends:
        await has_room.wait()
        has_room.clear()
        batch = attempts[sent : sent + transport.room()]
        transport.send(batch, settle)
        sent += len(batch)
    await all_settled.wait()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    await transport.stop(1.0)
    assert outcomes == {Delivered: sends}, outcomes
    return {
        "bench": "http_send",
        "cpu_us_per_send": round(cpu / sends * 1e6, 1),
        "sends_per_s": round(sends / seconds),
        "sends": sends,
        "window": window,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sends", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=64)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        print(json.dumps(uvloop.run(measure(here.recv(), given.sends, given.window))))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
