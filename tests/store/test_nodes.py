"""Nodes on one PostgreSQL: who lives, who owns which link, and what becomes of what the dead held."""

from collections.abc import AsyncIterator

import pytest

from cascade.core.message import State
from cascade.core.node import Role, Share
from cascade.core.receipt import Receipt, ReceiptState
from cascade.store import engines, messages, nodes, receipts
from cascade.store.database import Database
from cascade.store.nodes import Buried, Owned

from .given import BULK, HOUR_MS, LEASE_MS, T0, add, claim, load, new, put, queued

SMS, VIBER = "sms.smpp", "viber_bot.1"
LIVES_MS, DEAD_MS = 60_000, -1
"""How long a lease is: one is over when it begins."""


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = engines.database(postgres_url, 8)
    await opened.open(owner=True)
    yield opened
    await opened.close()


async def join(database: Database, *owns: str, lease_ms: int = LIVES_MS, name: str = "one") -> int:
    async with database.transaction() as tx:
        id_ = await nodes.join(tx, name, Role.ALL, LIVES_MS)
        await nodes.add_links(tx, [SMS, VIBER])
        assert sorted(await nodes.take(tx, id_, owns, 9)) == sorted(owns)
        assert await nodes.renew(tx, id_, lease_ms)
    return id_


async def owners(database: Database) -> dict[str, int | None]:
    async with database.reading() as reader:
        return {link: owned.node_id for link, owned in (await nodes.links(reader)).items()}


async def bury(database: Database) -> Buried:
    async with database.transaction() as tx:
        return await nodes.bury(tx, T0)


async def test_a_link_has_one_owner(database: Database) -> None:
    first, second = await join(database, SMS), await join(database)
    async with database.transaction() as tx:
        assert await nodes.take(tx, second, [SMS, VIBER], 9) == [VIBER]
    assert await owners(database) == {SMS: first, VIBER: second}


async def test_of_two_that_take_at_once_each_gets_others(database: Database) -> None:
    first, second = await join(database), await join(database)
    async with database.transaction() as one, database.transaction() as other:
        taken = await nodes.take(one, first, [SMS, VIBER], 1)
        rest = await nodes.take(other, second, [SMS, VIBER], 9)
    assert sorted(taken + rest) == [SMS, VIBER]


async def test_the_living_are_left_alone(database: Database) -> None:
    id_ = await join(database, SMS)
    assert await bury(database) == Buried([], [], 0)
    async with database.reading() as reader:
        assert [(node.id, node.role) for node in (await nodes.standing(reader))[0]] == [(id_, Role.ALL)]


async def test_the_dead_own_nothing_and_do_not_come_back(database: Database) -> None:
    dead = await join(database, SMS, VIBER, lease_ms=DEAD_MS)
    assert await bury(database) == Buried([dead], [SMS, VIBER], 0)
    assert await owners(database) == {SMS: None, VIBER: None}
    async with database.transaction() as tx:
        assert not await nodes.renew(tx, dead, LIVES_MS)
    assert await join(database) != dead


async def test_who_bears_the_name_of_one_that_joins_is_dead(database: Database) -> None:
    before, other = await join(database, SMS, name="one"), await join(database, VIBER, name="two")
    async with database.transaction() as tx:
        assert await nodes.bury_namesakes(tx, "one", T0) == Buried([before], [SMS], 0)
    assert await owners(database) == {SMS: None, VIBER: other}


async def test_a_lease_that_nobody_missed_is_as_good_as_new(database: Database) -> None:
    id_ = await join(database, SMS, lease_ms=DEAD_MS)
    async with database.transaction() as tx:
        assert await nodes.renew(tx, id_, LIVES_MS)
    assert await bury(database) == Buried([], [], 0)


async def test_who_leaves_frees_its_links(database: Database) -> None:
    first, second = await join(database, SMS), await join(database, VIBER)
    async with database.transaction() as tx:
        await nodes.leave(tx, first)
    assert await owners(database) == {SMS: None, VIBER: second}


async def test_who_gives_a_link_away_keeps_the_others(database: Database) -> None:
    id_ = await join(database, SMS, VIBER)
    async with database.transaction() as tx:
        await nodes.release(tx, id_, [SMS])
    assert await owners(database) == {SMS: None, VIBER: id_}


async def test_an_owner_says_how_its_links_do_and_nobody_elses(database: Database) -> None:
    id_ = await join(database, SMS)
    await join(database, VIBER)
    async with database.transaction() as tx:
        await nodes.tell(tx, id_, [SMS, VIBER], is_up=True)
    async with database.reading() as reader:
        said = await nodes.links(reader)
    assert said[SMS] == Owned(SMS, id_, True)
    assert said[VIBER].is_up is None


async def test_only_the_owner_of_a_link_claims_for_it(database: Database) -> None:
    owner, other = await join(database, SMS), await join(database, VIBER)
    await add(database, new(1))
    async with database.transaction() as tx:
        assert await messages.claim(tx, BULK, 9, T0, T0 + LEASE_MS, other) == []
        assert len(await messages.claim(tx, BULK, 9, T0, T0 + LEASE_MS, owner)) == 1


async def test_what_the_dead_were_sending_is_past_its_deadline(database: Database) -> None:
    dead = await join(database, SMS, lease_ms=DEAD_MS)
    await add(database, new(1), new(2))
    await put(database, 3, queued(state=State.WAITING, deadline_at_ms=T0 + LEASE_MS))
    await claim(database, BULK, 1)
    assert await bury(database) == Buried([dead], [SMS], 1)
    async with database.reading() as reader:
        overdue = [stored.key for stored in await messages.past_deadline(reader, T0, 9)]
    assert overdue == [(await load(database, 1)).key]


async def test_what_the_living_are_sending_is_not(database: Database) -> None:
    await join(database, VIBER, lease_ms=DEAD_MS)
    await join(database, SMS)
    await add(database, new(1))
    await claim(database, BULK, 1)
    assert (await bury(database)).leases == 0
    assert (await load(database, 1)).message.deadline_at_ms == T0 + LEASE_MS


async def test_shares_of_what_is_overdue_are_all_of_it_and_each_once(database: Database) -> None:
    await add(database, *(new(n, queued(deadline_at_ms=T0)) for n in range(20)))
    async with database.reading() as reader:
        shares = [await messages.past_deadline(reader, T0 + HOUR_MS, 99, Share(index, 3)) for index in range(3)]
    ids = [stored.key.id for share in shares for stored in share]
    assert len(ids) == len(set(ids)) == 20
    assert all(shares)


async def test_a_receipt_is_one_nodes(database: Database) -> None:
    came = [Receipt(str(n), ReceiptState.DELIVERED) for n in range(6)]
    async with database.transaction() as tx:
        await receipts.add(tx, SMS, came[:4], T0)
        await receipts.add(tx, VIBER, came[4:], T0)
    async with database.reading() as reader:
        inbox = await receipts.due(reader, T0, 99)
        shares = [await receipts.due(reader, T0, 99, Share(index, 2)) for index in range(2)]
    assert sorted(one.id for share in shares for one in share) == sorted(one.id for one in inbox)
    async with database.transaction() as one, database.transaction() as other:
        assert await receipts.hold(one, inbox[:3]) == inbox[:3]
        assert await receipts.hold(other, inbox) == inbox[3:]
        await receipts.done(one, [inbox[0].id])
    async with database.transaction() as tx:
        assert await receipts.hold(tx, inbox) == inbox[1:]
