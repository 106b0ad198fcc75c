"""What is PostgreSQL's own: several nodes at once on one store, and a server that goes away."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from cascade.core.attempt import Accepted
from cascade.core.errors import ConfigError, StoreUnavailableError
from cascade.core.events import EventType, Happened, Listener
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.machine import Settled
from cascade.core.message import State
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.turns import Lane
from cascade.store import (
    accounts,
    batches,
    decisions,
    deliveries,
    events,
    inbound,
    messages,
    queries,
    receipts,
    repeats,
    statistics,
    subscribers,
    webhooks,
)
from cascade.store import postgres as engine
from cascade.store.database import Database, Statement
from cascade.store.decisions import News
from cascade.store.deliveries import State as DeliveryState
from cascade.store.deliveries import Tried
from cascade.store.ids import first_id
from cascade.store.messages import Change, Key
from cascade.store.postgres import SETTINGS, PostgresDatabase, shown, translate
from cascade.store.queries import Filter
from cascade.store.receipts import Sent
from cascade.store.versions import HEAD
from cascade.store.webhooks import Format, Webhook

from .given import (
    BULK,
    PATIENCE_S,
    T0,
    URGENT,
    add,
    change,
    claim,
    counts,
    key,
    load,
    new,
    numbers,
    queued,
    record,
    urgent,
    waiting_for_a_lock,
)

Open = Callable[[], Awaitable[PostgresDatabase]]
CONNECTIONS = 8


@pytest.fixture
async def node(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Opens nodes, as many as the test asks for. Each is listening when it is there."""
    monkeypatch.setattr(engine, "RECONNECT_S", 0.01)
    async with AsyncExitStack() as stack:

        async def open_node() -> PostgresDatabase:
            opened = PostgresDatabase(postgres_url, CONNECTIONS)
            await opened.open(owner=True)
            stack.push_async_callback(opened.close)
            assert opened._post is not None
            await opened._post.listening.wait()
            return opened

        yield open_node


@pytest.fixture
async def postgres(node: Open) -> PostgresDatabase:
    return await node()


# Statements

