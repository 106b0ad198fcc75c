"""A whole gateway in the test's own event loop, and a client that speaks to it over a socket."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from aiohttp import ClientSession

from cascade.api.parts import Parts
from cascade.channels.smpp.settings import SmppSettings
from cascade.core.directory import ApiKey, Bot
from cascade.core.secret import Secret
from cascade.core.words import Channel
from cascade.http_server import http_server, listen
from cascade.sandbox.app import Sandbox, SandboxSettings
from cascade.serve import Gateway, now_ms, open_seal
from cascade.settings import Http, Limits, ProviderLink, RouteStep, Settings, Store, TelegramApi, ViberApi, Webhooks
from cascade.store import accounts

HOST = "127.0.0.1"
NOBODY = f"http://{HOST}:9"
"""The discard port: nothing listens there."""
PATIENCE_S = 10.0
POLL_S = 0.02

KEY = "key-of-acme"
TELEGRAM = "111111:first-telegram-of-acme"
SECOND_TELEGRAM = "222222:second-telegram-of-acme"
VIBER = "viber-of-acme"
OTHER_KEY = "key-of-other"
OTHER_TELEGRAM = "333333:telegram-of-other"
OTHER_VIBER = "viber-of-other"
BOTS = {
    "acme": ((Channel.TELEGRAM_BOT, TELEGRAM), (Channel.TELEGRAM_BOT, SECOND_TELEGRAM), (Channel.VIBER_BOT, VIBER)),
    "other": ((Channel.TELEGRAM_BOT, OTHER_TELEGRAM), (Channel.VIBER_BOT, OTHER_VIBER)),
}
KEYS = {"acme": KEY, "other": OTHER_KEY}

AUTH = {"X-Authorization-Key": KEY}
SEND = "/api/CascadeMessage/send_message/async"
PHONE = "+380501112233"
CALLERS = ["+380441456789", "+380442567891"]
NUMBERS = count(12345)
MAX_BATCH = 50
MAX_BODY_BYTES = 64 * 1024
CASCADE = (Channel.TELEGRAM_BOT, Channel.VIBER_BOT, Channel.VIBER_BUSINESS, Channel.RCS, Channel.SMS)


def message(**fields: Any) -> dict[str, Any]:
    """A message that breaks no rule and repeats no other, with these fields instead; None leaves one out."""
    whole = {
        "id": f"order-{next(NUMBERS)}",
        "fromName": "YourStore",
        "toPhone": PHONE,
        "messageType": "transaction",
        "text": "Your order has been confirmed",
    } | fields
    return {name: value for name, value in whole.items() if value is not None}


def trunk(sandbox: Sandbox) -> dict[str, ProviderLink]:
    """The sandbox's SIP trunk, in a hurry."""
    given = {"kind": "flashcall.sip", "host": HOST, "port": sandbox.sip_port, "callers": CALLERS, "ring_s": 0.05}
    return {"trunk": ProviderLink.model_validate(given)}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.json["error"])


@dataclass(frozen=True)
class Doors:
    """`sandbox` None: no provider answers, and there is no SMS."""

    gateway: Gateway
    port: int
    session: ClientSession
    sandbox: Sandbox | None

    @property
    def parts(self) -> Parts:
        parts: Parts = self.gateway.app.state.parts
        return parts

    def replace_parts(self, parts: Parts) -> None:
        """Let a part of the running gateway fail or wait."""
        self.gateway.app.state.parts = parts

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] = AUTH, raw: bytes | None = None
    ) -> Answer:
        data = BytesIO(orjson.dumps(body) if body is not None else raw or b"")
        url = f"http://{HOST}:{self.port}{path}"
        async with self.session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def send(self, *messages: dict[str, Any], path: str = SEND, headers: Mapping[str, str] = AUTH) -> list[Any]:
        """What an accepted batch is answered with."""
        answer = await self.call("POST", path, list(messages), headers=headers)
        assert answer.status == 200, answer.body
        return list(answer.json)

    async def send_one(self, headers: Mapping[str, str] = AUTH, path: str = SEND, **fields: Any) -> str:
        """The id of a message just accepted."""
        (sent,) = await self.send(message(**fields), headers=headers, path=path)
        return str(sent["messageId"])

    async def status(self, message_id: str, headers: Mapping[str, str] = AUTH) -> dict[str, Any]:
        answer = await self.call("GET", f"/bat/message/{message_id}", headers=headers)
        assert answer.status == 200, answer.body
        return dict(answer.json)

    async def until(self, message_id: str, *words: str) -> dict[str, Any]:
        """The message's status object, once its delivery status or the state of an attempt is one of `words`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status = await self.status(message_id)
                if {status["deliverystatus"], *(attempt["state"] for attempt in status["attempts"])} & set(words):
                    return status
                await asyncio.sleep(POLL_S)

    async def people(self, phone: str = PHONE, **channels: str) -> None:
        """Let a phone behave so in the sandbox."""
        assert self.sandbox is not None
        url = f"{self.sandbox.url}/people/{phone}"
        async with self.session.put(url, data=orjson.dumps(channels)) as answer:
            assert answer.status == 200, await answer.text()

    def bot(self, channel: Channel, token: str) -> Bot:
        bot = self.parts.directory().bot_of_token(channel, token)
        assert bot is not None
        return bot

    async def viber_callback(self, body: Any, *, token: str = VIBER, signature: str | None = None) -> Answer:
        """Call as Viber does for the bot of `token`; signed with that token, unless another signature is given."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        if signature is None:
            signature = hmac.new(token.encode(), raw, hashlib.sha256).hexdigest()
        path = f"/callbacks/{self.bot(Channel.VIBER_BOT, token).link}"
        return await self.call("POST", path, raw=raw, headers={"X-Viber-Content-Signature": signature})

    async def stored(self) -> int:
        """How many messages the store holds."""
        async with self.gateway.database.reading() as reader:
            rows = await reader.rows("SELECT count(*) FROM message")
        return int(rows[0][0])

    async def metric(self, sample: str) -> float:
        """The value of one sample of `/metrics`; 0 before it is first counted."""
        answer = await self.call("GET", "/metrics")
        lines = answer.body.decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)


