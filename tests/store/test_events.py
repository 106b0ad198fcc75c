"""The outbox: written for those who listen, claimed in order for one message, by one holder at a time."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cascade.core.events import EventType, Happened
from cascade.core.machine import Cancelled, ReceiptCame
from cascade.core.message import State as MessageState
from cascade.core.message import Status
from cascade.core.receipt import ReceiptState
from cascade.store import accounts, decisions, deliveries, events, webhooks
from cascade.store.database import Database, Statement, WebhookKey
from cascade.store.decisions import News
from cascade.store.deliveries import Claimed, State, Tried
from cascade.store.sqlite import SqliteDatabase
from cascade.store.webhooks import Format, SealedSecret, Webhook

from . import given
from .given import T0, add, key, new, queued
from .test_statements import counting, plan

HOOK: WebhookKey = (1, "wh_a")
LEASE_MS = 30_000
ITSELF = re.compile(r"CONSTANT|SCAN own$")
"""What a statement reads of the set that it was given."""
STATEMENTS: dict[str, str | Statement] = {
    "find webhook": webhooks.ONE,
    "webhook failed": webhooks.FAILED,
    "webhook worked": webhooks.WORKED,
    "add event": events.ADD.sqlite(1),
    "what messages have pending": deliveries.PENDING_OF,
    "add delivery": deliveries.ADD.sqlite(1),
    "claim": deliveries.CLAIM,
    "claim a new batch": deliveries.CLAIM_BATCH,
    "claim a batch again": deliveries.CLAIM_AGAIN,
    "next due": deliveries.NEXT_DUE,
    "record": deliveries.RECORD,
    "followers": deliveries.FOLLOW,
    "list": deliveries.LIST[None],
    "list the failed": deliveries.LIST[State.FAILED],
    "list a message's": deliveries.LIST_OF_MESSAGE,
    "list a message's of all webhooks": deliveries.LIST_OF_ALL,
    "the last that failed": deliveries.LAST_FAILED,
    "redeliver": deliveries.REDELIVER,
    "redeliver a range": deliveries.REDELIVER_FAILED,
    "forget deliveries": deliveries.FORGET[0],
    "forget events": deliveries.FORGET[1],
    "forget what was left behind": deliveries.FORGET_LEFT,
}


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "cascade.db")
    await opened.open(owner=True)
    yield opened
    await opened.close()


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_no_scan(sqlite: SqliteDatabase, statement: str | Statement) -> None:
    assert [line for line in plan(sqlite, statement) if "SCAN" in line and not ITSELF.search(line)] == []


def hook(id_: str = "wh_a", account_id: int = 1, **changes: object) -> Webhook:
    plain = Webhook(
        account_id, id_, "https://example.com/", None, Format.STANDARD, (SealedSecret("s", None),), 1, None, T0
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def listen(database: Database, *hooks: Webhook) -> None:
    async with database.transaction() as tx:
        for one in hooks:
            await webhooks.add(tx, one)
    await refresh(database)


async def refresh(database: Database) -> None:
    async with database.reading() as reader:
        database.listeners = webhooks.listeners(await webhooks.enabled(reader))


async def tell(
    database: Database, message: int | None = 1, at_ms: int = T0, type_: EventType = EventType.DELIVERED
) -> None:
    id_ = None if message is None else key(message).id
    async with database.transaction() as tx:
        await events.add(tx, [Happened(1, id_, type_, at_ms, {"n": message})])


async def claim(database: Database, now_ms: int = T0, limit: int = 100, webhook: WebhookKey = HOOK) -> list[Claimed]:
    async with database.transaction() as tx:
        return await deliveries.claim(tx, webhook, limit, now_ms, now_ms + LEASE_MS)


async def claim_batch(database: Database, id_: str, now_ms: int = T0, limit: int = 100) -> list[Claimed]:
    async with database.transaction() as tx:
        return await deliveries.claim_batch(tx, HOOK, limit, id_, now_ms, now_ms + LEASE_MS)


async def record(database: Database, claimed: Claimed, state: State, due_at_ms: int = T0) -> None:
    async with database.transaction() as tx:
        await deliveries.record(tx, [Tried(claimed, state, due_at_ms, T0, 5, 200, "ok", None)])


async def count(database: Database, table: str) -> int:
    async with database.reading() as reader:
        [(rows,)] = await reader.rows(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above
    return int(rows)


async def page(database: Database, state: State | None = None, limit: int = 100) -> list[deliveries.Listed]:
    async with database.reading() as reader:
        return await deliveries.page(reader, HOOK, state, deliveries.AFTER_ALL, limit)


def messages_of(claimed: list[Claimed]) -> list[int]:
    return [int.from_bytes(one.message_id or b"", "big") for one in claimed]


async def work(database: SqliteDatabase) -> dict[str, int]:
    """The steps of telling of one event, of claiming it, and of writing down how it went."""
    spent = {}
    with counting(database) as steps:
        await tell(database, 7)
        spent["tell"], steps[0] = steps[0], 0
        [one] = await claim(database, limit=1)
        spent["claim"], steps[0] = steps[0], 0
        await record(database, one, State.PENDING, T0 + 60_000)
        spent["record"], steps[0] = steps[0], 0
        [one] = await claim_batch(database, "msg_1", limit=1)
        spent["claim a new batch"], steps[0] = steps[0], 0
        await record(database, one, State.PENDING, T0)
        steps[0] = 0
        await claim_batch(database, "msg_2")
        spent["claim a batch again"] = steps[0]
    return spent


async def test_the_work_does_not_grow_with_what_is_pending(sqlite: SqliteDatabase) -> None:
    await listen(sqlite, hook())
    for message in range(100, 140):
        await tell(sqlite, message)
    small = await work(sqlite)
    for message in range(140, 2_140):
        await tell(sqlite, message)
    large = await work(sqlite)
    assert {name: steps for name, steps in large.items() if steps > 1.5 * small[name]} == {}


LISTENERS = {
    "nobody": ([], 0),
    "another account": ([hook(account_id=2)], 0),
    "one that wants other types": ([hook(types=frozenset({EventType.READ}))], 0),
    "one that is disabled": ([hook(is_enabled=False)], 0),
    "one that wants this type": ([hook(types=frozenset({EventType.DELIVERED}))], 1),
    "one that wants everything": ([hook()], 1),
    "two": ([hook(), hook("wh_b")], 2),
}


@pytest.mark.parametrize(("hooks", "told"), LISTENERS.values(), ids=LISTENERS.keys())
async def test_written_for_those_who_listen_and_only_then(database: Database, hooks: list[Webhook], told: int) -> None:
    await listen(database, *hooks)
    await tell(database)
    assert await count(database, "delivery") == told
    assert await count(database, "event") == min(told, 1)


async def test_nothing_is_added_for_a_webhook_that_was_removed_since_the_last_look(database: Database) -> None:
    await listen(database, hook())
    async with database.transaction() as tx:
        await webhooks.remove(tx, *HOOK)
    await tell(database)
    assert await count(database, "delivery") == 0


async def test_only_what_a_removed_webhook_left_behind_is_found_and_forgotten(database: Database) -> None:
    await listen(database, hook("wh_a"), hook("wh_b"), hook("wh_c"), hook("wh_a", 2))
    for number in range(5):
        await tell(database, number)
    async with database.transaction() as tx:
        await webhooks.disable(tx, 1, "wh_c", "why", T0)
        assert await deliveries.left_behind(tx, 1) == []
        await tx.execute("DELETE FROM webhook WHERE account_id = 1 AND id = 'wh_b'")
        assert await deliveries.left_behind(tx, 1) == [(1, "wh_b")]
        assert await deliveries.left_behind(tx, 2) == []
        assert [await deliveries.forget_left(tx, (1, "wh_b"), 3) for _ in range(3)] == [3, 2, 0]
        assert await deliveries.left_behind(tx, 1) == []
    assert await count(database, "delivery") == 10


async def test_an_event_shares_the_fate_of_what_caused_it(database: Database) -> None:
    await listen(database, hook())

    async def fail() -> None:
        async with database.transaction() as tx:
            await events.add(tx, [Happened(1, None, EventType.READ, T0, {})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(database, "event") == 0


async def test_a_commit_wakes_whoever_delivers(database: Database) -> None:
    woken: list[WebhookKey] = []
    database.on_deliveries_ready = woken.extend
    await listen(database, hook())
    await tell(database)
    assert woken == [HOOK]


async def test_a_decision_tells_its_events_in_order(database: Database) -> None:
    await listen(database, hook())
    await add(database, new(1))
    await given.claim(database)
    async with database.transaction() as tx:
        await decisions.apply(tx, [News(key(1), ReceiptCame(T0, 1, 0, 0, ReceiptState.READ))], {})
    told = [orjson.loads(one.body)["type"] for one in reversed(await page(database))]
    assert told == ["message.processing", "message.delivered", "message.read"]


async def test_a_cancelled_message_is_told_of(database: Database) -> None:
    await listen(database, hook())
    await add(database, new(1))
    async with database.transaction() as tx:
        await decisions.apply(tx, [News(key(1), Cancelled(T0))], {})
    [one] = await page(database)
    assert orjson.loads(one.body)["data"]["reason"] == "cancelled"
    assert one.type == "message.permanenterror"


async def test_a_message_that_is_final_at_acceptance_is_told_of(database: Database) -> None:
    await listen(database, hook())
    final = queued(state=MessageState.FINAL, status=Status.PERMANENT_ERROR, step=-1)
    async with database.transaction() as tx:
        await events.add_accepted(tx, [new(1), new(2, final)])
    assert [one.type for one in await page(database)] == ["message.permanenterror"]


async def test_of_one_message_the_next_waits_until_the_first_arrived(database: Database) -> None:
    await listen(database, hook())
    for message in (1, 1, 2, 1):
        await tell(database, message)
    first, other = await claim(database)
    assert messages_of([first, other]) == [1, 2]
    assert await claim(database) == []
    await record(database, first, State.DELIVERED)
    [second] = await claim(database)
    assert second.event_id > first.event_id
    await record(database, second, State.FAILED)
    assert messages_of(await claim(database)) == [1]


async def test_a_set_is_told_in_its_order_behind_what_was_there_before(database: Database) -> None:
    await listen(database, hook(), hook("wh_b", types=frozenset({EventType.READ})), hook("wh_c", account_id=2))
    await tell(database, 1)
    [first] = await claim(database)
    async with database.transaction() as tx:
        happened = [
            Happened(1, key(message).id, type_, T0 + 1, {})
            for message, type_ in ((2, EventType.DELIVERED), (1, EventType.DELIVERED), (2, EventType.READ))
        ]
        await events.add(tx, [*happened, Happened(2, key(2).id, EventType.READ, T0, {}), happened[0]])
    assert await claim(database, T0) == [], "it happened later"
    [second] = await claim(database, T0 + 1)
    assert messages_of([second]) == [2]
    assert messages_of(await claim(database, T0 + 1, webhook=(1, "wh_b"))) == [2]
    assert messages_of(await claim(database, webhook=(2, "wh_c"))) == [2]
    await record(database, first, State.DELIVERED, T0 + 1)
    await record(database, second, State.DELIVERED, T0 + 1)
    third, other = await claim(database, T0 + 1)
    assert messages_of([third, other]) == [1, 2]
    await record(database, other, State.FAILED, T0 + 1)
    [last] = await claim(database, T0 + 1)
    types = [orjson.loads(one.body)["type"] for one in (second, other, last)]
    assert types == ["message.delivered", "message.read", "message.delivered"]


async def test_many_at_once_are_told_for_each_webhook_that_is_enabled(database: Database) -> None:
    await listen(database, hook(), hook("wh_b"), hook("wh_c"))
    async with database.transaction() as tx:  # by another process: this one has not heard of it yet
        assert await webhooks.disable(tx, 1, "wh_b", "why", T0)
    async with database.transaction() as tx:
        await events.add(tx, [Happened(1, key(n).id, EventType.READ, T0, {"n": n}) for n in range(237)])
    for webhook_id, told in (("wh_a", 237), ("wh_b", 0), ("wh_c", 237)):
        claimed = await claim(database, limit=1_000, webhook=(1, webhook_id))
        assert len(claimed) == told
        assert [orjson.loads(one.body)["data"]["n"] for one in claimed] == messages_of(claimed)
        assert len(set(messages_of(claimed))) == told


async def test_while_the_first_waits_for_its_next_try_the_others_wait_with_it(database: Database) -> None:
    await listen(database, hook())
    await tell(database)
    await tell(database)
    [first] = await claim(database)
    await record(database, first, State.PENDING, T0 + 60_000)
    await tell(database, at_ms=T0 + 1)
    assert await claim(database, T0 + 59_999) == []
    async with database.reading() as reader:
        assert await deliveries.next_due_at_ms(reader, HOOK) == T0 + 60_000
    [again] = await claim(database, T0 + 60_000)
    assert (again.event_id, again.tries, again.body) == (first.event_id, 2, first.body)


async def test_events_of_no_message_wait_for_nothing(database: Database) -> None:
    await listen(database, hook())
    await tell(database, None)
    await tell(database, None)
    assert len(await claim(database)) == 2


async def test_a_claim_takes_at_most_its_limit_and_only_its_webhooks(database: Database) -> None:
    await listen(database, hook(), hook("wh_b"))
    for message in (1, 2, 3):
        await tell(database, message)
    assert messages_of(await claim(database, limit=2)) == [1, 2]
    assert messages_of(await claim(database, webhook=(1, "wh_b"))) == [1, 2, 3]


async def test_a_lease_that_ran_out_is_claimed_again_and_its_late_result_is_ignored(database: Database) -> None:
    await listen(database, hook())
    await tell(database)
    [late] = await claim(database)
    assert await claim(database, T0 + LEASE_MS - 1) == []
    [fresh] = await claim(database, T0 + LEASE_MS)
    assert (fresh.event_id, fresh.body) == (late.event_id, late.body)
    await record(database, late, State.FAILED)
    [one] = await page(database)
    assert one.state is State.PENDING
    await record(database, fresh, State.DELIVERED)
    assert [one.state for one in await page(database)] == [State.DELIVERED]


async def test_a_batch_keeps_its_events_and_its_id_in_every_try(database: Database) -> None:
    await listen(database, hook())
    for message in (1, 1, 2):
        await tell(database, message)
    batch = await claim_batch(database, "msg_1", limit=2)
    assert messages_of(batch) == [1, 1]
    await tell(database, 1)
    assert messages_of(await claim_batch(database, "msg_2")) == [2]
    for one in batch:
        await record(database, one, State.PENDING, T0 + 5_000)
    assert await claim_batch(database, "msg_3") == []
    again = await claim_batch(database, "msg_4", T0 + 5_000)
    assert [(one.event_id, one.batch_id) for one in again] == [(one.event_id, "msg_1") for one in batch]
    for one in again:
        await record(database, one, State.DELIVERED, T0 + 5_000)
    assert messages_of(await claim_batch(database, "msg_5", T0 + 5_000)) == [1]


async def settle(database: Database, *states: State) -> list[str]:
    """Deliveries that ended so; their events' ids, oldest first."""
    for number, _ in enumerate(states):
        await tell(database, number)
    claimed = await claim(database)
    for one, state in zip(claimed, states, strict=True):
        await record(database, one, state)
    return [one.event_id for one in claimed]


