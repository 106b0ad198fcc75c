"""The doors of webhooks: from registering one to the signed request at the client's server, over real sockets."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import standardwebhooks
from aiohttp import web

from .doors import HOST, OTHER_KEY, PATIENCE_S, POLL_S, SEND, TELEGRAM, Answer, Doors, message

PATH = "/v1/webhooks"
OTHER = {"X-Authorization-Key": OTHER_KEY}
MISSING = f"{PATH}/wh_{'0' * 32}"


class Shop:
    """The client's server. It answers `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.url = ""
        self._requests: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._requests.put_nowait((headers, await request.read()))
        return web.Response(status=self.status, text="thanks")

    async def receive(self, secret: str) -> tuple[str, Any]:
        """The next request's id and body, once its signature has been checked."""
        headers, body = await asyncio.wait_for(self._requests.get(), PATIENCE_S)
        return headers["webhook-id"], standardwebhooks.Webhook(secret).verify(body, headers)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/hook", shop.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    shop.url = f"http://{HOST}:{runner.addresses[0][1]}/hook"
    yield shop
    await runner.cleanup()


async def add(doors: Doors, url: str, **fields: Any) -> dict[str, Any]:
    answer = await doors.call("POST", PATH, {"url": url, **fields})
    assert answer.status == 201, answer.body
    return dict(answer.json)


