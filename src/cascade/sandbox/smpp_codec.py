"""SMPP 3.4 as the sandbox's SMSC reads and writes it: PDUs, texts, times and receipts.

Written apart from the gateway's own client, so that a misreading of the protocol on one side meets the other.

Source: SMPP Protocol Specification v3.4, issue 1.2; 3GPP TS 23.038 (alphabets), TS 23.040 (user data header).
"""

import codecs
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

BIND_RECEIVER: Final = 0x01
BIND_TRANSMITTER: Final = 0x02
QUERY_SM: Final = 0x03
SUBMIT_SM: Final = 0x04
DELIVER_SM: Final = 0x05
UNBIND: Final = 0x06
CANCEL_SM: Final = 0x08
BIND_TRANSCEIVER: Final = 0x09
ENQUIRE_LINK: Final = 0x15
RESPONSE: Final = 0x80000000
GENERIC_NACK: Final = RESPONSE
SUBMIT_SM_RESP: Final = SUBMIT_SM | RESPONSE
DELIVER_SM_RESP: Final = DELIVER_SM | RESPONSE

ESME_ROK: Final = 0x00
ESME_RINVMSGLEN: Final = 0x01
ESME_RINVCMDLEN: Final = 0x02
ESME_RINVCMDID: Final = 0x03
ESME_RINVBNDSTS: Final = 0x04
ESME_RALYBND: Final = 0x05
ESME_RSYSERR: Final = 0x08
ESME_RINVSRCADR: Final = 0x0A
ESME_RINVDSTADR: Final = 0x0B
ESME_RINVMSGID: Final = 0x0C
ESME_RINVPASWD: Final = 0x0E
ESME_RINVSYSID: Final = 0x0F
ESME_RCANCELFAIL: Final = 0x11
ESME_RINVESMCLASS: Final = 0x43
ESME_RSUBMITFAIL: Final = 0x45
ESME_RTHROTTLED: Final = 0x58
ESME_RINVSCHED: Final = 0x61
ESME_RINVEXPIRY: Final = 0x62
ESME_RINVOPTPARSTREAM: Final = 0xC0
ESME_ROPTPARNOTALLWD: Final = 0xC1
ESME_RINVPARLEN: Final = 0xC2
ESME_RMISSINGOPTPARAM: Final = 0xC3

RECEIPTED_MESSAGE_ID: Final = 0x001E
SAR_MSG_REF_NUM: Final = 0x020C
SAR_TOTAL_SEGMENTS: Final = 0x020E
SC_INTERFACE_VERSION: Final = 0x0210
SAR_SEGMENT_SEQNUM: Final = 0x020F
MESSAGE_PAYLOAD: Final = 0x0424
MESSAGE_STATE: Final = 0x0427

HEADER_OCTETS: Final = 16
LONGEST_PDU: Final = 1 << 17
"""More than a message_payload of 65,535 octets and every other field need; a longer PDU is noise on the line."""

UDH_PRESENT: Final = 0x40

_HEADER = struct.Struct(">IIII")
read_header = _HEADER.unpack_from
write_header = _HEADER.pack


class PduError(Exception):
    """A PDU that cannot be taken; `status` is the command_status that says so to its sender."""

    def __init__(self, status: int) -> None:
        super().__init__(f"command_status 0x{status:08X}")
        self.status = status


class State(NamedTuple):
    """A message_state with its word and usual error in a receipt's text."""

    code: int
    word: bytes
    error: bytes


ENROUTE = State(1, b"ENROUTE", b"000")
DELIVERED = State(2, b"DELIVRD", b"000")
EXPIRED = State(3, b"EXPIRED", b"099")
DELETED = State(4, b"DELETED", b"000")
UNDELIVERABLE = State(5, b"UNDELIV", b"027")
REJECTED = State(8, b"REJECTD", b"0A1")  # in the field an error is not always a number


class Address(NamedTuple):
    ton: int
    npi: int
    digits: bytes


class Submit(NamedTuple):
    """A submit_sm, read but not yet understood."""

    source: Address
    destination: Address
    esm_class: int
    schedule: bytes
    validity: bytes
    registered_delivery: int
    data_coding: int
    short_message: bytes
    tlvs: Mapping[int, bytes]


class Part(NamedTuple):
    """A place in a long message: `number` counts from 1 to `total`; `reference` is the same in all its parts."""

    reference: tuple[str, int]
    total: int
    number: int


_NO_TLVS: Mapping[int, bytes] = MappingProxyType({})


