"""The sandbox's SMSC: an SMPP 3.4 server whose subscribers behave as their phones on channel `sms` say.

Source: SMPP Protocol Specification v3.4, issue 1.2; the text of a receipt is its appendix B.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import cast

import structlog

from cascade.sandbox import smpp_codec as smpp
from cascade.sandbox.people import Behaviour, People, Person, Received, iso_now, normal_phone
from cascade.sandbox.twin import options_in

log = structlog.get_logger()

CHANNEL = "sms"
SYSTEM_ID = b"cascade-sandbox"
CAN_SUBMIT = (smpp.BIND_TRANSMITTER, smpp.BIND_TRANSCEIVER)
CAN_RECEIVE = (smpp.BIND_RECEIVER, smpp.BIND_TRANSCEIVER)
BINDS = (smpp.BIND_RECEIVER, smpp.BIND_TRANSMITTER, smpp.BIND_TRANSCEIVER)
RECEIPT_TRIES = 5
STOP_S = 1.0

REFUSALS = {Behaviour.REJECTS: smpp.ESME_RINVDSTADR, Behaviour.DOWN: smpp.ESME_RSYSERR}
UNREACHED = {Behaviour.ABSENT: smpp.UNDELIVERABLE, Behaviour.BLOCKED: smpp.REJECTED}
COPIES = {Behaviour.SILENT: 0, Behaviour.REPEATED: 2}  # of each receipt


class IdForm(StrEnum):
    """How a message's id is spelled in submit_sm_resp and in its receipt; SMSCs in the field differ in it."""

    SAME = "same"  # hexadecimal, lower case, in both
    RESP_HEX_DLR_DEC = "resp_hex_dlr_dec"
    RESP_DEC_DLR_HEX = "resp_dec_dlr_hex"
    PADDED = "padded"  # the receipt in upper case, with leading zeros to 20 digits

    def in_answer(self, number: int) -> bytes:
        return b"%d" % number if self is IdForm.RESP_DEC_DLR_HEX else b"%x" % number

    def in_receipt(self, number: int) -> bytes:
        match self:
            case IdForm.RESP_HEX_DLR_DEC:
                return b"%d" % number
            case IdForm.PADDED:
                return b"%020X" % number
        return b"%x" % number


@dataclass(frozen=True, slots=True)
class ReceiptStyle:
    """What this SMSC's receipts look like. `date_digits` is 10 (to the minute) or 12 (to the second)."""

    id_form: IdForm = IdForm.SAME
    date_digits: int = 10
    with_text: bool = True
    with_tlvs: bool = True


@dataclass(slots=True, eq=False)
class Receipt:
    """A deliver_sm to be sent until it is acknowledged. `sent_at_s` is the loop's time of its last sending."""

    account: "Account"
    body: bytes
    tries: int = 0
    sent_at_s: float = 0.0


@dataclass(slots=True, eq=False)
class Account:
    """What the binds of one system_id share: the receipts due, and the binds that can take them."""

    system_id: bytes
    receivers: list["Session"] = field(default_factory=list)
    due: deque[Receipt] = field(default_factory=deque)
    turn: int = 0

    def flush(self) -> None:
        """Hand the receipts due to the receivers, turn by turn, as far as their windows go."""
        if self.due:
            ready = [session for session in self.receivers if session.has_room]
            while self.due and ready:
                self.turn += 1
                session = ready[self.turn % len(ready)]
                session.deliver(self.due.popleft())
                if not session.has_room:
                    ready.remove(session)
            for session in self.receivers:
                session.write_out()


@dataclass(slots=True, eq=False)
class Message:
    """One accepted submit_sm: a whole SMS or one part of a long one. `closed_s` is 0 while it is under way."""

    number: int
    account: Account
    phone: str
    submit: smpp.Submit
    text: str
    part: smpp.Part | None
    copies: int
    submitted_s: int
    closed_s: int = 0
    state: smpp.State = smpp.ENROUTE
    revoked: bool = False
    has_reached: bool = False
    entry: Received | None = None


