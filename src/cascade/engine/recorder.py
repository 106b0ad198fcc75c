"""Writes down how attempts ended: everything that settled while the last transaction was being written, in one set."""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import structlog

from cascade.core.attempt import Accepted, Outcome
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import Settled, decide
from cascade.core.timeline import Mark
from cascade.engine import decisions, metrics, sets
from cascade.engine.decisions import News
from cascade.store import messages, receipts
from cascade.store.database import Database, Transaction
from cascade.store.messages import Change, Key, Record, Stored
from cascade.store.receipts import SentPart

log = structlog.get_logger()

LARGEST_SET = 2_000
STORE_RETRY_S = 1.0
MOST_RECENT = 10_000
"""Messages remembered as they were just written: about a kilobyte each."""


class Result(NamedTuple):
    stored: Stored
    link: str
    outcome: Outcome
    at_ms: int
    takes_our_id: bool
    has_receipts: bool
    changes: str | None = None


def _is_written(before: Stored, now: Record, news: News) -> bool:
    """Of a message that was changed since. What was given back leaves no entry: unless it was called lost, it is given
    back, and a new claim may have its number."""
    _, entries = decide(before.message, news.event)
    if entries:
        return entries[0] in now.entries
    last = now.entries[-1] if now.entries else None
    return last is None or (last.attempt, last.mark) != (before.message.attempt, Mark.UNKNOWN)


class Recorder:
    """Results wait in memory until they are written; a store that is away delays them and loses none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[Result] = []
        self._written = 0
        self._recent: dict[Key, Stored] = {}
        self._until: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_be_written = False

    def add(self, result: Result) -> None:
        self._waiting.append(result)
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            try:
                await sets.work(self._waiting[:LARGEST_SET], self._record, self._drop)
            except StoreUnavailableError as error:
                log.error("results_delayed", waiting=len(self._waiting), error=str(error))
                self._may_be_written = self._database.is_shared
                await asyncio.sleep(STORE_RETRY_S)
                continue
            if not self._waiting:
                self._news.clear()
                self._idle.set()

    def recall(self, keys: Iterable[Key]) -> dict[Key, Stored]:
        """Those that were written a moment ago, as they were written, and forget them: whoever asks is about to change
        them. So a receipt that comes soon needs not read its message again; the fence tells when it is too old."""
        return {key: self._recent.pop(key) for key in keys if key in self._recent}

    def unwritten(self) -> set[tuple[bytes, int]]:
        """The attempts, by message and number, that have settled and are not written yet."""
        return {(stored.key.id, stored.message.attempt) for stored, *_ in self._waiting}

    def holds(self, link: str, provider_ids: Collection[str]) -> bool:
        """Whether an attempt that the link's provider knows by one of these ids has settled and is not written yet."""
        return any(
            result.link == link
            and isinstance(result.outcome, Accepted)
            and any(provider_id in provider_ids for provider_id in result.outcome.provider_ids)
            for result in reversed(self._waiting)
        )

    def recipients(self, link: str) -> set[str]:
        """Whom attempts of the link are for that have settled so."""
        return {result.stored.recipient for result in self._waiting if result.link == link}

    async def written(self) -> None:
        """Return when everything that has settled by now is written, whatever settles meanwhile."""
        if self._waiting:
            future = asyncio.get_running_loop().create_future()
            self._until.append((self._written + len(self._waiting), future))
            await future

    async def idle(self) -> None:
        """Return when everything that settled is written."""
        await self._idle.wait()

    async def _record(self, batch: Sequence[Result]) -> None:
        """Write down the first that wait, and let them go: what is written is not written again."""
        news = []
        parts = []
        awaited: Counter[str] = Counter()
        for stored, link, outcome, at_ms, takes_our_id, has_receipts, changes in batch:
            message = stored.message
            spread = stored.key.id[-1] / 255
            settled = Settled(at_ms, message.attempt, message.step, outcome, takes_our_id, changes, spread, link)
            news.append(News(stored.key, settled))
            if has_receipts and isinstance(outcome, Accepted):
                awaited[link] += 1
                for part, provider_id in enumerate(dict.fromkeys(outcome.provider_ids)):
                    parts.append(SentPart(link, provider_id, stored.key, message.attempt, message.step, part))
        known = {result.stored.key: result.stored for result in batch}
        async with self._database.transaction() as tx:
            if self._may_be_written:
                news = await self._unwritten_of(tx, news, batch)
            written = await decisions.apply(tx, news, known)
            if parts:
                in_time = {one.stored.key for one in written if one.stored.fence == known[one.stored.key].fence}
                late = [part for part in parts if part.key not in in_time]
                if late:
                    parts = [part for part in parts if part.key in in_time] + await receipts.renumbered(tx, late)
                await receipts.add_parts(tx, parts)
        self._may_be_written = False
        for link, number in awaited.items():
            metrics.RECEIPTS_AWAITED.labels(link).inc(number)
        self._remember({part.key for part in parts}, written)
        self._let_go(len(batch))

    async def _unwritten_of(self, tx: Transaction, news: list[News], batch: Sequence[Result]) -> list[News]:
        """Without those that are written already: the last commit's answer was lost. What is written twice is charged
        for twice, or given back while it is being sent again."""
        now = await messages.load(tx, {one.key for one in news})
        changed = [stored.key for stored, *_ in batch if stored.key in now and now[stored.key].fence != stored.fence]
        records = await messages.records(tx, changed)
        return [
            one
            for one, (before, *_) in zip(news, batch, strict=True)
            if one.key not in records or not _is_written(before, records[one.key], one)
        ]

    async def _drop(self, one: Result) -> None:
        """The first that waits cannot be written down: its lease will say `unknown`."""
        log.exception("result_dropped", link=one.link, message_id=one.stored.key.id.hex())
        self._let_go(1)

    def _remember(self, keys: Collection[Key], changes: Iterable[Change]) -> None:
        """Those among the changed of which receipts are to come."""
        for change in changes:
            stored = change.stored
            if stored.key in keys:
                self._recent[stored.key] = stored._replace(fence=stored.fence + 1, message=change.message)
        for _ in range(len(self._recent) - MOST_RECENT):
            del self._recent[next(iter(self._recent))]

    def _let_go(self, count: int) -> None:
        del self._waiting[:count]
        self._written += count
        while self._until and self._until[0][0] <= self._written:
            _, future = self._until.popleft()
            if not future.done():  # whoever waited may have given up
                future.set_result(None)
