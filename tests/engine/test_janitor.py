"""What is too old goes, with all that belongs to it, and nothing else does; on both engines."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

from cascade.core.events import EventType, Happened
from cascade.core.message import Message, State, Status
from cascade.core.node import ALONE, Role
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType
from cascade.engine import janitor
from cascade.engine.janitor import Janitor, Keep
from cascade.store import (
    accounts,
    console,
    engines,
    events,
    messages,
    nodes,
    receipts,
    retention,
    schema,
    short_links,
    surveys,
    tags,
    webhooks,
)
from cascade.store.accounts import Seal
from cascade.store.console import Done
from cascade.store.database import Database
from cascade.store.ids import new_ids
from cascade.store.messages import Key, NewMessage
from cascade.store.receipts import SentPart
from cascade.store.short_links import NewLink
from cascade.store.surveys import Answer, Standing
from cascade.store.tags import Tagged

DAY_MS = 86_400_000
NOW = 1_800_000_000_000
OLD = NOW - 40 * DAY_MS
KEEP = Keep(messages_ms=30 * DAY_MS, receipts_ms=30 * DAY_MS, inbound_ms=30 * DAY_MS, audit_ms=30 * DAY_MS)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor, "LEAST_REST_S", 0.0)
    monkeypatch.setattr(janitor, "REST", 0)
    monkeypatch.setattr(janitor, "LARGEST_SET", 3)
    monkeypatch.setattr(janitor, "SWEPT_SET", 4)


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    opened = engines.database(store_url, 8)
    await opened.open(owner=True)
    async with opened.transaction() as tx:
        for name in ("acme", "other"):
            await accounts.add_account(tx, name, NOW)
    yield opened
    await opened.close()


async def add(database: Database, name: str, account_id: int = 1, at_ms: int = OLD, **more: Any) -> Key:
    """A message with a tag, a link, a flash call's digits, and the part that it was sent as."""
    state: State = more.get("state", State.FINAL)
    finished_at_ms = more.get("finished_at_ms", at_ms + 1)
    (id_,) = new_ids(at_ms, 1)
    key = Key(account_id, id_)
    message = Message(MessageType.PROMO, (), at_ms + DAY_MS, state=state, status=Status.DELIVERED)
    async with database.transaction() as tx:
        await messages.add(tx, [NewMessage(key, name, "Shop", "+380500000001", "text", None, at_ms, message, [])])
        await tx.execute("UPDATE message SET finished_at_ms = ? WHERE id = ?", (finished_at_ms, id_))
        await tags.add(tx, [Tagged(account_id, "tag", id_)])
        await short_links.add(tx, [NewLink(f"code-{name}", key, "https://shop.example", at_ms, NOW + DAY_MS)])
        await receipts.add_parts(tx, [SentPart("sms.smpp", f"part-{name}", key, 1, 0, 0)])
        await tx.execute("INSERT INTO flashcall (account_id, message_id, digits) VALUES (?, ?, 4)", key)
        await surveys.add(tx, key, Answer(id_, Standing.COUNTED, 0, "Good", Channel.SMS, "sms.smpp", at_ms), 1)
    return key


async def left(database: Database) -> dict[str, set[str]]:
    """The names of the messages that each table knows."""
    async with database.reading() as reader:
        names: dict[bytes, str] = dict(await reader.rows("SELECT id, tracking_id FROM message"))
        found = {"message": set(names.values())}
        for table in ("message_tag", "short_link", "sent_part", "flashcall", "survey_answer"):
            ids = [id_ for (id_,) in await reader.rows(f"SELECT message_id FROM {table}")]  # noqa: S608
            found[table] = {names.get(id_, "gone") for id_ in ids}
    return found


def of(database: Database, keep: Keep = KEEP) -> Janitor:
    return Janitor(database, keep, lambda: NOW, lambda: ALONE)


async def test_old_messages_go_with_all_that_belongs_to_them(database: Database) -> None:
    for number in range(8):
        await add(database, f"old {number}", 1 + number % 2)
    await add(database, "of today", at_ms=NOW - DAY_MS)
    await of(database).tidy()
    assert await left(database) == {
        table: {"of today"} for table in retention.WITH_MESSAGE.keys() | retention.SWEPT.keys() | {"message"}
    }


STAY = {
    "a message under way, however old": {"state": State.WAITING, "finished_at_ms": None},
    "one that ended a moment ago": {"finished_at_ms": NOW - 1},
    "one of yesterday": {"at_ms": NOW - DAY_MS},
}


@pytest.mark.parametrize("more", STAY.values(), ids=STAY.keys())
async def test_what_stays(database: Database, more: dict[str, Any]) -> None:
    await add(database, "stays", **more)
    for number in range(4):
        await add(database, f"old {number}")
    await of(database).tidy()
    assert await left(database) == {table: {"stays"} for table in await left(database)}


