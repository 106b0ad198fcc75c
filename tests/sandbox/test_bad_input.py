"""Whatever stands in a field: a twin answers as its provider would, and the phones are shown as before."""

import base64
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest

from cascade.sandbox.app import Sandbox
from cascade.sandbox.viber_bot import user_id_of

from .conftest import PHONE, TELEGRAM_TOKEN, VIBER_TOKEN, Client, Gateway

BARE = PHONE.removeprefix("+")
IMAGE, SHOP = "https://cdn.example/sale.jpg", "https://shop.example/"
ODD: tuple[Any, ...] = (None, True, 5, 10**30, "", "x" * 9, "http://[", "http://a..b/", [], [5], {}, {"x": 5})
"""What nobody should send, in place of every part of a request in turn."""


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


@dataclass(frozen=True)
class Case:
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


TELEGRAM = {"chat_id": BARE, "reply_markup": {"inline_keyboard": [[{"text": "Yes", "callback_data": "1"}]]}}
KEYBOARD = {"keyboard": [[{"text": "Share", "request_contact": True}]], "inline_keyboard": []}
VIBER_HEADERS = {"X-Viber-Auth-Token": VIBER_TOKEN}
VIBER = {"receiver": user_id_of(PHONE), "sender": {"name": "Shop"}, "min_api_version": 2, "tracking_data": "1"}
BUTTONS = [
    {"Text": "Yes", "ActionType": "reply", "ActionBody": "1", "Columns": 3, "Rows": 1},
    {"Text": "Shop", "ActionType": "open-url", "ActionBody": SHOP},
]
INFOBIP_HEADERS = {"Authorization": "App your-infobip-key"}
CHIPS = [
    {"type": "REPLY", "text": "Good", "postbackData": "1"},
    {"type": "OPEN_URL", "text": "Shop", "postbackData": "2", "url": SHOP},
]
CARD = {
    "title": "Sale",
    "description": "Today",
    "media": {"file": {"url": IMAGE}, "height": "SHORT"},
    "suggestions": CHIPS,
}
VONAGE_HEADERS = basic("your-vonage-key", "your-vonage-secret")
VONAGE = {"to": BARE, "from": "Shop", "webhook_url": "", "client_ref": "1", "ttl": 600}
VONAGE_CHIPS = [
    {"type": "reply", "text": "Good", "postback_data": "1"},
    {"type": "open_url", "text": "Shop", "postback_data": "2", "url": SHOP, "description": "Shop"},
]
RBM_CHIPS = [
    {"reply": {"text": "Good", "postbackData": "1"}},
    {"action": {"text": "Shop", "postbackData": "2", "openUrlAction": {"url": SHOP}}},
]
RBM_CARD = {
    "title": "Sale",
    "description": "Today",
    "media": {"height": "TALL", "contentInfo": {"fileUrl": IMAGE}},
    "suggestions": RBM_CHIPS,
}


def infobip(channel: str, content: dict[str, Any]) -> Case:
    message = {
        "sender": "Shop",
        "destinations": [{"to": BARE}],
        "content": content,
        "options": {"validityPeriod": {"amount": 5, "timeUnit": "MINUTES"}, "trackingData": "1"},
        "webhooks": {"delivery": {"url": ""}, "seen": {"url": ""}, "callbackData": "1"},
    }
    body = {"messages": [message], "options": {"tracking": {"shortenUrl": False}}}
    return Case(f"/infobip/{channel}/messages", body, INFOBIP_HEADERS)


def smsbat(kind: str, **data: Any) -> Case:
    message = {"type": kind, "to": PHONE, "from": "Shop", "text": "hi", "customerMessageId": "1", "messageData": data}
    return Case("/smsbat/bat/messagelist", {"messages": [message]}, {"X-Authorization-Key": "your-smsbat-key"})


def google(content: dict[str, Any]) -> Case:
    body = {"contentMessage": content, "messageTrafficType": "PROMOTION", "ttl": "60s"}
    return Case(f"/google-rbm/v1/phones/{PHONE}/agentMessages?agentId=shop&messageId=", body)


