"""One bind on one connection: from connect to close, with its window, timers and answers.

A session lives once. What comes after it, and what becomes of the messages it lost, is its owner's to say.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

import structlog

from cascade.channels.dialling import connect, look_up
from cascade.channels.smpp import pdu, statuses
from cascade.channels.smpp.settings import SmppSettings
from cascade.core.errors import CascadeError

_CLOSE_S = 1.0
"""How long a closing connection may take to send what is left before it is cut."""
_MOST_OCTETS = 16 * 1024 * 1024
"""Of deliveries not stored yet, at which we stop reading, so that a slow store does not fill the memory; and of what a
peer does not read, at which we hang up."""
_DELIVERY_OCTETS = 1_000
"""What a delivery's objects take beside its body."""

log = structlog.get_logger()
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class BindRefusedError(CascadeError):
    """The SMSC does not let us in. Bind again later; `status` is its command_status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the SMSC refused the bind: {statuses.name(status)}")
        self.status = status


class Owner(Protocol[T_contra]):
    """Who is told what becomes of submits. Its calls come from the event loop's thread and must not raise."""

    def submit_answered(self, token: T_contra, status: int, message_id: str) -> None:
        """`message_id` as the SMSC wrote it; empty with most errors."""
        ...

    def submit_unanswered(self, token: T_contra) -> None:
        """No answer in time. One that comes yet is ignored."""
        ...

    def session_progressed(self) -> None:
        """Once after any read or event that may have made room."""
        ...

    def session_lost(self, tokens: Sequence[T_contra]) -> None:
        """The connection is gone, and with it the answers to these."""
        ...

    async def take_deliveries(self, deliveries: Sequence[pdu.Delivery]) -> None:
        """Returns when all are durably stored. May raise: then the SMSC is asked to send them again."""
        ...


