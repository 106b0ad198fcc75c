"""Posts messages through kills and restarts, and keeps a ledger of those that were answered with 200."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Protocol

import orjson

from bench.chaos.people import TELEGRAM_BOT, VIBER_BOT, Sent, draw
from bench.http_client import Answer, ask_each, request

TELEGRAM_TOKEN, VIBER_TOKEN = "chaos-telegram-key", "chaos-viber-key"
DIRECTORIES = {TELEGRAM_BOT: f"/api/tg_bot/{TELEGRAM_TOKEN}", VIBER_BOT: f"/api/viber_bot/{VIBER_TOKEN}"}
PATHS = ("/api/CascadeMessage/send_message/async", "/api/CascadeMessage/send_message/tg-viber/async")
CHUNK = 400
LARGEST_BATCH = 40
SENDERS = 4
SANDBOX_CONNECTIONS = 4
RETRY_S = 0.05


class Door(Protocol):
    """Where the load goes: a gateway, or any of several."""

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer: ...


class Load:
    """`accepted` maps the id of every message that was answered with 200 to what it was."""

    def __init__(
        self, gateway: Door, sandbox_port: int, seed: int, rate_per_s: float, ttl_s: int, senders: int = SENDERS
    ) -> None:
        self.accepted: dict[str, Sent] = {}
        self.unanswered = 0
        """Messages whose request was on its way when the gateway died: stored or not, nothing was promised."""
        self._gateway = gateway
        self._sandbox_port = sandbox_port
        self._chance = random.Random(f"people {seed}")
        self._pause_s = senders / rate_per_s
        self._senders = senders
        self._ttl_s = ttl_s
        self._numbers = itertools.count()
        self._batches: asyncio.Queue[list[Sent]] = asyncio.Queue(CHUNK // LARGEST_BATCH)
        self._is_stopping = False

    async def run(self) -> None:
        """Until `stop`; then no request is under way any more."""
        async with asyncio.TaskGroup() as tasks:
            senders = [tasks.create_task(self._send()) for _ in range(self._senders)]
            inviting = tasks.create_task(self._invite())
            await asyncio.wait(senders)
            inviting.cancel()

    def stop(self) -> None:
        self._is_stopping = True

    async def _invite(self) -> None:
        """Bring people into the sandbox and into the directories of the bots, and make batches of their messages."""
        while True:
            chunk = [draw(self._chance, next(self._numbers)) for _ in range(CHUNK)]
            addresses = await self._introduce(chunk)
            for channel, path in DIRECTORIES.items():
                known = [
                    {"id": by_channel[channel], "phone": sent.phone}
                    for sent, by_channel in zip(chunk, addresses, strict=True)
                    if channel in by_channel
                ]
                await self._until_taken(path, orjson.dumps(known))
            while chunk:
                size = self._chance.randint(1, LARGEST_BATCH)
                await self._batches.put(chunk[:size])
                chunk = chunk[size:]

    async def _introduce(self, chunk: Sequence[Sent]) -> list[dict[str, str]]:
        """The addresses, by channel, that the sandbox gave them."""
        requests = [request("PUT", f"/people/{sent.phone}", body=orjson.dumps(dict(sent.behaviours))) for sent in chunk]
        answers = await ask_each(self._sandbox_port, requests, SANDBOX_CONNECTIONS)
        return [orjson.loads(answer.body)["addresses"] for answer in answers]

    async def _until_taken(self, path: str, body: bytes) -> None:
        while True:
            try:
                if (await self._gateway.ask("POST", path, body)).status == 200:
                    return
            except OSError:
                pass  # it is away, and comes back
            await asyncio.sleep(RETRY_S)

    async def _send(self) -> None:
        while not self._is_stopping:
            batch = await self._batches.get()
            body = orjson.dumps([sent.as_json(self._ttl_s) for sent in batch])
            try:
                answer = await self._gateway.ask("POST", self._chance.choice(PATHS), body)
            except ConnectionRefusedError:
                await asyncio.sleep(RETRY_S)
                continue
            except OSError:
                self.unanswered += len(batch)
                continue
            if answer.status == 503:  # it is stopping
                continue
            if answer.status != 200:
                raise RuntimeError(f"the gateway answered {answer.status}: {answer.body[:300]!r}")
            for sent, stored in zip(batch, orjson.loads(answer.body), strict=True):
                self.accepted[stored["messageId"]] = sent
            await asyncio.sleep(self._pause_s * len(batch))