def decode_submit(data: bytes, start: int, stop: int) -> Submit:
    """Read the body of a submit_sm that lies between `start` and `stop`. Raises PduError."""
    try:
        source = data.index(0, start, stop) + 3
        source_end = data.index(0, source, stop)
        destination = source_end + 3
        destination_end = data.index(0, destination, stop)
        schedule = destination_end + 4
        schedule_end = data.index(0, schedule, stop)
        validity_end = data.index(0, schedule_end + 1, stop)
        registered_delivery, _, data_coding, _, length = data[validity_end + 1 : validity_end + 6]
    except ValueError:
        raise PduError(ESME_RINVCMDLEN) from None
    message = validity_end + 6
    message_end = message + length
    if message_end > stop or length == 255:
        raise PduError(ESME_RINVMSGLEN)
    if source_end - source > 20:
        raise PduError(ESME_RINVSRCADR)
    if destination_end - destination > 20:
        raise PduError(ESME_RINVDSTADR)
    return Submit(
        Address(data[source - 2], data[source - 1], data[source:source_end]),
        Address(data[destination - 2], data[destination - 1], data[destination:destination_end]),
        data[destination_end + 1],
        data[schedule:schedule_end],
        data[schedule_end + 1 : validity_end],
        registered_delivery,
        data_coding,
        data[message:message_end],
        decode_tlvs(data, message_end, stop) if message_end < stop else _NO_TLVS,
    )


def decode_tlvs(data: bytes, start: int, stop: int) -> dict[int, bytes]:
    """Read the optional parameters between `start` and `stop`, by tag. Raises PduError when they do not end there."""
    tlvs = {}
    while start + 4 <= stop:
        tag, length = struct.unpack_from(">HH", data, start)
        start += 4 + length
        tlvs[tag] = data[start - length : start]
    if start != stop:
        raise PduError(ESME_RINVOPTPARSTREAM)
    return tlvs


class Fields:
    """Reads a rare PDU's mandatory fields one after the other. Raises PduError when they run out."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def text(self) -> bytes:
        """A C-octet string, without its NUL."""
        end = self._body.find(0, self._at)
        if end < 0:
            raise PduError(ESME_RINVCMDLEN)
        value = self._body[self._at : end]
        self._at = end + 1
        return value

    def octet(self) -> int:
        if self._at >= len(self._body):
            raise PduError(ESME_RINVCMDLEN)
        self._at += 1
        return self._body[self._at - 1]

    def address(self) -> Address:
        return Address(self.octet(), self.octet(), self.text())


_GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_OCTETS = _GSM_BASIC + "\ufffd" * 128
_GSM_EXTENSION = dict(zip("\nΛ()/<=>¡e", "\f^{}\\[~]|€", strict=True))  # by the basic character of the same code
_ESCAPED = re.compile("\x1b(.?)", re.DOTALL)

_GSM_CODES = {ord(sign): code for code, sign in enumerate(_GSM_BASIC) if sign != "\x1b"}

_GSM, _ASCII, _LATIN_1, _BINARY, _UCS_2 = range(5)
_ALPHABETS = {0: _GSM, 1: _ASCII, 2: _BINARY, 3: _LATIN_1, 4: _BINARY, 8: _UCS_2}
_ALPHABETS |= {0x10 + message_class: _GSM for message_class in range(4)}
_ALPHABETS |= {0x14 + message_class: _BINARY for message_class in range(4)}
_ALPHABETS |= {0x18 + message_class: _UCS_2 for message_class in range(4)}
_ALPHABETS |= {0xF0 + message_class: _GSM for message_class in range(4)}
_ALPHABETS |= {0xF4 + message_class: _BINARY for message_class in range(4)}

_SMS_OCTETS = 140
_SAR_OVERHEAD = 6  # the header that the SMSC itself puts before a part that came with SAR TLVs


def read_content(submit: Submit) -> tuple[str, Part | None]:
    """Say what a phone would show, and which part of a long message it is (None: the whole).

    What the alphabet does not hold shows as U+FFFD, and so does half of an escape or surrogate pair at a part's edge.
    Raises PduError for content that does not fit one SMS, and for an unknown data_coding or header.
    """
    octets, tlvs = submit.short_message, submit.tlvs
    alphabet = _ALPHABETS.get(submit.data_coding)
    if alphabet is None:
        raise PduError(ESME_RSUBMITFAIL)
    overhead, part = 0, None
    payload = tlvs.get(MESSAGE_PAYLOAD)
    if payload is not None:
        if octets:
            raise PduError(ESME_ROPTPARNOTALLWD)
        octets = payload
    if submit.esm_class & UDH_PRESENT:
        overhead = 1 + octets[0] if octets else 0
        if not 1 < overhead <= len(octets):
            raise PduError(ESME_RINVESMCLASS)
        part = _concatenation(octets[1:overhead])
        octets = octets[overhead:]
    elif tlvs and SAR_MSG_REF_NUM in tlvs:
        overhead, part = _SAR_OVERHEAD, _segment(tlvs)
    if payload is None:
        room = _SMS_OCTETS - overhead
        if len(octets) > (room * 8 // 7 if alphabet in (_GSM, _ASCII) else room):
            raise PduError(ESME_RINVMSGLEN)
    return _decode_text(octets, alphabet), part


def _concatenation(header: bytes) -> Part | None:
    """Find the concatenation element in a user data header (TS 23.040, 9.2.3.24.1 and .8); others are skipped."""
    while header:
        element, length = header[0], header[1] if len(header) > 1 else 255
        value, header = header[2 : 2 + length], header[2 + length :]
        if len(value) != length:
            raise PduError(ESME_RINVESMCLASS)
        if element == 0x00 and length == 3:
            return _part("udh8", value[0], value[1], value[2])
        if element == 0x08 and length == 4:
            return _part("udh16", value[0] << 8 | value[1], value[2], value[3])
    return None


def _segment(tlvs: Mapping[int, bytes]) -> Part:
    values = []
    for tag, length in ((SAR_MSG_REF_NUM, 2), (SAR_TOTAL_SEGMENTS, 1), (SAR_SEGMENT_SEQNUM, 1)):
        value = tlvs.get(tag)
        if value is None:
            raise PduError(ESME_RMISSINGOPTPARAM)
        if len(value) != length:
            raise PduError(ESME_RINVPARLEN)
        values.append(int.from_bytes(value))
    return _part("sar", *values)


def _part(kind: str, reference: int, total: int, number: int) -> Part:
    if not 1 <= number <= total:
        raise PduError(ESME_RSUBMITFAIL)
    return Part((kind, reference), total, number)


def _decode_text(octets: bytes, alphabet: int) -> str:
    if alphabet == _GSM:
        text = codecs.charmap_decode(octets, "strict", _GSM_OCTETS)[0]
        return _ESCAPED.sub(_extension, text) if "\x1b" in text else text
    if alphabet == _UCS_2:
        return octets.decode("utf-16-be", "replace")
    if alphabet == _BINARY:
        return octets.hex()
    return octets.decode("ascii" if alphabet == _ASCII else "latin-1", "replace")


def _extension(escaped: re.Match[str]) -> str:
    character = escaped[1]
    return _GSM_EXTENSION.get(character, character) or "\ufffd"


_TIME = re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d)(\d\d)([-+R])")


def seconds_until(when: bytes, now: datetime) -> float:
    """Read an SMPP time `YYMMDDhhmmsstnnp`, relative or absolute, as seconds from `now`; below 0 it is past.

    A relative month counts 30 days, a year 365. Raises ValueError for anything that is not such a time.
    """
    match = _TIME.fullmatch(when)
    if match is None:
        raise ValueError("not an SMPP time")
    *numbers, sign = match.groups()
    year, month, day, hour, minute, second, tenths, quarters = map(int, numbers)
    if sign == b"R":
        span = timedelta(days=365 * year + 30 * month + day, hours=hour, minutes=minute, seconds=second)
        return span.total_seconds() + tenths / 10
    if quarters > 48:
        raise ValueError("more than twelve hours from UTC")
    moment = datetime(2000 + year, month, day, hour, minute, second, tenths * 100_000, UTC)
    from_utc = timedelta(minutes=15 * quarters)
    return (moment - (from_utc if sign == b"+" else -from_utc) - now).total_seconds()


@lru_cache(maxsize=256)
def receipt_date(epoch_s: int, digits: int) -> bytes:
    """`YYMMDDhhmm`, with `ss` when `digits` is 12. UTC."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%y%m%d%H%M%S")[:digits].encode()


