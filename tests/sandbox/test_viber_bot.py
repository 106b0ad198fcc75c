"""The Viber twin, driven by Viber's own Python SDK wherever that can say it, else by plain HTTP."""

import asyncio
from typing import Any

import pytest
from viberbot import Api
from viberbot.api.bot_configuration import BotConfiguration
from viberbot.api.messages import PictureMessage, TextMessage
from viberbot.api.viber_requests import (
    ViberDeliveredRequest,
    ViberFailedRequest,
    ViberMessageRequest,
    ViberSeenRequest,
    ViberSubscribedRequest,
    ViberUnsubscribedRequest,
)

from cascade.sandbox.app import Sandbox
from cascade.sandbox.viber_bot import signature, user_id_of
from sandbox.conftest import OTHER_PHONE, PHONE, VIBER_TOKEN, Client, Gateway, Posted

USER = user_id_of(PHONE)
STRANGER = user_id_of("+380931112233")
PICTURE = "https://example.com/cat.png"
TEXT = {"receiver": USER, "type": "text", "text": "hello", "sender": {"name": "Shop"}}


@pytest.fixture
async def api(sandbox: Sandbox, client: Client, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Viber's SDK, with a webhook set and one person subscribed."""
    monkeypatch.setattr("viberbot.api.api.VIBER_BOT_API_URL", f"{sandbox.url}/pa")
    api = Api(BotConfiguration(auth_token=VIBER_TOKEN, name="Shop", avatar="https://example.com/a.png"))
    await asyncio.to_thread(api.set_webhook, f"{gateway.url}/viber")
    [event] = await gateway.take()
    assert api.parse_request(event.raw).event_type == "webhook"
    await client.put(PHONE, viber_bot="delivers")
    return api


async def send(api: Api, text: str = "hello", receiver: str = USER, **fields: Any) -> int:
    [token] = await asyncio.to_thread(api.send_messages, receiver, [TextMessage(text=text, **fields)])
    return int(token)


async def call(client: Client, method: str, body: dict[str, Any], token: str = VIBER_TOKEN) -> dict[str, Any]:
    status, answer = await client.call("POST", f"/pa/{method}", body, **{"X-Viber-Auth-Token": token})
    assert status == 200
    return dict(answer)


def read(api: Api, post: Posted) -> Any:
    """A callback as Viber's SDK reads it, its signature verified by the SDK."""
    assert api.verify_signature(post.raw, post.headers["X-Viber-Content-Signature"])
    return api.parse_request(post.raw)


ACCEPTED = {  # behaviour -> the callbacks that follow
    "delivers": [ViberDeliveredRequest],
    "reads": [ViberDeliveredRequest, ViberSeenRequest],
    "repeats": [ViberDeliveredRequest, ViberDeliveredRequest],
}


@pytest.mark.parametrize("behaviour", ACCEPTED)
async def test_receipts(api: Api, client: Client, gateway: Gateway, behaviour: str) -> None:
    await client.put(PHONE, viber_bot=behaviour)
    token = await send(api)
    events = [read(api, post) for post in await gateway.take(len(ACCEPTED[behaviour]))]
    assert [type(event) for event in events] == ACCEPTED[behaviour]
    assert {(event.message_token, event.user_id) for event in events} == {(token, USER)}
    assert [received["provider_id"] for received in await client.inbox()] == [str(token)]


async def test_a_silent_person_gets_it_and_nobody_hears(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(PHONE, viber_bot="silent")
    await send(api)
    await client.put(OTHER_PHONE, viber_bot="reads")
    token = await send(api, receiver=user_id_of(OTHER_PHONE))
    assert {read(api, post).message_token for post in await gateway.take(2)} == {token}
    assert gateway.posts.empty()
    assert len(await client.inbox()) == 1


async def test_a_late_receipt_comes_late(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(PHONE, viber_bot="late")
    loop = asyncio.get_running_loop()
    sent_at_s = loop.time()
    token = await send(api)
    [post] = await gateway.take()
    assert loop.time() - sent_at_s >= 0.19
    assert read(api, post).message_token == token


REFUSED_TO = {"absent": "status: 5", "blocked": "status: 6", "rejects": "status: 3", "throttled": "status: 12"}


@pytest.mark.parametrize("behaviour", [*REFUSED_TO, "down", "answer_lost"])
async def test_no_good_answer(api: Api, client: Client, gateway: Gateway, behaviour: str) -> None:
    await client.put(PHONE, viber_bot=behaviour)
    words = {"down": "500 Server Error", "answer_lost": "Connection aborted"} | REFUSED_TO
    with pytest.raises(Exception, match=words[behaviour]):
        await send(api)
    assert len(await client.inbox()) == (1 if behaviour == "answer_lost" else 0)


async def test_a_lost_answer_still_has_its_receipt(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(PHONE, viber_bot="answer_lost")
    with pytest.raises(Exception, match="Connection aborted"):
        await send(api)
    [post] = await gateway.take()
    [received] = await client.inbox()
    assert str(read(api, post).message_token) == received["provider_id"]


async def test_throttled_delivers_at_the_second_try(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(PHONE, viber_bot="throttled")
    with pytest.raises(Exception, match="tooManyRequests"):
        await send(api)
    token = await send(api)
    [post] = await gateway.take()
    assert read(api, post).message_token == token


async def test_message_tokens_are_unique_and_over_53_bits(api: Api) -> None:
    tokens = {await send(api) for _ in range(3)}
    assert len(tokens) == 3
    assert all(2**53 < token < 2**63 for token in tokens)


async def test_a_picture_with_a_keyboard_as_the_phone_shows_it(api: Api, client: Client) -> None:
    keyboard = {
        "Type": "keyboard",
        "Buttons": [
            {"ActionType": "open-url", "ActionBody": "https://example.com", "Text": "Shop"},
            {"ActionType": "reply", "ActionBody": "a1", "Text": "Good"},
            {"ActionBody": "a2", "Text": "Bad"},
            {"ActionType": "share-phone", "ActionBody": "me", "Text": "My number"},
        ],
    }
    picture = PictureMessage(media=PICTURE, text="cat", keyboard=keyboard, min_api_version=3)
    [token] = await asyncio.to_thread(api.send_messages, USER, [picture])
    [received] = await client.inbox()
    assert received.pop("received_at")
    assert received == {
        "channel": "viber_bot",
        "from": "Shop",
        "text": "cat",
        "media": {"image": PICTURE},
        "buttons": [
            {"text": "Shop", "url": "https://example.com"},
            {"text": "My number", "action": "share-phone"},
        ],
        "options": ["Good", "Bad"],
        "revoked": False,
        "provider_id": str(token),
    }


FAULTY: dict[str, tuple[dict[str, Any], int]] = {  # what is wrong -> (changes to a good text message, status)
    "no receiver": ({"receiver": ""}, 4),
    "a receiver nobody is": ({"receiver": STRANGER}, 5),
    "no type": ({"type": ""}, 4),
    "an unknown type": ({"type": "telegram"}, 3),
    "no sender": ({"sender": {}}, 4),
    "a sender of 29": ({"sender": {"name": "x" * 29}}, 3),
    "no text": ({"text": ""}, 4),
    "7001 characters": ({"text": "x" * 7001}, 3),
    "a caption of 513": ({"type": "picture", "media": PICTURE, "text": "x" * 513}, 3),
    "a picture without media": ({"type": "picture"}, 4),
    "a picture by ftp": ({"type": "picture", "media": "ftp://example.com/a.png"}, 3),
    "a video without its size": ({"type": "video", "media": "https://example.com/a.mp4"}, 4),
    "a file without its name": ({"type": "file", "media": "https://example.com/a.pdf", "size": 1}, 4),
    "4001 of tracking data": ({"tracking_data": "x" * 4001}, 3),
    "a version that is no number": ({"min_api_version": "three"}, 3),
    "over 30 KB": ({"extra": "x" * 30 * 1024}, 3),
}


@pytest.mark.parametrize("case", FAULTY)
async def test_faulty_message(api: Api, client: Client, case: str) -> None:
    changes, status = FAULTY[case]
    assert (await call(client, "send_message", TEXT | changes))["status"] == status
    assert await client.inbox() == []


BAD_KEYBOARDS = {  # the app, not the server, refuses these: status 0, then `failed`
    "share-phone for old clients": [{"ActionType": "share-phone", "ActionBody": "x", "Text": "Mine"}],
    "no ActionBody": [{"ActionType": "reply", "Text": "Good"}],
    "an unknown ActionType": [{"ActionType": "dance", "ActionBody": "x", "Text": "Good"}],
    "seven columns": [{"ActionBody": "x", "Text": "Good", "Columns": 7}],
    "a text of 251": [{"ActionBody": "x", "Text": "x" * 251}],
    "no buttons": [],
}


@pytest.mark.parametrize("case", BAD_KEYBOARDS)
async def test_a_bad_keyboard_fails_after_acceptance(api: Api, client: Client, gateway: Gateway, case: str) -> None:
    token = await send(api, keyboard={"Type": "keyboard", "Buttons": BAD_KEYBOARDS[case]})
    [post] = await gateway.take()
    failed = read(api, post)
    assert type(failed) is ViberFailedRequest
    assert (failed.message_token, failed.user_id) == (token, USER)
    assert await client.inbox() == []


async def test_a_broadcast_names_those_it_did_not_reach(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(OTHER_PHONE, viber_bot="blocked")
    broadcast = TEXT | {"broadcast_list": [USER, STRANGER, user_id_of(OTHER_PHONE)]}
    answer = await call(client, "broadcast_message", broadcast)
    assert answer["status"] == 0
    assert [(failed["receiver"], failed["status"]) for failed in answer["failed_list"]] == [
        (STRANGER, 5),
        (user_id_of(OTHER_PHONE), 6),
    ]
    [post] = await gateway.take()
    assert read(api, post).message_token == answer["message_token"]


@pytest.mark.parametrize(("size", "status"), [(0, 4), (300, 0), (301, 3)])
async def test_the_size_of_a_broadcast(api: Api, client: Client, size: int, status: int) -> None:
    answer = await call(client, "broadcast_message", TEXT | {"broadcast_list": [STRANGER] * size})
    assert answer["status"] == status


TOKENS = {"forged": 2, "": 2, VIBER_TOKEN: 0}


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("in_body", [False, True])
async def test_the_token_in_header_or_body(api: Api, client: Client, token: str, in_body: bool) -> None:
    if in_body:
        answer = await call(client, "get_account_info", {"auth_token": token}, token="")
    else:
        answer = await call(client, "get_account_info", {}, token=token)
    assert answer["status"] == TOKENS[token]


async def test_a_bot_without_webhook_cannot_send(sandbox: Sandbox, client: Client) -> None:
    await client.put(PHONE, viber_bot="delivers")
    assert (await call(client, "send_message", TEXT))["status"] == 10


async def test_an_empty_url_removes_the_webhook(api: Api, client: Client) -> None:
    assert (await call(client, "set_webhook", {"url": ""}))["status"] == 0
    assert (await call(client, "get_account_info", {}))["webhook"] == ""


@pytest.mark.parametrize("answer", [201, 302, 404, 500])
async def test_a_webhook_must_answer_200(api: Api, client: Client, gateway: Gateway, answer: int) -> None:
    gateway.statuses = [answer]
    assert (await call(client, "set_webhook", {"url": f"{gateway.url}/other"}))["status"] == 1
    assert (await call(client, "get_account_info", {}))["webhook"] == f"{gateway.url}/viber"


BAD_WEBHOOKS: dict[str, tuple[dict[str, Any], int]] = {
    "no url": ({}, 4),
    "not a url": ({"url": "here"}, 1),
    "an unknown event type": ({"url": "", "event_types": ["danced"]}, 3),
}


@pytest.mark.parametrize("case", BAD_WEBHOOKS)
async def test_bad_webhook(api: Api, client: Client, case: str) -> None:
    body, status = BAD_WEBHOOKS[case]
    assert (await call(client, "set_webhook", body))["status"] == status


async def test_only_the_wanted_receipts_come(api: Api, client: Client, gateway: Gateway) -> None:
    await asyncio.to_thread(api.set_webhook, f"{gateway.url}/viber", ["seen"])
    await gateway.take()
    await client.put(PHONE, viber_bot="reads")
    await send(api)
    [post] = await gateway.take()
    assert type(read(api, post)) is ViberSeenRequest


async def test_a_callback_is_repeated_until_it_is_acknowledged_and_its_follower_waits(
    api: Api, client: Client, gateway: Gateway
) -> None:
    await client.put(PHONE, viber_bot="reads")
    gateway.statuses = [503, 302]
    await send(api)
    *tries, seen = await gateway.take(4)
    assert {post.raw for post in tries} == {tries[0].raw}
    assert type(read(api, tries[0])) is ViberDeliveredRequest
    assert type(read(api, seen)) is ViberSeenRequest


async def test_a_callback_nobody_takes_is_given_up_and_the_next_one_goes(
    api: Api, client: Client, gateway: Gateway
) -> None:
    await client.put(PHONE, viber_bot="reads")
    gateway.statuses = [500, 500, 500]
    await send(api)
    events = [type(read(api, post)) for post in await gateway.take(4)]
    assert events == [ViberDeliveredRequest] * 3 + [ViberSeenRequest]


async def test_an_answer_comes_as_a_message_with_the_tracking_data(api: Api, client: Client, gateway: Gateway) -> None:
    keyboard = {"Type": "keyboard", "Buttons": [{"ActionBody": "a1", "Text": "Good"}]}
    await send(api, keyboard=keyboard, tracking_data="survey 7")
    await gateway.take()
    await client.call("POST", f"/people/{PHONE}/answer", {"channel": "viber_bot", "option": "Good"})
    [post] = await gateway.take()
    event = read(api, post)
    assert type(event) is ViberMessageRequest
    assert (event.sender.id, event.message.text, event.message.tracking_data) == (USER, "a1", "survey 7")


async def test_a_contact_proves_nothing(api: Api, client: Client, gateway: Gateway) -> None:
    for owner in (PHONE, OTHER_PHONE):
        await client.call("POST", f"/people/{PHONE}/share-contact", {"channel": "viber_bot", "phone": owner})
        [post] = await gateway.take()
        event = read(api, post)
        assert (event.sender.id, f"+{event.message.contact.phone_number}") == (USER, owner)


async def test_leaving_and_coming_back_is_told(api: Api, client: Client, gateway: Gateway) -> None:
    await client.put(PHONE, viber_bot="blocked")
    [left] = await gateway.take()
    await client.put(PHONE, viber_bot="delivers")
    [back] = await gateway.take()
    assert type(read(api, left)) is ViberUnsubscribedRequest
    assert type(read(api, back)) is ViberSubscribedRequest


async def test_users_as_viber_tells_of_them(api: Api) -> None:
    assert (await asyncio.to_thread(api.get_user_details, USER))["id"] == USER
    online = await asyncio.to_thread(api.get_online, [USER, STRANGER])
    assert [(user["id"], user["online_status"]) for user in online] == [(USER, 0), (STRANGER, 4)]
    assert (await asyncio.to_thread(api.get_account_info))["subscribers_count"] == 1
    with pytest.raises(Exception, match="receiverNotRegistered"):
        await asyncio.to_thread(api.get_user_details, STRANGER)


def test_the_signature_of_vibers_own_tests() -> None:
    body = b'{"event":"webhook","timestamp":4977069964384421269,"message_token":1478683725125}'
    expected = "d21b343448c8aee33b8e93768ef6ceb64a6ba6163099973a2b8bd028fea510ef"
    assert signature(VIBER_TOKEN, body) == expected
    assert signature(VIBER_TOKEN, body + b" ") != expected


@pytest.mark.parametrize("raw", ["", "{", "[]", "null"])
async def test_a_body_that_is_no_object(api: Api, client: Client, raw: str) -> None:
    async with client.session.post(
        f"{client.url}/pa/send_message", data=raw, headers={"X-Viber-Auth-Token": VIBER_TOKEN}
    ) as response:
        assert (await response.json())["status"] == (4 if raw == "" else 3)
