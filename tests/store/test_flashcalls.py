"""Flash calls: who called a phone last, and digits that count once and may be wrong so often and no more."""

import asyncio

from cascade.store import flashcalls
from cascade.store.database import Database
from cascade.store.flashcalls import Flashcall

from .given import T0, key, phone

ONE, TWO = "+380441000001", "+380442000002"


async def add(database: Database, *calls: Flashcall) -> None:
    async with database.transaction() as tx:
        await flashcalls.add(tx, calls)


async def find(database: Database, number: int = 1, account_id: int = 1) -> Flashcall | None:
    async with database.reading() as reader:
        wanted = key(number, account_id)
        return (await flashcalls.find(reader, account_id, [wanted.id])).get(wanted.id)


async def test_a_call_is_found_by_its_message_and_by_no_other_account(database: Database) -> None:
    call = Flashcall(key(1), ONE, 6)
    await add(database, call, Flashcall(key(2), None, 4))
    assert await find(database) == call
    assert await find(database, 2) == Flashcall(key(2), None, 4)
    assert await find(database, 3) is None
    assert await find(database, account_id=2) is None


async def test_the_last_caller_is_the_accounts_own(database: Database) -> None:
    async with database.transaction() as tx:
        await flashcalls.remember_callers(tx, 1, {phone(1): ONE, phone(2): ONE})
        await flashcalls.remember_callers(tx, 1, {phone(1): TWO})
        await flashcalls.remember_callers(tx, 2, {phone(3): ONE})
    async with database.transaction() as tx:
        assert await flashcalls.last_callers(tx, 1, [phone(1), phone(2), phone(3)]) == {phone(1): TWO, phone(2): ONE}


async def test_of_two_requests_one_waits_to_see_whom_the_other_chose(database: Database) -> None:
    chosen = []

    async def choose() -> None:
        async with database.transaction() as tx:
            last = (await flashcalls.last_callers(tx, 1, [phone(1)])).get(phone(1))
            caller = TWO if last == ONE else ONE
            await flashcalls.remember_callers(tx, 1, {phone(1): caller})
            chosen.append(caller)

    await asyncio.gather(*(choose() for _ in range(8)))
    assert chosen == [ONE, TWO] * 4


async def test_the_right_digits_count_once(database: Database) -> None:
    await add(database, Flashcall(key(1), ONE, 6))
    async with database.transaction() as tx:
        assert await flashcalls.match(tx, key(1), 3, T0)
        assert not await flashcalls.match(tx, key(1), 3, T0 + 1)
        assert not await flashcalls.miss(tx, key(1), 3)
    assert await find(database) == Flashcall(key(1), ONE, 6, 0, T0)


async def test_of_many_tries_at_once_no_more_are_heard_than_allowed(database: Database) -> None:
    await add(database, Flashcall(key(1), ONE, 6))

    async def miss() -> bool:
        async with database.transaction() as tx:
            return await flashcalls.miss(tx, key(1), 3)

    heard = await asyncio.gather(*(miss() for _ in range(8)))
    assert sum(heard) == 3
    async with database.transaction() as tx:
        assert not await flashcalls.match(tx, key(1), 3, T0)
    assert await find(database) == Flashcall(key(1), ONE, 6, 3, None)
