"""What providers tell us: believed when signed, stored before it is acknowledged."""

import asyncio
import dataclasses
from typing import Any

import pytest

from cascade.api.callbacks import MAX_BYTES
from cascade.channels.base import Heard
from cascade.channels.telegram_bot import TelegramBot
from cascade.core.errors import StoreUnavailableError
from cascade.core.secret import Secret
from cascade.core.words import Channel

from .doors import PATIENCE_S, TELEGRAM, VIBER, Doors

DELIVERED = {"event": "delivered", "timestamp": 1_700_000_000_000, "message_token": 4_912_661_846_655_238_145}
FORGED = {
    "no signature": "",
    "a signature of another body": "0" * 64,
    "a signature that is no ASCII": "ї",
}
MALFORMED: dict[str, Any] = {
    "no JSON": b"{",
    "an array": [],
    "no event": {"message_token": 1},
    "a receipt without its message": {"event": "delivered"},
    "a message that is no number": DELIVERED | {"message_token": [1]},
}
WITHOUT_RECEIPT: dict[str, Any] = {
    "the webhook's own test": {"event": "webhook", "timestamp": 1},
    "a person's message": {
        "event": "message",
        "timestamp": 1,
        "message_token": 4912661846655238146,
        "sender": {"id": "x"},
        "message": {"type": "text", "text": "hi"},
    },
    "a word of tomorrow": {"event": "teleported", "timestamp": 1},
}


async def receipts(doors: Doors) -> list[str]:
    async with doors.gateway.database.reading() as reader:
        return [provider_id for (provider_id,) in await reader.rows("SELECT provider_id FROM receipt")]


async def refused(doors: Doors, why: str) -> float:
    link = doors.bot(Channel.VIBER_BOT, VIBER).link
    return await doors.metric(f'cascade_callbacks_refused_total{{link="{link}",why="{why}"}}')


@pytest.mark.parametrize("case", FORGED)
async def test_a_forged_one_is_refused_and_counted(doors: Doors, case: str) -> None:
    before = await refused(doors, "forged")
    answer = await doors.viber_callback(DELIVERED, signature=FORGED[case])
    assert (answer.status, answer.error["code"]) == (403, "FORBIDDEN")
    assert await refused(doors, "forged") - before == 1
    assert await receipts(doors) == []


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_malformed_one_is_refused_and_counted(doors: Doors, case: str) -> None:
    before = await refused(doors, "malformed")
    assert (await doors.viber_callback(MALFORMED[case])).status == 400
    assert await refused(doors, "malformed") - before == 1


@pytest.mark.parametrize("case", WITHOUT_RECEIPT)
async def test_one_that_tells_of_no_message_is_acknowledged(doors: Doors, case: str) -> None:
    assert (await doors.viber_callback(WITHOUT_RECEIPT[case])).status == 200
    assert await receipts(doors) == []


@pytest.mark.parametrize("link", ["nobody", "sms.smpp", "viber_bot.999", "nobody/secret"])
async def test_a_link_that_takes_none_is_not_found(doors: Doors, link: str) -> None:
    assert (await doors.call("POST", f"/callbacks/{link}", DELIVERED, headers={})).status == 404


async def test_a_good_one_is_stored_even_before_its_message_is_known(doors: Doors) -> None:
    assert (await doors.viber_callback(DELIVERED)).status == 200
    assert await receipts(doors) == [str(DELIVERED["message_token"])]


async def test_it_is_acknowledged_only_when_it_is_stored(doors: Doors) -> None:
    reached, may_store = asyncio.Event(), asyncio.Event()
    store = doors.parts.take_heard

    async def take_heard(link: str, heard: Heard) -> None:
        reached.set()
        await may_store.wait()
        await store(link, heard)

    doors.replace_parts(dataclasses.replace(doors.parts, take_heard=take_heard))
    calling = asyncio.create_task(doors.viber_callback(DELIVERED))
    async with asyncio.timeout(PATIENCE_S):
        await reached.wait()
        assert not calling.done()
        assert await receipts(doors) == []
        may_store.set()
        assert (await calling).status == 200
    assert len(await receipts(doors)) == 1


async def test_while_the_store_is_away_the_provider_is_asked_to_repeat(doors: Doors) -> None:
    async def take_heard(link: str, heard: Heard) -> None:
        raise StoreUnavailableError("disk is full")

    doors.replace_parts(dataclasses.replace(doors.parts, take_heard=take_heard))
    answer = await doors.viber_callback(DELIVERED)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_a_huge_one_is_refused(doors: Doors) -> None:
    answer = await doors.viber_callback(b" " * (MAX_BYTES + 1))
    assert (answer.status, answer.error["code"]) == (400, "BODY_TOO_LARGE")


SECRET = TelegramBot(Secret(TELEGRAM)).webhook_secret
UPDATE = {
    "update_id": 7,
    "message": {
        "message_id": 1,
        "date": 1,
        "chat": {"id": 501112233, "type": "private"},
        "from": {"id": 501112233},
        "text": "hello",
    },
}
UPDATES = {
    "with the webhook's secret": (SECRET, UPDATE, 200, ["update:7"]),
    "that is of no use to us": (SECRET, {"update_id": 8, "edited_message": {}}, 200, []),
    "without a secret": (None, UPDATE, 403, []),
    "with the secret of another bot": (TelegramBot(Secret("1:x")).webhook_secret, UPDATE, 403, []),
    "that is none": (SECRET, {"hello": 1}, 400, []),
}


@pytest.mark.parametrize(("secret", "update", "status", "stored"), UPDATES.values(), ids=UPDATES)
async def test_an_update_of_telegram(
    doors: Doors, secret: str | None, update: Any, status: int, stored: list[str]
) -> None:
    """Twice, as Telegram does when our answer is lost: it is one."""
    headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
    for _ in range(2):
        path = f"/callbacks/{doors.bot(Channel.TELEGRAM_BOT, TELEGRAM).link}"
        assert (await doors.call("POST", path, update, headers=headers)).status == status
    async with doors.gateway.database.reading() as reader:
        assert [id_ for (id_,) in await reader.rows("SELECT provider_id FROM inbound")] == stored
