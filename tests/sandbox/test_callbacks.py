"""What is posted to the gateway, whatever address somebody has set up for it."""

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from cascade.sandbox.callbacks import Callback, Callbacks
from sandbox.conftest import Gateway

NOWHERE = {  # addresses that a twin may have been told
    "a host with an empty label": "http://a..b/",
    "a label that is too long": f"http://{'a' * 70}.example/",
    "an address that does not end": "http://[::1/",
    "another protocol": "ftp://127.0.0.1/",
}


@pytest.mark.parametrize("url", NOWHERE.values(), ids=NOWHERE)
async def test_an_address_that_leads_nowhere_stops_no_other_callback(gateway: Gateway, url: str) -> None:
    async with ClientSession() as session:
        callbacks = Callbacks(session, retries_s=(), concurrency=1)
        callbacks.start()
        callbacks.post(Callback(url, b"lost", {}))
        callbacks.post(Callback(f"{gateway.url}/callback", b"comes", {}))
        (posted,) = await gateway.take()
        await callbacks.stop()
    assert posted.raw == b"comes"


async def test_a_sender_without_a_webhook_is_not_called(gateway: Gateway) -> None:
    with capture_logs() as logs:
        async with ClientSession() as session:
            callbacks = Callbacks(session, retries_s=(), concurrency=1)
            callbacks.start()
            callbacks.post(Callback("", b"nobody's", {}))
            callbacks.post(Callback(f"{gateway.url}/callback", b"comes", {}))
            await gateway.take()
            await callbacks.stop()
    assert logs == []
