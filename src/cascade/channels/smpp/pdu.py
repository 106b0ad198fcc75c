"""SMPP 3.4 PDUs as bytes: what an ESME sends, and what it must understand.

Source: SMPP Protocol Specification v3.4, Issue 1.2 (sections 3.2, 4 and 5). Everything is big endian; a C-octet string
ends with NUL. Text of protocol fields is ASCII by the standard; Latin-1 here, so that no octet makes us fail.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cascade.core.errors import CascadeError

BIND_RECEIVER = 0x00000001
BIND_TRANSMITTER = 0x00000002
SUBMIT_SM = 0x00000004
DELIVER_SM = 0x00000005
UNBIND = 0x00000006
BIND_TRANSCEIVER = 0x00000009
OUTBIND = 0x0000000B
ENQUIRE_LINK = 0x00000015
ALERT_NOTIFICATION = 0x00000102
DATA_SM = 0x00000103
GENERIC_NACK = 0x80000000
RESPONSE = 0x80000000
"""A response has its request's id with this bit, and its sequence number."""
SUBMIT_SM_RESP = SUBMIT_SM | RESPONSE
DELIVER_SM_RESP = DELIVER_SM | RESPONSE
UNBIND_RESP = UNBIND | RESPONSE
ENQUIRE_LINK_RESP = ENQUIRE_LINK | RESPONSE

MAX_SEQUENCE = 0x7FFFFFFF
INTERFACE_VERSION = 0x34
HEADER_OCTETS = 16
MAX_PDU_OCTETS = 70_000
"""The longest field (message_payload) has 64 KiB; a length over this is a stream out of step, not a message."""
MAX_TEXT_OCTETS = 254

ESM_UDH = 0x40
ESM_MESSAGE_TYPE = 0x3C
ESM_RECEIPT = 0x04

DATA_CODING_DEFAULT = 0x00
DATA_CODING_UCS2 = 0x08

TLV_RECEIPTED_MESSAGE_ID = 0x001E
TLV_SAR_MSG_REF_NUM = 0x020C
TLV_SAR_TOTAL_SEGMENTS = 0x020E
TLV_SAR_SEGMENT_SEQNUM = 0x020F
TLV_NETWORK_ERROR_CODE = 0x0423
TLV_MESSAGE_PAYLOAD = 0x0424
TLV_MESSAGE_STATE = 0x0427
_READ_TLVS = frozenset(
    {
        TLV_RECEIPTED_MESSAGE_ID,
        TLV_SAR_MSG_REF_NUM,
        TLV_SAR_TOTAL_SEGMENTS,
        TLV_SAR_SEGMENT_SEQNUM,
        TLV_NETWORK_ERROR_CODE,
        TLV_MESSAGE_PAYLOAD,
        TLV_MESSAGE_STATE,
    }
)
"""All that anybody here reads: 64 KB of others would be 16,000 entries, forty times as large as the octets."""

_HEADER = struct.Struct(">IIII")
_TLV_HEAD = struct.Struct(">HH")


class PduError(CascadeError):
    """The peer's octets are not SMPP. A broken body spoils one PDU; a broken length, the connection."""


class FrameError(PduError):
    """The length field is absurd, so where the next PDU begins is unknown: close the connection."""


class Pdu(NamedTuple):
    """One PDU, its body still to be read. `sequence` pairs a response with its request."""

    command_id: int
    status: int
    sequence: int
    body: bytes


class Address(NamedTuple):
    """A phone, short code or name with its type of number and numbering plan."""

    ton: int
    npi: int
    digits: str

    def encode(self) -> bytes:
        return b"%c%c%b\0" % (self.ton, self.npi, self.digits.encode("latin-1"))


class SubmitSm(NamedTuple):
    """One message to the SMSC, or one part of a long one.

    `source` and `destination` are encoded addresses, since a sender's is the same for many. `text` is short_message, at
    most 254 octets with its user data header; a longer text goes into `tlvs` as message_payload. `validity_period` is
    in SMPP's own time format (7.1.1), empty for the SMSC's default.
    """

    source: bytes
    destination: bytes
    text: bytes = b""
    esm_class: int = 0
    data_coding: int = DATA_CODING_DEFAULT
    registered_delivery: int = 0
    validity_period: str = ""
    service_type: str = ""
    tlvs: tuple[tuple[int, bytes], ...] = ()


