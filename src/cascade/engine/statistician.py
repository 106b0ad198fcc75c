"""Writes down once a second what came and went, and looks every few seconds at what waits."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from cascade.core.errors import CascadeError, StoreUnavailableError
from cascade.engine import metrics
from cascade.store import accounts, console, queries, statistics, webhooks
from cascade.store.database import Database
from cascade.store.queries import Backlog
from cascade.store.statistics import Tally

log = structlog.get_logger()

WRITE_S = 1.0
LOOK_S = 2.0
REST = 100
"""After a look that took long, rest so many times as long: to count a backlog of millions may cost 1 % of a core."""
PURGE_EVERY_MS = 600_000


class Statistician:
    """`tally` is to observe the store. A crash loses the last second's counts; the messages themselves are exact.

    `backlogs` is how the lanes stood at the last look. `looks` says whether this node is one that looks: among several
    those whose pages show it, and the first.
    """

    def __init__(self, database: Database, now_ms: Callable[[], int], looks: Callable[[], bool] = lambda: True) -> None:
        self.tally = Tally()
        self.backlogs: list[Backlog] = []
        self._database = database
        self._now_ms = now_ms
        self._looks = looks
        self._shows = False
        self._purged_at_ms = 0
        metrics.DELIVERY_TIMES.watch(self.tally)

    async def run(self) -> None:
        looking = asyncio.create_task(self._keep_looking())
        try:
            while True:
                await asyncio.sleep(WRITE_S)
                await self._write()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def stop(self, grace_s: float) -> None:
        """Write down the last second's."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._write(), grace_s)

    async def _write(self) -> None:
        if not self.tally:
            return
        taken = self.tally.take()
        try:
            async with self._database.single() as tx:
                await statistics.write(tx, taken)
        except StoreUnavailableError as error:
            self.tally.give_back(taken)
            log.error("statistics_delayed", error=str(error))
        else:
            await self._purge()

    async def _purge(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._purged_at_ms < PURGE_EVERY_MS:
            return
        try:
            async with self._database.transaction() as tx:
                await statistics.purge_pulse(tx, now_ms)
                await statistics.purge_hours(tx, await accounts.ids(tx), now_ms)
                await console.forget_failures(tx, now_ms)
        except StoreUnavailableError as error:
            log.error("statistics_delayed", error=str(error))
        else:
            self._purged_at_ms = now_ms

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun_at_s = loop.time()
            if self._looks():
                await self._look()
            elif self._shows:
                metrics.forget_backlogs()  # or the greatest of all nodes' would stay what this one saw last
                self._shows = False
            await asyncio.sleep(max(LOOK_S, REST * (loop.time() - begun_at_s)))

    async def _look(self) -> None:
        try:
            async with self._database.cold_reading() as reader:
                self.backlogs = await queries.backlogs(reader)
                hooks = await webhooks.states(reader)
        except CascadeError as error:
            log.warning("backlog_unknown", error=str(error))
        else:
            self._shows = True
            metrics.show_backlogs(self.backlogs, self._now_ms())
            for state, number in hooks.items():
                metrics.WEBHOOKS.labels(state).set(number)
