"""Short links: found by their codes until their time is over, and counted."""

from collections import Counter

import pytest

from cascade.core.short_links import ALPHABET, is_code
from cascade.store import short_links
from cascade.store.database import Database
from cascade.store.short_links import Clicks, Counted, NewLink, Target

from .given import DAY_MS, T0, key

URL = "https://shop.example/sale?x=1"
CODE = "mPq7XkZ2"
LINK = NewLink(CODE, key(1), URL, T0, T0 + DAY_MS)


async def add(database: Database, *given: NewLink) -> None:
    async with database.transaction() as tx:
        await short_links.add(tx, given)


async def target(database: Database, code: str, now_ms: int = T0) -> Target | None:
    async with database.reading() as reader:
        return await short_links.target(reader, code, now_ms)


async def count(database: Database, *counted: Counted) -> None:
    async with database.transaction() as tx:
        await short_links.count(tx, counted)


async def clicks(database: Database, number: int = 1, account_id: int = 1) -> list[Clicks]:
    async with database.reading() as reader:
        return await short_links.of_message(reader, key(number, account_id))


async def test_a_code_leads_to_its_message_and_target(database: Database) -> None:
    await add(database, LINK, NewLink("otherCde", key(2), "http://e.com", T0, T0 + DAY_MS))
    assert await target(database, CODE) == Target(key(1), URL)


TIMES = {"at once": (T0, True), "in its last moment": (T0 + DAY_MS - 1, True), "when it ends": (T0 + DAY_MS, False)}


@pytest.mark.parametrize(("now_ms", "leads"), TIMES.values(), ids=TIMES.keys())
async def test_a_link_ends(database: Database, now_ms: int, leads: bool) -> None:
    await add(database, LINK)
    assert (await target(database, CODE, now_ms) is not None) is leads


@pytest.mark.parametrize("code", ["", "MPQ7XKZ2", CODE[:-1], f"{CODE} ", "%"])
async def test_no_other_code_leads_anywhere(database: Database, code: str) -> None:
    await add(database, LINK)
    assert await target(database, code) is None


async def test_clicks_add_up_and_the_first_stays_the_first(database: Database) -> None:
    await add(database, LINK)
    assert await clicks(database) == [Clicks(CODE, URL, 0, 0, None, None)]
    await count(database, Counted(1, CODE, 0, 2, None, None))
    assert await clicks(database) == [Clicks(CODE, URL, 0, 2, None, None)]
    await count(database, Counted(1, CODE, 3, 0, T0 + 5, T0 + 9))
    await count(database, Counted(1, CODE, 1, 1, T0 + 20, T0 + 20), Counted(1, CODE, 0, 1, None, None))
    assert await clicks(database) == [Clicks(CODE, URL, 4, 4, T0 + 5, T0 + 20)]


async def test_a_click_counts_for_the_link_s_own_account_alone(database: Database) -> None:
    await add(database, LINK)
    await count(database, Counted(2, CODE, 1, 0, T0, T0), Counted(1, "nobodysX", 1, 0, T0, T0))
    assert await clicks(database) == [Clicks(CODE, URL, 0, 0, None, None)]
    assert await clicks(database, account_id=2) == []


async def test_what_is_over_is_purged_the_oldest_first(database: Database) -> None:
    await add(database, *(NewLink(f"mPq7XkZ{n}", key(n), URL, T0, T0 + n) for n in range(2, 6)))
    async with database.transaction() as tx:
        assert await short_links.purge(tx, 2, T0 + 4) == 2
        assert await short_links.purge(tx, 2, T0 + 4) == 1
        assert await short_links.purge(tx, 2, T0 + 4) == 0
    assert [n for n in range(2, 6) if await clicks(database, n)] == [5]


async def test_new_codes_are_not_in_use_and_all_different(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await add(database, LINK)
    drawn = iter([[CODE, "aaaaaaaa", "aaaaaaaa"], [CODE, "bbbbbbbb"], ["cccccccc"]])
    monkeypatch.setattr(short_links, "random_codes", lambda count: next(drawn)[:count])
    async with database.transaction() as tx:
        assert await short_links.new_codes(tx, 3) == ["aaaaaaaa", "bbbbbbbb", "cccccccc"]


async def test_thousands_of_codes_at_once(database: Database) -> None:
    async with database.transaction() as tx:
        codes = await short_links.new_codes(tx, 1_203)
        assert await short_links.new_codes(tx, 0) == []
    assert len(set(codes)) == 1_203
    assert all(map(is_code, codes))


def test_every_letter_is_as_likely_at_every_place() -> None:
    """The bound is six standard deviations: a fair generator breaks it once in a million runs."""
    codes = short_links.random_codes(57_000)
    assert all(map(is_code, codes))
    for place in range(8):
        counts = Counter(code[place] for code in codes)
        assert set(counts) == set(ALPHABET)
        assert all(abs(count - 1_000) < 190 for count in counts.values())


def test_no_code_tells_of_another() -> None:
    codes = short_links.random_codes(10_000)
    assert codes != sorted(codes)
    assert len(set(codes)) == 10_000