class Delivery(NamedTuple):
    """What the SMSC hands to us by deliver_sm or data_sm: a receipt, or a message from a phone."""

    source: str
    esm_class: int
    data_coding: int
    text: bytes
    tlvs: dict[int, bytes]


class FrameReader:
    """Cuts a stream into PDUs, however the reads fall."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Pdu]:
        """The PDUs that `data` completes. Raises FrameError, after the good ones, at a length that cannot be."""
        if self._rest:
            data = self._rest + data
        self._rest = b""
        start, end = 0, len(data)
        unpack = _HEADER.unpack_from
        while end - start >= HEADER_OCTETS:
            length, command_id, status, sequence = unpack(data, start)
            if not HEADER_OCTETS <= length <= MAX_PDU_OCTETS:
                raise FrameError(f"command_length {length}")
            following = start + length
            if following > end:
                break
            yield Pdu(command_id, status, sequence, data[start + HEADER_OCTETS : following])
            start = following
        self._rest = data[start:]


def encode(command_id: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    """A whole PDU."""
    return _HEADER.pack(HEADER_OCTETS + len(body), command_id, status, sequence) + body


def encode_bind(system_id: str, password: str, system_type: str, address_range: str) -> bytes:
    """The body of every bind. TON and NPI of our own address are left unknown: the SMSC knows its account."""
    return b"%b\0%b\0%b\0%c\0\0%b\0" % (
        system_id.encode("latin-1"),
        password.encode("latin-1"),
        system_type.encode("latin-1"),
        INTERFACE_VERSION,
        address_range.encode("latin-1"),
    )


def encode_submit_sm(submit: SubmitSm) -> bytes:
    """The body. Raises PduError when the text does not fit into short_message (5.2.22)."""
    if len(submit.text) > MAX_TEXT_OCTETS:
        raise PduError(f"short_message is longer than {MAX_TEXT_OCTETS} octets")
    body = b"%b\0%b%b%c\0\0\0%b\0%c\0%c\0%c%b" % (
        submit.service_type.encode("latin-1"),
        submit.source,
        submit.destination,
        submit.esm_class,
        submit.validity_period.encode("latin-1"),
        submit.registered_delivery,
        submit.data_coding,
        len(submit.text),
        submit.text,
    )
    return body + encode_tlvs(submit.tlvs) if submit.tlvs else body


def encode_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join([_TLV_HEAD.pack(tag, len(value)) + value for tag, value in tlvs])


def decode_deliver_sm(body: bytes) -> Delivery:
    """Raises PduError when the body ends before its fields do."""
    try:
        source = body.index(0) + 3
        source_end = body.index(0, source)
        destination_end = body.index(0, source_end + 3)
        schedule_end = body.index(0, destination_end + 4)
        validity_end = body.index(0, schedule_end + 1)
        text = validity_end + 6
        text_end = text + body[text - 1]
        if text_end > len(body):
            raise PduError("short_message is shorter than sm_length")
        return Delivery(
            body[source:source_end].decode("latin-1"),
            body[destination_end + 1],
            body[validity_end + 3],
            body[text:text_end],
            decode_tlvs(body, text_end),
        )
    except (ValueError, IndexError) as error:
        raise PduError("the body ends before its fields do") from error


def decode_data_sm(body: bytes) -> Delivery:
    """Its text, if any, is in message_payload. Raises PduError when the body ends before its fields do."""
    try:
        source = body.index(0) + 3
        source_end = body.index(0, source)
        destination_end = body.index(0, source_end + 3)
        return Delivery(
            body[source:source_end].decode("latin-1"),
            body[destination_end + 1],
            body[destination_end + 3],
            b"",
            decode_tlvs(body, destination_end + 4),
        )
    except (ValueError, IndexError) as error:
        raise PduError("the body ends before its fields do") from error


def decode_tlvs(body: bytes, start: int) -> dict[int, bytes]:
    """The optional parameters from `start` on, those that we read. A cut last one is left out; of a repeated tag the
    last counts."""
    tlvs = {}
    end = len(body)
    while end - start >= 4:
        tag, length = _TLV_HEAD.unpack_from(body, start)
        start += 4
        if start + length > end:
            break
        if tag in _READ_TLVS:
            tlvs[tag] = body[start : start + length]
        start += length
    return tlvs


def decode_message_id(body: bytes) -> str:
    """The message id of a submit_sm_resp; empty where there is none, as after an error. Never raises."""
    return body.partition(b"\0")[0].decode("latin-1")
