"""Campaigns: the messages of one tag, how far they are, and a way to stop the rest."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote

from starlette.responses import Response

from cascade.console.page import NotFoundError, Page, int_or_missing
from cascade.core.machine import Cancelled
from cascade.store import decisions, messages, tags
from cascade.store.database import Reader
from cascade.store.decisions import News
from cascade.store.ids import at_ms, first_id
from cascade.store.tags import Progress

SHOWN: Final = 40
SET: Final = 250
"""Messages changed by one transaction: between two of them, sending goes on."""
FRESH_S: Final = 1.5
REST: Final = 10
"""What took long to count is shown so many times as long before it is counted anew."""


T = TypeVar("T")


class Campaign(NamedTuple):
    account_id: int
    tag: str
    newest_ms: int


class Counts(Generic[T]):
    """What `count` found of an account's tag a moment ago, for all who look at it."""

    def __init__(self, count: Callable[[Reader, int, str], Awaitable[T]]) -> None:
        self._count = count
        self._known: dict[tuple[int, str], tuple[float, T]] = {}
        self._turn = asyncio.Lock()

    async def of(self, page: Page, account_id: int, tag: str) -> T:
        loop = asyncio.get_running_loop()
        async with self._turn:
            known = self._known.get((account_id, tag))
            if known is not None and loop.time() < known[0]:
                return known[1]
            begun_s = loop.time()
            async with page.parts.database.cold_reading() as reader:
                found = await self._count(reader, account_id, tag)
            took_s = loop.time() - begun_s
            if len(self._known) > 1_000:
                self._known.clear()
            self._known[account_id, tag] = (loop.time() + max(FRESH_S, REST * took_s), found)
            return found

    def forget(self, account_id: int, tag: str) -> None:
        self._known.pop((account_id, tag), None)


async def newest(page: Page) -> list[Campaign]:
    """Of the accounts that are shown, as many as fit on a page."""
    found: list[Campaign] = []
    async with page.parts.database.cold_reading() as reader:
        for account in page.accounts:
            some = await tags.listed(reader, account.id, SHOWN)
            found += [Campaign(account.id, tag, at_ms(newest)) for tag, newest in some]
    found.sort(key=lambda one: one.newest_ms, reverse=True)
    return found[:SHOWN]


async def listed(page: Page) -> Response:
    return page.render("campaigns.html", campaigns=await newest(page))


async def row(page: Page) -> Response:
    """One line of the list, counted when it is on the screen."""
    return page.render("campaign_row.html", **await _campaign(page))


async def show(page: Page) -> Response:
    return page.render("campaign.html", **await _campaign(page))


async def live(page: Page) -> Response:
    return page.render("campaign_live.html", **await _campaign(page))


async def _campaign(page: Page) -> dict[str, Any]:
    account_id, tag = named(page)
    counts: Counts[Progress | None] = page.request.app.state.campaigns
    progress = await counts.of(page, account_id, tag)
    if progress is None:
        raise NotFoundError
    return {"account_id": account_id, "tag": tag, "progress": progress}


def named(page: Page) -> tuple[int, str]:
    """The account and the tag that the path names."""
    given = page.request.path_params
    account_id = int_or_missing(given, "account_id")
    if account_id not in page.parts.directory().accounts:
        raise NotFoundError
    return account_id, given["tag"]


async def cancel(page: Page) -> Response:
    """Whatever of it has not begun."""
    account_id, tag = named(page)
    now_ms = page.parts.now_ms()
    before_id = first_id(now_ms + 1)
    after_id = b""
    cancelled = 0
    while True:
        async with page.parts.database.cold_reading(newest=True) as reader:
            keys = await tags.not_begun(reader, account_id, tag, after_id, before_id, SET)
        if not keys:
            break
        after_id = keys[-1].id
        async with page.parts.database.transaction() as tx:
            known = await messages.load(tx, keys)
            waiting = {key: stored for key, stored in known.items() if not stored.message.has_begun}
            news = [News(key, Cancelled(page.parts.now_ms())) for key in waiting]
            cancelled += len(await decisions.apply(tx, news, waiting))
    async with page.parts.database.transaction() as tx:
        await page.audit(tx, "campaign_cancelled", f"{tag}: {cancelled}", account_id)
    counts: Counts[Progress | None] = page.request.app.state.campaigns
    counts.forget(account_id, tag)
    return page.go(f"/campaigns/{account_id}/show/{quote(tag, safe='')}", "campaign_cancelled")