CASES = {
    "Telegram: a text": Case(f"/bot{TELEGRAM_TOKEN}/sendMessage", TELEGRAM | {"text": "hi", "parse_mode": "HTML"}),
    "Telegram: a keyboard": Case(
        f"/bot{TELEGRAM_TOKEN}/sendMessage", {"chat_id": BARE, "text": "hi", "reply_markup": KEYBOARD}
    ),
    "Telegram: a video": Case(
        f"/bot{TELEGRAM_TOKEN}/sendVideo", TELEGRAM | {"video": IMAGE, "caption": "hi", "width": 1, "duration": 1}
    ),
    "Telegram: a deletion": Case(f"/bot{TELEGRAM_TOKEN}/deleteMessage", {"chat_id": BARE, "message_id": 1}),
    "Telegram: a webhook": Case(
        f"/bot{TELEGRAM_TOKEN}/setWebhook", {"url": "", "allowed_updates": ["message"], "max_connections": 1}
    ),
    "Telegram: updates": Case(f"/bot{TELEGRAM_TOKEN}/getUpdates", {"offset": 0, "limit": 1, "allowed_updates": []}),
    "Viber: a text": Case(
        "/pa/send_message", VIBER | {"type": "text", "text": "hi", "keyboard": {"Buttons": BUTTONS}}, VIBER_HEADERS
    ),
    "Viber: a file": Case(
        "/pa/send_message",
        VIBER | {"type": "file", "media": IMAGE, "size": 1, "file_name": "a.jpg", "thumbnail": IMAGE},
        VIBER_HEADERS,
    ),
    "Viber: rich media": Case(
        "/pa/send_message", VIBER | {"type": "rich_media", "rich_media": {"Buttons": BUTTONS}}, VIBER_HEADERS
    ),
    "Viber: to many": Case(
        "/pa/broadcast_message",
        VIBER | {"broadcast_list": [user_id_of(PHONE)], "type": "url", "media": SHOP},
        VIBER_HEADERS,
    ),
    "Viber: a webhook": Case("/pa/set_webhook", {"url": "", "event_types": ["seen"]}, VIBER_HEADERS),
    "Viber: a user": Case("/pa/get_user_details", {"id": user_id_of(PHONE)}, VIBER_HEADERS),
    "Viber: who is there": Case("/pa/get_online", {"ids": [user_id_of(PHONE)]}, VIBER_HEADERS),
    "Infobip: a picture by Viber": infobip(
        "viber/2",
        {"type": "IMAGE", "text": "hi", "mediaUrl": IMAGE, "button": {"title": "Shop", "action": SHOP}},
    ),
    "Infobip: a film by Viber": infobip(
        "viber/2", {"type": "VIDEO", "mediaUrl": f"{SHOP}a.mp4", "thumbnailUrl": IMAGE, "mediaDuration": "PT5S"}
    ),
    "Infobip: a file by Viber": infobip("viber/2", {"type": "FILE", "mediaUrl": IMAGE, "fileName": "a.pdf"}),
    "Infobip: a list by Viber": infobip("viber/2", {"type": "LIST", "text": "ok?", "options": ["Yes", "No"]}),
    "Infobip: a text by RCS": infobip("rcs/2", {"type": "TEXT", "text": "hi", "suggestions": CHIPS}),
    "Infobip: a file by RCS": infobip("rcs/2", {"type": "FILE", "file": {"url": IMAGE}}),
    "Infobip: a card by RCS": infobip("rcs/2", {"type": "CARD", "orientation": "VERTICAL", "content": CARD}),
    "Infobip: an SMS": infobip("sms/3", {"text": "hi"}),
    "Vonage: an SMS": Case(
        "/vonage/v1/messages", VONAGE | {"channel": "sms", "message_type": "text", "text": "hi"}, VONAGE_HEADERS
    ),
    "Vonage: a film by Viber": Case(
        "/vonage/v1/messages",
        VONAGE
        | {
            "channel": "viber_service",
            "message_type": "video",
            "video": {"url": IMAGE, "thumb_url": IMAGE, "caption": "hi"},
            "viber_service": {"category": "promotion", "duration": "5", "file_size": "1", "ttl": 60},
        },
        VONAGE_HEADERS,
    ),
    "Vonage: a text by Viber": Case(
        "/vonage/v1/messages",
        VONAGE
        | {
            "channel": "viber_service",
            "message_type": "text",
            "text": "hi",
            "viber_service": {"category": "promotion", "action": {"text": "Shop", "url": SHOP}},
        },
        VONAGE_HEADERS,
    ),
    "Vonage: a file by Viber": Case(
        "/vonage/v1/messages",
        VONAGE
        | {
            "channel": "viber_service",
            "message_type": "file",
            "file": {"url": IMAGE, "name": "a.pdf"},
            "viber_service": {"category": "transaction"},
        },
        VONAGE_HEADERS,
    ),
    "Vonage: a card by RCS": Case(
        "/vonage/v1/messages",
        VONAGE
        | {
            "channel": "rcs",
            "message_type": "card",
            "card": {"title": "Sale", "text": "hi", "media_url": IMAGE, "suggestions": VONAGE_CHIPS},
        },
        VONAGE_HEADERS,
    ),
    "Vonage: a text by RCS": Case(
        "/vonage/v1/messages",
        VONAGE | {"channel": "rcs", "message_type": "text", "text": "hi", "suggestions": VONAGE_CHIPS},
        VONAGE_HEADERS,
    ),
    "Vonage: a revocation": Case("/vonage/v1/messages/1", {"status": "revoked"}, VONAGE_HEADERS, "PATCH"),
    "SMSBAT: an SMS": smsbat("sms"),
    "SMSBAT: a promo": smsbat("viber_promo", img=IMAGE, buttonText="Shop", buttonAction=SHOP),
    "SMSBAT: a survey": smsbat("viber_survey", survey={"options": ["Yes", "No"]}),
    "SMSBAT: RCS": smsbat(
        "rcs",
        media={"type": "image/jpeg", "url": IMAGE},
        buttons=[{"text": "Shop", "action": {"url": SHOP}}],
    ),
    "SMSBAT: a webhook": Case("/smsbat/webhooks/rcs", {"url": ""}, method="PUT"),
    "Google: a text": google({"text": "hi", "suggestions": RBM_CHIPS}),
    "Google: a file": google({"contentInfo": {"fileUrl": IMAGE}}),
    "Google: a card": google({"richCard": {"standaloneCard": {"cardContent": RBM_CARD}}}),
    "Google: a webhook": Case("/google-rbm/webhook", {"url": ""}, method="PUT"),
    "Asterisk: a call": Case(
        "/ari/channels/", {"endpoint": f"PJSIP/{PHONE}@trunk", "app": "a", "callerId": PHONE, "timeout": 1}
    ),
    "Sinch: a call": Case(
        "/sinch/verification/v1/verifications",
        {"identity": {"type": "number", "endpoint": PHONE}, "method": "flashcall", "reference": "1", "custom": "1"},
        basic("your-sinch-key", "eW91ci1zaW5jaC1zZWNyZXQ="),
    ),
    "Sinch: a callback": Case("/sinch/callback", {"url": ""}, method="PUT"),
    "a person": Case(f"/people/{PHONE}", {"sms": "delivers"}, method="PUT"),
    "an answer": Case(f"/people/{PHONE}/answer", {"channel": "sms", "option": "1"}),
    "a text of a person": Case(f"/people/{PHONE}/write", {"channel": "viber_bot", "text": "hi"}),
    "a contact": Case(f"/people/{PHONE}/share-contact", {"channel": "telegram_bot", "phone": PHONE}),
}