async def test_what_was_told_of_a_message_is_found(database: Database) -> None:
    """Settled or not, whenever it happened: its id is from when it was written, which may be long after."""
    await listen(database, hook(), hook("wh_b"), hook("wh_c", 2))
    early, late = T0 - given.DAY_MS, T0 + given.DAY_MS
    for message, at_ms in ((1, T0), (2, T0), (1, early), (None, T0), (1, late)):
        await tell(database, message, at_ms)
    for one in await claim(database):
        await record(database, one, State.DELIVERED)
    async with database.reading() as reader:
        found = await deliveries.of_message(reader, *key(1), 100)
        newest = await deliveries.of_message(reader, *key(1), 3)
        others = await deliveries.of_message(reader, *key(1, 2), 100)
    told = [(one.webhook_id, one.created_at_ms, one.state) for one in found]
    assert told == [
        *(("wh_a", late, State.PENDING), ("wh_b", late, State.PENDING)),
        *(("wh_a", early, State.PENDING), ("wh_b", early, State.PENDING)),
        *(("wh_a", T0, State.DELIVERED), ("wh_b", T0, State.PENDING)),
    ]
    assert newest == found[:3]
    assert others == []


async def test_a_webhooks_deliveries_of_one_message_by_the_page(database: Database) -> None:
    await listen(database, hook(), hook("wh_b"))
    for message in (1, 2, 1, 1):
        await tell(database, message)
    for one in await claim(database, limit=2):
        await record(database, one, State.FAILED if one.message_id == key(1).id else State.DELIVERED)

    async def of_message(state: State | None, before_id: str, limit: int) -> list[str]:
        async with database.reading() as reader:
            found = await deliveries.page(reader, HOOK, state, before_id, limit, message_id=key(1).id)
        assert {(one.webhook_id, one.message_id) for one in found} <= {("wh_a", key(1).id)}
        return [one.event_id for one in found]

    newest, middle, oldest = await of_message(None, deliveries.AFTER_ALL, 100)
    assert await of_message(None, deliveries.AFTER_ALL, 2) == [newest, middle]
    assert await of_message(None, middle, 2) == [oldest]
    assert await of_message(State.FAILED, deliveries.AFTER_ALL, 100) == [oldest]
    assert await of_message(State.PENDING, deliveries.AFTER_ALL, 100) == [newest, middle]


