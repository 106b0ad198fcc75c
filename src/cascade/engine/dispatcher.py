"""Serves one link: claims what is due in its lanes, in turns, as fast as the link may go, and hands it over.

Nothing is claimed that the transport has no room for, so a message found `sending` after a crash really may have been
sent (docs/decisions/0004). What is accepted while nothing waits before it is handed over without a claim
(docs/decisions/0026).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from cascade.channels.base import AnswersTogether, Explains, HoldsMore, Transport
from cascade.channels.fitting import Fitting
from cascade.core import machine, turns
from cascade.core.attempt import Accepted, AnswerLost, Attempt, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.errors import StoreUnavailableError
from cascade.core.link import LinkHealth, LinkState, Trouble
from cascade.core.machine import FAULTS_OF_LINK, Settled, decide
from cascade.core.message import Message
from cascade.core.turns import Lane
from cascade.core.words import Reason
from cascade.engine import decisions, metrics
from cascade.engine.attempts import attempt_of
from cascade.engine.breaker import Breaker
from cascade.engine.decisions import News
from cascade.engine.pace import AddressPace, Pace
from cascade.engine.recorder import Recorder, Result
from cascade.engine.supervision import wait
from cascade.engine.sweeper import Sweeper
from cascade.store import messages
from cascade.store.database import Database
from cascade.store.messages import Claimed, Stored

log = structlog.get_logger()

LEASE_MS = 60_000
"""Longer than any transport waits for an answer."""
LARGEST_CLAIM = 160
"""A third of a wide window: while one set is at the SMSC, the others are written down and claimed. Larger ones cost
hardly less a message (docs/performance.md), and whoever else wants the store waits for them."""
IDLE_S = 1.0
GATHER_S = 0.005
"""How long a claim from a shared store waits for the other answers to the last set (docs/decisions/0007)."""
STALLED_CHECK_MS = 500
STORE_RETRY_S = 1.0


class Held(NamedTuple):
    """By what right a link is served. `node_id` is what a claim shows the store; None: the process owns the store.
    `is_sure` says whether nobody else can serve the link yet, by this machine's own clock."""

    node_id: int | None
    is_sure: Callable[[], bool]


ALONE = Held(None, lambda: True)


