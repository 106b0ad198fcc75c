"""The console's tables: who may come in, how often a guess may fail, and what the audit log keeps."""

import pytest

from cascade.store import console
from cascade.store.console import Done, Role
from cascade.store.database import Database

from .given import T0

MINUTE_MS = 60_000


async def test_disabling_a_user_ends_their_sessions(database: Database) -> None:
    async with database.transaction() as tx:
        assert await console.add_user(tx, "olena", "hash", Role.OPERATOR, T0)
        assert not await console.add_user(tx, "olena", "other hash", Role.ADMIN, T0)
        user = await console.known_user(tx, "olena")
        await console.add_session(tx, b"digest", user.id, "127.0.0.1", "browser", T0)
        assert await console.find_session(tx, b"digest") is not None
        await console.enable(tx, user.id, is_enabled=False)
        assert await console.find_session(tx, b"digest") is None
        assert (user.password_hash, user.role) == ("hash", Role.OPERATOR)


async def test_a_new_password_ends_all_sessions_but_the_one_that_set_it(database: Database) -> None:
    async with database.transaction() as tx:
        await console.add_user(tx, "olena", "hash", Role.VIEWER, T0)
        user = await console.known_user(tx, "olena")
        for digest in (b"mine", b"stolen"):
            await console.add_session(tx, digest, user.id, "127.0.0.1", "browser", T0)
        await console.set_password(tx, user.id, "new hash", keep=b"mine")
        assert [session.digest for session in await console.sessions(tx, user.id)] == [b"mine"]


@pytest.mark.parametrize(("kind", "free"), console.FREE_FAILURES.items())
async def test_after_some_failures_each_guess_waits_twice_as_long(database: Database, kind: str, free: int) -> None:
    now_ms = T0
    async with database.transaction() as tx:
        for _ in range(free):
            assert await console.guess(tx, kind, "olena", now_ms) == 0
        waits = []
        for _ in range(12):
            wait_ms = await console.guess(tx, kind, "olena", now_ms)
            waits.append(wait_ms)
            assert await console.guess(tx, kind, "olena", now_ms) == wait_ms  # what has to wait is not counted
            now_ms += wait_ms
            assert await console.guess(tx, kind, "olena", now_ms) == 0
        assert waits[:4] == [1_000, 2_000, 4_000, 8_000]
        assert waits[-1] == console.LONGEST_WAIT_MS
        assert await console.guess(tx, kind, "taras", now_ms) == 0
        await console.guessed_right(tx, kind, "olena")
        assert await console.guess(tx, kind, "olena", now_ms) == 0


async def test_failures_of_an_hour_ago_are_forgotten(database: Database) -> None:
    async with database.transaction() as tx:
        for _ in range(6):
            await console.guess(tx, "name", "olena", T0)
        assert await console.guess(tx, "name", "olena", T0) > 0
        assert await console.guess(tx, "name", "olena", T0 + 61 * MINUTE_MS) == 0
        await console.forget_failures(tx, T0 + 3 * 61 * MINUTE_MS)
        assert await tx.rows("SELECT * FROM console_throttle") == []


async def test_the_audit_log_is_read_from_the_newest_on(database: Database) -> None:
    async with database.transaction() as tx:
        for number in range(5):
            await console.audit(tx, Done(T0 + number, "olena", "127.0.0.1", "key_added", 1, f"key {number}"))
        first = await console.audited(tx, 1 << 62, 3)
        rest = await console.audited(tx, first[-1][0], 3)
    assert [done.object for _, done in [*first, *rest]] == ["key 4", "key 3", "key 2", "key 1", "key 0"]


def test_each_role_may_do_what_those_before_it_may() -> None:
    may = [[role.may(needed) for needed in Role] for role in Role]
    assert may == [[True, False, False], [True, True, False], [True, True, True]]
