"""What Citus needs, as far as a PostgreSQL without it can tell: keys that hold what a table is distributed by, the
calls that distribute it, and an account on every level of every statement that messages wait for.

The extension is in no package that tests could install. Its functions are put in place here: they refuse what Citus
refuses, and remember what they were told.
"""

import re
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from cascade.core.attempt import Accepted
from cascade.core.errors import ConfigError
from cascade.core.machine import Settled
from cascade.core.receipt import Receipt, ReceiptState
from cascade.store import citus, decisions, deliveries, messages, receipts, repeats, schema, short_links, tags
from cascade.store import postgres as engine
from cascade.store.decisions import News
from cascade.store.postgres import PostgresDatabase
from cascade.store.receipts import SentPart
from cascade.store.short_links import NewLink
from cascade.store.tags import Tagged

from .given import BULK, LEASE_MS, T0, claim, key, new

CITUS = r"""
    CREATE TABLE pg_dist_partition (logicalrelid regclass, kind text, by text, beside text);
    CREATE FUNCTION create_reference_table(name regclass) RETURNS void LANGUAGE sql
        AS $$ INSERT INTO pg_dist_partition VALUES (name, 'reference') $$;
    CREATE FUNCTION create_distributed_table(name regclass, by text, colocate_with text) RETURNS void LANGUAGE plpgsql
        AS $$ BEGIN
            IF EXISTS (
                SELECT 1 FROM pg_index WHERE indrelid = name AND indisunique AND NOT (
                    SELECT attnum FROM pg_attribute WHERE attrelid = name AND attname = by) = ANY(indkey))
            THEN RAISE 'a unique index of % does not hold %', name, by; END IF;
            IF colocate_with <> 'none' AND NOT EXISTS (
                SELECT 1 FROM pg_dist_partition WHERE logicalrelid = colocate_with::regclass)
            THEN RAISE '% is not distributed', colocate_with; END IF;
            INSERT INTO pg_dist_partition VALUES (name, 'distributed', by, colocate_with);
        END $$;
"""


@pytest.fixture
async def cluster(empty_postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_postgres_url)
    await connection.execute(CITUS)
    yield connection
    await connection.close()


# The tables


async def test_a_new_store_is_distributed(cluster: asyncpg.Connection, empty_postgres_url: str) -> None:
    database = PostgresDatabase(empty_postgres_url, 4, is_citus=True)
    await database.open(owner=False)
    await database.close()
    rows = await cluster.fetch("SELECT logicalrelid::text, kind, by, beside FROM pg_dist_partition")
    found = {name: (kind, by, beside) for name, kind, by, beside in rows}
    assert found.keys() == {table.name for table in schema.metadata.sorted_tables} - citus.COORDINATOR
    assert found["message"] == ("distributed", "account_id", "none")
    assert found["message_tag"] == ("distributed", "account_id", "message")
    assert found["sent_part"] == ("distributed", "provider_id", "none")
    assert found["account"] == ("reference", None, None)


async def test_a_table_of_a_later_version_follows(cluster: asyncpg.Connection, empty_postgres_url: str) -> None:
    for _ in range(2):
        database = PostgresDatabase(empty_postgres_url, 4, is_citus=True)
        await database.open(owner=False)
        await database.close()
        assert await citus.distribute(cluster) == []
        await cluster.execute("DELETE FROM pg_dist_partition WHERE logicalrelid = 'variable'::regclass")
    assert await citus.distribute(cluster) == ["variable"]


async def test_without_the_extension_it_says_so(empty_postgres_url: str) -> None:
    with pytest.raises(ConfigError, match="CREATE EXTENSION citus"):
        await PostgresDatabase(empty_postgres_url, 4, is_citus=True).open(owner=False)


def test_every_table_has_its_place() -> None:
    """A new one belongs to an account, and begins with it, or is named in store/citus.py."""
    for table in schema.metadata.sorted_tables:
        column = citus.column_of(table)
        assert column is None or column in table.columns, table.name
    assert citus.BY.keys() | citus.EVERYWHERE | citus.COORDINATOR <= {t.name for t in schema.metadata.sorted_tables}


# The statements

