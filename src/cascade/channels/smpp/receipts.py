"""A delivery receipt, however its vendor writes it, in our words. Nothing here raises: a receipt that breaks the
parser would be sent again for ever.

Source: SMPP 3.4, 5.3.2.26 and 5.3.2.35 (optional parameters), Appendix B (the text, which is only an example there).
"""

import re
from contextlib import suppress

import structlog

from cascade.channels.smpp.pdu import (
    DATA_CODING_UCS2,
    ESM_MESSAGE_TYPE,
    ESM_RECEIPT,
    TLV_MESSAGE_PAYLOAD,
    TLV_MESSAGE_STATE,
    TLV_NETWORK_ERROR_CODE,
    TLV_RECEIPTED_MESSAGE_ID,
    Delivery,
)
from cascade.channels.smpp.settings import IdForm, SmppSettings
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.words import Reason

log = structlog.get_logger()

STATES = {
    "SCHEDLD": 0,
    "SCHEDULED": 0,
    "ENROUTE": 1,
    "DELIVRD": 2,
    "DELIVERED": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "UNDELIVERABLE": 5,
    "ACCEPTD": 6,
    "ACCEPTED": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
    "REJECTED": 8,
    "SKIPPED": 9,
}
"""The word of `stat:` to the number of the message_state parameter; 0 and 9 are of SMPP 5.0."""

_ACCEPTED, _UNKNOWN = 6, 7
_INTERMEDIATE = frozenset({0, 1, _ACCEPTED})
_DELIVERED = 2
_FAILURES = {
    3: Reason.EXPIRED_AT_PROVIDER,
    4: Reason.UNDELIVERABLE,
    5: Reason.UNDELIVERABLE,
    _UNKNOWN: Reason.UNDELIVERABLE,
    8: Reason.PROVIDER_REFUSED,
    9: Reason.UNDELIVERABLE,
}

_LONGEST_ID = 255
"""The standard's has 64 characters; what an index of the store cannot hold (2,700) must not get there."""

_KNOWN = _INTERMEDIATE | {_DELIVERED} | _FAILURES.keys()

# The usual order in one match; a receipt in any other order, case or spacing is searched field by field.
_USUAL = re.compile(rb"id:(\S+) sub:\S* dlvrd:\S* submit date:\S* done date:\d* stat:([A-Z]+) err:(\S*)", re.DOTALL)
_FIELDS = tuple(
    re.compile(rb"(?<![a-z])" + name + rb"\s*:[ ]*([^\s:]+)(?=\s|$)", re.IGNORECASE)
    for name in (rb"id", rb"stat", rb"err")
)
_TEXT = re.compile(rb"(?<![a-z])text\s*:", re.IGNORECASE)


def is_receipt(delivery: Delivery) -> bool:
    """Whether it is about a message of ours; some SMSCs say so by the receipted_message_id parameter alone."""
    return delivery.esm_class & ESM_MESSAGE_TYPE == ESM_RECEIPT or TLV_RECEIPTED_MESSAGE_ID in delivery.tlvs


def read_receipt(delivery: Delivery, settings: SmppSettings) -> Receipt | None:
    """None where it tells of no end: an intermediate state, or a word or an id that we cannot read."""
    tlvs = delivery.tlvs
    message_id, stat, err = _read_text(delivery)
    if TLV_RECEIPTED_MESSAGE_ID in tlvs:
        message_id = tlvs[TLV_RECEIPTED_MESSAGE_ID].partition(b"\0")[0] or message_id
    state = STATES.get(stat.decode("latin-1").upper())
    told = tlvs.get(TLV_MESSAGE_STATE)
    if told and (number := int.from_bytes(told, "big")) in _KNOWN:
        state = number
    if not message_id or state not in _KNOWN:
        # The word goes into the log only where it is one: anything else might hold a phone.
        word = stat[:16].decode("latin-1")
        log.warning(
            "receipt_unreadable",
            has_id=bool(message_id),
            state=told and told[:4].hex(),
            stat=word if word.isalpha() else None,
        )
        return None
    if settings.accepted_is_delivered and state == _ACCEPTED:
        state = _DELIVERED
    if state in _INTERMEDIATE or (state == _UNKNOWN and not settings.unknown_is_failed):
        return None
    failure = _FAILURES.get(state)
    return Receipt(
        provider_id=receipt_id(message_id.decode("latin-1"), settings.id_form),
        state=ReceiptState.DELIVERED if failure is None else ReceiptState.FAILED,
        reason=failure,
        detail=None if failure is None else _detail(stat, err, tlvs.get(TLV_NETWORK_ERROR_CODE)),
        recipient=_digits(delivery.source) or None,
    )


def answer_id(text: str, form: IdForm) -> str:
    """The id of a submit_sm_resp as the receipt's will read."""
    return _normalised(text, 16 if form is IdForm.RESP_HEX_DLR_DEC else 10 if form is IdForm.RESP_DEC_DLR_HEX else None)


def receipt_id(text: str, form: IdForm) -> str:
    """The id of a receipt as the answer's will read."""
    return _normalised(text, 10 if form is IdForm.RESP_HEX_DLR_DEC else 16 if form is IdForm.RESP_DEC_DLR_HEX else None)


def _normalised(text: str, base: int | None) -> str:
    text = text.strip()
    if base is not None and text.isascii() and text.isalnum():
        with suppress(ValueError):  # not a number after all: as it is, it may still match
            text = str(int(text, base))
    return text.lstrip("0").lower()[:_LONGEST_ID] or text[:1]


def _read_text(delivery: Delivery) -> tuple[bytes, bytes, bytes]:
    """id, stat and err; each empty where the text has none."""
    text = (delivery.text or delivery.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")).rstrip(b"\0")
    if delivery.data_coding == DATA_CODING_UCS2:
        text = text.decode("utf-16-be", "replace").encode("latin-1", "replace")
    usual = _USUAL.match(text)
    if usual:
        message_id, stat, err = usual.groups()
        return message_id, stat, err
    quoted = _TEXT.search(text)  # what follows is the message's own words, which may look like fields
    if quoted:
        text = text[: quoted.start()]
    found = [field.search(text) for field in _FIELDS]
    message_id, stat, err = (match[1] if match else b"" for match in found)
    return message_id, stat, err


def _detail(stat: bytes, err: bytes, network_error: bytes | None) -> str | None:
    """For the operator: `UNDELIV err 0A1`, `network 3 error 21`. Cut, since the field has no bound of its own."""
    words = []
    if stat:
        words.append(stat[:16].decode("latin-1"))
    if err:
        words.append(f"err {err[:16].decode('latin-1')}")
    if network_error is not None and len(network_error) == 3:
        words.append(f"network {network_error[0]} error {int.from_bytes(network_error[1:], 'big')}")
    return " ".join(words) or None


def _digits(address: str) -> str:
    return address if address.isdecimal() else "".join(char for char in address if char.isdecimal())
