"""The sandbox's SIP trunk and the phones behind it, over UDP and TCP on one port.

What a phone's behaviour on channel `flashcall` is here:
- `delivers`: it rings until the caller gives up (180, and 487 after the CANCEL);
- `reads`: it rings, and the person pushes the call away (180, then 486);
- `absent`: no such number (404); `blocked`: the person wants no such calls (607); `rejects`: the trunk refuses (403);
- `silent`: the trunk takes the call, and nothing rings (100); `late`: the same, and it rings after `late_s`;
- `repeats`: every response comes twice;
- `throttled`: the trunk is overloaded at the first try (503 with Retry-After); `down`: at every try (500);
- `answer_lost`: the phone rings, and not a word of it comes back.

Source: RFC 3261, 17.2 (server transactions) and 9.2.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import structlog

from cascade.sandbox import sip_codec as sip
from cascade.sandbox.people import Behaviour, Counters, People, missed_call, normal_phone

log = structlog.get_logger()

CHANNEL = "flashcall"
REALM = "sandbox"
T1_S = 0.5
T2_S = 4.0
KEPT_S = 32.0
"""How long a call that ended is remembered, and its final response repeated until it is acknowledged."""
RINGS_S = 60.0
THROTTLE_S = 1
DECLINES_S = 0.3
FREE_PORT_TRIES = 5

REFUSALS: Mapping[Behaviour, int] = {
    Behaviour.ABSENT: 404,
    Behaviour.BLOCKED: 607,
    Behaviour.REJECTS: 403,
    Behaviour.DOWN: 500,
}
Write = Callable[[bytes], None]


class Ringing:
    """One INVITE and what became of it."""

    def __init__(self, trunk: "SipTrunk", invite: sip.Incoming, write: Write, *, is_reliable: bool) -> None:
        self.invite = invite
        self.tag = secrets.token_hex(6)
        self.is_final = False
        self._trunk = trunk
        self._write = write
        self._is_reliable = is_reliable
        self._copies = 1
        self._is_mute = False
        self._last = b""
        self._timers: set[asyncio.TimerHandle] = set()
        self._repeat: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        phone = normal_phone(self.invite.called)
        if phone is None:
            self.end(404)
            return
        person = self._trunk.people.get(phone)
        behaviour = person.on(CHANNEL)
        self._copies = 2 if behaviour is Behaviour.REPEATED else 1
        if behaviour is Behaviour.THROTTLED and person.is_first_try(CHANNEL):
            self.end(503, (("Retry-After", str(THROTTLE_S)),))
        elif behaviour in REFUSALS:
            self.end(REFUSALS[behaviour])
        else:
            self._is_mute = behaviour is Behaviour.ANSWER_LOST
            self.say(100)
            self._trunk.counters.accepted += 1
            if behaviour is Behaviour.LATE:
                self._after(self._trunk.late_s, partial(self.ring, phone))
            elif behaviour is not Behaviour.SILENT:
                self.ring(phone)
                if behaviour is Behaviour.READS:
                    self._after(DECLINES_S, partial(self.end, 486))
            self._after(RINGS_S, partial(self.end, 480))

    def ring(self, phone: str) -> None:
        if self.is_final:
            return
        caller = normal_phone(self.invite.caller) or self.invite.caller
        if self._trunk.keep_inbox:
            self._trunk.people.get(phone).inbox.append(missed_call(caller, self.invite.one("call-id")))
        self.say(180)

    def say(self, status: int, extra: tuple[tuple[str, str], ...] = ()) -> None:
        self._last = sip.respond(self.invite, status, self.tag, extra)
        self.repeat()

    def repeat(self) -> None:
        """Say the last thing again, as to an INVITE that came twice."""
        if not self._is_mute:
            for _ in range(self._copies):
                self._write(self._last)

    def end(self, status: int, extra: tuple[tuple[str, str], ...] = ()) -> None:
        """The final response, over UDP until it is acknowledged."""
        if self.is_final:
            return
        self.is_final = True
        self._stop_timers()
        self.say(status, extra)
        if not self._is_reliable:
            self._repeat_after(T1_S)
        self._after(KEPT_S, partial(self._trunk.forget, self))

    def moved(self, write: Write) -> None:
        """Speak to the caller where it was heard last: its connection may be another by now."""
        self._write = write

    def acknowledged(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        self._trunk.acknowledged += 1

    def stop(self) -> None:
        self._stop_timers()
        if self._repeat is not None:
            self._repeat.cancel()

    def _repeat_after(self, pause_s: float) -> None:
        def again() -> None:
            self.repeat()
            self._repeat_after(min(2 * pause_s, T2_S))

        self._repeat = asyncio.get_running_loop().call_later(pause_s, again)

    def _after(self, delay_s: float, do: Callable[[], None]) -> None:
        self._timers.add(asyncio.get_running_loop().call_later(delay_s, do))

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, trunk: "SipTrunk") -> None:
        self._trunk = trunk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not data.strip():
            return
        try:
            request = sip.parse(data)
        except sip.BadMessageError as error:
            log.warning("sip_malformed", detail=str(error))
            return
        self._trunk.take(request, partial(self._write, addr), is_reliable=False)

    def _write(self, addr: tuple[str, int], data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, addr)


class _Stream(asyncio.Protocol):
    def __init__(self, trunk: "SipTrunk") -> None:
        self._trunk = trunk
        self._cutter = sip.StreamCutter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._trunk.streams.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._trunk.streams.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._cutter.cut(data):
                self._trunk.take(request, self._write, is_reliable=True)
        except sip.BadMessageError as error:
            log.warning("sip_malformed", detail=str(error))
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class SipTrunk:
    """UDP and TCP on `port` (0: any that is free for both), or UDP and TLS where `tls` is given.

    `accounts` maps user names to passwords; None: whoever calls is let in. `algorithm`: of the challenges.
    """

    def __init__(
        self,
        people: People,
        host: str,
        port: int = 0,
        *,
        accounts: Mapping[str, str] | None = None,
        algorithm: str = "SHA-256",
        late_s: float = 10.0,
        keep_inbox: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.people = people
        self.host = host
        self.port = port
        self.late_s = late_s
        self.keep_inbox = keep_inbox
        self.counters = Counters()
        self.acknowledged = 0
        self.streams: set[asyncio.Transport] = set()
        self._accounts = None if accounts is None else dict(accounts)
        self._algorithm = algorithm
        self._tls = tls
        self._nonces: set[str] = set()
        self._calls: dict[str, Ringing] = {}  # by the branch of the INVITE, which CANCEL and ACK have, too
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        for tries_left in range(FREE_PORT_TRIES if self.port == 0 else 1, 0, -1):
            try:
                await self._listen()
                return
            except OSError:  # a port that is free for TCP need not be so for UDP
                if tries_left == 1:
                    raise

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._tcp = await loop.create_server(lambda: _Stream(self), self.host, self.port, ssl=self._tls)
        port = self._tcp.sockets[0].getsockname()[1]
        try:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(self.host, port))
        except OSError:
            self._tcp.close()
            raise
        self.port = port

    async def stop(self) -> None:
        for call in self._calls.values():
            call.stop()
        self._calls.clear()
        if self._udp is not None:
            self._udp.close()
        for stream in list(self.streams):
            stream.abort()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()

    def take(self, request: sip.Incoming, write: Write, *, is_reliable: bool) -> None:
        try:
            self._take(request, write, is_reliable=is_reliable)
        except sip.BadMessageError as error:
            log.warning("sip_malformed", detail=str(error))

    def forget(self, call: Ringing) -> None:
        call.stop()
        self._calls.pop(call.invite.branch, None)

    def _take(self, request: sip.Incoming, write: Write, *, is_reliable: bool) -> None:
        branch, _ = request.branch, request.sequence
        for name in ("from", "to", "call-id"):  # every response repeats them
            request.one(name)
        call = self._calls.get(branch)
        match request.method:
            case "INVITE":
                self.counters.requests += 1
                if call is not None:
                    call.repeat()
                    return
                call = self._calls[branch] = Ringing(self, request, write, is_reliable=is_reliable)
                self._invite(call, request)
            case "ACK":
                if call is not None:
                    call.acknowledged()
            case "CANCEL":
                write(sip.respond(request, 481 if call is None else 200, "" if call is None else call.tag))
                if call is not None:
                    call.moved(write)
                    call.end(487)
            case "OPTIONS":
                write(sip.respond(request, 200, secrets.token_hex(6)))
            case "BYE":
                write(sip.respond(request, 481, secrets.token_hex(6)))
            case _:
                write(sip.respond(request, 405, secrets.token_hex(6)))

    def _invite(self, call: Ringing, request: sip.Incoming) -> None:
        if b"m=audio" not in request.body:
            call.end(488)
        elif self._accounts is not None and not self._is_known(request):
            nonce = secrets.token_hex(12)
            self._nonces.add(nonce)
            call.end(407, (("Proxy-Authenticate", sip.challenge(REALM, nonce, self._algorithm)),))
        else:
            call.begin()

    def _is_known(self, request: sip.Incoming) -> bool:
        given = request.headers.get("proxy-authorization", [""])[0]
        return sip.is_answered(given, "INVITE", REALM, self._nonces, self._accounts or {})