async def deliveries(doors: Doors, webhook: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    answer = await doors.call("GET", f"{PATH}/{webhook['id']}/deliveries{query}")
    assert answer.status == 200, answer.body
    return list(answer.json["deliveries"])


async def until(doors: Doors, webhook: dict[str, Any], state: str, tries: int = 1, query: str = "") -> dict[str, Any]:
    """Its only delivery of those asked for, once it is in this state."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await deliveries(doors, webhook, query)
            if [(one["state"], one["tries"]) for one in found] == [(state, tries)] and found[0]["answer"]:
                return found[0]
            await asyncio.sleep(POLL_S)


async def test_a_message_without_a_channel_is_told_of(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    message_id = await doors.send_one(id="order-7", messageType="flashcall", text=None)
    event_id, event = await shop.receive(webhook["secret"])
    assert event["type"] == "message.permanenterror"
    assert event["data"] == {
        "messageId": message_id,
        "trackinId": "order-7",
        "deliverystatus": "permanenterror",
        "channel": None,
        "deliveredVia": None,
        "cost": 0.0,
        "reason": "no_channel",
    }
    delivery = await until(doors, webhook, "delivered")
    assert delivery["eventId"] == event_id
    assert delivery["messageId"] == message_id
    assert delivery["request"] == {"webhookId": event_id, "event": event}
    assert (delivery["answer"]["status"], delivery["answer"]["error"]) == (204, None)
    assert delivery["nextTryAt"] is None


async def test_a_cascade_is_told_of_in_order(city: Doors, shop: Shop) -> None:
    webhook = await add(city, shop.url)
    await city.people(sms="delivers")
    await city.send_one()
    events = [(await shop.receive(webhook["secret"]))[1] for _ in range(2)]
    assert [event["type"] for event in events] == ["message.processing", "message.delivered"]
    assert events[1]["data"]["deliveredVia"] == "sms"


async def test_the_flat_body(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, format="flat")
    message_id = await doors.send_one(messageType="flashcall", text=None)
    _, body = await shop.receive(webhook["secret"])
    assert body.pop("timestamp")
    assert body == {"messageId": message_id, "deliverystatus": "permanenterror", "cost": 0.0}


async def test_nothing_is_written_while_nobody_listens(doors: Doors, shop: Shop) -> None:
    await doors.call("POST", PATH, {"url": shop.url}, headers=OTHER)
    await doors.send_one(messageType="flashcall", text=None)
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT * FROM event") == []


async def test_the_secret_is_shown_once(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, types=["message.read"], batchMax=5, retryDelaysS=[1, 2])
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert webhook == {
        "id": webhook["id"],
        "url": shop.url,
        "types": ["message.read"],
        "format": "standard",
        "batchMax": 5,
        "retryDelaysS": [1, 2],
        "enabled": True,
        "disabledReason": None,
        "disabledAt": None,
        "failingSince": None,
        "createdAt": webhook["createdAt"],
    }
    for path in (PATH, f"{PATH}/{webhook['id']}"):
        answer = await doors.call("GET", path)
        assert secret not in answer.body.decode()
    assert (await doors.call("GET", PATH)).json == {"webhooks": [webhook]}
    assert (await doors.call("GET", f"{PATH}/{webhook['id']}")).json == webhook
    async with doors.gateway.database.reading() as reader:
        [(stored,)] = await reader.rows("SELECT secrets FROM webhook")
    assert secret not in stored


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no URL": ({}, "MISSING_FIELD", "url"),
    "an address of the inside": ({"url": "http://10.0.0.1/"}, "INVALID_FIELD", "url"),
    "an address in disguise": ({"url": "http://0x7f000001/"}, "INVALID_FIELD", "url"),
    "no URL at all": ({"url": "nonsense"}, "INVALID_FIELD", "url"),
    "an unknown type": ({"url": "$", "types": ["message.lost"]}, "INVALID_FIELD", "types.0"),
    "no types": ({"url": "$", "types": []}, "INVALID_FIELD", "types"),
    "the test as a type": ({"url": "$", "types": ["webhook.test"]}, "INVALID_FIELD", "types"),
    "an unknown format": ({"url": "$", "format": "xml"}, "INVALID_FIELD", "format"),
    "flat clicks": ({"url": "$", "format": "flat", "types": ["link.clicked"]}, "INVALID_FIELD", "types"),
    "batches of none": ({"url": "$", "batchMax": 0}, "INVALID_FIELD", "batchMax"),
    "a delay of none": ({"url": "$", "retryDelaysS": [0]}, "INVALID_FIELD", "retryDelaysS.0"),
    "an unknown field": ({"url": "$", "secret": "mine"}, "UNKNOWN_FIELD", "secret"),
}


async def test_refused(doors: Doors, shop: Shop) -> None:
    for name, (body, code, field) in REFUSED.items():
        url = {"url": shop.url} if body.get("url") == "$" else {}
        answer = await doors.call("POST", PATH, body | url)
        assert answer.status == 400, name
        assert (answer.error["code"], answer.error["field"]) == (code, field), name
    assert (await doors.call("GET", PATH)).json == {"webhooks": []}


NO_OBJECTS = (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"url": "\\ud800"}', b"[" * 10_000)


async def test_a_body_that_is_no_object_is_refused(doors: Doors) -> None:
    for raw in NO_OBJECTS:
        assert (await doors.call("POST", PATH, raw=raw)).status == 400, raw[:20]


async def test_every_fault_at_once(doors: Doors) -> None:
    answer = await doors.call("POST", PATH, {"format": "xml", "batchMax": "2"})
    assert {answer.error["field"], *(one["field"] for one in answer.error["details"])} == {"url", "format", "batchMax"}


DOORS = {
    "add": ("POST", PATH, {"url": "https://8.8.8.8/"}),
    "list": ("GET", PATH, None),
    "get": ("GET", "{}", None),
    "change": ("PATCH", "{}", {}),
    "delete": ("DELETE", "{}", None),
    "rotate": ("POST", "{}/rotate-secret", None),
    "test": ("POST", "{}/test", None),
    "deliveries": ("GET", "{}/deliveries", None),
    "redeliver": ("POST", "{}/deliveries/msg_1/redeliver", None),
    "redeliver a range": ("POST", "{}/redeliver", {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
}
WITH_ID = {name: door for name, door in DOORS.items() if door[1] != PATH}


async def test_no_door_opens_without_an_admins_key(doors: Doors) -> None:
    for name, (method, path, body) in DOORS.items():
        url = path.format(MISSING)
        assert (await doors.call(method, url, body, headers={})).status == 401, name
        assert (await doors.call(method, url, body, headers={"X-Tg-Bot-Key": TELEGRAM})).status == 403, name


async def test_what_is_no_id_of_ours_is_none(doors_of_each: Doors, shop: Shop) -> None:
    webhook = await add(doors_of_each, shop.url)
    ids = {("GET", f"{PATH}/%00"), ("DELETE", f"{PATH}/%00"), ("POST", f"{PATH}/%00/rotate-secret")}
    for method, path in ids | {("POST", f"{PATH}/{webhook['id']}/deliveries/%00/redeliver")}:
        answer = await doors_of_each.call(method, path)
        assert (answer.status, answer.error["code"]) == (404, "NOT_FOUND"), path


async def test_another_accounts_webhook_is_none(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    for name, (method, path, body) in WITH_ID.items():
        theirs = await doors.call(method, path.format(f"{PATH}/{webhook['id']}"), body, headers=OTHER)
        nobodys = await doors.call(method, path.format(MISSING), body, headers=OTHER)
        assert theirs.status == nobodys.status == 404, name
        assert theirs.body == nobodys.body, name
    assert (await doors.call("GET", f"{PATH}/{webhook['id']}")).json["enabled"]


async def change(doors: Doors, webhook: dict[str, Any], **fields: Any) -> Answer:
    return await doors.call("PATCH", f"{PATH}/{webhook['id']}", fields)


async def test_what_is_changed_holds_at_once(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, types=["message.read"])
    await doors.send_one(id="unheard", messageType="flashcall", text=None)
    answer = await change(doors, webhook, types=None, retryDelaysS=[7])
    assert (answer.json["types"], answer.json["retryDelaysS"], answer.json["url"]) == (None, [7], shop.url)
    message_id = await doors.send_one(id="heard", messageType="flashcall", text=None)
    _, event = await shop.receive(webhook["secret"])
    assert event["data"]["messageId"] == message_id


async def test_a_change_is_checked_like_a_new_one(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, format="flat")
    for fields in ({"url": "http://10.0.0.1/"}, {"types": ["link.clicked"]}, {"format": "standard"}):
        assert (await change(doors, webhook, **fields)).status == 400
    assert (await change(doors, webhook)).json["url"] == shop.url


async def test_disabled_it_hears_nothing_and_enabled_it_does(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    disabled = (await change(doors, webhook, enabled=False)).json
    assert (disabled["enabled"], disabled["disabledReason"]) == (False, "disabled by its owner")
    assert disabled["disabledAt"] is not None
    await doors.send_one(id="unheard", messageType="flashcall", text=None)
    assert (await doors.call("POST", f"{PATH}/{webhook['id']}/test")).status == 400
    enabled = (await change(doors, webhook, enabled=True)).json
    assert (enabled["enabled"], enabled["disabledReason"], enabled["disabledAt"]) == (True, None, None)
    await doors.send_one(id="heard", messageType="flashcall", text=None)
    _, event = await shop.receive(webhook["secret"])
    assert event["data"]["trackinId"] == "heard"


async def test_gone_disables_with_a_reason(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    shop.status = 410
    await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    await until(doors, webhook, "failed")
    shown = (await doors.call("GET", f"{PATH}/{webhook['id']}")).json
    assert (shown["enabled"], shown["disabledReason"]) == (False, "it answered 410 Gone")


async def test_deleted_it_is_gone(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    answer = await doors.call("DELETE", f"{PATH}/{webhook['id']}")
    assert (answer.status, answer.body) == (204, b"")
    assert (await doors.call("GET", f"{PATH}/{webhook['id']}")).status == 404
    await doors.send_one(messageType="flashcall", text=None)
    async with doors.gateway.database.reading() as reader:
        assert await reader.rows("SELECT * FROM delivery") == []


async def test_while_rotating_both_secrets_sign(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    rotated = (await doors.call("POST", f"{PATH}/{webhook['id']}/rotate-secret")).json
    assert rotated["secret"] != webhook["secret"]
    for secret in (webhook["secret"], rotated["secret"]):
        await doors.call("POST", f"{PATH}/{webhook['id']}/test")
        await shop.receive(secret)


async def test_rotating_without_overlap_ends_the_old_secret(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    rotated = await doors.call("POST", f"{PATH}/{webhook['id']}/rotate-secret", {"overlapS": 0})
    await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        await shop.receive(webhook["secret"])
    await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    await shop.receive(rotated.json["secret"])


async def test_a_test_event(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, types=["message.read"])
    answer = await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    assert answer.status == 202
    event_id, event = await shop.receive(webhook["secret"])
    assert answer.json == {"eventId": event_id}
    assert event["type"] == "webhook.test"


async def test_a_failure_is_listed_with_its_answer_and_delivered_again(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url, retryDelaysS=[])
    shop.status = 500
    await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    event_id, first = await shop.receive(webhook["secret"])
    failed = await until(doors, webhook, "failed")
    assert (failed["answer"]["status"], failed["answer"]["body"]) == (500, "thanks")
    assert failed["answer"]["durationMs"] >= 0
    shop.status = 204
    answer = await doors.call("POST", f"{PATH}/{webhook['id']}/deliveries/{event_id}/redeliver")
    assert (answer.status, answer.json) == (202, {"eventId": event_id})
    assert await shop.receive(webhook["secret"]) == (event_id, first)
    await until(doors, webhook, "delivered")
    answer = await doors.call("POST", f"{PATH}/{webhook['id']}/deliveries/msg_nothing/redeliver")
    assert answer.status == 404


YEAR = {"from": "2020-01-01T00:00:00", "to": "2120-01-01T00:00:00+02:00"}
RANGES = {
    "the failed, and there is none": (YEAR, 0),
    "another time": (YEAR | {"state": "all", "to": "2020-01-02T00:00:00Z"}, 0),
    "all": (YEAR | {"state": "all"}, 1),
}


async def test_a_range_is_delivered_again(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    await doors.call("POST", f"{PATH}/{webhook['id']}/test")
    first = await shop.receive(webhook["secret"])
    await until(doors, webhook, "delivered")
    for name, (body, count) in RANGES.items():
        answer = await doors.call("POST", f"{PATH}/{webhook['id']}/redeliver", body)
        assert (answer.status, answer.json) == (202, {"redelivered": count, "more": False}), name
    assert await shop.receive(webhook["secret"]) == first


async def test_a_range_that_cannot_be_read(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    for body in ({}, {"from": "yesterday", "to": "today"}, YEAR | {"state": "pending"}, {"from": 1}):
        assert (await doors.call("POST", f"{PATH}/{webhook['id']}/redeliver", body)).status == 400, body


async def test_deliveries_by_the_page(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    ids = []
    for _ in range(3):
        ids.append((await doors.call("POST", f"{PATH}/{webhook['id']}/test")).json["eventId"])
    path = f"{PATH}/{webhook['id']}/deliveries?limit=2"
    first = (await doors.call("GET", path)).json
    second = (await doors.call("GET", f"{path}&cursor={first['nextCursor']}")).json
    found = [one["eventId"] for one in first["deliveries"] + second["deliveries"]]
    assert found == ids[::-1]
    assert second["nextCursor"] is None
    assert await deliveries(doors, webhook, "?state=failed") == []


async def test_what_was_told_of_one_message(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    calls = [message(id=f"order-{n}", messageType="flashcall", text=None) for n in range(2)]
    one, other = [sent["messageId"] for sent in await doors.send(*calls, path=SEND)]
    for message_id in (one, other):
        found = await until(doors, webhook, "delivered", query=f"?messageId={message_id}")
        assert (found["messageId"], found["type"]) == (message_id, "message.permanenterror")
        assert found["answer"]["status"] == 204
    assert await deliveries(doors, webhook, f"?messageId={one}&state=failed") == []
    assert await deliveries(doors, webhook, f"?messageId={uuid.uuid4()}") == []


async def test_a_page_that_cannot_be_read(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    for query in (
        "state=lost",
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=-1",
        "cursor=x",
        "cursor=",
        "limit=1&limit=2",
        "messageId=order-1",
        "messageId=",
        "stat=failed",
    ):
        answer = await doors.call("GET", f"{PATH}/{webhook['id']}/deliveries?{query}")
        assert answer.status == 400, query
        assert answer.error["field"] == query.partition("=")[0]


async def test_an_account_has_only_so_many(doors: Doors, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cascade.api.v1.webhooks.MOST_WEBHOOKS", 2)
    for _ in range(2):
        await add(doors, shop.url)
    assert (await doors.call("POST", PATH, {"url": shop.url})).status == 400
    assert (await doors.call("POST", PATH, {"url": shop.url}, headers=OTHER)).status == 201


async def test_a_batch_of_messages_is_told_of_message_by_message(doors: Doors, shop: Shop) -> None:
    webhook = await add(doors, shop.url)
    calls = [message(id=f"order-{n}", messageType="flashcall", text=None) for n in range(5)]
    sent = await doors.send(*calls, path=SEND)
    told = {(await shop.receive(webhook["secret"]))[1]["data"]["messageId"] for _ in sent}
    assert told == {one["messageId"] for one in sent}
