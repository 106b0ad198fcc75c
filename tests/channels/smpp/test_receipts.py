"""What we make of receipts as vendors write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cascade.channels.smpp.pdu import Delivery
from cascade.channels.smpp.receipts import answer_id, is_receipt, read_receipt, receipt_id
from cascade.channels.smpp.settings import IdForm, SmppSettings
from cascade.core.receipt import ReceiptState
from cascade.core.words import Reason

DELIVERED, FAILED = ReceiptState.DELIVERED, ReceiptState.FAILED
USUAL = "id:{id} sub:001 dlvrd:001 submit date:2611230400 done date:{done} stat:{stat} err:{err} text:{text}"


def usual(**values: str) -> str:
    return USUAL.format(**{"id": "A1", "done": "2611230400", "stat": "DELIVRD", "err": "000", "text": "Hi", **values})


RECEIPTS = {  # text, parameters, (id, state, reason, detail) or None where it tells of no end
    "the usual one": (usual(), {}, ("a1", DELIVERED, None, None)),
    "dates with seconds": (usual(done="261123040001"), {}, ("a1", DELIVERED, None, None)),
    "a date of zeros": (usual(done="0000000000"), {}, ("a1", DELIVERED, None, None)),
    "expired": (usual(stat="EXPIRED"), {}, ("a1", FAILED, Reason.EXPIRED_AT_PROVIDER, "EXPIRED err 000")),
    "deleted": (usual(stat="DELETED"), {}, ("a1", FAILED, Reason.UNDELIVERABLE, "DELETED err 000")),
    "undelivered": (usual(stat="UNDELIV"), {}, ("a1", FAILED, Reason.UNDELIVERABLE, "UNDELIV err 000")),
    "rejected": (usual(stat="REJECTD"), {}, ("a1", FAILED, Reason.PROVIDER_REFUSED, "REJECTD err 000")),
    "unknown": (usual(stat="UNKNOWN"), {}, ("a1", FAILED, Reason.UNDELIVERABLE, "UNKNOWN err 000")),
    "accepted is on the way": (usual(stat="ACCEPTD"), {}, None),
    "on the way": (usual(stat="ENROUTE"), {}, None),
    "a word nobody knows is no end": (usual(stat="ENTREGADO"), {}, None),
    "a word nobody knows, with a parameter that we know": (
        usual(stat="ENTREGADO"),
        {0x427: b"\x02"},
        ("a1", DELIVERED, None, None),
    ),
    "an error code that is no number": (
        usual(stat="UNDELIV", err="0A1"),
        {},
        ("a1", FAILED, Reason.UNDELIVERABLE, "UNDELIV err 0A1"),
    ),
    "an awkward one, whose empty text ends it": (
        "id:ABC1 sub:001 dlvrd:001 submit date:261123040000 done date:261123040100 stat:UNDELIV err:0A1 text:",
        {0x1E: b"ABC1\0", 0x427: b"\x05"},
        ("abc1", FAILED, Reason.UNDELIVERABLE, "UNDELIV err 0A1"),
    ),
    "no text field": (
        "id:A1 sub:001 dlvrd:001 submit date:2611230400 done date:2611230400 stat:DELIVRD err:000",
        {},
        ("a1", DELIVERED, None, None),
    ),
    "other case, order and spacing, and extra fields": (
        "STAT:delivrd  donedate:2611230400 submitdate:2611230400 foo:bar Err: 000 ID:A1 Text:Hi",
        {},
        ("a1", DELIVERED, None, None),
    ),
    "fields in the message's own words do not count": (
        "id:A1 stat:UNDELIV text:stat:DELIVRD id:B2",
        {},
        ("a1", FAILED, Reason.UNDELIVERABLE, "UNDELIV"),
    ),
    "nor where the field itself is missing": ("id:A1 text: stat:DELIVRD", {}, None),
    "empty fields": ("id: sub: dlvrd: stat: err: text:", {}, None),
    "cut short before the state": ("id:A1 sub:001 dlvrd:001 submit date:26112304", {}, None),
    "cut short after the state": ("id:A1 stat:DELIVRD er", {}, ("a1", DELIVERED, None, None)),
    "no id at all": ("stat:DELIVRD err:000", {}, None),
    "parameters alone": ("", {0x1E: b"00A1\0", 0x427: b"\x02"}, ("a1", DELIVERED, None, None)),
    "the id's parameter without its NUL": ("", {0x1E: b"A1", 0x427: b"\x02"}, ("a1", DELIVERED, None, None)),
    "parameters win over the text": (
        usual(id="B2", stat="DELIVRD"),
        {0x1E: b"A1\0", 0x427: b"\x03"},
        ("a1", FAILED, Reason.EXPIRED_AT_PROVIDER, "DELIVRD err 000"),
    ),
    "the network's own error": (
        "id:A1 stat:UNDELIV",
        {0x423: b"\x03\x00\x15"},
        ("a1", FAILED, Reason.UNDELIVERABLE, "UNDELIV network 3 error 21"),
    ),
    "empty parameters do not win": (usual(), {0x1E: b"\0", 0x427: b""}, ("a1", DELIVERED, None, None)),
    "a parameter of no standard, with a word that we know": (
        usual(),
        {0x427: b"\xc8"},
        ("a1", DELIVERED, None, None),
    ),
    "a parameter of no standard alone": ("id:A1", {0x427: b"\xc8"}, None),
    "a parameter of two octets": ("id:A1", {0x427: b"\0\x02"}, ("a1", DELIVERED, None, None)),
    "a parameter of 64 KB": (usual(), {0x427: b"\x02" * 65_535}, ("a1", DELIVERED, None, None)),
    "a NUL after the state": ("id:A1 stat:DELIVRD\0", {}, ("a1", DELIVERED, None, None)),
    "a NUL after the error code": (
        usual(stat="UNDELIV", err="011").partition(" text:")[0] + "\0",
        {},
        ("a1", FAILED, Reason.UNDELIVERABLE, "UNDELIV err 011"),
    ),
    "an id of 64 KB, of which an index holds a part": (
        "",
        {0x1E: b"A" * 65_000, 0x427: b"\x02"},
        ("a" * 255, DELIVERED, None, None),
    ),
    "skipped, of SMPP 5.0": ("id:A1", {0x427: b"\x09"}, ("a1", FAILED, Reason.UNDELIVERABLE, None)),
    "the text in message_payload": ("", {0x424: usual().encode()}, ("a1", DELIVERED, None, None)),
}


@pytest.mark.parametrize(("text", "tlvs", "expected"), RECEIPTS.values(), ids=RECEIPTS)
def test_reads_receipts(text: str, tlvs: dict[int, bytes], expected: tuple[object, ...] | None) -> None:
    receipt = read_receipt(Delivery("380501112233", 4, 0, text.encode(), tlvs), SmppSettings())
    if receipt is None:
        assert expected is None
    else:
        assert (receipt.provider_id, receipt.state, receipt.reason, receipt.detail) == expected
        assert receipt.recipient == "380501112233"


SETTINGS = {  # settings, stat, state or None
    "accepted may be final": (SmppSettings(accepted_is_delivered=True), "ACCEPTD", DELIVERED),
    "unknown may mean wait": (SmppSettings(unknown_is_failed=False), "UNKNOWN", None),
}


WORDS = {  # each word for a state, long or short, and its number in message_state
    None: ("SCHEDLD", "SCHEDULED", "ENROUTE", "ACCEPTD", "ACCEPTED", b"\0", b"\1", b"\6"),
    DELIVERED: ("DELIVRD", "DELIVERED", b"\2"),
    Reason.EXPIRED_AT_PROVIDER: ("EXPIRED", b"\3"),
    Reason.UNDELIVERABLE: ("DELETED", "UNDELIV", "UNDELIVERABLE", "UNKNOWN", "SKIPPED", b"\4", b"\5", b"\7", b"\x09"),
    Reason.PROVIDER_REFUSED: ("REJECTD", "REJECTED", b"\x08"),
}


@pytest.mark.parametrize(("word", "means"), [(word, means) for means, words in WORDS.items() for word in words])
def test_each_word_and_number_has_its_meaning(word: str | bytes, means: ReceiptState | Reason | None) -> None:
    text, tlvs = (usual(stat=word), {}) if isinstance(word, str) else ("id:A1", {0x427: word})
    with capture_logs() as logs:
        receipt = read_receipt(Delivery("380501112233", 4, 0, text.encode(), tlvs), SmppSettings())
    assert logs == []
    assert (receipt and (receipt.reason or receipt.state)) == means


@pytest.mark.parametrize(("settings", "stat", "state"), SETTINGS.values(), ids=SETTINGS)
def test_settings_decide_what_the_standard_leaves_open(
    settings: SmppSettings, stat: str, state: ReceiptState | None
) -> None:
    receipt = read_receipt(Delivery("1", 4, 0, usual(stat=stat).encode(), {}), settings)
    assert (receipt.state if receipt else None) == state


def test_a_receipt_in_ucs2_reads_the_same() -> None:
    receipt = read_receipt(Delivery("1", 4, 8, usual().encode("utf-16-be"), {}), SmppSettings())
    assert receipt is not None
    assert receipt.provider_id == "a1"


RECIPIENTS = {
    "digits": ("380501112233", "380501112233"),
    "with a plus": ("+380501112233", "380501112233"),
    "a name": ("Shop", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("source", "recipient"), RECIPIENTS.values(), ids=RECIPIENTS)
def test_the_recipient_is_digits(source: str, recipient: str | None) -> None:
    receipt = read_receipt(Delivery(source, 4, 0, usual().encode(), {}), SmppSettings())
    assert receipt is not None
    assert receipt.recipient == recipient


KINDS = {  # esm_class, parameters, is it a receipt
    "receipt": (0x04, {}, True),
    "receipt with a UDH": (0x44, {}, True),
    "message from a phone": (0x00, {}, False),
    "intermediate notification": (0x20, {}, False),
    "receipt by its parameter alone": (0x00, {0x1E: b"A1\0"}, True),
}


@pytest.mark.parametrize(("esm_class", "tlvs", "expected"), KINDS.values(), ids=KINDS)
def test_tells_receipts_from_messages(esm_class: int, tlvs: dict[int, bytes], expected: bool) -> None:
    assert is_receipt(Delivery("1", esm_class, 0, b"", tlvs)) is expected


IDS = {  # form, id of the answer, id of the receipt, the text both become
    "the same": (IdForm.AS_IS, "abc-1", "abc-1", "abc-1"),
    "other case": (IdForm.AS_IS, "1a2b", "1A2B", "1a2b"),
    "zeros in front": (IdForm.AS_IS, "6699", "0000006699", "6699"),
    "nothing but zeros": (IdForm.AS_IS, "0", "0000", "0"),
    "hex answered, decimal reported": (IdForm.RESP_HEX_DLR_DEC, "1A2B", "0000006699", "6699"),
    "decimal answered, hex reported": (IdForm.RESP_DEC_DLR_HEX, "6699", "00001a2b", "6699"),
    "not numbers after all": (IdForm.RESP_HEX_DLR_DEC, "msg-7", "MSG-7", "msg-7"),
}


@pytest.mark.parametrize(("form", "answered", "reported", "text"), IDS.values(), ids=IDS)
def test_ids_of_answer_and_receipt_become_equal(form: IdForm, answered: str, reported: str, text: str) -> None:
    assert answer_id(answered, form) == receipt_id(reported, form) == text


FIELD = st.sampled_from(
    ["id:", "ID: ", "sub:", "stat:", "err:", "done date:", "donedate:", "text:", "Text:", " ", "\0"]
)
VALUE = st.one_of(
    st.text(max_size=12), st.sampled_from(["DELIVRD", "2611230400", "991332256199", "0A1", "00000000000"])
)


@given(
    text=st.one_of(
        st.lists(st.one_of(FIELD, VALUE), max_size=20).map(" ".join),
        st.text(),
        st.integers(0, 120).map(lambda end: usual()[:end]),
    ),
    tlvs=st.dictionaries(st.sampled_from([0x1E, 0x423, 0x424, 0x427]), st.binary(max_size=30)),
    source=st.text(st.characters(max_codepoint=255), max_size=20),
    coding=st.sampled_from([0, 3, 8]),
    form=st.sampled_from(IdForm),
)
def test_no_receipt_ever_raises(text: str, tlvs: dict[int, bytes], source: str, coding: int, form: IdForm) -> None:
    read_receipt(Delivery(source, 4, coding, text.encode("utf-8", "replace"), tlvs), SmppSettings(id_form=form))


@given(st.text(st.characters(max_codepoint=255), max_size=6000), st.sampled_from(IdForm))
def test_no_id_ever_raises(text: str, form: IdForm) -> None:
    answer_id(text, form)
    receipt_id(text, form)
