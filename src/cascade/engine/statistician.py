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
LOOK_BESIDE_S = 10.0
"""Where others look, and nobody sees what this node knows but those who ask each node for its metrics."""
REST = 100
"""After a look that took long, rest so many times as long: to count a backlog of millions may cost 1 % of a core."""
PURGE_EVERY_MS = 600_000


class Statistician:
    """`tally` is to observe the store. A crash loses the last second's counts; the messages themselves are exact.

    `backlogs` is how the lanes stood at the last look. `is_beside` says that others look, too, and no page shows what
    this node sees.
    """

    def __init__(
        self, database: Database, now_ms: Callable[[], int], is_beside: Callable[[], bool] = lambda: False
    ) -> None:
        self.tally = Tally()
        self.backlogs: list[Backlog] = []
        self._database = database
        self._now_ms = now_ms
        self._is_beside = is_beside
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
            async with self._database.transaction() as tx:
                await statistics.write(tx, taken)
                if self._now_ms() - self._purged_at_ms >= PURGE_EVERY_MS:
                    await statistics.purge_pulse(tx, self._now_ms())
                    await statistics.purge_hours(tx, await accounts.ids(tx), self._now_ms())
                    await console.forget_failures(tx, self._now_ms())
                    self._purged_at_ms = self._now_ms()
        except StoreUnavailableError as error:
            self.tally.give_back(taken)
            log.error("statistics_delayed", error=str(error))

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun_at_s = loop.time()
            try:
                async with self._database.cold_reading() as reader:
                    self.backlogs = await queries.backlogs(reader)
                    hooks = await webhooks.states(reader)
            except CascadeError as error:
                log.warning("backlog_unknown", error=str(error))
            else:
                metrics.show_backlogs(self.backlogs, self._now_ms())
                for state, number in hooks.items():
                    metrics.WEBHOOKS.labels(state).set(number)
            look_s = LOOK_BESIDE_S if self._is_beside() else LOOK_S
            await asyncio.sleep(max(look_s, REST * (loop.time() - begun_at_s)))