STATEMENTS = {  # portable, PostgreSQL's
    "parameters are numbered": ("a = ? AND b = ?", "a = $1 AND b = $2"),
    "a list is one array": ("a = ? AND b IN (*)", "a = $1 AND b = ANY($2)"),
    "a subselect is no list": ("b IN (SELECT c WHERE d = ?)", "b IN (SELECT c WHERE d = $1)"),
    "nothing to number": ("SELECT 1", "SELECT 1"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_statement_is_translated(case: str) -> None:
    portable, expected = STATEMENTS[case]
    assert translate(portable) == expected


EVERY_FIELD = frozenset(column.field for column in messages.CHANGING.values())
SEARCHES: dict[str, str | Statement] = {
    "claim": messages.CLAIM,
    "claim of an owner": messages.CLAIM_OWNED,
    "claim for a probe": messages.CLAIM_UNTRIED,
    "claim for a probe, of an owner": messages.CLAIM_UNTRIED_OWNED,
    "change": messages.writing(EVERY_FIELD)[0],
    "change of place": messages.writing(frozenset({"state", "link", "due_at_ms"}))[0],
    "load": messages.LOAD,
    "hold": messages.HOLD,
    "past deadline": messages.PAST_DEADLINE,
    "next deadline": messages.NEXT_DEADLINE,
    "waiting for link": messages.WAITING_FOR_LINK,
    "next due": messages.NEXT_DUE,
    "lanes": messages.LANES,
    "record": messages.RECORD,
    "receipts due": receipts.DUE,
    "receipts done": receipts.DONE,
    "receipts postponed": receipts.POSTPONE,
    "find parts": receipts.FIND_PARTS,
    "addresses": subscribers.ADDRESSES,
    "claim of a webhook": deliveries.CLAIM,
    "claim of a batch": deliveries.CLAIM_BATCH,
    "what messages have pending": deliveries.PENDING_OF,
    "delivery": Statement("", deliveries.ADD.postgres),
    "tries": deliveries.RECORD,
    "what was not tried": deliveries.GIVE_BACK,
    "followers": deliveries.FOLLOW,
    "repeats": repeats.FIND,
    "old repeats": repeats.PURGE,
    "old requests": repeats.PURGE_REQUESTS,
    "old lost answers": receipts.FORGET_LOST,
}


@pytest.mark.parametrize("statement", SEARCHES.values(), ids=SEARCHES.keys())
async def test_no_table_is_read_from_end_to_end(postgres_url: str, statement: str | Statement) -> None:
    plan = await explain(postgres_url, statement)
    assert "Index Cond" in plan or "Index Only Scan" in plan
    assert [line for line in plan.splitlines() if "Seq Scan" in line] == []


async def test_each_change_is_one_look_up(postgres: PostgresDatabase, postgres_url: str) -> None:
    await add(postgres, *(new(n) for n in range(2_000)))
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("ANALYZE message")  # as the server does by itself within a minute
    await connection.close()
    plan = await explain(postgres_url, messages.writing(EVERY_FIELD)[0])
    assert "Index Cond: ((account_id = new.account_id) AND (id = new.id))" in plan


async def test_a_claim_finds_the_earliest_of_a_message_by_its_index(postgres_url: str) -> None:
    plan = await explain(postgres_url, deliveries.CLAIM, deliveries.WITHOUT_SORTING.postgres)
    assert "using delivery_of_message on delivery earlier" in plan


@pytest.mark.parametrize("statement", [deliveries.PENDING_OF, deliveries.FOLLOW], ids=["pending of", "followers"])
async def test_what_messages_have_pending_is_found_by_its_index(
    postgres: PostgresDatabase, postgres_url: str, statement: Statement
) -> None:
    """However many wait for a webhook that is away, once the server has looked at the table."""
    connection = await asyncpg.connect(postgres_url, server_settings=SETTINGS)
    try:
        for state, first, last in (("delivered", 1, 40_000), ("pending", 40_001, 45_000)):
            await connection.execute(
                """INSERT INTO delivery (account_id, webhook_id, event_id, message_id, state, due_at_ms)
                SELECT 1, 'wh', n::text, decode(lpad(to_hex(n), 32, '0'), 'hex'), $1, n
                FROM generate_series($2::integer, $3) AS n""",
                *(state, first, last),
            )
        await connection.execute("ANALYZE delivery")
        ids = [number.to_bytes(16, "big") for number in range(40_001, 40_101)]
        due = [0] if statement is deliveries.FOLLOW else []
        rows = await connection.fetch(f"EXPLAIN {translate(statement.postgres)}", *due, 1, "wh", ids)
    finally:
        await connection.close()
    assert "using delivery_of_message" in "\n".join(line for (line,) in rows)


async def explain(url: str, statement: str | Statement, before: str = "") -> str:
    text = translate(statement if isinstance(statement, str) else statement.postgres)
    connection = await asyncpg.connect(url, server_settings=SETTINGS | {"plan_cache_mode": "force_generic_plan"})
    try:
        if before:
            await connection.execute(before.replace("LOCAL", "SESSION"))
        await connection.execute(f"PREPARE asked AS {text}")
        [(count,)] = await connection.fetch(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'"
        )
        nothing = f"({', '.join(['NULL'] * count)})" if count else ""
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked{nothing}")
    finally:
        await connection.close()
    return "\n".join(line for (line,) in rows)


# An event of each of 10,000 messages, told to one webhook.
MANY = (
    """
    INSERT INTO event SELECT 1, 'msg_' || lpad(to_hex(n), 12, '0'),
        decode(lpad(to_hex(n), 12, '0') || repeat('0', 20), 'hex'), 'message.delivered', '{}', n
    FROM generate_series(1, 10000) AS n
    """,
    """
    INSERT INTO delivery (account_id, webhook_id, event_id, message_id, state, due_at_ms)
    SELECT account_id, 'wh', id, message_id, 'delivered', 0 FROM event
    """,
    "ANALYZE",
)
PAGES = {
    "old ones": (deliveries.LIST[None], (1, "wh", deliveries.first_id_at(2_000), 50)),
    "of a message": (deliveries.LIST_OF_ALL, (1, first_id(2_000), 1, 1, 50)),
    "of a message and a webhook": (
        deliveries.LIST_OF_MESSAGE,
        (1, first_id(2_000), 1, "wh", deliveries.AFTER_ALL, None, 50),
    ),
}


async def fill(url: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    for one in statements:
        await connection.execute(one)
    await connection.close()


@pytest.fixture
async def delivering(postgres: PostgresDatabase, postgres_url: str) -> PostgresDatabase:
    await fill(postgres_url, MANY)
    return postgres


@pytest.mark.parametrize(("statement", "parameters"), PAGES.values(), ids=PAGES.keys())
async def test_a_page_of_deliveries_costs_what_it_shows(
    delivering: PostgresDatabase, statement: str, parameters: Sequence[object]
) -> None:
    """However many newer ones there are."""
    async with delivering.cold_reading() as reader:
        [(plan,)] = await reader.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
    assert most_read(json.loads(plan)[0]["Plan"]) <= 50


async def test_whose_deliveries_were_left_behind_costs_a_look_for_each_webhook(delivering: PostgresDatabase) -> None:
    async with delivering.cold_reading() as reader:
        assert await deliveries.left_behind(reader, 1) == [(1, "wh")]
        [(plan,)] = await reader.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {deliveries.LEFT_BEHIND}", (1, 1, 1))
    assert most_read(json.loads(plan)[0]["Plan"]) <= 2


def most_read(node: dict[str, Any]) -> float:
    """Rows that a step of the plan, or one below it, looked at."""
    rows: float = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return max([rows, *map(most_read, node.get("Plans", []))])


# Messages of twenty accounts in a hundred eras each, half of them of the first account and with a tag.
STORED = (
    """
    INSERT INTO message (account_id, id, tracking_id, sender, phone, type, is_urgent, text, route, accepted_at_ms,
        expires_at_ms, state, status, step, due_at_ms, step_ends_at_ms, timeline, batch_id, era)
    SELECT account_id, decode(lpad(to_hex(n), 32, '0'), 'hex'), 'order-' || n, 'Shop', '+38050' || n, 'promo', FALSE,
        'Hello', '[]', n, n, 'final', 'delivered', 0, n, n, '', 0, n / 400 * 400 + account_id
    FROM (SELECT n, CASE n % 2 WHEN 0 THEN 1 ELSE n % 20 + 1 END AS account_id FROM generate_series(1, 40000) AS n)
        AS numbered
    """,
    "INSERT INTO message_tag SELECT account_id, 'autumn', id FROM message WHERE account_id = 1",
    "VACUUM ANALYZE",
)


@pytest.fixture
async def stored(postgres: PostgresDatabase, postgres_url: str) -> PostgresDatabase:
    await fill(postgres_url, STORED)
    return postgres


async def test_tracking_ids_are_looked_up_by_their_index(stored: PostgresDatabase) -> None:
    eras = ",".join(str(n * 400 + 1) for n in range(32))
    async with stored.cold_reading() as reader:
        names = [f"order-{n}" for n in range(1_000)]
        rows = await reader.rows(f"EXPLAIN {queries.BY_TRACKING_IDS.postgres}", (1, eras, names))
    plan = "\n".join(line for (line,) in rows)
    assert "Index Cond: ((account_id = '1'::bigint) AND (era = ANY" in plan
    assert "message_by_phone" not in plan


# Costs as they are among a million messages.
AS_IF_LARGE = ("random_page_cost = 40", "min_parallel_index_scan_size = 0", "min_parallel_table_scan_size = 0")


async def test_a_page_of_a_tag_is_read_without_workers(stored: PostgresDatabase) -> None:
    statement, parameters = queries.find_statement(1, Filter(tag="autumn"), None, 500)
    assert isinstance(statement, Statement)
    async with stored.cold_reading() as reader:
        for setting in AS_IF_LARGE:
            await reader.rows(f"SET LOCAL {setting}")
        rows = await reader.rows(f"EXPLAIN {statement.postgres}", parameters)
    assert [line for (line,) in rows if "Gather" in line] == []


async def test_a_value_that_does_not_fit_is_no_store_away(postgres: PostgresDatabase) -> None:
    with pytest.raises(asyncpg.DataError):
        async with postgres.transaction() as tx:
            await tx.execute("UPDATE batch_number SET taken = ?", ("many",))


async def test_sums_are_whole_numbers(postgres: PostgresDatabase) -> None:
    async with postgres.reading() as reader:
        [(whole, half)] = await reader.rows("SELECT sum(n), avg(n) FROM (VALUES (1::bigint), (2)) AS few (n)")
    assert (whole, type(whole), half) == (3, int, 1.5)


async def test_a_connection_knows_what_arrays_are(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        names = list(engine.ARRAYS)
        rows = await connection.fetch(
            "SELECT typname, oid, typarray FROM pg_type WHERE typname = ANY($1::text[])", names
        )
        assert {name: (element, array) for name, element, array in rows} == engine.ARRAYS
        await engine._prepare(connection)
        row = ([True, None], [b"\0", None], [2**40, None], [1, None], ["ї", None])
        query = "SELECT $1::boolean[], $2::bytea[], $3::bigint[], $4::integer[], $5::text[]"
        assert tuple(await connection.fetchrow(query, *row)) == row
        prepared = await connection.fetch("SELECT statement FROM pg_prepared_statements")
        assert not [statement for (statement,) in prepared if "typeinfo_tree" in statement]
    finally:
        await connection.close()


# Connections


PID = "SELECT pg_backend_pid()"


async def pid_of(database: Database) -> int:
    async with database.reading() as reader:
        [(pid,)] = await reader.rows(PID)
    return int(pid)


@pytest.fixture
async def lone(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A store with one connection."""
    opened = PostgresDatabase(postgres_url, 1)
    await opened.open(owner=False)
    yield opened
    await opened.close()


async def test_the_connection_used_last_is_used_next(postgres: PostgresDatabase) -> None:
    async with postgres.reading() as outer, postgres.reading() as inner:
        [(longer,)], [(shorter,)] = await outer.rows(PID), await inner.rows(PID)
    assert longer != shorter
    assert await pid_of(postgres) == await pid_of(postgres) == longer


async def test_a_use_that_is_broken_off_leaves_a_connection_to_the_next(lone: PostgresDatabase) -> None:
    async def dawdle() -> None:
        async with lone.transaction() as tx:
            await messages.add(tx, [new(1)])
            await tx.rows("SELECT pg_sleep(60)")

    dawdling = asyncio.create_task(dawdle())
    await asyncio.sleep(0.1)
    dawdling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dawdling
    async with asyncio.timeout(PATIENCE_S), lone.reading() as reader:
        assert await counts(reader) == {}


async def test_a_connection_that_dies_while_nobody_uses_it_is_replaced(
    lone: PostgresDatabase, postgres_url: str
) -> None:
    dead = await pid_of(lone)
    assert lone._pool is not None
    [(kept, _)] = lone._pool._kept
    await terminate(postgres_url, "cascade")
    await eventually(lambda: kept._con is None)  # asyncpg has noticed, and taken it back
    assert await pid_of(lone) != dead


async def test_the_pool_looks_at_a_connection_now_and_then(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    async def look(connection: Any) -> None:
        looks.append(connection)

    monkeypatch.setattr(engine, "_keep", look)
    monkeypatch.setattr(engine, "MOST_USES", 3)
    lone = PostgresDatabase(postgres_url, 1)
    await lone.open(owner=False)  # the first use
    for _ in range(7):
        await pid_of(lone)
    assert len(looks) == 2
    await lone.close()


async def test_whoever_closes_waits_for_what_is_under_way_and_no_longer(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CLOSE_S", 10 * PATIENCE_S)
    database = PostgresDatabase(postgres_url, 2)
    await database.open(owner=False)
    async with database.transaction() as tx:
        await messages.add(tx, [new(1)])
        async with database.reading() as reader:
            assert await counts(reader) == {}
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
    async with asyncio.timeout(PATIENCE_S):
        await closing


# Two nodes


async def test_what_stands_alone_is_committed_by_itself(postgres: PostgresDatabase) -> None:
    async with postgres.single() as tx:
        await messages.add(tx, [new(1)])
        async with postgres.reading() as reader:
            assert await counts(reader) == {State.QUEUED: 1}


async def test_an_answer_with_its_ids_is_one_statement_without_begin_and_commit(
    postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(postgres, new(1), new(2))
    known = {one.stored.key: one.stored for one in await claim(postgres)}
    said: list[str] = []

    def listening(statement: str) -> str:
        said.append(statement)
        return translate(statement)

    monkeypatch.setattr(engine, "translate", listening)
    monkeypatch.setattr(asyncpg.transaction.Transaction, "start", None)  # BEGIN would fail
    news = [News(one, Settled(T0 + 1, 1, 0, Accepted((str(n),)))) for n, one in enumerate(known)]
    sent = [Sent("sms.smpp", one, 1, 0, [str(n)]) for n, one in enumerate(known)]
    written, _ = await decisions.apply_at_once(postgres, news, known, sent)
    assert (len(written), len(said)) == (2, 1)


async def test_sums_of_hours_days_and_moments_are_one_statement(
    postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = statistics.Tally()
    postgres.observers.append(tally)
    await add(postgres, new(1), new(2, urgent()))
    said: list[str] = []

    def listening(statement: str) -> str:
        said.append(statement)
        return translate(statement)

    monkeypatch.setattr(engine, "translate", listening)
    monkeypatch.setattr(asyncpg.transaction.Transaction, "start", None)
    async with postgres.single() as tx:
        await statistics.write(tx, tally.take())
    assert len(said) == 1
    async with postgres.reading() as reader:
        for account_id in (new(1).key.account_id, statistics.ALL):
            for by_days in (False, True):
                sums = await statistics.totals(reader, account_id, T0, T0 + 1, by_days=by_days)
                assert sum(one.number for one in sums if one.kind is statistics.Kind.ACCEPTED) == 2
            assert [pulse.accepted for pulse in await statistics.pulses(reader, account_id, 0)] == [2]


async def test_claimers_of_two_nodes_never_get_the_same_message(node: Open) -> None:
    nodes = [await node(), await node()]
    await add(nodes[0], *(new(n) for n in range(300)))
    taken: list[int] = []

    async def claimer(database: Database) -> None:
        while some := await claim(database, limit=7):
            taken.extend(numbers(some))

    await asyncio.gather(*(claimer(database) for database in nodes * 4))
    assert sorted(taken) == list(range(300))


async def test_a_claim_leaves_to_another_what_it_has_begun_to_take(node: Open) -> None:
    first, second = await node(), await node()
    await add(first, *(new(n) for n in range(4)))
    async with first.transaction() as tx:
        begun = await messages.claim(tx, BULK, 2, T0, T0 + 1)
        assert numbers(await claim(second)) == [2, 3]
    assert numbers(begun) == [0, 1]


async def test_of_two_decisions_at_once_the_later_is_refused(node: Open) -> None:
    first, second = await node(), await node()
    await add(first, new(1))
    stored = await load(first, 1)
    async with first.transaction() as tx:
        assert await messages.change(tx, [Change(stored, stored.message._replace(attempt=1), [], T0)]) == []
        late = asyncio.create_task(change(second, Change(stored, stored.message._replace(attempt=2), [], T0)))
        await waiting_for_a_lock(first)
    assert await late == [key(1)]
    assert (await load(first, 1)).message.attempt == 1


async def test_sets_that_overlap_in_another_order_do_not_lock_each_other_out(node: Open) -> None:
    nodes = [await node(), await node()]
    count = 60
    await add(nodes[0], *(new(n) for n in range(count)))

    async def count_up(database: Database, order: list[int]) -> None:
        left = set(order)
        while left:
            some = [await load(database, n) for n in order if n in left]
            changes = [Change(one, one.message._replace(attempt=one.message.attempt + 1), [], T0) for one in some]
            refused = await change(database, *changes)
            left = {int.from_bytes(one.id, "big") for one in refused}

    ways = [list(range(count)), list(reversed(range(count)))]
    await asyncio.gather(*(count_up(database, way) for database in nodes for way in ways))
    found = [(await record(nodes[0], n)).message.attempt for n in range(count)]
    assert found == [4] * count


async def test_of_equal_messages_at_once_one_is_the_first(node: Open) -> None:
    nodes = [await node(), await node()]
    digests = [bytes([n]) * 16 for n in range(20)]

    async def send(database: Database, order: list[bytes], mine: int) -> dict[bytes, bytes]:
        sent = [(digest, bytes([mine]) + digest[1:]) for digest in order]
        async with database.transaction() as tx:
            earlier = await repeats.remember(tx, 1, sent, T0, T0 - 1)
        return {digest: earlier.get(digest, id_) for digest, id_ in sent}

    ways = [digests, digests[::-1]]
    answers = await asyncio.gather(*(send(nodes[n % 2], ways[n // 2 % 2], n) for n in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_the_same_request_at_once_waits_for_the_first_ones_answer(node: Open) -> None:
    first, second = await node(), await node()

    async def again() -> repeats.Answered | None:
        async with second.transaction() as tx:
            return await repeats.begin_request(tx, 1, b"key", b"body", T0, T0 - 1)

    async with first.transaction() as tx:
        assert await repeats.begin_request(tx, 1, b"key", b"body", T0, T0 - 1) is None
        waiting = asyncio.create_task(again())
        await waiting_for_a_lock(first)
        await repeats.end_request(tx, 1, b"key", b"the answer")
    assert await waiting == (b"body", b"the answer")


async def test_an_account_added_by_two_nodes_is_one(node: Open) -> None:
    nodes = [await node(), await node()]

    async def add_account(database: Database) -> int:
        async with database.transaction() as tx:
            return await accounts.add_account(tx, "shop", T0)

    assert len(set(await asyncio.gather(*(add_account(database) for database in nodes * 4)))) == 1


async def test_batch_numbers_of_two_nodes_differ(node: Open) -> None:
    takers = [batches.BatchNumbers(await node()) for _ in range(2)]
    taken = await asyncio.gather(*(taker.take() for taker in takers * 10))
    assert len(set(taken)) == 20


HOOK = (1, "wh_a")


async def listen(*nodes: Database) -> None:
    async with nodes[0].transaction() as tx:
        await webhooks.add(tx, Webhook(*HOOK, "https://shop.example/", None, Format.STANDARD, (), 1, None, T0))
    for database in nodes:
        database.listeners = {1: (Listener(HOOK[1], None),)}


async def tell(database: Database, *about: int) -> None:
    async with database.transaction() as tx:
        await events.add(tx, [Happened(1, key(n).id, EventType.READ, T0, {}) for n in about])


async def take(database: Database, now_ms: int = T0, limit: int = 1_000) -> list[deliveries.Claimed]:
    async with database.transaction() as tx:
        return await deliveries.claim(tx, HOOK, limit, now_ms, now_ms + 30_000)


def arrived(some: list[deliveries.Claimed]) -> list[Tried]:
    return [Tried(one, DeliveryState.DELIVERED, T0, T0, 5, 200, "ok", None) for one in some]


async def test_an_event_added_while_the_last_one_is_recorded_does_not_wait_for_its_lease(node: Open) -> None:
    first, second = await node(), await node()
    await listen(first, second)
    await tell(first, 1, 2)
    claimed = await take(first)
    async with first.transaction() as tx:
        await deliveries.record(tx, arrived(claimed))
        telling = asyncio.create_task(tell(second, 2, 1))
        await waiting_for_a_lock(first)
    await telling
    assert len(await take(first)) == 2


async def test_a_record_sees_the_event_that_was_being_added(node: Open) -> None:
    first, second = await node(), await node()
    await listen(first, second)
    await tell(first, 1, 2)
    claimed = await take(first)

    async def write() -> None:
        async with second.transaction() as tx:
            await deliveries.record(tx, arrived(claimed))

    async with first.transaction() as tx:
        await events.add(tx, [Happened(1, key(n).id, EventType.READ, T0, {}) for n in (2, 1)])
        recording = asyncio.create_task(write())
        await waiting_for_a_lock(first)
    await recording
    assert len(await take(first)) == 2


async def test_adders_claimers_and_recorders_of_two_nodes_do_not_lock_each_other_out(node: Open) -> None:
    nodes = [await node(), await node()]
    await listen(*nodes)
    numbers = list(range(40))
    told = 0
    seen: dict[int, list[str]] = {}

    async def add_all(database: Database, order: list[int]) -> None:
        nonlocal told
        for turn in range(10):
            await tell(database, *order[:: (-1) ** turn])
            told += len(order)

    async def deliver(database: Database) -> None:
        while not all(adder.done() for adder in adders) or sum(map(len, seen.values())) < told:
            claimed = await take(database, limit=30)
            for one in claimed:
                seen.setdefault(int.from_bytes(one.message_id or b"", "big"), []).append(one.event_id)
            async with database.transaction() as tx:
                await deliveries.record(tx, arrived(claimed[::-1]))

    ways = [numbers[:20], numbers[:19:-1]]  # one message's events are decided one after the other
    async with asyncio.timeout(4 * PATIENCE_S):
        adders = [asyncio.create_task(add_all(database, way)) for database, way in zip(nodes, ways, strict=True)]
        await asyncio.gather(*adders, *(deliver(database) for database in nodes))
    assert {n: len(ids) for n, ids in seen.items()} == dict.fromkeys(numbers, 10)
    assert all(ids == sorted(set(ids)) for ids in seen.values())


# Wake-ups


class Heard:
    """What a node was told."""

    def __init__(self, database: Database) -> None:
        self.lanes: list[tuple[Lane, int]] = []
        self.receipts = self.inbound = 0
        self.webhooks: set[tuple[int, str]] = set()
        database.on_lane_ready = lambda lane, due_at_ms: self.lanes.append((lane, due_at_ms))
        database.on_receipts_ready = self._receipts_ready
        database.on_inbound_ready = self._inbound_ready
        database.on_deliveries_ready = self.webhooks.update

    def _receipts_ready(self) -> None:
        self.receipts += 1

    def _inbound_ready(self) -> None:
        self.inbound += 1


async def eventually(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - any condition will do
            await asyncio.sleep(0.002)


async def test_a_commit_wakes_every_node_and_its_own_once(node: Open) -> None:
    first, second = await node(), await node()
    own, other = Heard(first), Heard(second)
    async with first.transaction() as tx:
        await messages.add(tx, [new(1), new(2, queued(due_at_ms=T0 - 5)), new(3, urgent())])
        await receipts.add(tx, "sms.smpp", [Receipt("77", ReceiptState.DELIVERED)], T0)
        await inbound.add(tx, "viber_bot.1", [Inbound("i1", InboundKind.TEXT, "abc=", "hello")], T0)
        tx.deliveries_ready([(1, "wh_a")])
    await eventually(lambda: len(other.lanes) == 2 and other.receipts and other.inbound and other.webhooks)
    assert sorted(other.lanes) == sorted(own.lanes) == [(BULK, T0 - 5), (URGENT, T0)]
    assert (own.receipts, own.inbound, own.webhooks) == (1, 1, {(1, "wh_a")})
    assert (other.receipts, other.inbound, other.webhooks) == (1, 1, {(1, "wh_a")})
    await add(second, new(4))
    await eventually(lambda: len(own.lanes) == 3)  # it hears in the order of sending: its own letter would be here too
    assert len(other.lanes) == 3


async def test_what_is_taken_back_wakes_nobody(node: Open) -> None:
    first, second = await node(), await node()
    own, other = Heard(first), Heard(second)

    async def fails() -> None:
        async with first.transaction() as tx:
            await messages.add(tx, [new(1, urgent())])
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    await add(first, new(2))
    await eventually(lambda: other.lanes)
    assert own.lanes == other.lanes == [(BULK, T0)]


async def test_a_node_whose_listening_is_cut_off_listens_again(node: Open, postgres_url: str) -> None:
    first, second = await node(), await node()
    other = Heard(second)
    assert second._post is not None
    second._post.listening.clear()
    await terminate(postgres_url, "cascade wake-ups")
    async with asyncio.timeout(PATIENCE_S):
        await second._post.listening.wait()
    number = 0
    while not other.lanes:  # the first node's own connection may still be on its way back
        number += 1
        await add(first, new(number))
        await asyncio.sleep(0.01)


async def test_a_letter_that_nobody_can_read_is_let_lie(node: Open) -> None:
    first, second = await node(), await node()
    other = Heard(second)
    async with first.transaction() as tx:
        for letter in ("{", "[]", '["lane"]', '"receipts"'):
            await tx.rows("SELECT pg_notify(?, ?)", (engine.CHANNEL, letter))
    await add(first, new(1))
    await eventually(lambda: other.lanes)
    assert (other.receipts, other.webhooks) == (0, set())


# A server that goes away


async def terminate(url: str, application: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", application
        )
    finally:
        await connection.close()


async def test_a_connection_lost_in_the_middle_stores_nothing_and_the_next_one_works(
    postgres: PostgresDatabase, postgres_url: str
) -> None:

    async def is_cut_off() -> None:
        async with postgres.transaction() as tx:
            await messages.add(tx, [new(1)])
            await terminate(postgres_url, "cascade")
            await messages.add(tx, [new(2)])

    with pytest.raises(StoreUnavailableError):
        await is_cut_off()
    await add(postgres, new(3))
    async with postgres.reading() as reader:
        assert await counts(reader) == {State.QUEUED: 1}


async def test_no_connection_free_in_time_is_a_store_away(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STATEMENT_S", 0.05)
    database = PostgresDatabase(postgres_url, 1)
    await database.open(owner=False)
    try:
        async with database.transaction():
            with pytest.raises(StoreUnavailableError):
                await load(database, 1)
    finally:
        await database.close()


async def test_of_two_that_wait_for_each_other_one_is_told_to_try_again(node: Open) -> None:
    first, second = await node(), await node()
    await add(first, new(1), new(2))
    touch = "UPDATE message SET tries = tries + 1 WHERE account_id = ? AND id = ?"
    has_first, has_second = asyncio.Event(), asyncio.Event()

    async def unit(database: Database, keys: list[Key], mine: asyncio.Event, others: asyncio.Event) -> None:
        async with database.transaction() as tx:
            await tx.execute(touch, keys[0])
            mine.set()
            await others.wait()
            await tx.execute(touch, keys[1])

    ends = await asyncio.gather(
        unit(first, [key(1), key(2)], has_first, has_second),
        unit(second, [key(2), key(1)], has_second, has_first),
        return_exceptions=True,
    )
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "StoreUnavailableError"]


# Opening


async def test_nodes_that_start_at_once_make_the_tables_once(empty_postgres_url: str) -> None:
    nodes = [PostgresDatabase(empty_postgres_url, 2) for _ in range(4)]
    await asyncio.gather(*(database.open(owner=True) for database in nodes))
    await add(nodes[0], new(1))
    assert (await load(nodes[3], 1)).message == new(1).message
    for database in nodes:
        await database.close()


async def test_a_store_of_a_newer_cascade_is_refused(postgres: PostgresDatabase, postgres_url: str) -> None:
    async with postgres.transaction() as tx:
        await tx.execute("UPDATE alembic_version SET version_num = '1000.0'")
    try:
        with pytest.raises(ConfigError, match="newer cascade"):
            await PostgresDatabase(postgres_url, 1).open(owner=True)
    finally:
        async with postgres.transaction() as tx:
            await tx.execute("UPDATE alembic_version SET version_num = ?", (str(HEAD),))


REFUSED = {  # a URL, and what of the message names the problem
    "nobody listens there": ("postgresql://shop:hunter2@127.0.0.1:9/shop", "cannot open postgresql://127.0.0.1:9/shop"),
    "no such host": ("postgresql://shop:hunter2@no-such-host.invalid/shop", "cannot open"),
    "no port": ("postgresql://shop:hunter2@127.0.0.1:port/shop", "no PostgreSQL URL"),
}


@pytest.mark.parametrize(("url", "problem"), REFUSED.values(), ids=REFUSED.keys())
async def test_open_refuses_and_shows_no_password(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as refused:
        await PostgresDatabase(url, 1).open(owner=True)
    assert refused.value.setting == "store.url"
    assert "hunter2" not in str(refused.value)


async def test_a_database_that_does_not_exist_is_refused(postgres_server: str) -> None:
    missing = postgres_server.replace("/postgres", "/missing", 1)
    with pytest.raises(ConfigError, match="does not exist"):
        await PostgresDatabase(missing, 1).open(owner=True)


SHOWN = {
    "postgresql://shop:hunter2@db.example:5433/shop?sslmode=require": "postgresql://db.example:5433/shop",
    "postgres://db/shop?password=hunter2": "postgresql://db/shop",
    "postgresql:///shop?host=/run/postgresql": "postgresql:///shop",
    "postgresql://shop:hunter@2@db/shop": "postgresql://db/shop",
}


@pytest.mark.parametrize("url", SHOWN)
def test_a_url_is_shown_without_its_secret(url: str) -> None:
    assert shown(url) == SHOWN[url]


# A replica


@pytest.fixture
async def replica(postgres_server: str) -> AsyncIterator[str]:
    """A second PostgreSQL as a node sees it: another database, in which an account is called otherwise."""
    name = "cascade_replica_" + os.environ.get("PYTEST_XDIST_WORKER", "tests")
    connection = await asyncpg.connect(postgres_server)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    before, _, after = postgres_server.partition("?")
    url = f"{before.rpartition('/')[0]}/{name}?{after}"
    database = PostgresDatabase(url, 4)
    await database.open(owner=False)
    async with database.transaction() as tx:
        await accounts.add_account(tx, "as the replica has it", T0)
    await database.close()
    yield url
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


async def account_names(database: Database, **how: bool) -> list[str]:
    async with database.cold_reading(**how) as reader:
        return [name for name, _, _ in await accounts.list_accounts(reader)]


async def test_lists_come_from_the_replica_and_what_is_acted_on_from_the_primary(
    postgres_url: str, replica: str
) -> None:
    database = PostgresDatabase(postgres_url, 4, replica)
    await database.open(owner=False)
    async with database.transaction() as tx:
        await accounts.add_account(tx, "as the primary has it", T0)
    assert await account_names(database) == ["as the replica has it"]
    assert await account_names(database, newest=True) == ["as the primary has it"]
    async with database.reading() as reader:
        assert await accounts.find_account(reader, "as the primary has it")
    await database.close()


async def test_while_the_replica_is_away_lists_come_from_the_primary(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url, 4, "postgresql://shop:hunter2@127.0.0.1:9/shop")
    await database.open(owner=False)
    async with database.transaction() as tx:
        await accounts.add_account(tx, "as the primary has it", T0)
    assert await account_names(database) == ["as the primary has it"]
    await database.close()
