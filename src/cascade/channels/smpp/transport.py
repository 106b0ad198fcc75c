"""The `Transport` of channel sms over SMPP: keeps the binds alive, fills the window, settles each attempt once."""

import asyncio
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from cascade.channels.base import Capabilities, Health, Heard, Settle, TakeHeard
from cascade.channels.smpp import pdu, statuses
from cascade.channels.smpp.inbound import read_inbound
from cascade.channels.smpp.message import Composer
from cascade.channels.smpp.receipts import answer_id, is_receipt, read_receipt
from cascade.channels.smpp.session import BindRefusedError, Session
from cascade.channels.smpp.settings import BindMode, Receipts, SmppSettings
from cascade.channels.smpp.throttle import Throttle
from cascade.core.attempt import Accepted, AnswerLost, Attempt, NotSent, Outcome, Rejected, Retry
from cascade.core.errors import CascadeError, ConfigError
from cascade.core.inbound import Inbound
from cascade.core.words import Channel, Reason

_SUBMITTING = {BindMode.TRANSCEIVER: pdu.BIND_TRANSCEIVER, BindMode.PAIR: pdu.BIND_TRANSMITTER}
_BINDS = {
    BindMode.TRANSCEIVER: (pdu.BIND_TRANSCEIVER,),
    BindMode.PAIR: (pdu.BIND_TRANSMITTER, pdu.BIND_RECEIVER),
}

log = structlog.get_logger()

AHEAD = 4
"""One place of the window in so many has its next attempt waiting here: see decision 4;"""
AHEAD_FROM_S = 0.015
"""where the SMSC takes so long to answer. A quick one is only given smaller sets by it: 10 % more CPU."""
SPARE = 8
"""One place in so many may wait here besides, for what is handed over (decision 26)."""


class _Sending:
    """One attempt on its way. `written`, `answered` and `refused` count parts; `failure` is the gravest so far."""

    __slots__ = ("answered", "attempt", "failure", "ids", "refused", "reported", "settle", "written")

    def __init__(self, attempt: Attempt, settle: Settle, parts: int, reported: range) -> None:
        self.attempt = attempt
        self.settle = settle
        self.ids = [""] * parts
        self.reported = reported
        self.written = 0
        self.answered = 0
        self.refused = 0
        self.failure: Rejected | Retry | AnswerLost | None = None

    def fail(self, failure: Rejected | Retry | AnswerLost) -> None:
        """A refusal is graver than a lost answer: without that part nobody can have read the whole text."""
        self.refused += not isinstance(failure, AnswerLost)
        if self.failure is None or _gravity(failure) > _gravity(self.failure):
            self.failure = failure

    def outcome(self) -> Outcome:
        """Once nothing of it is on the wire.

        A failed part spoils the text, whatever became of the others: a phone does not show it, or shows it torn. So a
        refused part makes the attempt Rejected or Retry even after another was accepted (its price is lost), and the
        parts not written yet stay unwritten. A lost answer makes it AnswerLost only when every part was written: else
        the whole text cannot have arrived, and a repeat does no harm.
        """
        if self.written == 0:
            return NotSent()
        if self.failure is None and self.written == len(self.ids):
            # A receipt will name only the ids that it was asked for.
            ids = self.ids if len(self.ids) == 1 else [self.ids[part] for part in self.reported] or self.ids
            return Accepted(tuple(filter(None, ids)))
        if self.failure is None or (isinstance(self.failure, AnswerLost) and self.written < len(self.ids)):
            return Retry(Reason.PROVIDER_DOWN, detail="the connection ended between two parts", parts=self._receipts)
        return replace(self.failure, parts=self._receipts)

    @property
    def _receipts(self) -> int:
        return max(len(self.reported), 1) if self.written > self.refused else 1


def _is_whole(sending: _Sending) -> bool:
    """Nothing of it has left: it can be sent later, or another way, as if it had never been here."""
    return sending.written == 0


def _gravity(failure: Rejected | Retry | AnswerLost) -> int:
    return (AnswerLost, Retry, Rejected).index(type(failure))


_Part = tuple[bytes, tuple[_Sending, int]]
"""A submit_sm body, and whose part it is: the attempt and the index."""