async def test_one_is_delivered_again_from_the_beginning(database: Database) -> None:
    await listen(database, hook())
    [event_id] = await settle(database, State.FAILED)
    async with database.transaction() as tx:
        assert await deliveries.redeliver(tx, HOOK, event_id, T0)
        assert not await deliveries.redeliver(tx, HOOK, event_id, T0), "it is pending already"
        assert not await deliveries.redeliver(tx, (2, "wh_a"), event_id, T0)
    [again] = await claim(database)
    assert (again.event_id, again.tries) == (event_id, 1)


RANGES = {
    "the failed": (True, 100, 2),
    "all": (False, 100, 3),
    "no more than the limit": (False, 1, 1),
}


@pytest.mark.parametrize(("is_failed_only", "limit", "again"), RANGES.values(), ids=RANGES.keys())
async def test_a_range_is_delivered_again(database: Database, is_failed_only: bool, limit: int, again: int) -> None:
    await listen(database, hook())
    ids = await settle(database, State.FAILED, State.DELIVERED, State.FAILED)
    from_ms, to_ms = int(ids[0][4:16], 16), int(ids[-1][4:16], 16) + 1
    async with database.transaction() as tx:
        for bounds in ((from_ms - 1, from_ms), (to_ms, to_ms + 1)):
            assert not await deliveries.redeliver_range(
                tx, HOOK, from_ms=bounds[0], to_ms=bounds[1], is_failed_only=False, limit=100, now_ms=T0
            )
        count = await deliveries.redeliver_range(
            tx, HOOK, from_ms=from_ms, to_ms=to_ms, is_failed_only=is_failed_only, limit=limit, now_ms=T0
        )
    assert count == again
    assert len(await page(database, State.PENDING)) == again


