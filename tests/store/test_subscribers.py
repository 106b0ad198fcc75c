"""Each bot's directory, by account, link and phone."""

import pytest

from cascade.store import subscribers
from cascade.store.database import Database
from cascade.store.subscribers import Subscriber

from .given import T0, phone


async def put(database: Database, account_id: int, link: str, *given: Subscriber) -> None:
    async with database.transaction() as tx:
        await subscribers.put(tx, account_id, link, given, T0)


async def test_addresses_are_found_by_phone_and_link(database: Database) -> None:
    await put(database, 1, "viber_bot.1", Subscriber(phone(1), "abc=", "{}"), Subscriber(phone(2), "def=", "{}"))
    await put(database, 1, "telegram_bot.1", Subscriber(phone(1), "501", "{}"))
    await put(database, 1, "telegram_bot.2", Subscriber(phone(1), "777", "{}"))
    await put(database, 2, "viber_bot.1", Subscriber(phone(3), "ghi=", "{}"))
    async with database.reading() as reader:
        found = await subscribers.addresses(
            reader, 1, ["viber_bot.1", "telegram_bot.1"], [phone(1), phone(2), phone(3)]
        )
    assert found == {phone(1): {"viber_bot.1": "abc=", "telegram_bot.1": "501"}, phone(2): {"viber_bot.1": "def="}}


async def test_a_later_entry_replaces_the_earlier(database: Database) -> None:
    await put(database, 1, "viber_bot.1", Subscriber(phone(1), "old=", "{}"))
    await put(database, 1, "viber_bot.1", Subscriber(phone(1), "new=", '{"name":"Оля"}'))
    async with database.reading() as reader:
        assert await subscribers.addresses(reader, 1, ["viber_bot.1"], [phone(1)]) == {
            phone(1): {"viber_bot.1": "new="}
        }
        rows = await reader.rows("SELECT profile FROM subscriber")
    assert rows == [('{"name":"Оля"}',)]


@pytest.mark.parametrize("count", [0, 8, 9, 500, 1_203])
async def test_as_many_phones_as_one_likes(database: Database, count: int) -> None:
    everyone = [phone(n) for n in range(count)]
    await put(database, 1, "viber_bot.1", *(Subscriber(one, f"id-{one}", "{}") for one in everyone))
    async with database.reading() as reader:
        found = await subscribers.addresses(reader, 1, ["viber_bot.1"], everyone)
    assert found == {one: {"viber_bot.1": f"id-{one}"} for one in everyone}
