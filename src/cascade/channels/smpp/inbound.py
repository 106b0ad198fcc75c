"""A deliver_sm that is no receipt: what a person wrote to our number. Nothing here raises: it would be sent again for
ever.

Source: SMPP 3.4, 5.2.12 and 5.2.19; 3GPP TS 23.040, 9.2.3.24 (user data header).
"""

import uuid
from typing import NamedTuple

from cascade.channels.smpp.pdu import (
    DATA_CODING_DEFAULT,
    DATA_CODING_UCS2,
    ESM_MESSAGE_TYPE,
    ESM_UDH,
    TLV_MESSAGE_PAYLOAD,
    TLV_SAR_MSG_REF_NUM,
    TLV_SAR_SEGMENT_SEQNUM,
    TLV_SAR_TOTAL_SEGMENTS,
    Delivery,
)
from cascade.channels.smpp.settings import DefaultAlphabet
from cascade.core import gsm
from cascade.core.inbound import PART, Inbound, InboundKind

_CONCATENATED_8, _CONCATENATED_16 = 0x00, 0x08
_CHARSETS = {0x01: "ascii", 0x03: "latin-1", 0x05: "shift_jis", 0x06: "iso8859-5", 0x07: "iso8859-8", 0x0E: "euc_kr"}
_MOST_PARTS = 255


class _Part(NamedTuple):
    """Of a long text; `number` counts from 1."""

    reference: int
    parts: int
    number: int


def read_inbound(delivery: Delivery, alphabet: DefaultAlphabet) -> Inbound | str:
    """What the person wrote; a word for what is of no use: no sender that can be answered, or no text.

    A deliver_sm has no id of its own, so one that the SMSC repeats is a second one.
    """
    if delivery.esm_class & ESM_MESSAGE_TYPE:
        return "other_message_type"
    address = delivery.source.removeprefix("+")
    if not (address.isascii() and address.isdecimal()):
        return "no_phone"
    octets = delivery.text or delivery.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")
    part = None
    if delivery.esm_class & ESM_UDH and octets:
        header, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        part = _part_of_header(header)
    part = part or _part_of_tlvs(delivery)
    text = _decode(octets, delivery.data_coding, alphabet)
    if not text:
        return "no_text"
    profile = {} if part is None else {PART: ":".join(map(str, part))}
    return Inbound(uuid.uuid4().hex, InboundKind.TEXT, address, text, profile=profile)


def _decode(octets: bytes, data_coding: int, alphabet: DefaultAlphabet) -> str | None:
    """None: it is no text."""
    if data_coding & 0xF0 == 0xF0:  # 3GPP TS 23.038, section 4: a message class; bit 2 says whether it is data
        data_coding = 0x04 if data_coding & 0x04 else DATA_CODING_DEFAULT
    if data_coding == DATA_CODING_UCS2:
        return octets.decode("utf-16-be", "replace")
    if data_coding in _CHARSETS:
        return octets.decode(_CHARSETS[data_coding], "replace")
    if data_coding != DATA_CODING_DEFAULT:
        return None
    return gsm.decode(octets) if alphabet is DefaultAlphabet.GSM else octets.decode("latin-1")


def _part_of_header(header: bytes) -> _Part | None:
    while len(header) >= 2:
        tag, length = header[0], header[1]
        value, header = header[2 : 2 + length], header[2 + length :]
        if tag == _CONCATENATED_8 and len(value) == 3:
            return _checked(value[0], value[1], value[2])
        if tag == _CONCATENATED_16 and len(value) == 4:
            return _checked(int.from_bytes(value[:2], "big"), value[2], value[3])
    return None


def _part_of_tlvs(delivery: Delivery) -> _Part | None:
    tags = (TLV_SAR_MSG_REF_NUM, TLV_SAR_TOTAL_SEGMENTS, TLV_SAR_SEGMENT_SEQNUM)
    if not all(delivery.tlvs.get(tag) for tag in tags):
        return None
    return _checked(*(int.from_bytes(delivery.tlvs[tag], "big") for tag in tags))


def _checked(reference: int, parts: int, number: int) -> _Part | None:
    return _Part(reference, parts, number) if 1 < parts <= _MOST_PARTS and 1 <= number <= parts else None