async def test_a_page_is_of_one_state_newest_first(database: Database) -> None:
    await listen(database, hook())
    ids = await settle(database, State.FAILED, State.DELIVERED, State.FAILED)
    assert [one.event_id for one in await page(database)] == ids[::-1]
    assert [one.event_id for one in await page(database, State.FAILED)] == [ids[2], ids[0]]
    async with database.reading() as reader:
        older = await deliveries.page(reader, HOOK, None, ids[2], 1)
    assert [one.event_id for one in older] == [ids[1]]


async def test_what_failed_last_is_found_among_those_never_tried(database: Database) -> None:
    await listen(database, hook())
    for number in range(3):
        await tell(database, number)
    async with database.reading() as reader:
        assert await deliveries.last_failed(reader, HOOK) is None
    first, *_ = await claim(database, limit=1)
    await record(database, first, State.PENDING, due_at_ms=T0 + 5_000)
    async with database.reading() as reader:
        pending = await deliveries.last_failed(reader, HOOK)
    assert pending is not None
    assert (pending.event_id, pending.http_status) == (first.event_id, 200)
    claimed = await claim(database, T0 + 5_000)
    for one in claimed:
        await record(database, one, State.FAILED)
    async with database.reading() as reader:
        given_up = await deliveries.last_failed(reader, HOOK)
    assert given_up is not None
    assert (given_up.event_id, given_up.state) == (claimed[-1].event_id, State.FAILED)


