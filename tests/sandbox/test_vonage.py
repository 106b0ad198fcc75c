"""The twin of Vonage refuses what Vonage refuses, and is believed by Vonage's own libraries."""

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from vonage_jwt import JwtClient, verify_signature

from cascade.sandbox.app import SandboxSettings
from cascade.sandbox.vonage import VonageAccount

from .conftest import PHONE, Client, Gateway

SECRET = "the signature secret of the account"
APPLICATION = "78d335fa-323d-0114-9c3d-d6f0d48968cf"
PATH = "/vonage/v1/messages"
BASIC = base64.b64encode(b"key:secret").decode()
IMAGE = "https://cdn.example/sale.jpg"
KEY = generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def settings() -> SandboxSettings:
    return SandboxSettings(
        http_port=0,
        smsc_port=0,
        retries_s=(0.01,),
        vonage=VonageAccount("key", "secret", SECRET, APPLICATION, PUBLIC),
    )


def sms(**fields: Any) -> dict[str, Any]:
    return {"channel": "sms", "message_type": "text", "to": "380501112233", "from": "Shop", "text": "hi"} | fields


def viber(kind: str, options: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return sms(channel="viber_service", message_type=kind, viber_service={"category": "promotion"} | options, **fields)


def card(**fields: Any) -> dict[str, Any]:
    whole = {"title": "Shop", "text": "Sale", "media_url": IMAGE} | fields
    return sms(channel="rcs", message_type="card", card=whole)


LONG_LABEL = {"type": "reply", "text": "x" * 26, "postback_data": "1"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown channel": (sms(channel="fax"), "channel"),
    "a picture by SMS": (sms(message_type="image", image={"url": IMAGE}), "message_type"),
    "a phone with its plus": (sms(to="+380501112233"), "to"),
    "no sender": (sms(**{"from": ""}), "from"),
    "too long a reference": (sms(client_ref="x" * 101), "client_ref"),
    "too short a time to live": (sms(ttl=19), "ttl"),
    "too long a text": (sms(text="x" * 3201), "text"),
    "Viber: no category": (sms(channel="viber_service"), "viber_service.category"),
    "Viber: too short a time to live": (viber("text", {"ttl": 29}), "ttl"),
    "Viber: a picture in a transaction": (
        viber("image", {"category": "transaction"}, image={"url": IMAGE}),
        "viber_service.category",
    ),
    "Viber: a video's length as a number": (
        viber("video", {"duration": 12, "file_size": "4"}, video={"url": IMAGE, "thumb_url": IMAGE}),
        "viber_service.duration",
    ),
    "Viber: a video without preview": (
        viber("video", {"duration": "12", "file_size": "4"}, video={"url": IMAGE}),
        "video.thumb_url",
    ),
    "Viber: too long a button": (
        viber("text", {"action": {"url": IMAGE, "text": "x" * 31}}),
        "viber_service.action",
    ),
    "RCS: a card without title": (card(title=""), "card"),
    "RCS: a card without picture": (card(media_url=""), "card.media_url"),
    "RCS: five chips in a card": (
        card(suggestions=[LONG_LABEL | {"text": "x"}] * 5),
        "suggestions",
    ),
    "RCS: too long a chip": (sms(channel="rcs", suggestions=[LONG_LABEL]), "suggestions"),
    "RCS: a link without description": (
        sms(channel="rcs", suggestions=[{"type": "open_url", "text": "x", "postback_data": "1", "url": IMAGE}]),
        "suggestions",
    ),
}


@pytest.mark.parametrize(("body", "name"), REFUSED.values(), ids=REFUSED)
async def test_it_refuses(body: dict[str, Any], name: str, client: Client) -> None:
    status, problem = await client.call("POST", PATH, body, Authorization=f"Basic {BASIC}")
    assert status == 422
    assert [wrong["name"] for wrong in problem["invalid_parameters"]] == [name]
    assert not await client.inbox()


async def test_its_webhooks_are_believed_by_vonages_own_library(client: Client, gateway: Gateway) -> None:
    body = sms(webhook_url=f"{gateway.url}/status", client_ref="ours")
    status, answer = await client.call("POST", PATH, body, Authorization=f"Basic {BASIC}")
    assert status == 202
    [post] = await gateway.take()
    assert (post.json["status"], post.json["message_uuid"]) == ("delivered", answer["message_uuid"])
    assert post.json["client_ref"] == "ours"
    token = post.headers["Authorization"].removeprefix("Bearer ")
    assert verify_signature(token, SECRET)
    assert not verify_signature(token, "another secret, of the same length.")


async def test_it_takes_the_tokens_of_vonages_own_library(client: Client) -> None:
    token = JwtClient(APPLICATION, PEM).generate_application_jwt()
    said = token.decode() if isinstance(token, bytes) else token
    assert (await client.call("POST", PATH, sms(), Authorization=f"Bearer {said}"))[0] == 202
    another = JwtClient("78d335fa-323d-0114-9c3d-000000000000", PEM).generate_application_jwt()
    said = another.decode() if isinstance(another, bytes) else another
    assert (await client.call("POST", PATH, sms(), Authorization=f"Bearer {said}"))[0] == 401


async def test_only_an_rcs_message_is_taken_back(client: Client) -> None:
    for body, expected in ((sms(), 404), (sms(channel="rcs"), 200)):
        _, answer = await client.call("POST", PATH, body, Authorization=f"Basic {BASIC}")
        async with client.session.patch(
            f"{client.url}{PATH}/{answer['message_uuid']}",
            json={"status": "revoked"},
            headers={"Authorization": f"Basic {BASIC}"},
        ) as response:
            assert response.status == expected
    assert [(shown["channel"], shown["revoked"]) for shown in await client.inbox(PHONE)] == [
        ("sms", False),
        ("rcs", True),
    ]
