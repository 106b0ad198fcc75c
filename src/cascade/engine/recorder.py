"""Writes down how attempts ended: everything that settled while the last transaction was being written, in one set."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import structlog

from cascade.core.attempt import Accepted, Outcome
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import Settled, decide
from cascade.core.timeline import Mark
from cascade.engine import decisions, metrics, sets
from cascade.engine.decisions import News
from cascade.store import messages
from cascade.store.database import Database, Transaction
from cascade.store.messages import Change, Key, Record, Stored
from cascade.store.receipts import Sent, SentPart

log = structlog.get_logger()

LARGEST_SET = 2_000
FIRST_RETRY_S = 0.05
"""What fails once may only have been a deadlock, or a connection that ended."""
STORE_RETRY_S = 1.0
GATHER_S = 0.005
"""How long results wait for others where a set costs most: on a shared store (docs/decisions/0007)."""
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


def _keep_latest(recent: dict[Any, Any]) -> None:
    # All at once: each look for the first one passes by the places of those that are gone.
    for key in list(islice(recent, max(len(recent) - MOST_RECENT, 0))):
        del recent[key]


class Recorder:
    """Results wait in memory until they are written; a store that is away delays them and loses none. `caught_up` is
    called when it is behind no more."""

    def __init__(self, database: Database, caught_up: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._caught_up = caught_up
        self._waiting: list[Result] = []
        self._written = 0
        self._recent: dict[Key, Stored] = {}
        self._parts: dict[tuple[str, str], SentPart] = {}
        self._until: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_be_written = False
        self._is_delayed = False

    @property
    def is_behind(self) -> bool:
        """Whether a whole set waits, or the store is away: what is sent meanwhile would only add to what is in doubt
        when this process dies."""
        return self._is_delayed or len(self._waiting) >= LARGEST_SET

    def add(self, result: Result) -> None:
        self._waiting.append(result)
        if len(self._waiting) == LARGEST_SET:
            log.warning(
                "results_delayed", waiting=LARGEST_SET, error="the store is slow: nothing more is sent meanwhile"
            )
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            if self._database.is_shared:
                await asyncio.sleep(GATHER_S)
            try:
                await sets.work(self._waiting[:LARGEST_SET], self._record, self._drop)
                self._may_be_written = False
            except StoreUnavailableError as error:
                log.error("results_delayed", waiting=len(self._waiting), error=str(error))
                retry_s = STORE_RETRY_S if self._is_delayed else FIRST_RETRY_S
                self._is_delayed = True
                await asyncio.sleep(retry_s)
                continue
            if not self._waiting:
                self._news.clear()
                self._idle.set()

    def parts(self, link: str, provider_ids: Iterable[str]) -> dict[str, SentPart]:
        """Whose these ids are, as far as it was written a moment ago."""
        found = {}
        for provider_id in provider_ids:
            part = self._parts.get((link, provider_id))
            if part is not None:
                found[provider_id] = part
        return found

    def forget(self, link: str) -> None:
        """Another node may serve the link: whose its ids are is to be looked up again."""
        for key in [key for key in self._parts if key[0] == link]:
            del self._parts[key]

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
        sent = []
        awaited: Counter[str] = Counter()
        for stored, link, outcome, at_ms, takes_our_id, has_receipts, changes in batch:
            message = stored.message
            spread = stored.key.id[-1] / 255
            settled = Settled(at_ms, message.attempt, message.step, outcome, takes_our_id, changes, spread, link)
            news.append(News(stored.key, settled))
            if has_receipts and isinstance(outcome, Accepted):
                awaited[link] += 1
                provider_ids = list(dict.fromkeys(outcome.provider_ids))
                sent.append(Sent(link, stored.key, message.attempt, message.step, provider_ids))
        known = {result.stored.key: result.stored for result in batch}
        if self._may_be_written:
            async with self._database.transaction() as tx:
                written = await decisions.apply(tx, await self._unwritten_of(tx, news, batch), known, sent)
        else:
            self._may_be_written = True
            written = await decisions.settle(self._database, news, known, sent)
        for link, number in awaited.items():
            metrics.RECEIPTS_AWAITED.labels(link).inc(number)
        self._remember(sent, written, known)
        self._let_go(len(batch))

    async def _unwritten_of(self, tx: Transaction, news: list[News], batch: Sequence[Result]) -> list[News]:
        """Without those that are written already: the last set failed halfway, or its commit's answer was lost. What is
        written twice is charged for twice, or given back while it is being sent again."""
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

    def _remember(self, sent: Iterable[Sent], changes: Iterable[Change], known: Mapping[Key, Stored]) -> None:
        """Those among the changed of which receipts are to come, and whose the ids in these will be: of those that were
        not read anew, since the store may know others' parts by other numbers."""
        by_key = {one.key: one for one in sent if one.provider_ids}
        for change in changes:
            stored = change.stored
            one = by_key.get(stored.key)
            if one is not None:
                self._recent[stored.key] = stored._replace(fence=stored.fence + 1, message=change.message)
                if stored.fence == known[stored.key].fence:
                    self._parts.update({(part.link, part.provider_id): part for part in one.parts})
        _keep_latest(self._recent)
        _keep_latest(self._parts)

    def _let_go(self, count: int) -> None:
        was_behind = self.is_behind
        del self._waiting[:count]
        self._is_delayed = False
        if was_behind and not self.is_behind:
            self._caught_up()
        self._written += count
        while self._until and self._until[0][0] <= self._written:
            _, future = self._until.popleft()
            if not future.done():  # whoever waited may have given up
                future.set_result(None)
