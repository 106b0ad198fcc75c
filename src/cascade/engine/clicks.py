"""Writes down who followed the short links: what came within a second in one transaction, so that no click waits."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import structlog

from cascade.core.errors import StoreUnavailableError
from cascade.core.events import Happened, Told, clicked
from cascade.core.short_links import Click, is_too_soon
from cascade.core.timeline import Mark
from cascade.engine import metrics, sets
from cascade.store import events, messages, short_links
from cascade.store.database import Database, Transaction
from cascade.store.messages import Key, Record
from cascade.store.short_links import Counted

log = structlog.get_logger()

GATHER_S = 1.0
STORE_RETRY_S = 1.0
LARGEST_SET = 1_000
LARGEST_BACKLOG = 100_000
SENDINGS = {Mark.ACCEPTED, Mark.DELIVERED, Mark.UNKNOWN}
"""Marks at whose time the message may just have arrived, and be previewed."""


class ClickCounter:
    """`preview_ms`: how soon after a sending a click is taken for a preview's.

    Clicks wait in memory until they are written; a store that is away delays them. A crash loses the last second's.
    """

    def __init__(self, database: Database, preview_ms: int) -> None:
        self._database = database
        self._preview_ms = preview_ms
        self._waiting: list[Click] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopping = asyncio.Event()

    def add(self, click: Click) -> None:
        if len(self._waiting) >= LARGEST_BACKLOG:
            metrics.CLICKS_LOST.inc()
            return
        self._waiting.append(click)
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            await self._gather()
            try:
                await self._flush()
            except StoreUnavailableError as error:
                log.error("clicks_delayed", waiting=len(self._waiting), error=str(error))
                await asyncio.sleep(STORE_RETRY_S)

    async def stop(self, grace_s: float) -> None:
        """Write down what waits, within `grace_s`."""
        self._is_stopping.set()
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            log.error("clicks_unwritten", waiting=len(self._waiting))

    async def _gather(self) -> None:
        try:
            await asyncio.wait_for(self._is_stopping.wait(), GATHER_S)
        except TimeoutError:
            return

    async def _flush(self) -> None:
        """Write down every click that waits."""
        while self._waiting:
            await sets.work(self._waiting[:LARGEST_SET], self._count, self._drop)
        self._news.clear()
        self._idle.set()

    async def _count(self, some: Sequence[Click]) -> None:
        """Write down the first that wait, and let them go: what is written is not counted again."""
        async with self._database.transaction() as tx:
            await self._write(tx, some)
        del self._waiting[: len(some)]

    async def _drop(self, click: Click) -> None:
        log.exception("click_dropped", message_id=click.message_id.hex())
        metrics.CLICKS_LOST.inc()
        del self._waiting[0]

    async def _write(self, tx: Transaction, clicks: Sequence[Click]) -> None:
        keys = {Key(click.account_id, click.message_id) for click in clicks if not click.is_machine}
        records = await messages.records(tx, keys)
        by_code: dict[str, list[Click]] = {}
        for click in clicks:
            judged = click if click.is_machine else click._replace(is_machine=self._is_preview(click, records))
            by_code.setdefault(click.code, []).append(judged)
        await short_links.count(tx, [_counted(code, some) for code, some in by_code.items()])
        await events.add(tx, _events(by_code.values(), records))

    def _is_preview(self, click: Click, records: Mapping[Key, Record]) -> bool:
        record = records.get(Key(click.account_id, click.message_id))
        if record is None:
            return False
        sent_at_ms = [entry.at_ms for entry in record.entries if entry.mark in SENDINGS]
        return is_too_soon(click.at_ms, [record.accepted_at_ms, *sent_at_ms], self._preview_ms)


def _counted(code: str, clicks: list[Click]) -> Counted:
    by_people = [click.at_ms for click in clicks if not click.is_machine]
    return Counted(
        clicks[0].account_id,
        code,
        len(by_people),
        len(clicks) - len(by_people),
        by_people[0] if by_people else None,
        by_people[-1] if by_people else None,
    )


def _events(by_link: Iterable[list[Click]], records: Mapping[Key, Record]) -> Iterable[Happened]:
    """One for each link that people followed, however often: a link passed round must not flood a webhook."""
    for clicks in by_link:
        by_people = [click for click in clicks if not click.is_machine]
        record = records.get(Key(clicks[0].account_id, clicks[0].message_id)) if by_people else None
        if record is not None:
            about = Told(*record.key, record.tracking_id)
            first = by_people[0]
            yield clicked(about, record.message, first.at_ms, first.target, len(by_people))