REFUSED_IN_ANY_CASE = {  # what they are about is not there
    "Telegram: a deletion",
    "Vonage: a revocation",
    "Google: a webhook",
    "an answer",
}


def altered(whole: Any) -> Iterator[Any]:
    """The whole with something odd in place of each of its parts, and with each of them missing."""
    yield from ODD
    for key in list(whole) if isinstance(whole, dict) else range(len(whole)) if isinstance(whole, list) else ():
        for part in altered(whole[key]):
            copy = deepcopy(whole)
            copy[key] = part
            yield copy
        missing = deepcopy(whole)
        del missing[key]
        yield missing


@pytest.mark.parametrize("name", CASES)
async def test_whatever_stands_in_a_field(name: str, client: Client, sandbox: Sandbox, gateway: Gateway) -> None:
    case = CASES[name]
    await client.put(PHONE, telegram_bot="delivers", viber_bot="delivers")
    await client.call("POST", "/pa/set_webhook", {"url": f"{gateway.url}/viber"}, **VIBER_HEADERS)
    headers = case.headers
    if case.path.startswith("/google-rbm/v1"):
        headers = await bearer(client)
    elif case.path.startswith("/ari"):
        headers = basic("cascade", "cascade")
    wrong = []
    for number, body in enumerate([case.body, *altered(case.body)]):
        path = case.path
        if path.endswith("messageId="):
            path += f"00000000-0000-4000-8000-{number:012}"
        elif path == "/ari/channels/":
            path += str(number)
        async with client.session.request(case.method, client.url + path, json=body, headers=headers) as answer:
            status = answer.status
        assert number or status < 300 or name in REFUSED_IN_ANY_CASE
        shown = [
            (await client.session.get(client.url + there)).status
            for there in (f"/?phone=%2B{BARE}", f"/people/{PHONE}/inbox", "/people")
        ]
        if status >= 500 or shown != [200, 200, 200]:
            wrong.append((status, shown, body))
            await client.call("DELETE", f"/people/{PHONE}/inbox")
    assert wrong == []


