"""A sandbox, one provider's transport, and the door through which the provider calls: what a promise is tried on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import uvicorn
from fastapi import FastAPI, Request, Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from cascade.api import callbacks
from cascade.api.faults import RequestError
from cascade.channels.base import Callback, Heard, Hears, Revokes, Transport
from cascade.channels.http import HttpTransport
from cascade.core.attempt import Attempt, Outcome, Revocation, Sent
from cascade.core.content import Content
from cascade.core.inbound import Inbound
from cascade.core.receipt import Receipt
from cascade.core.words import MessageType
from cascade.sandbox.app import Sandbox, SandboxSettings

from .case import LINK, Case, Twins

PHONE = "+380501112233"
MESSAGE_ID = bytes(range(16))
PATIENCE_S = 10.0
LATE_S = 0.15


@dataclass
class Stage:
    """`news` holds what the transport said, in order: (seconds, outcome or receipt). `calls` is every callback that
    came, `answers` how each was answered."""

    case: Case
    sandbox: Sandbox
    transport: Transport
    twins: Twins
    client: aiohttp.ClientSession
    log: Sequence[MutableMapping[str, Any]]
    news: list[tuple[float, Outcome | Receipt]] = field(default_factory=list)
    settled: dict[int, Outcome] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    inbound: list[Inbound] = field(default_factory=list)
    calls: list[Callback] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    # The person's side

    async def person(self, behaviour: str, phone: str = PHONE) -> None:
        url = f"{self.sandbox.url}/people/{phone}"
        async with self.client.put(url, json={self.case.channel: behaviour}) as answer:
            assert answer.status == 200, await answer.text()

    async def inbox(self, phone: str = PHONE) -> list[dict[str, Any]]:
        async with self.client.get(f"{self.sandbox.url}/people/{phone}/inbox") as answer:
            shown: list[dict[str, Any]] = await answer.json()
        return shown

    async def choose(self, option: str, phone: str = PHONE) -> None:
        url = f"{self.sandbox.url}/people/{phone}/answer"
        async with self.client.post(url, json={"channel": self.case.channel, "option": option}) as answer:
            assert answer.status == 200, await answer.text()

    # The engine's side

    def attempt(self, number: int = 1, content: Content | None = None, type_: MessageType | None = None) -> Attempt:
        return Attempt(
            account_id=1,
            message_id=MESSAGE_ID,
            number=number,
            address=self.case.address(PHONE),
            sender=self.case.sender,
            type=type_ or self.case.type,
            content=content or self.case.content,
            window_s=60,
        )

    async def send(self, number: int = 1, content: Content | None = None, type_: MessageType | None = None) -> Outcome:
        await self.until(lambda: self.transport.room() > 0)
        self.transport.send([self.attempt(number, content, type_)], self._settle)
        await self.until(lambda: number in self.settled)
        return self.settled[number]

    async def revoke(self, provider_ids: tuple[str, ...]) -> Revocation:
        assert isinstance(self.transport, Revokes)
        return await self.transport.revoke(Sent(MESSAGE_ID, 1, 0, self.case.address(PHONE), provider_ids))

    async def heard(self, count: int) -> list[Receipt]:
        await self.until(lambda: len(self.receipts) >= count)
        return self.receipts

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._told.clear()
                await self._told.wait()

    def on_room(self) -> None:
        self._told.set()

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        assert attempt.number not in self.settled, "settled twice"
        self.settled[attempt.number] = outcome
        self._note(outcome)

    async def take(self, heard: Heard) -> None:
        self.inbound += heard.inbound
        self.receipts += heard.receipts
        for receipt in heard.receipts:
            self._note(receipt)
        self._told.set()

    def _note(self, news: Outcome | Receipt) -> None:
        self.news.append((time.monotonic(), news))
        self._told.set()

    # The provider's side

    def hear(self, link: str, callback: Callback) -> Heard:
        if link != LINK or not isinstance(self.transport, Hears):
            raise LookupError(link)
        self.calls.append(callback)
        return self.transport.hear(callback)

    async def call(self, callback: Callback) -> int:
        """Let somebody call, over a socket; the status of our answer."""
        parts = urlsplit(callback.url)
        url = self.twins.callback_url + parts.path.partition(f"/callbacks/{LINK}")[2]
        if parts.query:
            url += f"?{parts.query}"
        headers = {
            name: value
            for name, value in callback.headers.items()
            if name not in ("host", "content-length", "accept-encoding", "connection", "transfer-encoding")
        }
        async with self.client.request(callback.method, url, data=callback.body, headers=headers) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def staged(case: Case, log: Sequence[MutableMapping[str, Any]], **sandbox: Any) -> AsyncIterator[Stage]:
    """The stage set for one promise. `sandbox`: settings of the sandbox beside those of the case."""
    parts = SimpleNamespace()
    async with _door(parts) as door, aiohttp.ClientSession() as client:
        settings = replace(
            SandboxSettings(http_port=0, smsc_port=0, sip_port=0, late_s=LATE_S, retries_s=(0.05, 0.1)),
            **case.sandbox,
            **sandbox,
        )
        running = Sandbox(settings)
        await running.start()
        twins = Twins(running.url, running.smsc_port, running.sip_port, f"{door}/callbacks/{LINK}")
        transport = case.transport(twins)
        stage = Stage(case, running, transport, twins, client, log)
        parts.hear = stage.hear
        parts.take_heard = lambda link, heard: stage.take(heard)
        parts.link_rules = SimpleNamespace(base_url=door)
        transport.start(stage.on_room, stage.take)
        try:
            await case.prepare(stage)
            yield stage
        finally:
            await transport.stop(0)
            await running.stop()


@asynccontextmanager
async def as_stranger(stage: Stage) -> AsyncIterator[Stage]:
    """The same link with credentials that the provider does not know."""
    transport: Transport
    if stage.case.stranger is not None:
        transport = stage.case.stranger(stage.twins)
    else:
        assert isinstance(stage.transport, HttpTransport)
        transport = HttpTransport(replace(stage.transport.adapter, **stage.case.credential), LINK)
    stranger = Stage(stage.case, stage.sandbox, transport, stage.twins, stage.client, stage.log)
    transport.start(stranger.on_room, stranger.take)
    try:
        yield stranger
    finally:
        await transport.stop(0)


@asynccontextmanager
async def _door(parts: SimpleNamespace) -> AsyncIterator[str]:
    """The gateway's door for callbacks on a free port: its base URL."""
    app = FastAPI()
    app.state.parts = parts
    app.include_router(callbacks.router)
    app.add_exception_handler(RequestError, _refused)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none")
    config.load()
    # uvicorn's own Server takes a tenth of a second to stop, and there are some hundred tests.
    server = await asyncio.get_running_loop().create_server(
        lambda: HttpToolsProtocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return Response(str(error), error.status)
