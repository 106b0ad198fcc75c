"""What a person wrote to our number, however the SMSC packs it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.channels.smpp.inbound import read_inbound
from cascade.channels.smpp.pdu import Delivery
from cascade.channels.smpp.settings import DefaultAlphabet
from cascade.core.inbound import PART, Inbound

GSM = DefaultAlphabet.GSM
CYRILLIC = "Добре 🙂"
READ: dict[str, tuple[Delivery, str | None, str]] = {  # delivery, part, text; an ignored one's word stands for the text
    "plain": (Delivery("380501112233", 0, 0, b"STOP", {}), None, "STOP"),
    "with its plus": (Delivery("+380501112233", 0, 0, b"STOP", {}), None, "STOP"),
    "GSM's own signs": (Delivery("380501112233", 0, 0, b"\x00\x1b\x65", {}), None, "@€"),
    "UCS-2": (Delivery("380501112233", 0, 8, CYRILLIC.encode("utf-16-be"), {}), None, CYRILLIC),
    "Latin-1": (Delivery("380501112233", 0, 3, b"caf\xe9", {}), None, "café"),
    "ASCII": (Delivery("380501112233", 0, 1, b"@$", {}), None, "@$"),
    "Japanese": (Delivery("380501112233", 0, 5, "はい".encode("shift_jis"), {}), None, "はい"),
    "Hebrew": (Delivery("380501112233", 0, 7, "כן".encode("iso8859-8"), {}), None, "כן"),
    "Korean": (Delivery("380501112233", 0, 14, "네".encode("euc_kr"), {}), None, "네"),
    "Cyrillic of ISO": (Delivery("380501112233", 0, 6, "Добре".encode("iso8859-5"), {}), None, "Добре"),
    "a message class": (Delivery("380501112233", 0, 0xF1, b"Yes", {}), None, "Yes"),
    "in message_payload": (Delivery("380501112233", 0, 0, b"", {0x0424: b"long"}), None, "long"),
    "a part, 8 bits": (Delivery("380501112233", 0x40, 0, b"\x05\x00\x03\x07\x02\x01Hel", {}), "7:2:1", "Hel"),
    "a part, 16 bits": (Delivery("380501112233", 0x40, 0, b"\x06\x08\x04\x01\x00\x02\x02lo", {}), "256:2:2", "lo"),
    "a part by SAR": (
        Delivery("380501112233", 0, 0, b"lo", {0x020C: b"\0\x09", 0x020E: b"\x02", 0x020F: b"\x02"}),
        "9:2:2",
        "lo",
    ),
    "a header of something else": (Delivery("380501112233", 0x40, 0, b"\x03\x24\x01\x01Hi", {}), None, "Hi"),
    "data": (Delivery("380501112233", 0, 4, b"\x01\x02", {}), None, "no_text"),
    "nothing": (Delivery("380501112233", 0, 0, b"", {}), None, "no_text"),
    "from a name": (Delivery("Shop", 0, 0, b"Yes", {}), None, "no_phone"),
    "an acknowledgement by the phone": (
        Delivery("380501112233", 0x08, 0, b"Yes", {}),
        None,
        "other_message_type",
    ),
}


@pytest.mark.parametrize(("delivery", "part", "text"), READ.values(), ids=READ)
def test_what_is_read(delivery: Delivery, part: str | None, text: str) -> None:
    said = read_inbound(delivery, GSM)
    if isinstance(said, str):
        assert said == text
        return
    assert (said.text, said.address, said.profile.get(PART)) == (text, "380501112233", part)


def test_two_that_are_alike_are_two() -> None:
    delivery = Delivery("380501112233", 0, 0, b"1", {})
    ids = {said.id for said in (read_inbound(delivery, GSM), read_inbound(delivery, GSM)) if isinstance(said, Inbound)}
    assert len(ids) == 2


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=40),
    st.dictionaries(st.sampled_from([0x0424, 0x020C, 0x020E, 0x020F]), st.binary(max_size=4)),
    st.sampled_from(DefaultAlphabet),
)
def test_nothing_raises(
    esm_class: int, data_coding: int, octets: bytes, tlvs: dict[int, bytes], alphabet: DefaultAlphabet
) -> None:
    read_inbound(Delivery("380501112233", esm_class, data_coding, octets, tlvs), alphabet)
