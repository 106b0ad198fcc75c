"""Works the receipt inbox: finds the attempt each receipt belongs to, and lets the machine decide."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cache, partial

import structlog

from cascade.channels.base import Heard
from cascade.core.errors import StoreUnavailableError
from cascade.core.machine import ReceiptCame
from cascade.core.node import ALONE, Share
from cascade.core.receipt import Receipt
from cascade.engine import decisions, metrics, sets
from cascade.engine.decisions import News
from cascade.engine.recorder import Recorder
from cascade.engine.supervision import wait
from cascade.store import inbound, messages, receipts
from cascade.store.database import Database, Transaction
from cascade.store.receipts import InboxReceipt, SentPart

log = structlog.get_logger()

LARGEST_SET = 1_000
POLL_S = 0.25
"""While receipts wait that came a moment ago; when there are none, we are woken, and look only to be safe."""
IDLE_S = 1.0
STORE_RETRY_S = 1.0
SOONEST_RETRY_MS = 100
LATEST_RETRY_MS = 60_000
SET_ASIDE_MS = 3_600_000
ADOPT_MS = 500
"""How long a receipt waits for the answer to its own send before it is taken for one whose answer was lost: less than
the pause before an unknown attempt is repeated, so that a repeat the receipt makes needless is not sent."""
OVERTAKEN_S = 1.0
"""How long a receipt that came before we wrote down the answer to its own send waits for that: as a rule it is the one
commit that is under way. Then it goes into the inbox like any other that matches nothing yet."""


Decide = Callable[[Transaction, str, Sequence[Receipt]], Awaitable[Sequence[Receipt]]]


class Receiver:
    """`recorder` is about to write down the answers of this process. `share` is this node's part of the inbox.
    `recipients`: whom what this process has on the wire, by that link, is for."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        now_ms: Callable[[], int],
        share: Callable[[], Share] = lambda: ALONE,
        recipients: Callable[[str], set[str]] = lambda link: set(),
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._now_ms = now_ms
        self._share = share
        self._recipients = recipients
        self._news = asyncio.Event()
        self._idle_from_s = 0.0

    def wake(self) -> None:
        self._news.set()

    async def take(self, link: str, heard: Heard) -> None:
        """Store what a provider told us. When this returns, the provider may be told that we have it.

        A receipt whose attempt is known is worked at once, in the same transaction; any other goes into the inbox.
        """
        if self._recorder.holds(link, {receipt.provider_id for receipt in heard.receipts}):
            with suppress(TimeoutError):
                async with asyncio.timeout(OVERTAKEN_S):
                    await self._recorder.written()
        try:
            if not await self._take_at_once(link, heard):
                await self._take(link, heard, self._decide)
        except StoreUnavailableError:
            raise
        except Exception:  # what nobody foresaw in one must not keep the others from being stored
            log.exception("receipts_not_decided", link=link, count=len(heard.receipts))
            await self._take(link, heard, _leave)
        metrics.RECEIPTS.labels(link).inc(len(heard.receipts))
        metrics.INBOUND.labels(link).inc(len(heard.inbound))
        for why in heard.ignored:
            metrics.INBOUND_IGNORED.labels(link, why).inc()

    async def _take_at_once(self, link: str, heard: Heard) -> bool:
        """Work them in one statement, if nothing but receipts came and all their attempts are known. One that fails
        halfway is not lost: a receipt that is worked twice changes nothing."""
        if heard.inbound or not heard.receipts:
            return False
        now_ms = self._now_ms()
        ids = {receipt.provider_id for receipt in heard.receipts}
        parts = self._recorder.parts(link, ids)
        if len(parts) < len(ids):
            async with self._database.reading() as reader:
                found = await receipts.find_parts(reader, [(link, one) for one in ids - parts.keys()])
            parts |= {provider_id: part for (_, provider_id), part in found.items()}
        news = []
        for receipt in heard.receipts:
            part = parts.get(receipt.provider_id)
            if part is None:
                return False
            news.append(News(part.key, _event(part, receipt, now_ms)))
        await decisions.settle(self._database, news, self._recorder.recall({key for key, _ in news}))
        return True

    async def _take(self, link: str, heard: Heard, decide: Decide) -> None:
        if not (heard.receipts or heard.inbound):
            return
        now_ms = self._now_ms()
        async with self._database.transaction() as tx:
            if heard.receipts:
                left = await decide(tx, link, heard.receipts)
                if left:
                    await receipts.add(tx, link, left, now_ms)
            if heard.inbound:
                await inbound.add(tx, link, heard.inbound, now_ms)

    async def _decide(self, tx: Transaction, link: str, some: Sequence[Receipt]) -> Sequence[Receipt]:
        """Work those whose attempt is known; the others."""
        now_ms = self._now_ms()
        parts = await receipts.find_parts(tx, {(link, receipt.provider_id) for receipt in some})
        news = []
        left = []
        for receipt in some:
            part = parts.get((link, receipt.provider_id))
            if part is None:
                left.append(receipt)
            else:
                news.append(News(part.key, _event(part, receipt, now_ms)))
        if news:
            await decisions.apply(tx, news, self._recorder.recall({key for key, _ in news}))
        return left

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                worked = await self._work()
            except StoreUnavailableError as error:
                log.error("receipts_delayed", error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
                continue
            if worked < LARGEST_SET:
                is_idle = asyncio.get_running_loop().time() >= self._idle_from_s
                await wait(self._news, IDLE_S if is_idle else POLL_S)

    async def _work(self) -> int:
        now_ms = self._now_ms()
        async with self._database.reading() as reader:
            inbox = await receipts.due(reader, now_ms, LARGEST_SET, self._share())
        if not inbox:
            return 0
        await sets.work(inbox, partial(self._take_in, now_ms), partial(self._set_aside, now_ms))
        return len(inbox)

    async def _set_aside(self, now_ms: int, one: InboxReceipt) -> None:
        log.exception("receipt_set_aside", link=one.link, provider_id=one.receipt.provider_id)
        async with self._database.transaction() as tx:
            await receipts.postpone(tx, [(one.id, now_ms + SET_ASIDE_MS)])

    async def _take_in(self, now_ms: int, inbox: Sequence[InboxReceipt]) -> None:
        async with self._database.transaction() as tx:
            if self._database.is_shared:
                # By recipient, so that two nodes that give them to lost answers never wait for each other.
                inbox = sorted(await receipts.hold(tx, inbox), key=lambda one: one.receipt.recipient or "")
            parts = await receipts.find_parts(tx, {(one.link, one.receipt.provider_id) for one in inbox})
            unmatched = {(one.link, one.receipt.provider_id) for one in inbox} - parts.keys()
            # Viber sends receipts for both directions: one of what a person wrote to us says nothing of what we sent.
            theirs = await inbound.known(tx, unmatched) if unmatched else set()
            unmatched -= theirs
            under_way = cache(self._under_way)
            orphans = [
                one
                for one in inbox
                if (one.link, one.receipt.provider_id) in unmatched
                and now_ms - one.received_at_ms >= ADOPT_MS
                and one.receipt.recipient not in under_way(one.link)
            ]
            adoptable = await receipts.may_adopt(tx, orphans)
            if self._database.is_shared and adoptable:
                # Before their lost answers, as who writes a late answer down does: or the two lock each other out.
                await messages.hold(tx, {part.key for part in parts.values()} | set(adoptable.values()))
            news = []
            done = [one.id for one in inbox if (one.link, one.receipt.provider_id) in theirs]
            again = []
            for id_, link, receipt, received_at_ms in inbox:
                if (link, receipt.provider_id) in theirs:
                    continue
                age_ms = now_ms - received_at_ms
                part = parts.get((link, receipt.provider_id))
                is_proof = False
                if id_ in adoptable:
                    part = await receipts.adopt(tx, link, receipt, received_at_ms)
                    is_proof = part is not None and part.part == 0
                if part is not None:
                    news.append(News(part.key, _event(part, receipt, received_at_ms, is_proof=is_proof)))
                    done.append(id_)
                elif age_ms >= receipts.KEPT_MS:
                    log.warning("receipt_unmatched", link=link, provider_id=receipt.provider_id)
                    metrics.RECEIPTS_UNMATCHED.inc()
                    done.append(id_)
                else:
                    # It may have overtaken the answer to its own send.
                    again_in_ms = min(max(age_ms, SOONEST_RETRY_MS), LATEST_RETRY_MS)
                    again.append((id_, now_ms + again_in_ms))
                    if again_in_ms < IDLE_S * 1000:
                        self._idle_from_s = asyncio.get_running_loop().time() + IDLE_S
            await receipts.postpone(tx, again)
            await decisions.apply(tx, news, {})
            await receipts.done(tx, done)

    def _under_way(self, link: str) -> set[str]:
        """The recipients of attempts whose answers are to come: a receipt may be one of theirs, and no lost one's."""
        return self._recipients(link) | self._recorder.recipients(link)


async def _leave(tx: Transaction, link: str, some: Sequence[Receipt]) -> Sequence[Receipt]:
    return some


def _event(part: SentPart, receipt: Receipt, at_ms: int, *, is_proof: bool = False) -> ReceiptCame:
    return ReceiptCame(
        at_ms, part.attempt, part.step, part.part, receipt.state, receipt.reason, receipt.detail, is_proof
    )
