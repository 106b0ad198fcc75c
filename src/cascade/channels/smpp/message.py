"""An attempt as the submit_sm bodies that carry it."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cascade.channels.smpp.pdu import (
    DATA_CODING_DEFAULT,
    DATA_CODING_UCS2,
    ESM_UDH,
    TLV_MESSAGE_PAYLOAD,
    TLV_SAR_MSG_REF_NUM,
    TLV_SAR_SEGMENT_SEQNUM,
    TLV_SAR_TOTAL_SEGMENTS,
    SubmitSm,
    encode_submit_sm,
)
from cascade.channels.smpp.settings import DefaultAlphabet, LongMessages, Receipts, SmppSettings, Validity
from cascade.core import gsm
from cascade.core.attempt import Attempt, Rejected
from cascade.core.content import plain_text
from cascade.core.words import Reason

Tlvs = tuple[tuple[int, bytes], ...]
_Part = tuple[int, bytes, Tlvs]
"""esm_class, short_message, optional parameters."""

_PART_SEPTETS = {LongMessages.UDH8: 153, LongMessages.UDH16: 152, LongMessages.SAR: 153, LongMessages.PAYLOAD: 153}
_PART_UNITS = {LongMessages.UDH8: 67, LongMessages.UDH16: 66, LongMessages.SAR: 67, LongMessages.PAYLOAD: 67}
_NO_PARTS = range(0)
_DESTINATIONS_REMEMBERED = 50_000
_LONGEST_VALIDITY_S = 100 * 86_400 - 1


class Submission(NamedTuple):
    """The bodies of one attempt in the order of its parts; `reported` are those whose receipt was asked for."""

    bodies: list[bytes]
    reported: range


class Composer:
    """Makes submissions by one account's settings. `now` is asked for only where validity is absolute (aware UTC)."""

    def __init__(self, settings: SmppSettings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self._references: OrderedDict[str, int] = OrderedDict()
        self._source = lru_cache(maxsize=1024)(self._encode_sender)
        self._destination_kind = bytes(settings.destination_ton_npi)
        self._is_relative = settings.validity is Validity.RELATIVE
        self._first_reported = {Receipts.EVERY: 0, Receipts.LAST: -1, Receipts.NONE: None}[settings.receipts]
        self._encode = {
            DefaultAlphabet.GSM: gsm.encode,
            DefaultAlphabet.LATIN1: _latin1,
            DefaultAlphabet.ASCII: _ascii,
        }[settings.default_alphabet]

    def compose(self, attempt: Attempt) -> Submission | Rejected:
        """Rejected where no SMS can be made of it: no sender, no text, or more parts than allowed."""
        source = self._source(attempt.sender)
        if source is None:
            return Rejected(Reason.INVALID_SENDER, "neither a registered sender nor one that SMS allows")
        settings = self._settings
        text = plain_text(attempt.content)
        if settings.transliterate:
            text = gsm.transliterate(text)
        if not text:
            return Rejected(Reason.CONTENT_UNFIT, "there is no text")
        phone = attempt.address.removeprefix("+")
        cut = self._cut(text, phone)
        if isinstance(cut, Rejected):
            return cut
        data_coding, parts = cut
        count = len(parts)
        destination = b"%b%b\0" % (self._destination_kind, phone.encode("latin-1"))
        validity = _relative(attempt.window_s) if self._is_relative else self._absolute(attempt.window_s)
        reported = _NO_PARTS if self._first_reported is None else range(self._first_reported % count, count)
        bodies = [
            encode_submit_sm(
                SubmitSm(
                    source,
                    destination,
                    octets,
                    esm_class,
                    data_coding,
                    1 if index in reported else 0,
                    validity,
                    settings.service_type,
                    tlvs,
                )
            )
            for index, (esm_class, octets, tlvs) in enumerate(parts)
        ]
        return Submission(bodies, reported)

    def _cut(self, text: str, phone: str) -> tuple[int, list[_Part]] | Rejected:
        """data_coding, and the parts; Rejected if they are too many. Septets count even where data_coding 0 is Latin-1
        or ASCII: the SMSC packs them for the air."""
        way = self._settings.long_messages
        try:
            septets = gsm.encode(text)
            octets = septets if self._encode is gsm.encode else self._encode(text)
        except UnicodeEncodeError:
            octets = _utf16(text)
            if len(octets) <= 2 * gsm.SINGLE["ucs2"]:
                return DATA_CODING_UCS2, [(0, octets, ())]
            coding, encode, pieces = DATA_CODING_UCS2, _utf16, gsm.split_ucs2(text, _PART_UNITS[way])
        else:
            if len(septets) <= gsm.SINGLE["gsm"]:
                return DATA_CODING_DEFAULT, [(0, octets, ())]
            coding, encode, pieces = DATA_CODING_DEFAULT, self._encode, gsm.split_gsm(text, _PART_SEPTETS[way])
        total = len(pieces)
        if total > self._settings.max_parts:
            return Rejected(Reason.CONTENT_UNFIT, f"{total} parts, {self._settings.max_parts} are allowed")
        if way is LongMessages.PAYLOAD:
            return coding, [(0, b"", ((TLV_MESSAGE_PAYLOAD, octets),))]
        reference = self._next_reference(phone)
        parts: list[_Part] = []
        for number, piece in enumerate(pieces, 1):
            esm_class, header, tlvs = _concatenation(way, reference, total, number)
            parts.append((esm_class, header + encode(piece), tlvs))
        return coding, parts

    def _encode_sender(self, name: str) -> bytes | None:
        sender = self._settings.sender(name)
        return None if sender is None else sender.encode()

    def _absolute(self, window_s: int) -> str:
        return (self._now() + timedelta(seconds=window_s)).strftime("%y%m%d%H%M%S000+")

    def _next_reference(self, destination: str) -> int:
        """Counts per destination, since two long messages under one reference would mix on the phone. The start is
        random, so that after our restart the count does not meet the one before it."""
        reference = self._references.pop(destination, None)
        reference = secrets.randbelow(0x10000) if reference is None else (reference + 1) & 0xFFFF
        self._references[destination] = reference
        if len(self._references) > _DESTINATIONS_REMEMBERED:
            self._references.popitem(last=False)
        return reference


def _concatenation(way: LongMessages, reference: int, total: int, number: int) -> tuple[int, bytes, Tlvs]:
    """esm_class, user data header and optional parameters that mark part `number` of `total` (3GPP TS 23.040,
    9.2.3.24.1 and 9.2.3.24.8)."""
    if way is LongMessages.SAR:
        return (
            0,
            b"",
            (
                (TLV_SAR_MSG_REF_NUM, reference.to_bytes(2, "big")),
                (TLV_SAR_TOTAL_SEGMENTS, bytes((total,))),
                (TLV_SAR_SEGMENT_SEQNUM, bytes((number,))),
            ),
        )
    if way is LongMessages.UDH16:
        return ESM_UDH, bytes((6, 8, 4, reference >> 8, reference & 0xFF, total, number)), ()
    return ESM_UDH, bytes((5, 0, 3, reference & 0xFF, total, number)), ()


def _latin1(text: str) -> bytes:
    return text.encode("latin-1")


def _ascii(text: str) -> bytes:
    return text.encode("ascii")


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "replace")


@lru_cache(maxsize=1024)
def _relative(window_s: int) -> str:
    """SMPP 3.4, 7.1.1.2. Only days and less, since months have no fixed length."""
    minutes, seconds = divmod(min(window_s, _LONGEST_VALIDITY_S), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"0000{days:02}{hours:02}{minutes:02}{seconds:02}000R"
