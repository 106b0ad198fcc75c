"""The twin of Infobip refuses what Infobip refuses, and serves Infobip's own client."""

import asyncio
from typing import Any

import infobip_api_client as infobip
import pytest
from infobip_api_client import models
from infobip_api_client.api.viber_api import ViberApi

from cascade.sandbox.app import Sandbox

from .conftest import Client, Gateway

KEY = "your-infobip-key"
IMAGE, VIDEO = "https://cdn.example/sale.jpg", "https://cdn.example/sale.mp4"
FILM = {"type": "VIDEO", "mediaUrl": VIDEO, "mediaDuration": "PT5S", "thumbnailUrl": IMAGE}
CHIP = {"type": "REPLY", "text": "Good", "postbackData": "1"}


def viber(**content: Any) -> tuple[str, dict[str, Any]]:
    return "/infobip/viber/2/messages", message({"type": "TEXT", "text": "hi"} | content)


def rcs(**content: Any) -> tuple[str, dict[str, Any]]:
    return "/infobip/rcs/2/messages", message({"type": "TEXT", "text": "hi"} | content)


def sms(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "/infobip/sms/3/messages", message(fields.pop("content", {"text": "hi"}), **fields)


def message(content: dict[str, Any], to: str = "380501112233", **fields: Any) -> dict[str, Any]:
    whole = {"sender": "Shop", "destinations": [{"to": to}], "content": content} | fields
    return {"messages": [whole], "options": {"tracking": {"shortenUrl": False}}}


REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "no messages": (("/infobip/sms/3/messages", {"messages": []}), "messages"),
    "links shortened by default": (
        ("/infobip/sms/3/messages", sms()[1] | {"options": {}}),
        "options.tracking.shortenUrl",
    ),
    "no sender": (sms(sender=None), "messages.sender"),
    "nobody to send to": (sms(destinations=[]), "messages.destinations"),
    "a phone with its plus": (sms(destinations=[{"to": "+380501112233"}]), "messages.destinations.to"),
    "too long an id": (
        sms(destinations=[{"to": "380501112233", "messageId": "x" * 201}]),
        "messages.destinations.messageId",
    ),
    "a validity without number": (
        sms(options={"validityPeriod": {"amount": "60"}}),
        "messages.options.validityPeriod",
    ),
    "an SMS of nothing": (sms(content={"text": ""}), "messages.content.text"),
    "Viber: too long a text": (viber(text="x" * 1001), "messages.content.text"),
    "Viber: too long a question": (viber(type="LIST", text="x" * 86, options=["a", "b"]), "messages.content.text"),
    "Viber: one option": (viber(type="LIST", options=["a"]), "messages.content.options"),
    "Viber: a picture that is none": (viber(type="IMAGE", mediaUrl=VIDEO), "messages.content.mediaUrl"),
    "Viber: a video without preview": (viber(**FILM | {"thumbnailUrl": ""}), "messages.content.thumbnailUrl"),
    "Viber: a video without length": (viber(**FILM | {"mediaDuration": "5"}), "messages.content.mediaDuration"),
    "Viber: a file without name": (viber(type="FILE", mediaUrl=VIDEO), "messages.content.fileName"),
    "Viber: too long a button": (viber(button={"title": "x" * 31, "action": IMAGE}), "messages.content.button"),
    "Viber: an unknown type": (viber(type="SONG"), "messages.content.type"),
    "RCS: too long a text": (rcs(text="x" * 3073), "messages.content.text"),
    "RCS: a card of nothing": (rcs(type="CARD", orientation="VERTICAL", content={}), "messages.content.content"),
    "RCS: too many chips": (rcs(suggestions=[CHIP] * 12), "messages.content.suggestions"),
    "RCS: a link that is none": (
        rcs(suggestions=[CHIP | {"type": "OPEN_URL", "url": "shop"}]),
        "messages.content.suggestions",
    ),
    "RCS: a file that is none": (rcs(type="FILE", file={"url": "x"}), "messages.content.file.url"),
}


@pytest.mark.parametrize(("request_", "name"), REFUSED.values(), ids=REFUSED)
async def test_it_refuses(request_: tuple[str, dict[str, Any]], name: str, client: Client) -> None:
    path, body = request_
    status, problem = await client.call("POST", path, body, Authorization=f"App {KEY}")
    assert status == 400
    assert [wrong["property"] for wrong in problem["violations"]] == [name]
    assert not await client.inbox()


async def test_it_serves_infobips_own_client(client: Client, gateway: Gateway, sandbox: Sandbox) -> None:
    configuration = infobip.Configuration(host="https://sandbox.example", api_key=KEY)
    configuration._base_path = f"{sandbox.url}/infobip"  # it takes no http from anybody
    webhooks = models.ViberWebhooks(delivery=models.ViberMessageDeliveryReporting(url=f"{gateway.url}/reports"))
    survey = models.ViberOutboundListContent(type="LIST", text="How was it?", options=["Good", "Bad"])
    tracking = models.UrlOptions(shortenUrl=False)
    viber_request = models.ViberRequest(
        messages=[
            models.ViberMessage(
                sender="Shop",
                destinations=[models.ViberToDestination(to="380501112233", messageId="ours")],
                content=survey,
                webhooks=webhooks,
            )
        ],
        options=models.ViberDefaultMessageRequestOptions(tracking=tracking),
    )
    with infobip.ApiClient(configuration) as api:
        sent = await asyncio.to_thread(ViberApi(api).send_viber_messages, viber_request)
    assert [(one.message_id, one.status.name) for one in sent.messages] == [("ours", "PENDING_ACCEPTED")]
    [report] = await gateway.take()
    read = models.ViberWebhookReportsResponse.from_json(report.raw.decode())
    assert [(one.message_id, one.status.name) for one in read.results] == [("ours", "DELIVERED_TO_HANDSET")]
    await client.call("POST", "/people/+380501112233/answer", {"channel": "viber_business", "option": "Bad"})
    [reply] = await gateway.take()
    inbound = models.ViberInboundMessageViberInboundContent.from_dict(reply.json["results"][0])
    assert (inbound.message.text, inbound.paired_message_id) == ("Bad", "ours")


async def test_a_second_message_with_the_same_id_is_refused(client: Client) -> None:
    path, body = sms(destinations=[{"to": "380501112233", "messageId": "ours"}])
    names = []
    for _ in range(2):
        _, answer = await client.call("POST", path, body, Authorization=f"App {KEY}")
        names.append(answer["messages"][0]["status"]["name"])
    assert names == ["PENDING_ACCEPTED", "REJECTED_DUPLICATE_MESSAGE_ID"]
    assert len(await client.inbox()) == 1