async def test_old_events_are_forgotten_with_their_deliveries(database: Database) -> None:
    await listen(database, hook())
    ids = await settle(database, State.DELIVERED, State.FAILED, State.DELIVERED)
    later_ms = int(ids[-1][4:16], 16) + 1
    async with database.transaction() as tx:
        assert await deliveries.forget(tx, 1, int(ids[0][4:16], 16), 100) == 0
        assert await deliveries.forget(tx, 2, later_ms, 100) == 0
        assert await deliveries.forget(tx, 1, later_ms, 2) == 2
        assert [one.event_id for one in await deliveries.page(tx, HOOK, None, deliveries.AFTER_ALL, 9)] == ids[2:]
        assert await deliveries.forget(tx, 1, later_ms, 2) == 1
    assert await count(database, "delivery") == 0


async def test_a_webhook_is_found_as_it_was_stored(database: Database) -> None:
    stored = hook(
        types=frozenset({EventType.READ, EventType.DELIVERED}),
        format=Format.FLAT,
        secrets=(SealedSecret("new", None), SealedSecret("old", T0)),
        batch_max=7,
        retry_delays_s=(1, 2),
        is_enabled=False,
        disabled_reason="why",
        disabled_at_ms=T0,
        failing_since_ms=T0,
    )
    await listen(database, stored)
    async with database.reading() as reader:
        assert await webhooks.find(reader, *HOOK) == stored
        assert await webhooks.find(reader, 2, HOOK[1]) is None
        assert await webhooks.of_account(reader, 1) == [stored]
        assert await webhooks.enabled(reader) == []