BY_ACCOUNT = {t.name for t in schema.metadata.sorted_tables if citus.column_of(t) == "account_id"}
ACCOUNT = re.compile(r"account_id\s*=|\(account_id, [a-z_]+\) IN|INTO \w+ \(account_id|INTO \w+ \([^)]*\baccount_id\b")
USES = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|USING)\s+([a-z_]+)")


def levels(statement: str) -> Iterator[str]:
    """A statement and the selects inside it, each without those inside itself."""
    inside = re.compile(r"\((\s*SELECT\b[^()]*(?:\([^()]*\)[^()]*)*)\)", re.IGNORECASE)
    while match := inside.search(statement):
        yield match.group(1)
        statement = statement[: match.start()] + "(…)" + statement[match.end() :]
    yield statement


def without_account(statement: str) -> list[str]:
    """The levels that ask a table of accounts for more than one account's rows."""
    return [
        level
        for level in levels(" ".join(statement.split()))
        if BY_ACCOUNT & set(USES.findall(level)) and not ACCOUNT.search(level)
    ]


GOOD = messages.CLAIM.postgres
BAD = {
    "no account outside": GOOD.replace("WHERE account_id = ? AND id =", "WHERE id ="),
    "no account inside": GOOD.replace("WHERE account_id = ? AND link = ?", "WHERE link = ?"),
    "a look-up by the id alone": "SELECT text FROM message WHERE id = ?",
    "a join by the id alone": "UPDATE message SET state = new.state FROM unnest(?) AS new WHERE message.id = new.id",
}


def test_a_claim_with_its_account_on_both_levels_is_one_nodes_work() -> None:
    assert without_account(GOOD) == []
    assert len(list(levels(" ".join(GOOD.split())))) == 2


@pytest.mark.parametrize("statement", BAD.values(), ids=BAD.keys())
def test_what_crosses_nodes_is_seen(statement: str) -> None:
    assert statement != GOOD
    assert without_account(statement) != []


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that goes to PostgreSQL."""
    heard: list[str] = []
    translate = engine.translate

    def listening(statement: str) -> str:
        heard.append(statement)
        return translate(statement)

    monkeypatch.setattr(engine, "translate", listening)
    return heard


async def test_a_messages_whole_life_is_its_accounts_nodes_work(postgres_url: str, said: list[str]) -> None:
    """Stored with tags and links, claimed, sent, its receipt matched and decided, looked at: not one statement of these
    asks a table of accounts without one."""
    database = PostgresDatabase(postgres_url, 4)
    await database.open(owner=False)
    async with database.transaction() as tx:
        await repeats.begin_request(tx, 1, b"key", b"body", T0, 0)
        await repeats.remember(tx, 1, [(b"d" * 16, key(1).id)], T0, 0)
        await messages.add(tx, [new(1), new(2)])
        await tags.add(tx, [Tagged(1, "tag", key(1).id)])
        await short_links.add(tx, [NewLink("code", key(1), "https://shop.example", T0, T0 + 1)])
        await repeats.end_request(tx, 1, b"key", b"answer")
    taken = await claim(database)
    async with database.transaction() as tx:
        known = {one.stored.key: one.stored for one in taken}
        news = [News(one, Settled(T0 + 1, 1, 0, Accepted(("77",)), False)) for one in known]
        await decisions.apply(tx, news, known)
        await receipts.add_parts(tx, [SentPart("sms.smpp", "77", key(1), 1, 0, 0)])
        await receipts.add(tx, "sms.smpp", [Receipt("77", ReceiptState.DELIVERED)], T0 + 2)
    async with database.reading() as reader:
        await receipts.find_parts(reader, [("sms.smpp", "77")])
        await messages.record(reader, key(1))
        await messages.next_due_at_ms(reader, BULK)
        await messages.waiting_for_link(reader, BULK, T0 + LEASE_MS, 5)
        await deliveries.of_message(reader, *key(1), 5)
        await deliveries.left_behind(reader, 1)
        await deliveries.page(reader, (1, "wh_1"), None, deliveries.AFTER_ALL, 5, message_id=key(1).id)
    await database.close()
    assert len(set(said)) > 12
    assert {one: faults for one in said if (faults := without_account(one))} == {}