async def test_a_link_that_no_node_knows_or_serves_is_forgotten(postgres_url: str) -> None:
    shared = engines.database(postgres_url, 4)
    await shared.open(owner=True)
    async with shared.transaction() as tx:
        node_id = await nodes.join(tx, "one", Role.ALL, 60_000)
        await nodes.add_links(tx, ["sms.smpp", "viber_bot.1", "telegram_bot.7"])
        await nodes.take(tx, node_id, ["sms.smpp"], 1)
    await Janitor(shared, Keep(None, None, None, None), lambda: NOW, lambda: ALONE, lambda: ["viber_bot.1"]).tidy()
    async with shared.reading() as reader:
        assert set(await nodes.links(reader)) == {"sms.smpp", "viber_bot.1"}
    await shared.close()


async def test_what_was_being_added_for_a_webhook_as_it_was_removed_is_forgotten(postgres_url: str) -> None:
    shared = engines.database(postgres_url, 4)
    await shared.open(owner=True)
    keys = Seal([Secret(Fernet.generate_key().decode())])
    async with shared.transaction() as tx:
        account_id = await accounts.add_account(tx, "acme", NOW)
        for _ in range(2):
            await webhooks.add(tx, webhooks.new(account_id, "https://example.com/", keys, NOW)[0])
        removed, stays = await webhooks.of_account(tx, account_id)
    happened = Happened(account_id, None, EventType.TEST, NOW, {})
    async with shared.transaction() as adding:
        for _ in range(4):
            await events.add_for(adding, happened, [removed.id, stays.id])
        async with shared.transaction() as tx:
            assert await webhooks.remove(tx, *removed.key)
    told = "SELECT webhook_id, count(*) FROM delivery GROUP BY webhook_id"
    async with shared.reading() as reader:
        assert dict(await reader.rows(told)) == {removed.id: 4, stays.id: 4}
    await Janitor(shared, Keep(None, None, None, None), lambda: NOW, lambda: ALONE).tidy()
    async with shared.reading() as reader:
        assert dict(await reader.rows(told)) == {stays.id: 4}
    await shared.close()


async def test_old_lines_of_the_audit_log_go(database: Database) -> None:
    async with database.transaction() as tx:
        for number in range(7):
            await console.audit(tx, Done(OLD + number, "ann", "::1", "sign in", None, ""))
        await console.audit(tx, Done(NOW - DAY_MS, "bob", "::1", "sign in", None, ""))
    await of(database).tidy()
    async with database.reading() as reader:
        assert [line.who for _, line in await console.audited(reader, 1_000, 10)] == ["bob"]


async def test_provider_ids_go_by_their_own_time(database: Database) -> None:
    await add(database, "old")
    await of(database, Keep(None, 30 * DAY_MS, None, None)).tidy()
    found = await left(database)
    assert found.pop("sent_part") == set()
    assert found == {table: {"old"} for table in found}


async def test_for_ever(database: Database) -> None:
    await add(database, "old")
    await of(database, Keep(None, None, None, None)).tidy()
    assert await left(database) == {
        table: {"old"} for table in retention.WITH_MESSAGE.keys() | retention.SWEPT.keys() | {"message"}
    }


async def test_a_provider_id_that_came_again_leads_to_its_new_message(database: Database) -> None:
    old = await add(database, "old")
    row = ("sms.smpp", "part-old", *old)
    new = await add(database, "new", at_ms=NOW - DAY_MS)
    async with database.transaction() as tx:
        await receipts.add_parts(tx, [SentPart("sms.smpp", "part-old", new, 1, 0, 0)])
        assert await retention.forget(tx, retention.SWEPT["sent_part"], [row], NOW) == 0


async def test_what_people_told_us_goes_once_it_is_worked(database: Database) -> None:
    told = "INSERT INTO inbound (link, provider_id, kind, address, profile, received_at_ms, due_at_ms) VALUES "
    async with database.transaction() as tx:
        for number in range(7):
            await tx.execute(f"{told} ('sms.smpp', ?, 'text', '380', '{{}}', ?, NULL)", (str(number), OLD))
        await tx.execute(f"{told} ('sms.smpp', 'due', 'text', '380', '{{}}', ?, ?)", (OLD, NOW))
        await tx.execute(f"{told} ('sms.smpp', 'new', 'text', '380', '{{}}', ?, NULL)", (NOW,))
    await of(database).tidy()
    async with database.reading() as reader:
        assert await reader.rows("SELECT provider_id FROM inbound ORDER BY id") == [("due",), ("new",)]


def test_every_table_that_knows_a_message_is_tidied_up() -> None:
    """A new one is named in store/retention.py, or by what else deletes its rows in ELSEWHERE there."""
    known = {table.name for table in schema.metadata.sorted_tables if "message_id" in table.columns}
    assert known == (retention.WITH_MESSAGE.keys() | retention.SWEPT.keys() | retention.ELSEWHERE) - {"message"}
