"""A running sandbox, a client of its people interface, and a gateway that records what the twins post to it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web

from cascade.sandbox.app import Sandbox, SandboxSettings

TELEGRAM_TOKEN = "123456:telegram-secret"
VIBER_TOKEN = "44dafb7e0f40021e-61a47a1e6778d187-f2c5a676a07050b3"
GATEWAY_KEY = "gateway-key"
PHONE = "+380501112233"
OTHER_PHONE = "+380671112233"
PATIENCE_S = 5.0


@dataclass
class Posted:
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class Gateway:
    """Answers every POST with the next of `statuses`, then with 200."""

    url: str = ""
    posts: "asyncio.Queue[Posted]" = field(default_factory=asyncio.Queue)
    statuses: list[int] = field(default_factory=list)

    async def take(self, count: int = 1) -> list[Posted]:
        async with asyncio.timeout(PATIENCE_S):
            return [await self.posts.get() for _ in range(count)]

    async def handle(self, request: web.Request) -> web.Response:
        self.posts.put_nowait(Posted(request.path, dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, text="said the gateway")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    app = web.Application()
    app.router.add_post("/{path:.*}", gateway.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield gateway
    await runner.cleanup()


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(
        http_port=0,
        smsc_port=0,
        telegram_tokens=(TELEGRAM_TOKEN,),
        viber_tokens=(VIBER_TOKEN,),
        late_s=0.2,
        retries_s=(0.01, 0.01),
    )


@pytest.fixture
async def sandbox(settings: SandboxSettings) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(settings)
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


class Client:
    """The sandbox's HTTP side as JSON."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.session = session
        self.url = url

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def put(self, phone: str, **channels: str) -> None:
        status, answer = await self.call("PUT", f"/people/{phone}", channels)
        assert status == 200, answer

    async def inbox(self, phone: str = PHONE) -> list[dict[str, Any]]:
        status, answer = await self.call("GET", f"/people/{phone}/inbox")
        assert status == 200
        return list(answer)


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with ClientSession() as session:
        yield Client(session, sandbox.url)