def _is_urgent(part: _Part) -> bool:
    return part[1][0].attempt.type.is_urgent


class SmppTransport:
    """One account at one SMSC.

    `room` counts attempts, the window counts parts: with long messages in the traffic fewer attempts are let in, and
    the parts over the window wait here, at most one window of attempts. A quarter of a window more may wait for the
    next answers (docs/decisions/0004), and is given back when none come. What is urgent waits before the rest.
    `random_unit` gives the jitter (0 to 1), `now` the time for absolute validity periods (aware UTC). Raises
    ConfigError when the CA file cannot be read.
    """

    def __init__(
        self,
        settings: SmppSettings,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        random_unit: Callable[[], float] = random.random,
    ) -> None:
        self.capabilities = Capabilities(Channel.SMS, has_receipts=settings.receipts is not Receipts.NONE)
        self._settings = settings
        self._random_unit = random_unit
        self._composer = Composer(settings, now)
        self._tls = _tls_context(settings) if settings.tls else None
        self._throttle = Throttle(settings.window, settings.throttle_min_s, settings.throttle_max_s)
        self._sessions: dict[int, Session[tuple[_Sending, int]]] = {}  # bound ones, by bind command
        self._queue: deque[_Part] = deque()
        self._unsettled = 0
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._parts_per_attempt = 1.0  # of late, as a moving average
        self._keepers: list[asyncio.Task[None]] = []
        self._troubles: dict[int, tuple[Reason, str]] = {}  # why a bind does not stand, by its command
        self._has_worked = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._resume_timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._on_room: Callable[[], None] = lambda: None
        self._take: TakeHeard = _nobody_takes
        self._log = log.bind(host=settings.host, port=settings.port)

    @property
    def connected(self) -> bool:
        """Whether every bind of the account stands."""
        return len(self._sessions) == len(_BINDS[self._settings.bind])

    @property
    def unanswered(self) -> int:
        """Submits on the wire without an answer yet."""
        session = self._submitting_session()
        return session.unanswered if session is not None else 0

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        self._on_room = on_room
        self._take = take
        self._is_stopping = False
        self._keepers = [asyncio.create_task(self._keep_bound(command)) for command in _BINDS[self._settings.bind]]

    def room(self) -> int:
        if self._is_stopping or not self._is_open():
            return 0
        ahead = self._ahead()
        free = self._free_slots() + ahead - len(self._queue)
        return max(1, round(free / self._parts_per_attempt)) if free >= max(ahead, 1) else 0

    def trouble(self) -> tuple[Reason, str | None] | None:
        """See `Explains`."""
        if self._throttle.is_paused:
            return Reason.THROTTLED, None
        return next(iter(self._troubles.values()), None)

    def answers_soon(self) -> bool:
        """See `AnswersTogether`."""
        session = self._submitting_session()
        return session is None or session.answered_after_s < AHEAD_FROM_S

    def spare(self) -> int:
        """See `HoldsMore`: an eighth of the window, beyond that which is claimed ahead."""
        if self._is_stopping or not self._is_open():
            return 0
        free = self._free_slots() + self._ahead() + max(self._throttle.window // SPARE, 1) - len(self._queue)
        return max(round(free / self._parts_per_attempt) - self.room(), 0)

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        if self._is_stopping or self._submitting_session() is None:
            for attempt in attempts:
                settle(attempt, NotSent())
            return
        has_refused = False
        for attempt in attempts:
            submission = self._composer.compose(attempt)
            if isinstance(submission, Rejected):
                settle(attempt, replace(submission, is_ours=True))
                has_refused = True
                continue
            sending = _Sending(attempt, settle, len(submission.bodies), submission.reported)
            self._unsettled += 1
            self._all_settled.clear()
            self._parts_per_attempt += (len(submission.bodies) - self._parts_per_attempt) / 16
            parts = [(body, (sending, index)) for index, body in enumerate(submission.bodies)]
            if attempt.type.is_urgent and self._queue and not _is_urgent(self._queue[-1]):
                place = next(place for place, part in enumerate(self._queue) if not _is_urgent(part))
                self._queue.rotate(-place)
                self._queue.extendleft(reversed(parts))
                self._queue.rotate(place)
            else:
                self._queue.extend(parts)
        self._fill_window()
        if has_refused:
            asyncio.get_running_loop().call_soon(
                self.session_progressed
            )  # nothing else would say that their places are free

    def receipts_of(self, attempt: Attempt) -> int:
        """See `Divides`."""
        submission = self._composer.compose(attempt)
        return 1 if isinstance(submission, Rejected) else max(len(submission.reported), 1)

    async def check(self) -> Health:
        """See `Checks`: a bind of its own, as a transmitter, so that no receipt comes this way."""
        session: Session[tuple[_Sending, int]] = Session(self._settings, pdu.BIND_TRANSMITTER, self, self._spawn)
        place = f"{self._settings.host}:{self._settings.port}"
        try:
            await session.open(self._tls)
        except BindRefusedError as error:
            if error.status == statuses.ESME_RALYBND:
                return Health(True, f"{place} knows us, and allows no bind beside the one that stands")
            return Health(False, f"{place} refused the bind: {statuses.name(error.status)}")
        except OSError as error:  # TimeoutError and ssl.SSLError are such
            why = "there is no such host" if isinstance(error, socket.gaierror) else type(error).__name__
            return Health(False, f"{place} cannot be reached: {why}")
        except Exception as error:  # only its type: its text may hold what the operator set
            return Health(False, f"{place}: {type(error).__name__}")
        await session.unbind()
        return Health(True, f"{place} let us bind as {self._settings.system_id}")

    async def stop(self, grace_s: float) -> None:
        self._is_stopping = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace_s
        self._give_back(_is_whole)
        try:
            async with asyncio.timeout_at(deadline):
                await self._all_settled.wait()
        except TimeoutError:
            self._log.warning("attempts_abandoned", count=self._unsettled)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, deadline - loop.time()))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._throttle.resume()  # nobody else would, should the link come back
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what a session tells its owner -------------------------------------------------------------------------------

    def submit_answered(self, token: tuple[_Sending, int], status: int, message_id: str) -> None:
        sending, index = token
        if status == statuses.ESME_ROK:
            sending.ids[index] = answer_id(message_id, self._settings.id_form)
            self._throttle.accepted()
            self._has_worked = True
        else:
            refusal = statuses.refusal(status, self._settings.statuses)
            sending.fail(refusal)
            if refusal.reason is Reason.THROTTLED:
                self._slow_down()
            session = self._submitting_session()
            if status in statuses.REBIND and session is not None:
                self._log.warning("bind_doubted", status=statuses.name(status))
                session.leave()
        self._part_ended(sending)

    def submit_unanswered(self, token: tuple[_Sending, int]) -> None:
        sending, _ = token
        sending.fail(AnswerLost("no answer in time"))
        self._part_ended(sending)
        self._give_back(_is_whole)

    def session_progressed(self) -> None:
        self._fill_window()
        if self.room() > 0:
            self._on_room()

    def session_lost(self, tokens: Sequence[tuple[_Sending, int]]) -> None:
        for sending, _ in tokens:
            sending.fail(AnswerLost("the connection ended"))
        for sending, _ in tokens:
            self._part_ended(sending)

    async def take_deliveries(self, deliveries: Sequence[pdu.Delivery]) -> None:
        receipts, inbound, ignored = [], [], []
        for delivery in deliveries:
            if is_receipt(delivery):
                receipt = read_receipt(delivery, self._settings)
                if receipt is not None:
                    receipts.append(receipt)
            elif isinstance(said := read_inbound(delivery, self._settings.default_alphabet), Inbound):
                inbound.append(said)
            else:
                ignored.append(said)
        heard = Heard(receipts, inbound, ignored=ignored)
        if heard:
            await self._take(heard)

    # -- the window ---------------------------------------------------------------------------------------------------

    def _submitting_session(self) -> Session[tuple[_Sending, int]] | None:
        return self._sessions.get(_SUBMITTING[self._settings.bind])

    def _is_open(self) -> bool:
        session = self._submitting_session()
        return session is not None and session.is_ready and not self._throttle.is_paused

    def _free_slots(self) -> int:
        return max(self._throttle.window - self.unanswered, 0) if self._is_open() else 0

    def _ahead(self) -> int:
        """How many more than the window's may be here, all of them or none: a claim for each answer would be dear."""
        return 0 if self.answers_soon() else self._throttle.window // AHEAD

    def _slow_down(self) -> None:
        pause_s = self._throttle.slow_down()
        if pause_s is not None:
            self._log.warning("throttle_started", seconds=pause_s)
            self._give_back(_is_whole)
            self._resume_timer = asyncio.get_running_loop().call_later(pause_s, self._resume)

    def _resume(self) -> None:
        self._throttle.resume()
        self.session_progressed()

    def _fill_window(self) -> None:
        session = self._submitting_session()
        free = self._free_slots() if self._queue else 0
        parts: list[_Part] = []
        while self._queue and len(parts) < free:
            part = self._queue.popleft()
            sending = part[1][0]
            if sending.failure is None:
                sending.written += 1
                parts.append(part)
        if parts and session is not None:
            session.submit(parts)

    def _part_ended(self, sending: _Sending) -> None:
        sending.answered += 1
        is_complete = sending.answered == len(sending.ids)
        if is_complete or (sending.failure is not None and sending.answered == sending.written):
            self._settle(sending)

    def _give_back(self, is_given: Callable[[_Sending], bool]) -> None:
        """Settle the attempts with parts in the queue that `is_given` picks, and drop those parts."""
        kept: deque[_Part] = deque()
        given: dict[_Sending, None] = {}
        for part in self._queue:
            sending = part[1][0]
            if is_given(sending):
                given[sending] = None
            else:
                kept.append(part)
        self._queue = kept
        for sending in given:
            if sending.failure is None and sending.answered == sending.written:
                self._settle(sending)

    def _settle(self, sending: _Sending) -> None:
        self._unsettled -= 1
        if self._unsettled == 0:
            self._all_settled.set()
        outcome = sending.outcome()
        if isinstance(outcome, Rejected | Retry):
            self._log.info("attempt_rejected", reason=outcome.reason.value, detail=outcome.detail)
        sending.settle(sending.attempt, outcome)

    # -- the binds ----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_bound(self, command: int) -> None:
        """Bind, wait for the end, bind again. The pause doubles until a bind has taken a message, or has held for as
        long as the longest: one message that ends the connection each time must not stop all the others."""
        loop = asyncio.get_running_loop()
        pause_s = self._settings.reconnect_min_s
        while not self._is_stopping:
            session: Session[tuple[_Sending, int]] = Session(self._settings, command, self, self._spawn)
            try:
                await session.open(self._tls)
                bound_at = loop.time()
                self._has_worked = False
                self._log.info("bind_established")
                self._troubles.pop(command, None)
                self._sessions[command] = session
                try:
                    self.session_progressed()
                    await session.wait_closed()
                finally:
                    await session.unbind()  # for `stop`, which cancels us; else it is closed already
                    del self._sessions[command]
                    if command == _SUBMITTING[self._settings.bind]:
                        self._give_back(lambda sending: True)
                if self._has_worked or loop.time() - bound_at >= self._settings.reconnect_max_s:
                    pause_s = self._settings.reconnect_min_s
                if not self._is_stopping:
                    self._log.warning("bind_lost")
            except BindRefusedError as error:
                self._troubles[command] = statuses.bind_refusal(error.status), statuses.name(error.status)
                self._log.warning("bind_refused", status=statuses.name(error.status))
            except OSError as error:  # TimeoutError and ssl.SSLError are such
                self._troubles[command] = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.warning("connect_failed", error=type(error).__name__)
            except Exception as error:  # only its type: its text may hold what the operator set
                self._troubles[command] = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.error("bind_failed", error=type(error).__name__)
            await asyncio.sleep(pause_s * (0.5 + self._random_unit() / 2))
            pause_s = min(pause_s * 2, self._settings.reconnect_max_s)


async def _nobody_takes(heard: Heard) -> None:
    """Before a start there is but a `check`, and some SMSCs deliver to any bind: they shall keep it for the next."""
    raise CascadeError("the link is not started")


def _tls_context(settings: SmppSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except OSError as error:
        raise ConfigError(
            "smpp.tls_ca_file", f"it cannot be read ({type(error).__name__})", "Write the path of a PEM file"
        ) from error
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