@asynccontextmanager
async def opened(
    home: Path,
    *,
    has_sandbox: bool = False,
    providers: Callable[[Sandbox], Mapping[str, ProviderLink]] = lambda _: {},
    **more: Any,
) -> AsyncIterator[Doors]:
    """A gateway with the accounts `acme` and `other`, serving on a free port, its engine running. No rate limits them.

    With a sandbox, `acme` is alone, and every step of both routes has a window of one second. `more` are sections of
    the settings that stand in place of these.
    """
    listening = listen(HOST, 0, "http.port")
    port = listening.getsockname()[1]
    sandbox = None
    settings = Settings(
        store=Store(url=f"sqlite:///{home / 'cascade.db'}"),
        http=Http(port=port, max_batch=MAX_BATCH, max_body_bytes=MAX_BODY_BYTES),
        limits=Limits(send_rate=0, read_rate=0),
        webhooks=Webhooks(allow=["127.0.0.0/8"], allow_http=True, ports=[]),
        telegram_bot=TelegramApi(base_url=NOBODY, updates="off"),
        viber_bot=ViberApi(base_url=NOBODY),
    )
    if has_sandbox:
        sandbox = Sandbox(
            SandboxSettings(
                http_port=0,
                smsc_port=0,
                telegram_tokens=(TELEGRAM, SECOND_TELEGRAM),
                viber_tokens=(VIBER,),
                gateway_url=f"http://{HOST}:{port}",
                gateway_key=KEY,
            )
        )
        await sandbox.start()
        steps = [RouteStep(channel=channel, window_s=1) for channel in CASCADE]
        settings = settings.model_copy(
            update={
                "http": settings.http.model_copy(update={"public_url": f"http://{HOST}:{port}"}),
                "telegram_bot": TelegramApi(base_url=sandbox.url),
                "viber_bot": ViberApi(base_url=sandbox.url),
                "smpp": SmppSettings(port=sandbox.smsc_port, system_id="test", password="test"),
                "providers": providers(sandbox),
                "routes": {"standard": steps, "tg-viber": steps},
            }
        )
    gateway = Gateway(settings.model_copy(update=more))
    await gateway.start()
    server = http_server(gateway.entrance, [])
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await _add_accounts(gateway, ("acme",) if has_sandbox else ("acme", "other"))
        async with ClientSession() as session:
            yield Doors(gateway, port, session, sandbox)
    finally:
        await _end(server, serving)
        await gateway.stop()
        if sandbox is not None:
            await sandbox.stop()
        listening.close()


async def _end(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    """What the server does when it shall exit, without its pauses: it looks for that ten times a second, and then gives
    the connections another tenth. Hundreds of tests would wait for both."""
    serving.cancel()
    for listener in server.servers:
        listener.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        while state.connections:  # noqa: ASYNC110 - it is uvicorn's set
            await asyncio.sleep(0)


async def _add_accounts(gateway: Gateway, names: tuple[str, ...]) -> None:
    seal = open_seal(gateway.settings)
    async with gateway.database.transaction() as tx:
        for name in names:
            account_id = await accounts.add_account(tx, name, now_ms())
            await accounts.add_key(tx, ApiKey(account_id, "first"), Secret(KEYS[name]), now_ms())
            for channel, token in BOTS[name]:
                await accounts.add_bot(tx, seal, account_id, channel, Secret(token), now_ms())
    await gateway.refresh()