def encode(command: int, sequence: int, status: int = ESME_ROK, body: bytes = b"") -> bytes:
    return write_header(HEADER_OCTETS + len(body), command, status, sequence) + body


def encode_tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def encode_receipt(source: Address, destination: Address, text: bytes, tlvs: bytes) -> bytes:
    """The body of a deliver_sm that carries a receipt (esm_class 0x04, data_coding 0)."""
    return b"\0%c%c%b\0%c%c%b\0\x04\0\0\0\0\0\0\0\0%c%b%b" % (*source, *destination, len(text), text, tlvs)


def encode_replies(source: Address, destination: Address, text: str, reference: int) -> list[bytes]:
    """The bodies of the deliver_sm that carry what a person wrote; a long text comes in parts."""
    try:
        octets, data_coding, room = codecs.charmap_encode(text, "strict", _GSM_CODES)[0], 0, 153
    except UnicodeEncodeError:
        octets, data_coding, room = text.encode("utf-16-be"), 8, 134
    if len(octets) <= (160 if data_coding == 0 else 140):
        return [_reply(source, destination, 0, data_coding, octets)]
    pieces = [octets[start : start + room] for start in range(0, len(octets), room)]
    return [
        _reply(
            source,
            destination,
            0x40,
            data_coding,
            bytes((5, 0, 3, reference % 256, len(pieces), number)) + piece,
        )
        for number, piece in enumerate(pieces, 1)
    ]


def _reply(source: Address, destination: Address, esm_class: int, data_coding: int, octets: bytes) -> bytes:
    head = b"\0%c%c%b\0%c%c%b\0" % (*source, *destination)
    return head + b"%c\0\0\0\0\0\0%c\0%c%b" % (esm_class, data_coding, len(octets), octets)
