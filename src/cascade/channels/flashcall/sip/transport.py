"""The `Transport` of channel flashcall over SIP: several calls at once, each settled once, the wire kept open."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

import structlog

from cascade.channels.base import Capabilities, Settle, TakeHeard
from cascade.channels.flashcall.sip.call import ALLOW, Call, Order
from cascade.channels.flashcall.sip.message import (
    Headers,
    Message,
    Request,
    Response,
    SipError,
    call_id_of,
    encode,
    tag_of,
)
from cascade.channels.flashcall.sip.settings import Carrier, SipSettings
from cascade.channels.flashcall.sip.wire import Wire, tls_context
from cascade.core.attempt import AnswerLost, Attempt, Delivered, NotSent, Outcome, Rejected, Retry
from cascade.core.flashcalls import is_caller
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()


def token() -> str:
    return secrets.token_hex(8)


class _Live:
    """A call with the attempt that it is, and the timer that wakes it."""

    __slots__ = ("attempt", "call", "is_settled", "settle", "timer")

    def __init__(self, call: Call, attempt: Attempt, settle: Settle) -> None:
        self.call = call
        self.attempt = attempt
        self.settle = settle
        self.is_settled = False
        self.timer: asyncio.TimerHandle | None = None


class SipTransport:
    """One trunk. The window counts calls that have no outcome yet; one that has is kept for as long as the protocol
    wants it answered, and takes no room."""

    def __init__(self, settings: SipSettings, link: str = "flashcall.sip") -> None:
        self.capabilities = Capabilities(Channel.FLASHCALL, has_receipts=False)
        self._settings = settings
        self._tls = tls_context(settings) if settings.carrier is Carrier.TLS else None
        self._wire: Wire | None = None
        self._calls: dict[str, _Live] = {}  # by Call-ID
        self._unsettled = 0
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._keeper: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._is_doubted = False  # the trunk was silent: its name may lead elsewhere by now
        self._on_room: Callable[[], None] = lambda: None
        self._log = log.bind(link=link, host=settings.host, port=settings.port)

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        """How a call ends is all there is to say of it, so no receipts come."""
        self._on_room = on_room
        self._is_stopping = False
        self._keeper = asyncio.create_task(self._keep_open())

    def room(self) -> int:
        if self._wire is None or self._is_stopping:
            return 0
        return max(self._settings.window - self._unsettled, 0)

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        room = self.room()
        has_refused = False
        for attempt in attempts[:room]:
            refusal = self._unfit(attempt)
            if refusal is not None:
                settle(attempt, refusal)
                has_refused = True
            else:
                self._call(attempt, settle)
        for attempt in attempts[room:]:
            settle(attempt, NotSent())
        if has_refused:
            asyncio.get_running_loop().call_soon(self._on_room)

    async def stop(self, grace_s: float) -> None:
        """Every phone that rings is told to stop; the rest of the grace is for the trunk to say that it did."""
        self._is_stopping = True
        now_s = asyncio.get_running_loop().time()
        for live in list(self._calls.values()):
            self._proceed(live, live.call.hang_up(now_s), now_s)
        try:
            async with asyncio.timeout(grace_s):
                await self._all_settled.wait()
        except TimeoutError:
            self._log.warning("calls_abandoned", count=self._unsettled)
        for live in self._calls.values():
            if live.timer is not None:
                live.timer.cancel()
            live.call.abandon()
            self._settle_if_done(live)
        self._calls.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    # -- calls --------------------------------------------------------------------------------------------------------

    def _unfit(self, attempt: Attempt) -> Rejected | None:
        if attempt.type is not MessageType.FLASHCALL:
            return Rejected(Reason.CONTENT_UNFIT, "a call carries no text", is_ours=True)
        if not is_caller(attempt.sender):
            return Rejected(Reason.INVALID_SENDER, "the link has no number to call from", is_ours=True)
        return None

    def _call(self, attempt: Attempt, settle: Settle) -> None:
        assert self._wire is not None  # noqa: S101 - there was room
        now_s = asyncio.get_running_loop().time()
        order = Order(
            f"{attempt.message_id.hex()}-{attempt.number}-{token()}",
            attempt.sender,
            attempt.address,
            is_first=attempt.number == 1,
        )
        live = _Live(Call(order, self._settings, self._wire.place, token), attempt, settle)
        self._calls[order.call_id] = live
        self._unsettled += 1
        self._all_settled.clear()
        self._proceed(live, live.call.begin(now_s), now_s)

    def _proceed(self, live: _Live, written: list[bytes], now_s: float) -> None:
        """Write what the call says, settle it if it ended, and wake it when it wants."""
        if self._wire is not None:
            for data in written:
                self._wire.write(data)
        self._settle_if_done(live)
        if live.timer is not None:
            live.timer.cancel()
            live.timer = None
        next_at_s = live.call.next_at_s
        if next_at_s is None:
            self._calls.pop(live.call.order.call_id, None)
        else:
            live.timer = asyncio.get_running_loop().call_at(next_at_s, self._wake, live)

    def _wake(self, live: _Live) -> None:
        now_s = asyncio.get_running_loop().time()
        self._proceed(live, live.call.passed(now_s), now_s)

    def _settle_if_done(self, live: _Live) -> None:
        outcome = live.call.outcome
        if outcome is None or live.is_settled:
            return
        live.is_settled = True
        self._unsettled -= 1
        if self._unsettled == 0:
            self._all_settled.set()
        self._report(live.attempt, outcome)
        live.settle(live.attempt, outcome)
        self._on_room()
        if isinstance(outcome, AnswerLost):
            self._is_doubted = True
        if self._is_doubted and self._unsettled == 0 and self._wire is not None and not self._is_stopping:
            self._is_doubted = False
            self._wire.give_up()  # the keeper opens another, and looks the trunk's name up anew

    def _report(self, attempt: Attempt, outcome: Outcome) -> None:
        about = {"message_id": attempt.message_id.hex(), "attempt": attempt.number}
        match outcome:
            case Delivered():
                pass
            case Rejected(reason, detail) if reason in (Reason.MISCONFIGURED, Reason.INVALID_SENDER):
                self._log.error("attempt_rejected", reason=reason.value, detail=detail, **about)
            case Rejected(reason, detail):
                self._log.info("attempt_rejected", reason=reason.value, detail=detail, **about)
            case Retry(reason, after_s, detail):
                self._log.info("attempt_deferred", reason=reason.value, after_s=after_s, detail=detail, **about)
            case AnswerLost(detail):
                self._log.warning("answer_lost", reason=Reason.NO_ANSWER.value, detail=detail, **about)

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _hear(self, message: Message) -> None:
        try:
            if isinstance(message, Request):
                self._answer(message)
                return
            live = self._calls.get(call_id_of(message))
        except SipError as error:
            self._log.warning("message_malformed", detail=str(error))
            return
        if live is None:
            self._log.info("answer_unmatched", status=message.status)
            return
        now_s = asyncio.get_running_loop().time()
        self._proceed(live, live.call.heard(message, now_s), now_s)

    def _refused(self) -> None:
        for live in list(self._calls.values()):
            live.call.refused()
            self._settle_if_done(live)

    def _answer(self, request: Request) -> None:
        """What a trunk asks of us: whether we live, and to end a call. We take none."""
        match request.method:
            case "ACK":
                return
            case "OPTIONS":
                status, reason = 200, "OK"
            case "BYE" if call_id_of(request) in self._calls:
                status, reason = 200, "OK"
            case "BYE" | "CANCEL":
                status, reason = 481, "Call/Transaction Does Not Exist"
            case _:
                status, reason = 405, "Method Not Allowed"
        headers = [("Via", via) for via in request.headers.all("via")]
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = request.headers.first(name.lower())
            if value is None:
                raise SipError(f"a request without {name}")
            if name == "To" and tag_of(value) is None:
                value = f"{value};tag={token()}"
            headers.append((name, value))
        headers.append(("Allow", ALLOW))
        if self._wire is not None:
            self._wire.write(encode(Response(status, reason, Headers(headers))))

    async def _keep_open(self) -> None:
        """Open the wire, wait for its end, open it again. The pause doubles until one holds."""
        loop = asyncio.get_running_loop()
        pause_s = self._settings.reconnect_min_s
        while not self._is_stopping:
            wire = Wire(self._settings, self._hear, self._refused)
            try:
                await wire.open(self._tls)
                opened_at_s = loop.time()
                self._wire = wire
                try:
                    for live in list(self._calls.values()):
                        for data in live.call.again():
                            wire.write(data)
                    self._on_room()
                    await asyncio.shield(wire.closed)
                finally:
                    self._wire = None
                    wire.close()
                if wire.was_given_up:
                    continue
                self._log.warning("connection_lost")
                if loop.time() - opened_at_s >= self._settings.reconnect_max_s:
                    pause_s = self._settings.reconnect_min_s
            except OSError as error:  # TimeoutError and ssl.SSLError are such
                self._log.warning("connect_failed", error=type(error).__name__)
            except Exception as error:  # only its type: its text may hold what the operator set
                self._log.error("connect_failed", error=type(error).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._settings.reconnect_max_s)
