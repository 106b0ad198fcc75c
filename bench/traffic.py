"""The messages that the benches send, and the settings that their gateways have in common."""

import json
from collections.abc import Iterator

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.far_end import Ports
from bench.gateway import Gateway
from bench.http_client import HOST, request

SEND_PATH = "/api/CascadeMessage/send_message/async"
BOTS = {"telegram_bot": "1000000001:bench-telegram-key", "viber_bot": "bench-viber-token"}
"""Channel to token."""
TEXT = "Your order #12345 has been confirmed and will arrive tomorrow."
TTL_S = 86_400
MOST_SUBSCRIBERS = 5_000


def phone(number: int) -> str:
    return f"+38050{number:07d}"


def batches(key: str, count: int, batch: int, *, first: int = 0, name: str = "bench") -> Iterator[bytes]:
    """Requests that together send `count` transaction messages to as many phones, beginning with number `first`. `name`
    begins their ids."""
    for start in range(first, first + count, batch):
        messages = [
            {
                "id": f"{name}-{number}",
                "fromName": "YourBrand",
                "toPhone": phone(number),
                "messageType": "transaction",
                "text": TEXT,
                "ttl": TTL_S,
            }
            for number in range(start, min(start + batch, first + count))
        ]
        yield request("POST", SEND_PATH, key, orjson.dumps(messages))


def settings(ports: Ports, *, receipts: str = "every", sms: bool = True, window: int = 100) -> str:
    """TOML of a gateway that waits for nothing but its providers' answers: windows of 100 (`window`: at the SMSC), no
    limit of pace."""
    return f"""
[telegram_bot]
base_url = "http://{HOST}:{ports.http}"
window = 100
rate_per_s = 1000000
chat_rate_per_s = 1000000
updates = "off"
[viber_bot]
base_url = "http://{HOST}:{ports.http}"
window = 100
[webhooks]
allow = ["{HOST}"]
allow_http = true
ports = []
[log]
level = "warning"
{smsc(ports, "smpp", window, receipts) if sms else ""}"""


def smsc(ports: Ports, section: str, window: int, receipts: str = "none") -> str:
    """TOML of one bind, as `[smpp]` or as a provider."""
    kind = "" if section == "smpp" else 'kind = "sms.smpp"\n'
    return f"""[{section}]
{kind}host = "{HOST}"
port = {ports.smsc}
system_id = "bench"
window = {window}
receipts = "{receipts}"
"""


def infobip(ports: Ports) -> str:
    """TOML of a provider of Viber Business."""
    return f"""
[providers.infobip]
kind = "viber_business.infobip"
base_url = "http://{HOST}:{ports.http}"
api_key = "bench-api-key"
callback_secret = "bench-callback-secret"
window = 100
"""


def google(ports: Ports) -> str:
    """TOML of RCS by Google, with a key made for it."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "client_email": "bench@example.com",
        "private_key": pem,
        "token_uri": f"http://{HOST}:{ports.http}/token",
    }
    return f"""
[providers.google]
kind = "rcs.google"
agent_id = "bench"
client_token = "bench-client-token"
service_account = '{json.dumps(account)}'
base_url = "http://{HOST}:{ports.http}"
window = 100
"""


async def subscribe(gateway: Gateway, channel: str, first: int, count: int) -> None:
    """Let the channel's bot know `count` phones, beginning with number `first`."""
    door = {"telegram_bot": "tg_bot", "viber_bot": "viber_bot"}[channel]
    for start in range(first, first + count, MOST_SUBSCRIBERS):
        numbers = range(start, min(start + MOST_SUBSCRIBERS, first + count))
        id_of = int if channel == "telegram_bot" else str
        users = [{"id": id_of(10_000_000 + number), "phone": phone(number)} for number in numbers]
        answer = await gateway.ask("POST", f"/api/{door}/{BOTS[channel]}", orjson.dumps(users))
        if answer.status != 200:
            raise RuntimeError(f"the gateway refused its subscribers: {answer.body[:300]!r}")


async def listen(gateway: Gateway, port: int) -> None:
    """Let the account be told of every delivery by a webhook. A test event goes first, so that whatever is begun with
    the first event is there."""
    body = {"url": f"http://{HOST}:{port}/events", "types": ["message.delivered"]}
    answer = await gateway.ask("POST", "/v1/webhooks", orjson.dumps(body))
    if answer.status not in (200, 201):
        raise RuntimeError(f"the gateway refused its webhook: {answer.body[:300]!r}")
    webhook = orjson.loads(answer.body)["id"]
    tested = await gateway.ask("POST", f"/v1/webhooks/{webhook}/test")
    if tested.status != 202:
        raise RuntimeError(f"the gateway refused a test event: {tested.body[:300]!r}")