async def test_every_change_is_noticed_by_every_process(database: Database) -> None:
    seen = set()

    async def version() -> None:
        async with database.reading() as reader:
            seen.add(await accounts.version(reader))

    await version()
    await listen(database, hook())
    await version()
    async with database.transaction() as tx:
        await webhooks.change(tx, hook(url="https://example.org/"))
    await version()
    async with database.transaction() as tx:
        assert await webhooks.disable(tx, *HOOK, "why", T0)
        assert not await webhooks.disable(tx, *HOOK, "again", T0)
    await version()
    assert len(seen) == 4


async def test_disabled_for_failing_only_after_the_whole_time_without_a_success(database: Database) -> None:
    await listen(database, hook())

    async def disable(failing_before_ms: int) -> bool:
        async with database.transaction() as tx:
            return await webhooks.disable(tx, *HOOK, "why", T0, failing_before_ms=failing_before_ms)

    assert not await disable(T0)
    async with database.transaction() as tx:
        await webhooks.failed(tx, *HOOK, T0)
        await webhooks.worked(tx, *HOOK)
    assert not await disable(T0 + 99)
    async with database.transaction() as tx:
        await webhooks.failed(tx, *HOOK, T0 + 5)
        await webhooks.failed(tx, *HOOK, T0 + 50)
    assert not await disable(T0 + 4)
    assert await disable(T0 + 5)
