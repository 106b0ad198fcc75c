"""Sees to it that no message stays in any state past its deadline: schedules, windows, leases, times to live."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from cascade.channels.base import Divides, Transport
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import DeadlinePassed
from cascade.core.message import State
from cascade.core.node import ALONE, Share
from cascade.engine import decisions, metrics, sets
from cascade.engine.attempts import attempt_of
from cascade.engine.decisions import News
from cascade.engine.revoker import Revoker
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Key, Stored

log = structlog.get_logger()

LARGEST_SET = 500
TICK_S = 0.1
AHEAD_S = 0.5
"""On a store that others share, where each look is a question to a server, we ask when the next deadline is, and sleep
until then, but no longer than this: a node may give a message a deadline that comes sooner."""
STORE_RETRY_S = 1.0
SET_ASIDE_MS = 3_600_000


class Timekeeper:
    """`transport` is that of a link; None: this process does not know it. `share` is this node's part of the
    messages; that two nodes decide of one at once is found out by its fence."""

    def __init__(
        self,
        database: Database,
        now_ms: Callable[[], int],
        transport: Callable[[str], Transport | None],
        revoker: Revoker,
        share: Callable[[], Share] = lambda: ALONE,
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._transport = transport
        self._revoker = revoker
        self._share = share
        self._caught_up_at_ms = 0

    async def run(self) -> None:
        self._caught_up_at_ms = self._now_ms()
        metrics.DEADLINES_LATE.set_function(self._late_s)
        try:
            await self._run()
        finally:
            metrics.DEADLINES_LATE.set_function(lambda: 0.0)

    def _late_s(self) -> float:
        return max(self._now_ms() - self._caught_up_at_ms, 0) / 1000

    async def _run(self) -> None:
        while True:
            try:
                sleep_s = await self._quiet_s() if self._database.is_shared else 0.0
                if sleep_s <= 0.0:
                    # A full set means that more is overdue; between two sets the others get their turns.
                    sleep_s = 0.0 if await self.work() == LARGEST_SET else TICK_S
                if sleep_s > 0.0:
                    self._caught_up_at_ms = self._now_ms()
            except StoreUnavailableError as error:
                log.error("deadlines_delayed", error=str(error))
                sleep_s = STORE_RETRY_S
            await asyncio.sleep(sleep_s)

    async def _quiet_s(self) -> float:
        """How long there is surely nothing to do; what others do next may be theirs alone to know."""
        async with self._database.reading() as reader:
            next_ms = await messages.next_deadline_ms(reader)
        return AHEAD_S if next_ms is None else min((next_ms - self._now_ms()) / 1000, AHEAD_S)

    async def work(self) -> int:
        """Answer one set of deadlines that have passed; how many there were."""
        now_ms = self._now_ms()
        async with self._database.reading() as reader:
            overdue = await messages.past_deadline(reader, now_ms, LARGEST_SET, self._share())
        if overdue:
            await sets.work(overdue, partial(self._decide, now_ms), partial(self._set_aside, now_ms))
        return len(overdue)

    async def _decide(self, now_ms: int, overdue: Sequence[Stored]) -> None:
        parts = await self._parts(now_ms, overdue)
        news = []
        for stored in overdue:
            transport = self._transport_of(stored)
            event = DeadlinePassed(now_ms)
            if transport is not None:
                can = transport.capabilities
                event = DeadlinePassed(now_ms, can.takes_our_id, can.can_revoke, parts.get(stored.key, 1))
            news.append(News(stored.key, event))
        async with self._database.transaction() as tx:
            changes = await decisions.apply(tx, news, {stored.key: stored for stored in overdue})
        self._revoker.take([change for change in changes if change.message.state is State.REVOKING])

    async def _parts(self, now_ms: int, overdue: Sequence[Stored]) -> dict[Key, int]:
        """Of what was being sent in parts as its node died: how many receipts say that it arrived."""
        cut: dict[Key, Divides] = {}
        for stored in overdue:
            transport = self._transport_of(stored)
            if stored.message.state is State.SENDING and isinstance(transport, Divides):
                cut[stored.key] = transport
        if not cut:
            return {}
        async with self._database.reading() as reader:
            whole = await messages.load_whole(reader, cut)
        return {one.stored.key: cut[one.stored.key].receipts_of(attempt_of(one, now_ms)) for one in whole}

    def _transport_of(self, stored: Stored) -> Transport | None:
        return None if stored.message.link is None else self._transport(stored.message.link)

    async def _set_aside(self, now_ms: int, stored: Stored) -> None:
        log.exception("deadline_set_aside", message_id=stored.key.id.hex())
        async with self._database.transaction() as tx:
            await messages.postpone(tx, stored.key, now_ms + SET_ASIDE_MS)
