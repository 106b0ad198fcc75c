"""Asks providers to take messages back whose window closed in silence, before the next channel begins."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from cascade.channels.base import Revokes
from cascade.core.attempt import Revocation, Sent
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import Revoked
from cascade.core.message import State
from cascade.core.timeline import Entry, Mark
from cascade.engine import decisions
from cascade.engine.decisions import News
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Change, Record

log = structlog.get_logger()

LARGEST_SET = 100
"""Requests under way at once, for all links together."""


class Revoker:
    """`revoking` is the link's transport, None where this process has none that can. A message whose answer does not
    come goes on by its own deadline, so nothing here needs to be remembered over a crash."""

    def __init__(
        self, database: Database, now_ms: Callable[[], int], revoking: Callable[[str], Revokes | None]
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._revoking = revoking
        self._under_way: set[asyncio.Task[None]] = set()

    def take(self, changes: Sequence[Change]) -> None:
        """Ask for these, which have just begun to be taken back; returns at once."""
        for place in range(0, len(changes), LARGEST_SET):
            task = asyncio.create_task(self._revoke(changes[place : place + LARGEST_SET]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def stop(self, grace_s: float) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=grace_s)
        for task in tuple(self._under_way):
            task.cancel()

    async def _revoke(self, changes: Sequence[Change]) -> None:
        try:
            async with self._database.reading() as reader:
                found = await messages.records(reader, [change.stored.key for change in changes])
            # Another may have arrived since, or be on its way by the next channel.
            records = [record for record in found.values() if record.message.state is State.REVOKING]
            answers = await asyncio.gather(*(self._ask(record) for record in records))
            at_ms = self._now_ms()
            news = [
                News(record.key, Revoked(at_ms, record.message.attempt, record.message.step, revocation))
                for record, revocation in zip(records, answers, strict=True)
            ]
            async with self._database.transaction() as tx:
                await decisions.apply(tx, news, {})
        except StoreUnavailableError as error:
            log.error("revocations_delayed", messages=len(changes), error=str(error))

    async def _ask(self, record: Record) -> Revocation:
        message = record.message
        transport = None if message.link is None else self._revoking(message.link)
        if transport is None:
            return Revocation.UNKNOWN
        address = message.address if message.address is not None else record.phone
        provider_ids = _provider_ids(record.entries, message.attempt)
        return await transport.revoke(Sent(record.key.id, message.attempt, message.step, address, provider_ids))


def _provider_ids(entries: Iterable[Entry], attempt: int) -> tuple[str, ...]:
    """What the provider called the attempt; nothing when its answer was lost."""
    for entry in entries:
        if entry.attempt == attempt and entry.mark is Mark.ACCEPTED and entry.provider_id:
            return tuple(entry.provider_id.split(","))
    return ()
