"""What a look at a provider finds, before anything is sent (`cascade doctor`)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from smpp.smsc import ScriptedSmsc

from bench.ports import free_ports
from cascade.channels.base import Checks, Health
from cascade.channels.http import HttpAdapter, HttpSettings, HttpTransport
from cascade.channels.smpp import SmppSettings, SmppTransport, pdu
from cascade.channels.sms.twilio import TwilioSms
from cascade.channels.telegram_bot import TelegramBot
from cascade.channels.viber_bot import ViberBot
from cascade.core.secret import Secret

TOKEN = "123456:AAH-very-secret"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(status: int, body: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """A provider that always answers so: its base URL, and the paths that it was asked for."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def checked(adapter: HttpAdapter) -> Health:
    transport = HttpTransport(adapter, "link", HttpSettings(total_s=2))
    assert isinstance(transport, Checks)
    try:
        return await transport.check()
    finally:
        await transport.stop(0)


@dataclass(frozen=True)
class Case:
    adapter: Callable[[str], HttpAdapter]
    status: int
    body: Any
    path: str
    health: Health


def telegram(base_url: str) -> HttpAdapter:
    return TelegramBot(Secret(TOKEN), base_url)


def viber(base_url: str) -> HttpAdapter:
    return ViberBot(Secret(TOKEN), base_url)


def twilio(base_url: str) -> HttpAdapter:
    return TwilioSms("AC1", Secret(TOKEN), base_url=base_url)


ME = {"ok": True, "result": {"id": 1, "is_bot": True, "username": "shop_bot"}}
ACCOUNT = {"status": 0, "status_message": "ok", "name": "Shop", "webhook": "https://gw.example/callbacks/viber_bot.2"}
GET_ME, GET_ACCOUNT = f"/bot{TOKEN}/getMe", "/pa/get_account_info"
GET_TWILIO = "/2010-04-01/Accounts/AC1.json"
CASES = {
    "Telegram: well": Case(telegram, 200, ME, GET_ME, Health(True, "@shop_bot")),
    "Telegram: a wrong token": Case(
        telegram,
        401,
        {"ok": False, "error_code": 401, "description": "Unauthorized"},
        GET_ME,
        Health(False, "Unauthorized"),
    ),
    "Telegram: its own fault": Case(telegram, 502, {}, GET_ME, Health(False, "HTTP 502")),
    "Telegram: something else answers": Case(
        telegram, 200, ["hello"], GET_ME, Health(False, "its answer is not understood: TypeError")
    ),
    "Telegram: the token is never repeated": Case(
        telegram,
        404,
        {"ok": False, "error_code": 404, "description": f"no bot {TOKEN}"},
        GET_ME,
        Health(False, "no bot ***"),
    ),
    "Twilio: well": Case(
        twilio, 200, {"friendly_name": "Shop", "status": "active"}, GET_TWILIO, Health(True, "Shop, active")
    ),
    "Twilio: suspended": Case(
        twilio, 200, {"friendly_name": "Shop", "status": "suspended"}, GET_TWILIO, Health(False, "Shop, suspended")
    ),
    "Twilio: a wrong token": Case(
        twilio, 401, {"code": 20003, "message": "Authenticate"}, GET_TWILIO, Health(False, "20003 Authenticate")
    ),
    "Viber: well": Case(
        viber, 200, ACCOUNT, GET_ACCOUNT, Health(True, "Shop; calls us at https://gw.example/callbacks/viber_bot.2")
    ),
    "Viber: nowhere to call": Case(
        viber, 200, ACCOUNT | {"webhook": ""}, GET_ACCOUNT, Health(True, "Shop; knows no address to call us at")
    ),
    "Viber: a wrong token": Case(
        viber, 200, {"status": 2, "status_message": "invalidAuthToken"}, GET_ACCOUNT, Health(False, "invalidAuthToken")
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_bot_says_who_it_is(case: str) -> None:
    given = CASES[case]
    async with serving(given.status, given.body) as (base_url, asked):
        assert await checked(given.adapter(base_url)) == given.health
    assert asked == [given.path]


async def test_nobody_there() -> None:
    health = await checked(telegram(f"http://127.0.0.1:{free_ports(1)}"))
    assert not health.is_well
    assert health.detail.startswith("no answer: ")
    assert TOKEN not in health.detail


def smpp(port: int, **settings: Any) -> SmppTransport:
    return SmppTransport(
        SmppSettings(port=port, system_id="esme1", password="hunter2!", connect_timeout_s=2, **settings)
    )


RECEIPT = [(pdu.TLV_RECEIPTED_MESSAGE_ID, b"A1\0"), (pdu.TLV_MESSAGE_STATE, b"\x02")]
BINDS = {  # the SMSC's answer -> well, and words
    0x00: (True, "let us bind as esme1"),
    0x05: (True, "allows no bind beside the one that stands"),
    0x0E: (False, "refused the bind: ESME_RINVPASWD"),
}


@pytest.mark.parametrize("status", BINDS)
async def test_an_smsc_lets_us_bind_or_not(status: int) -> None:
    is_well, words = BINDS[status]
    async with ScriptedSmsc(bind_statuses=(status,)) as smsc:
        transport = smpp(smsc.port)
        health = await transport.check()
        await transport.stop(0)
        assert (health.is_well, words in health.detail) == (is_well, True), health
        assert "hunter2!" not in health.detail
        assert smsc.unbinds == (status == 0)
        assert [request.command_id for request in smsc.binds] == [pdu.BIND_TRANSMITTER]


async def test_a_receipt_that_comes_by_a_look_is_left_with_the_smsc() -> None:
    """Some deliver to any bind, and `cascade doctor` has nobody who would take it in."""
    answers: list[tuple[int, int]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                command_id, status, sequence = struct.unpack(">III", (await reader.readexactly(length - 4))[:12])
                if command_id == pdu.BIND_TRANSMITTER:
                    body = b"\0\x01\x01380501112233\0\0\0Shop\0\x04" + bytes(9) + pdu.encode_tlvs(RECEIPT)
                    bound = pdu.encode(pdu.BIND_TRANSMITTER | pdu.RESPONSE, sequence, b"smsc\0")
                    writer.write(bound + pdu.encode(pdu.DELIVER_SM, 5, body))
                elif command_id == pdu.DELIVER_SM_RESP:
                    answers.append((sequence, status))
                    writer.write(pdu.encode(pdu.UNBIND_RESP, 2))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        transport = smpp(server.sockets[0].getsockname()[1])
        assert (await transport.check()).is_well
        await transport.stop(0)
    assert answers == [(5, 0x64)]


async def test_no_smsc_there() -> None:
    transport = smpp(free_ports(1))
    health = await transport.check()
    assert not health.is_well
    assert "cannot be reached" in health.detail
