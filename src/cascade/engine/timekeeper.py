"""Sees to it that no message stays in any state past its deadline: schedules, windows, leases, times to live."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import DeadlinePassed
from cascade.engine import decisions, sets
from cascade.engine.decisions import News
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Stored

log = structlog.get_logger()

LARGEST_SET = 500
TICK_S = 0.1
STORE_RETRY_S = 1.0
SET_ASIDE_MS = 3_600_000


class Timekeeper:
    """`takes_our_id` says of a link whether its provider would recognise a repeat."""

    def __init__(self, database: Database, now_ms: Callable[[], int], takes_our_id: Callable[[str], bool]) -> None:
        self._database = database
        self._now_ms = now_ms
        self._takes_our_id = takes_our_id

    async def run(self) -> None:
        while True:
            try:
                worked = await self.work()
            except StoreUnavailableError as error:
                log.error("deadlines_delayed", error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
                continue
            # A full set means that more is overdue; between two sets the others get their turns.
            await asyncio.sleep(0 if worked == LARGEST_SET else TICK_S)

    async def work(self) -> int:
        """Answer one set of deadlines that have passed; how many there were."""
        now_ms = self._now_ms()
        async with self._database.reading() as reader:
            overdue = await messages.past_deadline(reader, now_ms, LARGEST_SET)
        if overdue:
            await sets.work(overdue, partial(self._decide, now_ms), partial(self._set_aside, now_ms))
        return len(overdue)

    async def _decide(self, now_ms: int, overdue: Sequence[Stored]) -> None:
        news = []
        for stored in overdue:
            link = stored.message.link
            takes_our_id = link is not None and self._takes_our_id(link)
            news.append(News(stored.key, DeadlinePassed(now_ms, takes_our_id)))
        async with self._database.transaction() as tx:
            await decisions.apply(tx, news, {stored.key: stored for stored in overdue})

    async def _set_aside(self, now_ms: int, stored: Stored) -> None:
        log.exception("deadline_set_aside", message_id=stored.key.id.hex())
        async with self._database.transaction() as tx:
            await messages.postpone(tx, stored.key, now_ms + SET_ASIDE_MS)
