"""Calls under way, whatever protocol makes them: the window, their timers, and that each is settled once."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from structlog.typing import FilteringBoundLogger

from cascade.channels.base import Settle
from cascade.core.attempt import AnswerLost, Attempt, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.flashcalls import is_caller
from cascade.core.words import MessageType, Reason

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Call(Protocol[T_co]):
    """One call as a pure machine: told what came and what time it is, it returns what is to be done, in order.

    `outcome` is set once. After it the call may still have something to do: it is over when `next_at_s` is None.
    """

    @property
    def outcome(self) -> Outcome | None: ...

    @property
    def next_at_s(self) -> float | None:
        """When `passed` is to be called."""
        ...

    def begin(self, now_s: float) -> Sequence[T_co]: ...

    def passed(self, now_s: float) -> Sequence[T_co]:
        """What is due."""
        ...

    def hang_up(self, now_s: float) -> Sequence[T_co]:
        """End it as soon as may be."""
        ...

    def abandon(self) -> Outcome:
        """How it ends when there is no more time to wait."""
        ...


C = TypeVar("C", bound=Call[object])


class Live(Generic[C]):
    """A call with the attempt that it is, and the timer that wakes it."""

    __slots__ = ("attempt", "call", "is_settled", "name", "settle", "timer")

    def __init__(self, name: str, call: C, attempt: Attempt, settle: Settle) -> None:
        self.name = name
        self.call = call
        self.attempt = attempt
        self.settle = settle
        self.is_settled = False
        self.timer: asyncio.TimerHandle | None = None


class Calls(Generic[C, T]):
    """By name. The window counts calls that have no outcome yet; one that has is kept for as long as it wants, and
    takes no room. `do` carries out what a call returns; `settled` is called after each outcome, `forgotten` with the
    name of each call that is over."""

    def __init__(
        self,
        window: int,
        do: Callable[[Live[C], T], None],
        settled: Callable[[Outcome], None],
        log: FilteringBoundLogger,
        forgotten: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._window = window
        self._do = do
        self._settled = settled
        self._forgotten = forgotten
        self._log = log
        self._by_name: dict[str, Live[C]] = {}
        self._unsettled = 0
        self._all_settled = asyncio.Event()
        self._all_settled.set()

    @property
    def room(self) -> int:
        return max(self._window - self._unsettled, 0)

    @property
    def are_settled(self) -> bool:
        return self._unsettled == 0

    def __iter__(self) -> Iterator[Live[C]]:
        return iter(list(self._by_name.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def get(self, name: str) -> Live[C] | None:
        return self._by_name.get(name)

    def begin(self, name: str, call: C, attempt: Attempt, settle: Settle) -> None:
        live = Live(name, call, attempt, settle)
        self._by_name[name] = live
        self._unsettled += 1
        self._all_settled.clear()
        self.proceed(live, call.begin(now_s()))

    def proceed(self, live: Live[C], wanted: Sequence[object]) -> None:
        """Do what the call wants, settle it if it ended, and wake it when it asks for it."""
        for each in wanted:
            self._do(live, each)  # type: ignore[arg-type] # a call of C wants what T is
        self.settle_if_done(live)
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        next_at_s = live.call.next_at_s
        if next_at_s is None:
            self._by_name.pop(live.name, None)
            self._forgotten(live.name)
        else:
            live.timer = asyncio.get_running_loop().call_at(next_at_s, self._wake, live)

    def settle_if_done(self, live: Live[C]) -> None:
        outcome = live.call.outcome
        if outcome is None or live.is_settled:
            return
        live.is_settled = True
        self._unsettled -= 1
        if self._unsettled == 0:
            self._all_settled.set()
        self._report(live.attempt, outcome)
        live.settle(live.attempt, outcome)
        self._settled(outcome)

    async def stop(self, grace_s: float) -> None:
        """Every phone that rings is told to stop; the rest of the grace is for hearing that it did."""
        for live in self:
            self.proceed(live, live.call.hang_up(now_s()))
        try:
            async with asyncio.timeout(grace_s):
                await self._all_settled.wait()
        except TimeoutError:
            self._log.warning("calls_abandoned", count=self._unsettled)
        for live in self:
            if live.timer is not None:
                live.timer.cancel()
            live.call.abandon()
            self.settle_if_done(live)
        self._by_name.clear()

    def _wake(self, live: Live[C]) -> None:
        self.proceed(live, live.call.passed(now_s()))

    def _report(self, attempt: Attempt, outcome: Outcome) -> None:
        about = {"message_id": attempt.message_id.hex(), "attempt": attempt.number}
        match outcome:
            case Rejected(reason, detail) if reason in (Reason.MISCONFIGURED, Reason.INVALID_SENDER):
                self._log.error("attempt_rejected", reason=reason.value, detail=detail, **about)
            case Rejected(reason, detail):
                self._log.info("attempt_rejected", reason=reason.value, detail=detail, **about)
            case Retry(reason, after_s, detail):
                self._log.info("attempt_deferred", reason=reason.value, after_s=after_s, detail=detail, **about)
            case AnswerLost(detail):
                self._log.warning("answer_lost", reason=Reason.NO_ANSWER.value, detail=detail, **about)
            case Delivered() | NotSent():
                pass


def now_s() -> float:
    return asyncio.get_running_loop().time()


def unfit(attempt: Attempt) -> Rejected | None:
    """Why no call can be made of it; None: it can."""
    if attempt.type is not MessageType.FLASHCALL:
        return Rejected(Reason.CONTENT_UNFIT, "a call carries no text", is_ours=True)
    if not is_caller(attempt.sender):
        return Rejected(Reason.INVALID_SENDER, "the link has no number to call from", is_ours=True)
    return None