@pytest.mark.parametrize(
    "credentials", ["Basic ?", "Basic é", "Basic /w==", "application a:é", "Bearer é.é.é", "App é"]
)
async def test_credentials_that_cannot_be_read_are_wrong_ones(credentials: str, client: Client) -> None:
    for path in (
        "/infobip/sms/3/messages",
        "/vonage/v1/messages",
        f"/google-rbm/v1/phones/{PHONE}/agentMessages",
        "/twilio/2010-04-01/Accounts/AC1/Messages.json",
        "/ari/channels/1",
        "/sinch/verification/v1/verifications",
    ):
        async with client.session.post(client.url + path, json={}, headers={"Authorization": credentials}) as answer:
            assert answer.status == 401, path


FORMS = {  # content type, body
    "no boundary": ("multipart/form-data", b"x"),
    "cut short": ("multipart/form-data; boundary=b", b"--b\r\nContent"),
    "an unknown alphabet": ("application/x-www-form-urlencoded; charset=runes", b"To=1"),
    "octets of no alphabet": ("application/x-www-form-urlencoded", b"To=\xff"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_form_that_cannot_be_read(form: tuple[str, bytes], client: Client) -> None:
    sid = f"AC{1:032}"
    for path, headers in (
        (f"/bot{TELEGRAM_TOKEN}/sendMessage", {}),
        (f"/twilio/2010-04-01/Accounts/{sid}/Messages.json", basic(sid, "your-twilio-token")),
        ("/google-rbm/token", {}),
    ):
        headers = headers | {"Content-Type": form[0]}
        async with client.session.post(client.url + path, data=form[1], headers=headers) as answer:
            assert answer.status == 400, path


async def bearer(client: Client) -> dict[str, str]:
    _, account = await client.call("GET", "/google-rbm/service-account.json")
    claims = {"iss": account["client_email"], "scope": "rcsbusinessmessaging", "exp": time.time() + 600}
    form = {"assertion": jwt.encode(claims, account["private_key"], "RS256")}
    async with client.session.post(account["token_uri"], data=form) as answer:
        return {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