class Dispatcher:
    def __init__(
        self,
        link: str,
        transport: Transport,
        pace: Pace,
        database: Database,
        recorder: Recorder,
        now_ms: Callable[[], int],
        links_down: Callable[[], frozenset[str]] = frozenset,
        held: Held = ALONE,
        fitting: Fitting | None = None,
        address_pace: AddressPace | None = None,
    ) -> None:
        self.link = link
        self._sweeper = Sweeper(database, links_down)
        self.transport = transport
        self._pace = pace
        self._address_pace = address_pace
        self._breaker = Breaker()
        self._database = database
        self._recorder = recorder
        self._now_ms = now_ms
        self._held = held
        self._fitting = fitting
        self._holds_more = transport if isinstance(transport, HoldsMore) else None
        self._answers_together = transport if isinstance(transport, AnswersTogether) else None
        self._lanes: dict[Lane, int] = {}
        self._last_account = 0
        self._in_flight: dict[tuple[bytes, int], Stored] = {}
        self._reserved: Counter[Lane] = Counter()
        self._none_reserved = asyncio.Event()
        self._none_reserved.set()
        self._served: Counter[Lane] = Counter()
        self._share = 0
        self._knows_lanes = False
        self._untold: set[Lane] = set()
        self._stalled_at_ms: int | None = None
        self._trouble: Trouble | None = None
        self._swept_at_ms = 0
        self._news = asyncio.Event()
        self._is_stopping = False
        self._may_hold_unsent = False
        self._resting = asyncio.Event()
        self._resting.set()
        self._up = metrics.LINK_UP.labels(link)
        # Asked when somebody looks, so that they cost a message nothing; a link that comes back has a dispatcher anew.
        metrics.LINK_IN_FLIGHT.labels(link).set_function(lambda: len(self._in_flight))
        metrics.BREAKER_OPEN.labels(link).set_function(lambda: self._breaker.is_open and not self._is_stopping)
        for silence in metrics.RECEIPTS_AWAITED, metrics.RECEIPTS:  # none so far: to be seen from the first message on
            silence.labels(link)

    def lane_ready(self, lane: Lane, due_at_ms: int) -> None:
        """A message of `lane` is due at that time, or earlier than was known."""
        self.lane_filled(lane, due_at_ms)
        self.lane_stored(lane)

    def lane_filled(self, lane: Lane, due_at_ms: int) -> None:
        """The same, of one that is just being stored; `lane_stored` follows. From now on nothing may overtake it, and a
        claim that takes it is committed with it."""
        known = self._lanes.get(lane)
        if known is None or due_at_ms < known:
            self._lanes[lane] = due_at_ms
            self._untold.add(lane)

    def lane_stored(self, lane: Lane) -> None:
        if lane in self._untold:
            self._untold.discard(lane)
            self._news.set()

    def lanes_known(self) -> None:
        """What waited when this began has been told by `lane_ready`."""
        self._knows_lanes = True

    def reserve(self, lane: Lane, message: Message, number: int) -> tuple[int, Message]:
        """See `Forwarder`. Nothing overtakes its own lane, nor a more urgent one. While less urgent ones wait there is
        room: for what the transport can hold and the pace can lend, too. While equals wait, nobody gets more until the
        next claim than one of them got by the last."""
        now_ms = self._now_ms()
        if not message.due_at_ms <= now_ms < message.step_ends_at_ms:
            return 0, message
        waiting = [other for other, due_at_ms in self._lanes.items() if due_at_ms <= now_ms]
        if any(other == lane or other.is_urgent > lane.is_urgent for other in waiting):
            return 0, message
        room = min(number, self._room_at_once(now_ms, with_spare=bool(waiting)))
        if any(other.is_urgent == lane.is_urgent for other in waiting):
            room = min(room, self._share - self._served[lane])
        if room <= 0:
            return 0, message
        if waiting:
            self._served[lane] += room
        else:
            self._serve({lane: room})
        self._reserve(lane, room)
        return room, decide(message, machine.Claimed(now_ms, now_ms + LEASE_MS))[0]

    def release(self, lane: Lane, number: int) -> None:
        """They were not stored."""
        self._let_go(lane, number)
        self._pace.spend(-number)
        self._news.set()

    def take(self, lane: Lane, claimed: Sequence[Claimed]) -> None:
        """They are stored: send them."""
        self._let_go(lane, len(claimed))
        self._send(claimed, self._now_ms())

    def _serve(self, taken: Mapping[Lane, int]) -> None:
        """What each lane got in this turn, and so how much anyone may get until the next one."""
        self._served = Counter(taken)
        self._share = max(taken.values())

    def _reserve(self, lane: Lane, number: int) -> None:
        if number:
            self._reserved[lane] += number
            self._none_reserved.clear()
            self._pace.spend(number)

    def _let_go(self, lane: Lane, number: int) -> None:
        self._reserved[lane] -= number
        if self._reserved[lane] <= 0:
            del self._reserved[lane]
        if not self._reserved:
            self._none_reserved.set()

    def room_grew(self) -> None:
        self._news.set()

    @property
    def is_down(self) -> bool:
        return self._stalled_at_ms is not None

    def recipients(self) -> set[str]:
        """Whom attempts on the wire are for, as receipts say it; one whose lease is over may be called lost itself."""
        now_ms = self._now_ms()
        return {
            stored.recipient for stored in self._in_flight.values() if now_ms < (stored.message.deadline_at_ms or 0)
        }

    def state(self, account_id: int) -> LinkState:
        in_flight = sum(stored.key.account_id == account_id for stored in self._in_flight.values())
        return LinkState(not self.is_down, in_flight)

    def health(self) -> LinkHealth:
        now_ms = self._now_ms()
        return LinkHealth(
            self._stalled_at_ms is None,
            len(self._in_flight),
            max(self._room(now_ms), 0),
            self._pace.rate_per_s,
            self._breaker.is_open,
            self._breaker.is_probing,
            self._breaker.opens_in_ms(now_ms),
            self._why(now_ms),
        )

    def _why(self, now_ms: int) -> Trouble | None:
        """Why there is no connection; else what came of the last attempt."""
        explained = self.transport.trouble() if isinstance(self.transport, Explains) else None
        if explained is None:
            return self._trouble
        return Trouble(now_ms if self._stalled_at_ms is None else self._stalled_at_ms, *explained)

    async def run(self) -> None:
        """Until `stop`. A store that is away is waited for."""
        while not self._is_stopping:
            self._news.clear()
            self._resting.clear()
            try:
                sleep_s = await self._work()
            except StoreUnavailableError as error:
                log.error("claim_delayed", link=self.link, error=str(error))
                self._may_hold_unsent = self._database.is_shared
                sleep_s = STORE_RETRY_S
                for lane in list(self._lanes):
                    self._lanes[lane] = 0
            finally:
                self._resting.set()
            if sleep_s > 0 and not self._is_stopping:
                await wait(self._news, sleep_s)

    async def stop(self, grace_s: float) -> None:
        """Claim nothing more, wait for the answers under way, give back what never left."""
        self._is_stopping = True
        self._news.set()
        with suppress(TimeoutError):  # what is just being claimed is sent first: nobody would ever settle it otherwise
            async with asyncio.timeout(grace_s):
                await self._resting.wait()
                await self._none_reserved.wait()
        await self.transport.stop(grace_s)

    async def _work(self) -> float:
        """Do what can be done now; how long to sleep if nothing happens."""
        now_ms = self._now_ms()
        if self._may_hold_unsent:
            await self._give_back_unsent(now_ms)
        room = self._room(now_ms)
        await self._check_stalled(now_ms, room)
        ready = [lane for lane, due_at_ms in self._lanes.items() if due_at_ms <= now_ms]
        if room > 0 and ready:
            if self._database.is_shared:
                await self._gather()
            lanes = turns.order(ready, self._last_account)
            claimed = await self._claim_probe(lanes, now_ms) if self._breaker.is_open else []
            claimed = claimed or await self._claim(lanes, now_ms)
            if claimed:
                self._send(claimed, now_ms)
            return 0.0
        return self._sleep_s(now_ms, room, bool(ready))

    async def _gather(self) -> None:
        """Let all of a set be answered that is being answered: its places are one claim then, not two or three."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + GATHER_S
        while self._in_flight and self._answers_together is not None and self._answers_together.answers_soon():
            left_s = until_s - clock()
            if left_s <= 0 or self._is_stopping:
                break
            self._news.clear()
            await wait(self._news, left_s)

    def _room(self, now_ms: int) -> int:
        """For what is claimed."""
        if self._recorder.is_behind or not self._held.is_sure():
            return 0
        room = min(self.transport.room() - self._reserved.total(), LARGEST_CLAIM)
        for limit in (self._pace.room(now_ms), self._breaker.room(now_ms)):
            if limit is not None:
                room = min(room, limit)
        return room

    def _room_at_once(self, now_ms: int, *, with_spare: bool) -> int:
        """For what is handed over."""
        if self._is_stopping or self._breaker.is_open or self._recorder.is_behind:
            return 0
        if not (self._knows_lanes and self._held.is_sure()):
            return 0
        room = self.transport.room() - self._reserved.total()
        if with_spare and self._holds_more is not None:
            room += self._holds_more.spare()
        limit = self._pace.room_at_once(now_ms, may_lend=with_spare)
        return min(room, LARGEST_CLAIM) if limit is None else min(room, LARGEST_CLAIM, limit)

    def _sleep_s(self, now_ms: int, room: int, has_ready: bool) -> float:
        waits_ms = [IDLE_S * 1000]
        if has_ready and room <= 0:
            waits_ms += [wait for wait in (self._pace.refills_in_ms(), self._breaker.opens_in_ms(now_ms)) if wait > 0]
        elif self._lanes:
            waits_ms.append(max(min(self._lanes.values()) - now_ms, 1))
        return min(waits_ms) / 1000

    async def _claim(self, lanes: list[Lane], now_ms: int) -> list[Claimed]:
        claimed: list[Claimed] = []
        taken: dict[Lane, int] = {}
        try:
            async with self._database.single() if len(lanes) == 1 else self._database.transaction() as tx:
                room = self._room(now_ms)  # of now: while we waited for our turn some was handed over
                for place, lane in enumerate(lanes):
                    equals = sum(later.is_urgent == lane.is_urgent for later in lanes[place:])
                    wanted = turns.quota(room - len(claimed), equals)
                    if wanted <= 0 or (not lane.is_urgent and self._has_urgent(now_ms)):
                        break
                    taken[lane] = 0
                    del self._lanes[lane]
                    self._untold.discard(lane)
                    some = await messages.claim(tx, lane, wanted, now_ms, now_ms + LEASE_MS, self._held.node_id)
                    claimed += some
                    taken[lane] = len(some)
                    self._reserve(lane, len(some))
                    if len(some) == wanted:
                        self.lane_ready(lane, now_ms)
                    else:
                        due_at_ms = await messages.next_due_at_ms(tx, lane)
                        if due_at_ms is not None:
                            # What is due and was not claimed has run out of time: the timekeeper takes it away.
                            self.lane_ready(lane, max(due_at_ms, now_ms + STALLED_CHECK_MS))
                    if some:
                        self._last_account = lane.account_id
        except BaseException:
            for lane, number in taken.items():
                self.lane_ready(lane, now_ms)
                self.release(lane, number)
            raise
        for lane, number in taken.items():
            self._let_go(lane, number)
        if claimed:
            self._serve(taken)
        return claimed

    async def _claim_probe(self, lanes: list[Lane], now_ms: int) -> list[Claimed]:
        """One message that was never tried, whichever lane has it. What has failed is due before it, and may fail for a
        reason of its own, not the provider's."""
        async with self._database.transaction() as tx:
            for lane in lanes:
                claimed = await messages.claim_untried(tx, lane, now_ms, now_ms + LEASE_MS, self._held.node_id)
                if claimed:
                    break
            else:
                return []
        self._pace.spend(1)
        return claimed

    async def _give_back_unsent(self, now_ms: int) -> None:
        """A claim whose commit's answer was lost may stand: what we hold by it never left, and can be claimed again."""
        async with self._database.transaction() as tx:
            known = {stored.key: stored for stored in await messages.sending(tx, self.link, now_ms)}
            ours = self._in_flight.keys() | self._recorder.unwritten()
            news = [
                News(stored.key, Settled(now_ms, stored.message.attempt, stored.message.step, NotSent()))
                for stored in known.values()
                if (stored.key.id, stored.message.attempt) not in ours
            ]
            if news:
                await decisions.apply(tx, news, known)
                log.warning("claims_given_back", link=self.link, messages=len(news))
        self._may_hold_unsent = False

    def _has_urgent(self, now_ms: int) -> bool:
        """Whether an urgent lane had more than its share: the next claim begins there, and bulk waits for it."""
        return any(lane.is_urgent and due_at_ms <= now_ms for lane, due_at_ms in self._lanes.items())

    def _send(self, claimed: Sequence[Claimed], now_ms: int) -> None:
        attempts = []
        for one in claimed:
            try:
                attempt = attempt_of(one, now_ms)
            except Exception as fault:  # what nobody foresaw in one must not keep the others from being sent
                log.exception("message_unreadable", link=self.link, message_id=one.stored.key.id.hex())
                detail = f"cannot be read: {type(fault).__name__}"
                self._record(one.stored, Rejected(Reason.CONTENT_UNFIT, detail, is_ours=True), now_ms)
                continue
            attempts.append(attempt)
            self._in_flight[attempt.message_id, attempt.number] = one.stored
        if not self._held.is_sure():  # the claim took so long that the link may be another node's by now
            for attempt in attempts:
                self._settle(attempt, NotSent())
            return
        if self._address_pace is not None:
            attempts = self._in_their_time(self._address_pace, attempts, now_ms)
        if attempts:
            self._breaker.sent()
            self.transport.send(attempts, self._settle)

    def _in_their_time(self, pace: AddressPace, attempts: Sequence[Attempt], now_ms: int) -> list[Attempt]:
        """Those that may be sent to their recipient now; the others are given back until they may."""
        now = []
        behind: Counter[str] = Counter()
        for attempt in attempts:
            wait_ms = pace.wait_ms(attempt.address, now_ms, behind[attempt.address])
            if wait_ms <= 0:
                now.append(attempt)
            else:
                behind[attempt.address] += 1
                self._pace.spend(-1)
                self._settle(attempt, NotSent(wait_ms / 1000))
        return now

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        stored = self._in_flight.pop((attempt.message_id, attempt.number))
        now_ms = self._now_ms()
        if self._address_pace is not None and isinstance(outcome, Retry) and outcome.reason is Reason.THROTTLED:
            self._address_pace.hold(attempt.address, now_ms + round((outcome.after_s or 0.0) * 1000))
        if isinstance(outcome, NotSent) or (isinstance(outcome, Rejected) and outcome.is_ours):
            self._breaker.withdrawn()
        elif isinstance(outcome, AnswerLost) or (isinstance(outcome, Retry) and outcome.reason is Reason.PROVIDER_DOWN):
            if self._breaker.failed(now_ms, is_first_try=stored.message.tries == 1):
                log.warning("breaker_opened", link=self.link)
        elif self._breaker.answered():
            log.info("breaker_closed", link=self.link)
        is_taken = isinstance(outcome, Accepted | Delivered)
        if is_taken:
            self._trouble = None
        elif isinstance(outcome, AnswerLost):
            self._trouble = Trouble(now_ms, Reason.NO_ANSWER, outcome.detail)
        elif isinstance(outcome, Rejected | Retry) and outcome.reason in FAULTS_OF_LINK:
            self._trouble = Trouble(now_ms, outcome.reason, outcome.detail)
        self._record(stored, outcome, now_ms, self._changes(attempt) if is_taken else None)

    def _record(self, stored: Stored, outcome: Outcome, now_ms: int, changes: str | None = None) -> None:
        capabilities = self.transport.capabilities
        self._recorder.add(
            Result(stored, self.link, outcome, now_ms, capabilities.takes_our_id, capabilities.has_receipts, changes)
        )

    def _changes(self, attempt: Attempt) -> str | None:
        """What was changed to show the content on this channel; nothing of what is only text."""
        if self._fitting is None or attempt.content.is_text:
            return None
        fitted = self._fitting(attempt.content, attempt.type)
        return ",".join(fitted.changes) or None if fitted is not None else None

    async def _check_stalled(self, now_ms: int, room: int) -> None:
        """While the link is down, let its messages go on: to another link of their channel, or to the next channel when
        their window is over."""
        is_stalled = self._breaker.is_open or (room <= 0 and not self._in_flight and self.transport.room() <= 0)
        self._up.set(not is_stalled)
        if not is_stalled:
            self._stalled_at_ms = None
            self._sweeper.forget()
            return
        # Of a clock that was set back neither is to come.
        self._stalled_at_ms = now_ms if self._stalled_at_ms is None else min(self._stalled_at_ms, now_ms)
        self._swept_at_ms = min(self._swept_at_ms, now_ms)
        if now_ms - max(self._stalled_at_ms, self._swept_at_ms) < STALLED_CHECK_MS:
            return
        self._swept_at_ms = now_ms
        for lane in list(self._lanes):
            await self._sweeper.sweep(lane, now_ms)
