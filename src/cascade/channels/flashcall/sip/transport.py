"""The `Transport` of channel flashcall over SIP: several calls at once, and a wire that is kept open."""

import asyncio
import secrets
from collections.abc import Callable, Sequence

import structlog

from cascade.channels.base import Capabilities, Health, Settle, TakeHeard
from cascade.channels.flashcall.calls import Calls, Live, now_s, unfit
from cascade.channels.flashcall.sip import probe
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
from cascade.core.attempt import AnswerLost, Attempt, NotSent, Outcome
from cascade.core.words import Channel, Reason

log = structlog.get_logger()


def token() -> str:
    return secrets.token_hex(8)


class SipTransport:
    """One trunk. Its calls go by their Call-IDs."""

    def __init__(self, settings: SipSettings, link: str = "flashcall.sip") -> None:
        self.capabilities = Capabilities(Channel.FLASHCALL, has_receipts=False)
        self._settings = settings
        self._tls = tls_context(settings) if settings.carrier is Carrier.TLS else None
        self._wire: Wire | None = None
        self._log = log.bind(link=link, host=settings.host, port=settings.port)
        self._calls: Calls[Call, bytes] = Calls(
            settings.window, self._write, self._settled, self._log, self._wire_forgotten
        )
        self._wires: dict[str, Wire] = {}  # on which each call is heard, by its name
        self._retired: set[Wire] = set()  # open until their calls are over
        self._keeper: asyncio.Task[None] | None = None
        self._trouble: tuple[Reason, str | None] | None = None
        self._is_stopping = False
        self._is_doubted = False  # the trunk was silent: its name may lead elsewhere by now
        self._on_room: Callable[[], None] = lambda: None

    def start(self, on_room: Callable[[], None], take: TakeHeard) -> None:
        """How a call ends is all there is to say of it, so nothing is heard later."""
        self._on_room = on_room
        self._is_stopping = False
        self._keeper = asyncio.create_task(self._keep_open())

    def room(self) -> int:
        return 0 if self._wire is None or self._is_stopping else self._calls.room

    def trouble(self) -> tuple[Reason, str | None] | None:
        """See `Explains`."""
        return self._trouble

    def send(self, attempts: Sequence[Attempt], settle: Settle) -> None:
        room = self.room()
        has_refused = False
        for attempt in attempts[:room]:
            refusal = unfit(attempt)
            if refusal is not None:
                settle(attempt, refusal)
                has_refused = True
            elif self._wire is None:  # the calls before it were refused, and the wire was given up
                settle(attempt, NotSent())
            else:
                self._call(self._wire, attempt, settle)
        for attempt in attempts[room:]:
            settle(attempt, NotSent())
        if has_refused:
            asyncio.get_running_loop().call_soon(self._on_room)

    async def check(self) -> Health:
        """See `Checks`."""
        return await probe.look(self._settings, self._tls)

    async def stop(self, grace_s: float) -> None:
        self._is_stopping = True
        await self._calls.stop(grace_s)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for wire in self._retired:
            wire.close()
        self._retired.clear()
        self._wires.clear()

    def _call(self, wire: Wire, attempt: Attempt, settle: Settle) -> None:
        call_id = f"{attempt.message_id.hex()}-{attempt.number}-{token()}"
        order = Order(call_id, attempt.sender, attempt.address, is_first=attempt.number == 1)
        self._wires[call_id] = wire
        self._calls.begin(call_id, Call(order, self._settings, wire.place, token), attempt, settle)

    def _write(self, live: Live[Call], data: bytes) -> None:
        wire = self._wires.get(live.name)
        if wire is not None:
            wire.write(data)

    def _wire_forgotten(self, name: str) -> None:
        wire = self._wires.pop(name, None)
        if wire in self._retired and wire not in self._wires.values():
            self._retired.discard(wire)
            wire.close()

    def _settled(self, outcome: Outcome) -> None:
        self._on_room()
        # With a port of its own there can be no second wire beside the one whose calls may still come to life.
        self._is_doubted |= isinstance(outcome, AnswerLost) and not self._settings.local_port
        if self._is_doubted and self._calls.are_settled and self._wire is not None and not self._is_stopping:
            self._is_doubted = False
            self._wire.give_up()  # the keeper opens another, and looks the trunk's name up anew
            self._wire = None

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _hear(self, wire: Wire, message: Message) -> None:
        try:
            if isinstance(message, Request):
                self._answer(wire, message)
                return
            live = self._calls.get(call_id_of(message))
        except SipError as error:
            self._log.warning("message_malformed", detail=str(error))
            return
        if live is None:
            self._log.info("answer_unmatched", status=message.status)
            return
        self._calls.proceed(live, live.call.heard(message, now_s()))

    def _refused(self, wire: Wire) -> None:
        for live in self._calls:
            if self._wires.get(live.name) is wire:
                live.call.refused()
                self._calls.settle_if_done(live)

    def _answer(self, wire: Wire, request: Request) -> None:
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
        wire.write(encode(Response(status, reason, Headers(headers))))

    def _take_over(self, wire: Wire) -> None:
        """Say again, on this wire, the last word of each call whose own is gone."""
        for live in self._calls:
            own = self._wires.get(live.name)
            if own is None or own.is_closed:
                self._wires[live.name] = wire
                for data in live.call.again():
                    wire.write(data)

    async def _keep_open(self) -> None:
        """Open the wire, wait for its end, open it again. The pause doubles until one holds."""
        pause_s = self._settings.reconnect_min_s
        while not self._is_stopping:
            wire = Wire(self._settings, self._hear, self._refused)
            try:
                await wire.open(self._tls)
                opened_at_s = now_s()
                self._wire = wire
                self._trouble = None
                try:
                    self._take_over(wire)
                    self._on_room()
                    await asyncio.shield(wire.ended)
                finally:
                    self._wire = None
                    if wire.was_given_up and wire in self._wires.values() and not self._is_stopping:
                        self._retired.add(wire)
                    else:
                        wire.close()
                if wire.was_given_up:
                    continue
                self._log.warning("connection_lost")
                if now_s() - opened_at_s >= self._settings.reconnect_max_s:
                    pause_s = self._settings.reconnect_min_s
            except OSError as error:  # TimeoutError and ssl.SSLError are such
                self._trouble = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.warning("connect_failed", error=type(error).__name__)
            except Exception as error:  # only its type: its text may hold what the operator set
                self._trouble = Reason.PROVIDER_DOWN, type(error).__name__
                self._log.error("connect_failed", error=type(error).__name__)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._settings.reconnect_max_s)
