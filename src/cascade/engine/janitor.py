"""Lets go of what is too old, slowly: after each small batch it rests many times as long as that took."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import NamedTuple

import structlog

from cascade.core.errors import CascadeError
from cascade.core.node import Share
from cascade.engine import metrics
from cascade.store import accounts, deliveries, erasure, nodes, retention
from cascade.store.database import Database, Transaction
from cascade.store.erasure import Asked

log = structlog.get_logger()

LARGEST_SET = 50
"""Messages deleted by one transaction: on SQLite a millisecond or two, in which nobody else is served."""
SWEPT_SET = 1_000
REST = 10
LEAST_REST_S = 0.05
LOOK_EVERY_S = 60.0
TIDY_EVERY_MS = 3_600_000
SWEEP_EVERY_MS = 86_400_000


class Keep(NamedTuple):
    """How long, in milliseconds; None: for ever. `receipts_ms`: for how long a receipt still finds its message."""

    messages_ms: int | None
    receipts_ms: int | None
    inbound_ms: int | None
    audit_ms: int | None


class Janitor:
    """`share`: of several nodes one is enough. `links`: those that this node knows."""

    def __init__(
        self,
        database: Database,
        keep: Keep,
        now_ms: Callable[[], int],
        share: Callable[[], Share],
        links: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._database = database
        self._keep = keep
        self._now_ms = now_ms
        self._share = share
        self._links = links
        self._tidied_at_ms = 0
        self._swept_at_ms = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._share().is_first:
                try:
                    await self.erase()
                    if self._now_ms() - self._tidied_at_ms >= TIDY_EVERY_MS:
                        await self.tidy()
                        self._tidied_at_ms = self._now_ms()
                except CascadeError as error:
                    log.warning("tidying_delayed", error=str(error))

    async def erase(self) -> None:
        """Go on with persons whose messages were under way when their erasure was asked for."""
        for account_id, phone, asked_at_ms in await erasure.waiting(self._database):
            asked = Asked("janitor", "", asked_at_ms)
            erased = await erasure.erase(self._database, account_id, phone, asked, self._now_ms())
            if not erased.unfinished:
                log.info("person_erased", account_id=account_id, **erased._asdict())

    async def tidy(self) -> None:
        """One pass over all that has an age, or that nobody knows any more."""
        async with self._database.reading() as reader:
            account_ids = await accounts.ids(reader)
        if self._database.is_shared:
            async with self._database.transaction() as tx:
                self._count("link_owner", await nodes.forget_links(tx, self._links()))
            for account_id in account_ids:
                await self._forget_left_behind(account_id)
        if self._keep.messages_ms is not None:
            for account_id in account_ids:
                await self._forget_messages(account_id, self._now_ms() - self._keep.messages_ms)
        if self._keep.inbound_ms is not None:
            await self._forget_inbound(self._now_ms() - self._keep.inbound_ms)
        if self._keep.audit_ms is not None:
            await self._forget_audit(self._now_ms() - self._keep.audit_ms)
        if self._now_ms() - self._swept_at_ms >= SWEEP_EVERY_MS:
            ages = {"sent_part": self._keep.receipts_ms, "message_tag": self._keep.messages_ms}
            for table, age_ms in ages.items():
                if age_ms is not None:
                    await self._sweep(table, self._now_ms() - age_ms)
            self._swept_at_ms = self._now_ms()

    async def _forget_left_behind(self, account_id: int) -> None:
        async with self._database.reading() as reader:
            removed = await deliveries.left_behind(reader, account_id)
        for webhook in removed:
            await self._forget("delivery", partial(deliveries.forget_left, webhook=webhook, limit=LARGEST_SET))

    async def _forget_messages(self, account_id: int, before_ms: int) -> None:
        after_id = b""
        while True:
            begun_at_s = self._time_s()
            async with self._database.transaction() as tx:
                ids = await retention.forget_messages(tx, account_id, after_id, before_ms, LARGEST_SET)
            self._count("message", len(ids))
            if len(ids) < LARGEST_SET:
                return
            after_id = max(ids)
            await self._rest(begun_at_s)

    async def _forget_inbound(self, before_ms: int) -> None:
        after_id: int | None = 0
        while after_id is not None:
            begun_at_s = self._time_s()
            async with self._database.transaction() as tx:
                after_id = await retention.forget_inbound(tx, after_id, before_ms, LARGEST_SET)
            await self._rest(begun_at_s)

    async def _forget_audit(self, before_ms: int) -> None:
        await self._forget("console_audit", partial(retention.forget_audit, before_ms=before_ms, limit=LARGEST_SET))

    async def _forget(self, table: str, some: Callable[[Transaction], Awaitable[int]]) -> None:
        """`some` deletes up to a set, and says how many."""
        forgotten = LARGEST_SET
        while forgotten == LARGEST_SET:
            begun_at_s = self._time_s()
            async with self._database.transaction() as tx:
                forgotten = await some(tx)
            self._count(table, forgotten)
            await self._rest(begun_at_s)

    async def _sweep(self, table: str, before_ms: int) -> None:
        swept = retention.SWEPT[table]
        after = swept.before_all
        while True:
            begun_at_s = self._time_s()
            async with self._database.cold_reading() as reader:
                rows = await retention.read(reader, swept, after, SWEPT_SET)
            for start in range(0, len(rows), LARGEST_SET):
                some = rows[start : start + LARGEST_SET]
                async with self._database.transaction() as tx:
                    self._count(table, await retention.forget(tx, swept, some, before_ms))
            if len(rows) < SWEPT_SET:
                return
            after = rows[-1]
            await self._rest(begun_at_s)

    @staticmethod
    def _count(table: str, forgotten: int) -> None:
        metrics.FORGOTTEN.labels(table).inc(forgotten)

    @staticmethod
    def _time_s() -> float:
        return asyncio.get_running_loop().time()

    async def _rest(self, begun_at_s: float) -> None:
        await asyncio.sleep(max(LEAST_REST_S, REST * (self._time_s() - begun_at_s)))
