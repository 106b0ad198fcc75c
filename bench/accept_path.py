"""What accepting costs, door by door behind HTTP: CPU per message of a batch of 1,000, on a real SQLite file.

Run with `python -m bench.accept_path`. Every message has an id, a phone and a text of its own, in no order, and every
rule is on: repeats are looked for, and prices are configured where the name says so. Each sample is ten batches with
all their commits and checkpoints; the figure is the median of the samples, beside the lowest and the highest.
"""

import asyncio
import gc
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from bench.figures import Sample, summary
from bench.validation import message
from cascade.api import send
from cascade.api.access import Caller
from cascade.api.message_in import Batch, parse_batch
from cascade.api.send import Asked
from cascade.core.directory import Directory
from cascade.core.words import Channel
from cascade.serve import Gateway, freeze_memory, now_ms
from cascade.settings import PriceEntry, Settings, Store
from cascade.store import accounts

BATCH = 1_000
ROUNDS = 10
SAMPLES = 10
MANY = 1_000_000
PRICES = [
    PriceEntry(channel=Channel.SMS, price="0.05"),  # type: ignore[arg-type]
    PriceEntry(channel=Channel.SMS, price="0.03", prefix="+380"),  # type: ignore[arg-type]
    PriceEntry(channel=Channel.VIBER_BOT, price="0.001"),  # type: ignore[arg-type]
]


def body(number: int) -> bytes:
    randomness = random.Random(number)
    messages = [
        message(
            randomness.randrange(10**7),
            id=f"order-{randomness.getrandbits(40):x}",
            text=f"Your order #{number * BATCH + place} has been confirmed.",
        )
        for place in range(BATCH)
    ]
    return json.dumps(messages).encode()


class Bench:
    def __init__(self, gateway: Gateway, account_id: int) -> None:
        self._parts = gateway.app.state.parts
        self._account_id = account_id

    def parse(self, body: bytes) -> Batch:
        directory: Directory = self._parts.directory()
        return parse_batch(
            body,
            route="standard",
            now_ms=now_ms(),
            limits=self._parts.limits.__class__(routes=frozenset(directory.routes)),
        )

    async def accept(self, batch: Batch) -> None:
        directory: Directory = self._parts.directory()
        caller = Caller(directory.accounts[self._account_id], (), is_limited=False)
        await send._accept(self._parts, Asked(caller, directory, now_ms()), batch)


async def measure(name: str, settings: Settings, stored: int = 0) -> None:
    """`stored`: how many messages are in the store already, all of them accepted within the last day."""
    gateway = Gateway(settings)
    await gateway.start()
    try:
        async with gateway.database.transaction() as tx:
            account_id = await accounts.add_account(tx, "bench", now_ms())
        await gateway.refresh()
        bench = Bench(gateway, account_id)
        freeze_memory()
        known = stored // BATCH
        for number in range(known):
            await bench.accept(bench.parse(body(number)))
        bodies = [body(number) for number in range(known, known + SAMPLES * ROUNDS)]
        if not stored:
            show(f"accept_{name}_parse", await samples(bodies, _parse_alone(bench)))
        show(f"accept_{name}", await samples(bodies, _whole(bench)))
    finally:
        await gateway.stop()


def _parse_alone(bench: Bench) -> Callable[[bytes], Awaitable[None]]:
    async def parse(body: bytes) -> None:
        bench.parse(body)

    return parse


def _whole(bench: Bench) -> Callable[[bytes], Awaitable[None]]:
    async def whole(body: bytes) -> None:
        await bench.accept(bench.parse(body))

    return whole


async def samples(bodies: list[bytes], work: Callable[[bytes], Awaitable[None]]) -> list[float]:
    """The CPU time of the whole process, in microseconds a message, of each sample."""
    found = []
    for start in range(0, len(bodies), ROUNDS):
        begun_ns = time.process_time_ns()
        for one in bodies[start : start + ROUNDS]:
            await work(one)
        found.append((time.process_time_ns() - begun_ns) / 1_000 / BATCH / ROUNDS)
    return found


def show(name: str, values: list[float]) -> None:
    for figure in summary(Sample(name, value, "us_cpu_per_message") for value in values):
        print(json.dumps(figure._asdict()), flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cascade-accept-") as home:
        for name, prices, stored in (
            ("plain", [], 0),
            ("priced", PRICES, 0),
            ("priced_behind_a_million", PRICES, MANY),
        ):
            store = Store(url=f"sqlite:///{Path(home) / name}.db")
            await measure(name, Settings(store=store, prices=prices), stored)
            gc.unfreeze()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
