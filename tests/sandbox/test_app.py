"""The sandbox as a whole: starting, stopping, and keeping secrets."""

import asyncio
import dataclasses
import os
import signal

import pytest
from aiohttp import ClientConnectorError, ClientSession
from structlog.testing import capture_logs

from cascade.sandbox.app import Sandbox, SandboxSettings, run
from sandbox.conftest import GATEWAY_KEY, PATIENCE_S, PHONE, TELEGRAM_TOKEN, VIBER_TOKEN, Client, Gateway


async def test_it_starts_again_on_the_same_ports_with_the_same_people(settings: SandboxSettings) -> None:
    sandbox = Sandbox(settings)
    async with ClientSession() as session:
        await sandbox.start()
        ports = (sandbox.http_port, sandbox.smsc_port, sandbox.sip_port)
        client = Client(session, sandbox.url)
        await client.put(PHONE, telegram_bot="delivers")
        await sandbox.stop()
        with pytest.raises(ClientConnectorError):
            await client.inbox()
        await sandbox.start()
        assert (sandbox.http_port, sandbox.smsc_port, sandbox.sip_port) == ports
        assert len((await client.call("GET", "/people"))[1]) == 1
        await sandbox.stop()


async def test_the_smsc_listens_too(sandbox: Sandbox) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", sandbox.smsc_port)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("taken", ["http_port", "smsc_port", "sip_port"])
async def test_a_taken_port_stops_the_start_and_leaves_nothing_open(settings: SandboxSettings, taken: str) -> None:
    other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    sandbox = Sandbox(dataclasses.replace(settings, **{taken: port}))
    with pytest.raises(OSError, match="address already in use"):
        await sandbox.start()
    other.close()
    await other.wait_closed()


async def test_a_waiting_poller_does_not_hold_up_the_stop(settings: SandboxSettings) -> None:
    sandbox = Sandbox(settings)
    await sandbox.start()
    async with ClientSession() as session:
        client = Client(session, sandbox.url)
        poll = asyncio.create_task(client.call("POST", f"/bot{TELEGRAM_TOKEN}/getUpdates", {"timeout": 50}))
        while sandbox.telegram_bot.counters.requests == 0:
            await client.inbox()
        async with asyncio.timeout(PATIENCE_S):
            await sandbox.stop()
            assert await poll == (200, {"ok": True, "result": []})


async def test_it_runs_until_a_signal(settings: SandboxSettings) -> None:
    running = asyncio.create_task(run(settings))
    await asyncio.sleep(0)
    assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        await running


async def test_no_secret_and_no_phone_is_logged_or_printed(settings: SandboxSettings, gateway: Gateway) -> None:
    settings = dataclasses.replace(settings, gateway_url=gateway.url, gateway_key=GATEWAY_KEY)
    sandbox = Sandbox(settings)
    with capture_logs() as logs:
        await sandbox.start()
        async with ClientSession() as session:
            client = Client(session, sandbox.url)
            await client.put(PHONE, telegram_bot="delivers", viber_bot="delivers")
            await client.call("POST", f"/bot{TELEGRAM_TOKEN}/setWebhook", {"url": f"{gateway.url}/tg"})
            await client.call("POST", "/pa/set_webhook", {"url": f"{gateway.url}/vb", "auth_token": VIBER_TOKEN})
            gateway.statuses = [500] * 4
            for channel in ("telegram_bot", "viber_bot"):
                await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": channel})
            await gateway.take(3 + 4)
        await sandbox.stop()
    assert {"sandbox_started", "update_refused"} <= {entry["event"] for entry in logs}
    said = f"{logs} {settings!r}"
    for secret in (TELEGRAM_TOKEN, VIBER_TOKEN, GATEWAY_KEY, PHONE, PHONE.removeprefix("+")):
        assert secret not in said