class Session(asyncio.Protocol, Generic[T]):
    """`spawn` runs a coroutine as a task that the owner keeps and, in the end, awaits or cancels."""

    def __init__(
        self,
        settings: SmppSettings,
        command_id: int,
        owner: Owner[T],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._settings = settings
        self._command_id = command_id
        self._owner = owner
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._log = log.bind(host=settings.host, port=settings.port)
        self._reader = pdu.FrameReader()
        self._transport: asyncio.Transport | None = None
        self._bound: asyncio.Future[None] = self._loop.create_future()
        self._closed = asyncio.Event()
        self._unbound = asyncio.Event()
        self._is_bound = False
        self._is_leaving = False  # no new submits; the connection ends with its last answer, or now
        self._is_congested = False
        self._sequence = 0
        self._unanswered: dict[int, tuple[float, T]] = {}  # by sequence; in order of writing, so of deadline too
        self._replies: list[bytes] = []
        self._deliveries: list[tuple[int, int, pdu.Delivery]] = []  # answer's command_id, sequence, content
        self._delivery_octets = 0  # of those, and of those that are being stored
        self._is_taking = False
        self._is_paused = False  # we do not read
        self._last_read = 0.0
        self.answered_after_s = 0.0  # how long the last answer took
        self._has_heard = True  # since we last asked whether the peer lives
        self._response_timer: asyncio.TimerHandle | None = None
        self._link_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    @property
    def unanswered(self) -> int:
        return len(self._unanswered)

    @property
    def is_ready(self) -> bool:
        """Bound, staying, and the peer reads what we write."""
        return self._is_bound and not self._is_leaving and not self._is_congested

    async def open(self, tls: ssl.SSLContext | None) -> None:
        """Connect and bind. Raises OSError, TimeoutError or BindRefusedError; the connection is closed then."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                await connect(lambda: self, await look_up(settings.host, settings.port), tls, settings.host)
            async with asyncio.timeout(settings.response_timeout_s):
                await self._bound
        except BaseException:
            self.abort()
            await self.wait_closed()
            raise

    def submit(self, submits: Sequence[tuple[bytes, T]]) -> None:
        """Write these bodies as submit_sm PDUs, all at once. Only while `is_ready`."""
        deadline = self._loop.time() + self._settings.response_timeout_s
        frames = []
        for body, token in submits:
            sequence = self._next_sequence()
            self._unanswered[sequence] = (deadline, token)
            frames.append(pdu.encode(pdu.SUBMIT_SM, sequence, body))
        self._write(b"".join(frames))
        if self._response_timer is None:
            self._response_timer = self._loop.call_at(deadline, self._settle_overdue)

    def leave(self) -> None:
        """Take no more submits and close when the last one under way is answered or overdue."""
        self._is_leaving = True
        self._close_if_done()

    async def unbind(self) -> None:
        """Say goodbye and close, answered or not within a second; what is unanswered is lost."""
        self._is_leaving = True
        if self._is_bound and not self._closed.is_set():
            self._write(pdu.encode(pdu.UNBIND, self._next_sequence()))
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._unbound.wait()
            except TimeoutError:
                pass  # it need not answer: the connection ends all the same
        self._close()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def abort(self) -> None:
        """Cut the connection without waiting for the peer."""
        if self._transport is None:
            self._end()
        else:
            self._transport.abort()

    # -- what the event loop calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = self._settings
        body = pdu.encode_bind(settings.system_id, settings.password, settings.system_type, settings.address_range)
        self._write(pdu.encode(self._command_id, self._next_sequence(), body))

    def data_received(self, data: bytes) -> None:
        self._last_read = self._loop.time()
        self._has_heard = True
        try:
            for item in self._reader.feed(data):
                self._handle(item)
        except pdu.FrameError as error:
            self._log.warning("stream_broken", detail=str(error))
            self._replies.append(pdu.encode(pdu.GENERIC_NACK, 0, status=statuses.ESME_RINVCMDLEN))
            self._flush()
            self._close()
            return
        self._flush()
        self._owner.session_progressed()
        self._close_if_done()

    def pause_writing(self) -> None:
        self._is_congested = True

    def resume_writing(self) -> None:
        self._is_congested = False
        self._owner.session_progressed()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._log.warning("connection_lost", error=type(exc).__name__)
        self._end()

    # -- PDUs ---------------------------------------------------------------------------------------------------------

    def _handle(self, item: pdu.Pdu) -> None:
        match item.command_id:
            case pdu.SUBMIT_SM_RESP:
                self._take_answer(item)
            case pdu.DELIVER_SM:
                self._take_delivery(item, pdu.decode_deliver_sm)
            case pdu.ENQUIRE_LINK:
                self._reply(item, statuses.ESME_ROK)
            case pdu.DATA_SM:
                self._take_delivery(item, pdu.decode_data_sm)
            case pdu.UNBIND:
                self._log.info("bind_ended", by="peer")
                self._reply(item, statuses.ESME_ROK)
                self._flush()
                self._close()
            case pdu.UNBIND_RESP:
                self._unbound.set()
            case pdu.GENERIC_NACK:
                if not self._bound.done():
                    self._take_bind_answer(item)
                else:
                    self._take_answer(item)
            case pdu.ENQUIRE_LINK_RESP | pdu.ALERT_NOTIFICATION | pdu.OUTBIND:
                pass  # the read itself proved that the peer lives; the other two want no answer
            case command_id if command_id == self._command_id | pdu.RESPONSE:
                self._take_bind_answer(item)
            case command_id if command_id & pdu.RESPONSE:
                self._log.info("answer_unmatched", command_id=command_id)
            case command_id:
                self._log.warning("request_unknown", command_id=command_id)
                nack = pdu.encode(pdu.GENERIC_NACK, item.sequence, status=statuses.ESME_RINVCMDID)
                self._replies.append(nack)

    def _take_bind_answer(self, item: pdu.Pdu) -> None:
        if self._bound.done():
            return
        if (status := _status(item)) != statuses.ESME_ROK:
            self._bound.set_exception(BindRefusedError(status))
            return
        self._is_bound = True
        self._bound.set_result(None)
        self._link_timer = self._loop.call_later(self._settings.enquire_link_s, self._ask_if_silent)

    def _take_answer(self, item: pdu.Pdu) -> None:
        waiting = self._unanswered.pop(item.sequence, None)
        if waiting is None:
            self._log.info("answer_unmatched", command_id=item.command_id)
            return
        self.answered_after_s = self._last_read - waiting[0] + self._settings.response_timeout_s
        self._owner.submit_answered(waiting[1], _status(item), pdu.decode_message_id(item.body))

    def _take_delivery(self, item: pdu.Pdu, decode: Callable[[bytes], pdu.Delivery]) -> None:
        try:
            delivery = decode(item.body)
        except pdu.PduError as error:
            self._log.warning("delivery_malformed", detail=str(error))
            self._reply(item, statuses.ESME_RX_P_APPN)  # permanent: the same octets would fail again
            return
        self._deliveries.append((item.command_id | pdu.RESPONSE, item.sequence, delivery))
        self._delivery_octets += len(item.body) + _DELIVERY_OCTETS
        if not self._is_taking:
            self._is_taking = True
            self._spawn(self._take_deliveries())
        if self._delivery_octets > _MOST_OCTETS and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    async def _take_deliveries(self) -> None:
        """Hand over all that has come, then answer all of it in one write; what came meanwhile is the next set."""
        try:
            while self._deliveries:
                taken, self._deliveries = self._deliveries, []
                octets = self._delivery_octets
                try:
                    await self._owner.take_deliveries([delivery for _, _, delivery in taken])
                    status = statuses.ESME_ROK
                except Exception as error:  # whatever failed, nothing is stored: only the SMSC still has them
                    self._log.warning("deliveries_refused", count=len(taken), error=type(error).__name__)
                    status = statuses.ESME_RX_T_APPN
                self._write(b"".join([pdu.encode(answer, sequence, b"\0", status) for answer, sequence, _ in taken]))
                self._delivery_octets -= octets
                if self._is_paused and self._transport is not None and not self._transport.is_closing():
                    self._is_paused = False
                    self._transport.resume_reading()
        finally:
            self._is_taking = False

    # -- timers -------------------------------------------------------------------------------------------------------

    def _settle_overdue(self) -> None:
        """Deadlines stand in the order of writing, so one timer for the oldest serves the whole window."""
        self._response_timer = None
        now = self._loop.time()
        overdue = []
        for sequence, (deadline, _) in self._unanswered.items():
            if deadline > now:
                self._response_timer = self._loop.call_at(deadline, self._settle_overdue)
                break
            overdue.append(sequence)
        if overdue:
            self._log.warning("answers_overdue", count=len(overdue))
        for sequence in overdue:
            self._owner.submit_unanswered(self._unanswered.pop(sequence)[1])
        self._owner.session_progressed()
        self._close_if_done()

    def _ask_if_silent(self) -> None:
        now = self._loop.time()
        speaks_again_by = self._last_read + self._settings.enquire_link_s
        if now < speaks_again_by:
            self._link_timer = self._loop.call_at(speaks_again_by, self._ask_if_silent)
            return
        self._has_heard = False
        self._write(pdu.encode(pdu.ENQUIRE_LINK, self._next_sequence()))
        self._link_timer = self._loop.call_later(self._settings.enquire_timeout_s, self._judge_silence)

    def _judge_silence(self) -> None:
        if not self._has_heard and not self._is_paused:  # whom we do not read we cannot hear
            self._log.warning("link_silent", seconds=self._loop.time() - self._last_read)
            self.abort()
        else:
            self._ask_if_silent()

    # -- writing and closing ------------------------------------------------------------------------------------------

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % pdu.MAX_SEQUENCE + 1
        return self._sequence

    def _reply(self, request: pdu.Pdu, status: int) -> None:
        has_id = request.command_id in (pdu.DELIVER_SM, pdu.DATA_SM)
        answer = pdu.encode(request.command_id | pdu.RESPONSE, request.sequence, b"\0" if has_id else b"", status)
        self._replies.append(answer)

    def _flush(self) -> None:
        if self._replies:
            self._write(b"".join(self._replies))
            self._replies.clear()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > _MOST_OCTETS:
                self._log.warning("peer_does_not_read")
                self._transport.abort()

    def _close_if_done(self) -> None:
        if self._is_leaving and self._is_bound and not self._unanswered and not self._closed.is_set():
            self._close()

    def _close(self) -> None:
        """Close when the last octets are out, but do not wait for long."""
        self._is_leaving = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._close_timer = self._loop.call_later(_CLOSE_S, self._transport.abort)

    def _end(self) -> None:
        if self._closed.is_set():
            return
        self._is_bound, self._is_leaving = False, True
        for timer in (self._response_timer, self._link_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        if not self._bound.done():
            self._bound.set_exception(ConnectionResetError("the connection ended before the bind was answered"))
            self._bound.exception()  # read once here: nobody waits for it when the connect itself was given up
        self._unbound.set()
        self._closed.set()
        lost = [token for _, token in self._unanswered.values()]
        self._unanswered.clear()
        self._owner.session_lost(lost)


def _status(answer: pdu.Pdu) -> int:
    """A generic_nack is a refusal whatever it says."""
    if answer.command_id == pdu.GENERIC_NACK and answer.status == statuses.ESME_ROK:
        return statuses.ESME_RUNKNOWNERR
    return answer.status