class Wheel:
    """Calls things later, all of the same 10 ms together, so that what they write goes out in one write."""

    TICK_S = 0.01

    def __init__(self, after_tick: Callable[[], None]) -> None:
        self._after_tick = after_tick
        self._calls: dict[int, list[Callable[[], None]]] = {}
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for tick in self._calls:
            self._arm(self._loop, tick)

    def stop(self) -> None:
        """Stand still until the next start; what is due meanwhile is called then."""
        self._loop = None
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        tick = math.ceil((time.monotonic() + delay_s) / self.TICK_S)
        calls = self._calls.get(tick)
        if calls is not None:
            calls.append(call)
            return
        self._calls[tick] = [call]
        if self._loop is not None:
            self._arm(self._loop, tick)

    def _arm(self, loop: asyncio.AbstractEventLoop, tick: int) -> None:
        delay_s = tick * self.TICK_S - time.monotonic()
        self._handles[tick] = loop.call_later(max(delay_s, 0), self._fire, tick)

    def _fire(self, tick: int) -> None:
        del self._handles[tick]
        for call in self._calls.pop(tick):
            call()
        self._after_tick()


class Session(asyncio.Protocol):
    """One connection: reads whole reads, writes once for each, and keeps what the other side has not answered."""

    def __init__(self, smsc: "Smsc") -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._rest = b""
        self._out: list[bytes] = []
        self._answers: list[bytes] = [] if smsc.answer_delay_s else self._out  # what waits for answer_delay_s
        self._unacknowledged: dict[int, Receipt] = {}
        self._sequence = 0
        self._bound_as = 0
        self._account: Account | None = None
        self._is_blocked = False
        self._is_ending = False
        self._heard_at_s = self._loop.time()
        self._watch_handle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._smsc.sessions.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_ending = True
        if self._watch_handle is not None:
            self._watch_handle.cancel()
        self._smsc.sessions.discard(self)
        self._leave()
        self.ended.set_result(None)

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read, lest its answers pile up here."""
        self._is_blocked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._transport.resume_reading()
        if self._account is not None:
            self._account.flush()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        self._heard_at_s = self._loop.time()
        while end - position >= smpp.HEADER_OCTETS and not self._is_ending:
            length, command, status, sequence = smpp.read_header(data, position)
            if not smpp.HEADER_OCTETS <= length <= smpp.LONGEST_PDU:
                log.warning("stream_broken", command_length=length)
                self._out.append(smpp.encode(smpp.GENERIC_NACK, sequence, smpp.ESME_RINVCMDLEN))
                self._is_ending = True  # where the next PDU begins is anyone's guess
                break
            start, stop = position + smpp.HEADER_OCTETS, position + length
            if stop > end:
                break
            if command == smpp.SUBMIT_SM:
                self._submit(data, start, stop, sequence)
            elif command == smpp.DELIVER_SM_RESP or command == smpp.GENERIC_NACK:
                self._acknowledged(sequence, status)
            elif command < smpp.RESPONSE:
                self._request(command, sequence, data[start:stop])
            position = stop
        self._rest = data[position:]
        if self._is_ending:
            self._leave()
        self._write_answers()
        self.write_out()
        if self._account is not None:
            self._account.flush()
        if self._is_ending:
            self._loop.call_later(self._smsc.answer_delay_s, self._transport.close)

    @property
    def has_room(self) -> bool:
        return len(self._unacknowledged) < self._smsc.receipt_window and not self._is_blocked

    def deliver(self, receipt: Receipt) -> None:
        sequence = self._next_sequence()
        receipt.tries += 1
        receipt.sent_at_s = self._loop.time()
        self._unacknowledged[sequence] = receipt
        self._out.append(smpp.encode(smpp.DELIVER_SM, sequence, smpp.ESME_ROK, receipt.body))
        self._smsc.receipts_sent += 1

    def write_out(self) -> None:
        if self._out:
            self._write(b"".join(self._out))
            self._out.clear()

    def end(self) -> None:
        """Say goodbye and close; `connection_lost` follows."""
        if self._bound_as and not self._is_ending:
            self._out.append(smpp.encode(smpp.UNBIND, self._next_sequence()))
        self._is_ending = True
        self._leave()
        self.write_out()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _submit(self, data: bytes, start: int, stop: int, sequence: int) -> None:
        account = self._account
        if account is None or self._bound_as not in CAN_SUBMIT:
            self._answers.append(smpp.encode(smpp.SUBMIT_SM_RESP, sequence, smpp.ESME_RINVBNDSTS))
            return
        try:
            message_id = self._smsc.submit(account, data, start, stop)
        except smpp.PduError as error:
            self._answers.append(smpp.encode(smpp.SUBMIT_SM_RESP, sequence, error.status))
            return
        if message_id is None:
            self._is_ending = True
            return
        self._answers.append(smpp.encode(smpp.SUBMIT_SM_RESP, sequence, smpp.ESME_ROK, message_id + b"\0"))

    def _request(self, command: int, sequence: int, body: bytes) -> None:
        status, answer = smpp.ESME_ROK, b""
        try:
            if command in BINDS:
                answer = self._bind(command, body)
            elif command == smpp.UNBIND:
                self._is_ending = True
            elif command == smpp.QUERY_SM or command == smpp.CANCEL_SM:
                if self._account is None or self._bound_as not in CAN_SUBMIT:
                    raise smpp.PduError(smpp.ESME_RINVBNDSTS)
                if command == smpp.QUERY_SM:
                    answer = self._smsc.query(self._account, body)
                else:
                    self._smsc.cancel(self._account, body)
            elif command != smpp.ENQUIRE_LINK:
                log.warning("command_unknown", command_id=command)
                command, status = smpp.GENERIC_NACK, smpp.ESME_RINVCMDID
        except smpp.PduError as error:
            status = error.status
        self._out.append(smpp.encode(command | smpp.RESPONSE, sequence, status, answer))

    def _bind(self, command: int, body: bytes) -> bytes:
        if self._bound_as:
            raise smpp.PduError(smpp.ESME_RALYBND)
        fields = smpp.Fields(body)
        account = self._smsc.login(system_id=fields.text(), password=fields.text())
        self._bound_as = command
        self._account = account
        if command in CAN_RECEIVE:
            account.receivers.append(self)
        return SYSTEM_ID + b"\0" + smpp.encode_tlv(smpp.SC_INTERFACE_VERSION, b"\x34")

    def _acknowledged(self, sequence: int, status: int) -> None:
        receipt = self._unacknowledged.pop(sequence, None)
        if receipt is None:
            return
        if status == smpp.ESME_ROK:
            self._smsc.receipts_acknowledged += 1
        else:
            self._smsc.receipts_refused += 1
            self._smsc.wheel.after(self._smsc.receipt_retry_s, partial(self._smsc.send_again, receipt))

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        return self._sequence

    def _write_answers(self) -> None:
        if self._answers is not self._out and self._answers:
            self._loop.call_later(self._smsc.answer_delay_s, self._write, b"".join(self._answers))
            self._answers.clear()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _leave(self) -> None:
        """Take no more receipts, and give back those without an answer, to be sent first of all."""
        if self._account is None:
            return
        if self in self._account.receivers:
            self._account.receivers.remove(self)
        self._account.due.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()
        self._account.flush()

    def _watch(self) -> None:
        """Find receipts without an answer and a silent line; both are noticed up to half a period late."""
        smsc, now = self._smsc, self._loop.time()
        for sequence, receipt in list(self._unacknowledged.items()):
            if now - receipt.sent_at_s < smsc.receipt_retry_s:
                break
            del self._unacknowledged[sequence]
            smsc.send_again(receipt)
        silent_s = now - self._heard_at_s
        if silent_s >= 2 * smsc.enquire_link_s or (silent_s >= smsc.enquire_link_s and not self._bound_as):
            self.abort()
            return
        if silent_s >= smsc.enquire_link_s and not self._is_ending:
            self._out.append(smpp.encode(smpp.ENQUIRE_LINK, self._next_sequence()))
        if self._account is not None:
            self._account.flush()
        self.write_out()
        period_s = min(smsc.enquire_link_s, smsc.receipt_retry_s) / 2
        self._watch_handle = self._loop.call_later(period_s, self._watch)


class Smsc:
    """An SMPP server on `host` and `port` (0: any free one; `port` tells which after `start`).

    `accounts` maps system_id to password; None lets anyone in. Delays count from the arrival of the submit_sm, so a
    `receipt_delay_s` below `answer_delay_s` makes receipts overtake answers; a `late` phone's receipt takes `late_s`.
    A receipt without an answer, or with a negative one, is sent again after `receipt_retry_s`, five times in all;
    those on the way when a bind breaks are sent to the next one and that counts as no try.
    A line silent for `enquire_link_s` is asked if it lives, and cut when it stays silent as long again.
    With `keep_inbox` off nothing is remembered but the counters and what is under way: for benchmarks.
    Accounts, messages and receipts survive `stop` and a new `start`.
    """

    def __init__(
        self,
        people: People,
        host: str,
        port: int,
        *,
        accounts: Mapping[str, str] | None = None,
        late_s: float = 10.0,
        answer_delay_s: float = 0.0,
        receipt_delay_s: float = 0.0,
        receipts: ReceiptStyle | None = None,
        receipt_retry_s: float = 5.0,
        receipt_window: int = 1000,
        enquire_link_s: float = 30.0,
        keep_inbox: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.late_s = late_s
        self.answer_delay_s = answer_delay_s
        self.receipt_delay_s = receipt_delay_s
        self.receipt_retry_s = receipt_retry_s
        self.receipt_window = receipt_window
        self.enquire_link_s = enquire_link_s
        self.sessions: set[Session] = set()
        self.wheel = Wheel(self._flush)

        self.binds = 0
        self.submits = 0
        self.accepted = 0
        self.accepted_by_destination: Counter[str] = Counter()
        """Accepted submit_sm by phone with its plus: more than were meant for it are doubles."""
        self.receipts_sent = 0
        self.receipts_acknowledged = 0
        self.receipts_refused = 0
        self.receipts_given_up = 0

        self._people = people
        self._passwords = accounts
        self._style = receipts or ReceiptStyle()
        self._keep_inbox = keep_inbox
        self._accounts: dict[bytes, Account] = {}
        self._replies = 0
        self._messages: dict[bytes, Message] = {}
        self._parts: dict[tuple[object, ...], dict[int, Message]] = {}
        self._last_number = time.time_ns() // 1000  # so that a restarted sandbox gives no id twice
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Session(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.wheel.start()

    async def stop(self) -> None:
        """Unbind every session and close; one that does not let go in a second is cut."""
        if self._server is None:
            return
        self._server.close()
        self.wheel.stop()
        leaving = list(self.sessions)
        for session in leaving:
            session.end()
        if leaving:
            await asyncio.wait([session.ended for session in leaving], timeout=STOP_S)
        for session in self.sessions:
            session.abort()
        for session in leaving:
            await session.ended
        await self._server.wait_closed()
        self._server = None

    def login(self, system_id: bytes, password: bytes) -> Account:
        """Find or make the account. Raises PduError."""
        name = system_id.decode("latin-1")
        if self._passwords is not None and self._passwords.get(name) != password.decode("latin-1"):
            known = name in self._passwords
            log.warning("bind_refused", reason="password" if known else "system_id")
            raise smpp.PduError(smpp.ESME_RINVPASWD if known else smpp.ESME_RINVSYSID)
        self.binds += 1
        account = self._accounts.get(system_id)
        if account is None:
            account = self._accounts[system_id] = Account(system_id)
        return account

    def submit(self, account: Account, data: bytes, start: int, stop: int) -> bytes | None:
        """Take the submit_sm whose body lies there; return its message id, or None where the answer must get lost.

        Raises PduError when it is refused.
        """
        self.submits += 1
        submit = smpp.decode_submit(data, start, stop)
        text, part = smpp.read_content(submit)
        phone = normal_phone(submit.destination.digits.decode("latin-1"))
        if phone is None:
            raise smpp.PduError(smpp.ESME_RINVDSTADR)
        person = self._people.look(phone)
        behaviour = person.on(CHANNEL)
        if behaviour in REFUSALS:
            raise smpp.PduError(REFUSALS[behaviour])
        delay_s = self.receipt_delay_s
        end_state = UNREACHED.get(behaviour, smpp.DELIVERED)
        if submit.schedule or submit.validity:
            delay_s, end_state = self._timed(submit, delay_s, end_state)
        is_late = behaviour is Behaviour.LATE
        if is_late:  # it arrives in time, whatever its validity; only the word of it is late
            delay_s += self.late_s
        if behaviour is Behaviour.THROTTLED and person.is_first_try(CHANNEL):
            raise smpp.PduError(smpp.ESME_RTHROTTLED)

        self.accepted += 1
        self.accepted_by_destination[phone] += 1
        self._last_number = number = self._last_number + 1
        message_id = self._style.id_form.in_answer(number)
        copies = COPIES.get(behaviour, 1)
        message = Message(number, account, phone, submit, text, part, copies, int(time.time()))
        if self._keep_inbox or (delay_s > 0 and copies):
            self._messages[message_id] = message
        if is_late or behaviour is Behaviour.SILENT:
            self._reach(message)
        if delay_s > 0 and behaviour is not Behaviour.SILENT:
            self.wheel.after(delay_s, partial(self._close, message, end_state))
        elif behaviour is not Behaviour.SILENT:
            self._close(message, end_state)
        return None if behaviour is Behaviour.ANSWER_LOST else message_id

    def query(self, account: Account, body: bytes) -> bytes:
        """Answer a query_sm: the body of its response. Raises PduError."""
        fields = smpp.Fields(body)
        message_id = fields.text()
        message = self._find(account, message_id, fields.address())
        final_date = smpp.receipt_date(message.closed_s, 12) + b"000+" if message.closed_s else b""
        return b"%b\0%b\0%c\0" % (message_id, final_date, message.state.code)

    def cancel(self, account: Account, body: bytes) -> None:
        """Carry out a cancel_sm. Raises PduError; ESME_RCANCELFAIL when the message's end is already decided."""
        fields = smpp.Fields(body)
        fields.text()
        message_id, source = fields.text(), fields.address()
        message = self._find(account, message_id, source)
        if message.closed_s:
            raise smpp.PduError(smpp.ESME_RCANCELFAIL)
        message.revoked = True
        if message.entry is not None:
            message.entry.revoked = True
        else:
            self._reach(message)
        self._close(message, smpp.DELETED)

    def send_again(self, receipt: Receipt) -> None:
        if receipt.tries < RECEIPT_TRIES:
            receipt.account.due.append(receipt)
        else:
            self.receipts_given_up += 1

    def _timed(self, submit: smpp.Submit, delay_s: float, end_state: smpp.State) -> tuple[float, smpp.State]:
        """Apply the times a client asked for: not before the schedule, and EXPIRED at the end of the validity."""
        now = datetime.now(UTC)
        if submit.schedule:
            try:
                delay_s += max(smpp.seconds_until(submit.schedule, now), 0)
            except ValueError:
                raise smpp.PduError(smpp.ESME_RINVSCHED) from None
        if submit.validity:
            try:
                validity_s = smpp.seconds_until(submit.validity, now)
            except ValueError:
                raise smpp.PduError(smpp.ESME_RINVEXPIRY) from None
            if delay_s > validity_s:
                return validity_s, smpp.EXPIRED
        return delay_s, end_state

    def _find(self, account: Account, message_id: bytes, source: smpp.Address) -> Message:
        message = self._messages.get(message_id)
        if message is None or message.account is not account:
            raise smpp.PduError(smpp.ESME_RINVMSGID)
        if message.submit.source != source:
            raise smpp.PduError(smpp.ESME_RINVSRCADR)
        return message

    def _close(self, message: Message, state: smpp.State) -> None:
        """Decide the message's end, once, and make the receipt that was asked for."""
        if message.closed_s:
            return
        message.state = state
        message.closed_s = int(time.time())
        if state is smpp.DELIVERED:
            self._reach(message)
        if not self._keep_inbox:
            self._messages.pop(self._style.id_form.in_answer(message.number), None)
        asked = message.submit.registered_delivery & 0x03
        if asked == 1 or (asked == 2 and state is not smpp.DELIVERED):
            body = self._receipt(message)
            for _ in range(message.copies):
                message.account.due.append(Receipt(message.account, body))

    def _receipt(self, message: Message) -> bytes:
        style, submit, state = self._style, message.submit, message.state
        message_id = style.id_form.in_receipt(message.number)
        text = tlvs = b""
        if style.with_text:
            text = b"id:%b sub:001 dlvrd:%03d submit date:%b done date:%b stat:%b err:%b text:%b" % (
                message_id,
                state is smpp.DELIVERED,
                smpp.receipt_date(message.submitted_s, style.date_digits),
                smpp.receipt_date(message.closed_s, style.date_digits),
                state.word,
                state.error,
                message.text[:20].encode("ascii", "replace"),
            )
        if style.with_tlvs:
            tlvs = smpp.encode_tlv(smpp.RECEIPTED_MESSAGE_ID, message_id + b"\0")
            tlvs += smpp.encode_tlv(smpp.MESSAGE_STATE, b"%c" % state.code)
        return smpp.encode_receipt(submit.destination, submit.source, text, tlvs)

    def _reach(self, message: Message) -> None:
        """Show the message on its phone, once; a part of a long one when the last part has come."""
        if not self._keep_inbox or message.has_reached:
            return
        message.has_reached = True
        part, parts = message.part, {1: message}
        if part is not None:
            key = (message.account.system_id, message.submit.source, message.phone, part.reference, part.total)
            parts = self._parts.setdefault(key, {})
            parts[part.number] = message
            if len(parts) < part.total:
                return
            del self._parts[key]
        in_order = [parts[number] for number in sorted(parts)]
        entry = Received(
            channel=CHANNEL,
            sender=message.submit.source.digits.decode("latin-1"),
            text="".join(one.text for one in in_order),
            received_at=iso_now(),
            revoked=any(one.revoked for one in in_order),
            provider_id=self._style.id_form.in_answer(in_order[0].number).decode(),
        )
        entry.account, entry.by = message.account.system_id.decode("latin-1"), self
        entry.replies = options_in(entry.text)
        for one in in_order:
            one.entry = entry
        self._people.get(message.phone).inbox.append(entry)

    def answer(self, person: Person, received: Received, option: str) -> None:
        """The person answers a numbered text with the option's number."""
        self.say(person, received.replies[option])

    def say(self, person: Person, text: str) -> None:
        """The person writes to whoever wrote to them last, by SMS: a deliver_sm, or several for a long text. Nobody has
        written: to whoever bound first."""
        entries = [entry for entry in person.inbox if entry.by is self]
        name = entries[-1].account.encode("latin-1") if entries else next(iter(self._accounts), b"")
        account = self._accounts.get(name)
        if account is None:
            return
        sender = entries[-1].sender.encode("latin-1") if entries else b"1000"
        self._replies += 1
        phone = smpp.Address(1, 1, person.phone.removeprefix("+").encode())
        for body in smpp.encode_replies(phone, smpp.Address(0, 0, sender), text, self._replies):
            account.due.append(Receipt(account, body))
        account.flush()

    def _flush(self) -> None:
        for account in self._accounts.values():
            account.flush()
