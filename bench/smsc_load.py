"""How fast the sandbox's SMSC is, so that a benchmark of the gateway knows it does not measure the far end.

`python bench/smsc_load.py` starts the SMSC in a process of its own and plays a pipelining client in this one;
`--host`, `--port` aim at any other SMSC. Each figure is one JSON line: figure, value, unit.
"""

import argparse
import asyncio
import json
import multiprocessing
import struct
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import cast

import uvloop

from cascade.sandbox.people import People
from cascade.sandbox.smsc import Smsc

HEADER = struct.Struct(">IIII")
SUBMIT_SM, DELIVER_SM, SUBMIT_SM_RESP, DELIVER_SM_RESP, BIND_TRANSCEIVER = 0x04, 0x05, 0x80000004, 0x80000005, 0x09
BLOCK = 100
"""Submits in one write of the client."""


def submit_pdu(sequence: int, registered_delivery: int) -> bytes:
    body = b"\0\x05\0CASCADE\0\x01\x01%012d\0\0\0\0\0%b\0%c\0\0\0" % (
        380500000000 + sequence % 10_000,
        b"000000000500000R",
        registered_delivery,
    )
    text = b"Your code is %06d. Do not tell it to anyone, not even to us." % (sequence % 1_000_000)
    body += b"%c%b" % (len(text), text)
    return HEADER.pack(16 + len(body), SUBMIT_SM, 0, sequence) + body


class LoadClient(asyncio.Protocol):
    """Keeps `window` submits unanswered, acknowledges every receipt, and is done when all have come."""

    def __init__(self, blocks: list[bytes], window: int, receipts: int) -> None:
        self.blocks = deque(blocks)
        self.window_blocks = max(window // BLOCK, 1)
        self.answers_missing = len(blocks) * BLOCK
        self.receipts_missing = receipts
        self.rejected = 0
        self.in_flight = 0
        self.rest = b""
        self.bound = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        body = b"bench\0bench\0\0\x34\0\0\0"
        self.transport.write(HEADER.pack(16 + len(body), BIND_TRANSCEIVER, 0, 1) + body)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the SMSC hung up"))

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        position, end, acknowledgements = 0, len(data), []
        while end - position >= 16:
            length, command, status, sequence = HEADER.unpack_from(data, position)
            if position + length > end:
                break
            position += length
            if command == SUBMIT_SM_RESP:
                self.answers_missing -= 1
                self.in_flight -= 1
                self.rejected += status != 0
            elif command == DELIVER_SM:
                self.receipts_missing -= 1
                acknowledgements.append(HEADER.pack(17, DELIVER_SM_RESP, 0, sequence) + b"\0")
            elif not self.bound.done():
                self.bound.set_result(status)
        self.rest = data[position:]
        self.transport.write(b"".join(acknowledgements))
        self.fill()

    def fill(self) -> None:
        while self.blocks and self.in_flight <= (self.window_blocks - 1) * BLOCK:
            self.in_flight += BLOCK
            self.transport.write(self.blocks.popleft())
        if not (self.answers_missing or self.receipts_missing > 0 or self.done.done()):
            self.done.set_result(None)


async def load(host: str, port: int, count: int, window: int, *, receipts: bool) -> float:
    """Submits a second, counted until the last answer (and receipt) is in. Raises when one was rejected."""
    pdus = [submit_pdu(sequence, int(receipts)) for sequence in range(2, count + 2)]
    blocks = [b"".join(pdus[at : at + BLOCK]) for at in range(0, count, BLOCK)]
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(
        lambda: LoadClient(blocks, window, count if receipts else 0), host, port
    )
    if await client.bound != 0:
        raise RuntimeError("the SMSC refused the bind")
    started = time.perf_counter()
    client.fill()
    await client.done
    elapsed_s = time.perf_counter() - started
    transport.close()
    if client.rejected:
        raise RuntimeError(f"the SMSC rejected {client.rejected} submits")
    return count / elapsed_s


async def serve(pipe: Connection) -> None:
    """Run the SMSC until the pipe speaks; each word is answered with the CPU seconds used so far."""
    smsc = Smsc(People(), "127.0.0.1", 0, keep_inbox=False)
    await smsc.start()
    pipe.send(smsc.port)
    loop = asyncio.get_running_loop()
    asked = asyncio.Queue[str]()
    loop.add_reader(pipe.fileno(), lambda: asked.put_nowait(pipe.recv()))
    while await asked.get() != "stop":
        pipe.send(time.process_time())
    loop.remove_reader(pipe.fileno())
    await smsc.stop()


def serve_in_child(pipe: Connection) -> None:
    uvloop.run(serve(pipe))


def figure(name: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": name, "value": round(value, 2), "unit": unit}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="an SMSC that already runs; without it one is started")
    parser.add_argument("--count", type=int, default=200_000, help=f"submits a run, in hundreds ({BLOCK} a write)")
    parser.add_argument("--window", type=int, default=2_000, help="unanswered submits at any time")
    options = parser.parse_args()
    count = max(options.count // BLOCK, 1) * BLOCK

    def run(host: str, port: int, *, receipts: bool) -> float:
        return uvloop.run(load(host, port, count, options.window, receipts=receipts))

    if options.port:
        figure("smsc_submit", run(options.host, options.port, receipts=False), "submit/s")
        figure("smsc_submit_with_receipt", run(options.host, options.port, receipts=True), "submit/s")
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=serve_in_child, args=(theirs,))
    child.start()
    port = ours.recv()
    for name, receipts in (("smsc_submit", False), ("smsc_submit_with_receipt", True)):
        ours.send("cpu")
        cpu_s = ours.recv()
        figure(name, run("127.0.0.1", port, receipts=receipts), "submit/s")
        ours.send("cpu")
        figure(f"{name}_smsc_cpu", (ours.recv() - cpu_s) / count * 1e6, "us/submit")
    ours.send("stop")
    child.join()


if __name__ == "__main__":
    main()
