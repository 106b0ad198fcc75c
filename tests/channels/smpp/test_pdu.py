"""Octets in and out, judged by the standard's own layout and by smpp34, another hand's codec."""

from itertools import pairwise

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from cascade.channels.smpp import pdu
from cascade.channels.smpp.pdu import Address, SubmitSm

ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
OCTET = st.integers(0, 255)
TLVS = st.dictionaries(st.integers(0x1400, 0x3FFF), st.binary(max_size=40), max_size=4)
READ_TLVS = st.dictionaries(st.sampled_from((0x001E, 0x0423, 0x0424, 0x0427, 0x020C)), st.binary(max_size=40))

GOLDEN = {  # octets written by hand from SMPP 3.4, sections 3.2 and 4
    "enquire_link": (pdu.encode(pdu.ENQUIRE_LINK, 7), "00000010 00000015 00000000 00000007"),
    "a negative deliver_sm_resp": (
        pdu.encode(pdu.DELIVER_SM_RESP, 0x7FFFFFFF, b"\0", 0x64),
        "00000011 80000005 00000064 7fffffff 00",
    ),
    "bind_transceiver": (
        pdu.encode(pdu.BIND_TRANSCEIVER, 1, pdu.encode_bind("esme1", "secret08", "GW", "")),
        "00000026 00000009 00000000 00000001 65736d653100 7365637265743038 00 475700 34 00 00 00",
    ),
    "submit_sm with a name, a validity and a parameter": (
        pdu.encode(
            pdu.SUBMIT_SM,
            2,
            pdu.encode_submit_sm(
                SubmitSm(
                    Address(5, 0, "Shop").encode(),
                    Address(1, 1, "380501112233").encode(),
                    b"Hi",
                    registered_delivery=1,
                    validity_period="000000000500000R",
                    tlvs=((0x020E, b"\x02"),),
                )
            ),
        ),
        "00000048 00000004 00000000 00000002 00 05 00 53686f7000 01 01 33383035303131313232333300"
        "00 00 00 00 3030303030303030303530303030305200 01 00 00 00 02 4869 020e 0001 02",
    ),
}

RECEIPT = smpp34.DeliverSm("380501112233", "Shop", b"id:1", esm_class=4, sequence_number=3).encode()

ABSURD_LENGTHS = {
    "zero": 0,
    "shorter than a header": 15,
    "one over the limit": pdu.MAX_PDU_OCTETS + 1,
    "huge": 2**32 - 1,
}


@pytest.mark.parametrize(("octets", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_writes_the_standards_layout(octets: bytes, expected: str) -> None:
    assert octets.hex() == expected.replace(" ", "")
    assert int.from_bytes(octets[:4], "big") == len(octets)


@given(
    source=st.text(ASCII, max_size=20),
    destination=st.text(ASCII, max_size=20),
    text=st.binary(max_size=254),
    numbers=st.tuples(*[OCTET] * 7),
    tlvs=TLVS,
)
def test_another_codec_reads_our_submit_sm(
    source: str, destination: str, text: bytes, numbers: tuple[int, ...], tlvs: dict[int, bytes]
) -> None:
    ton, npi, to_ton, to_npi, esm_class, data_coding, registered = numbers
    body = pdu.encode_submit_sm(
        SubmitSm(
            Address(ton, npi, source).encode(),
            Address(to_ton, to_npi, destination).encode(),
            text,
            esm_class,
            data_coding,
            registered,
            "000001000000000R",
            "CMT",
            tuple(tlvs.items()),
        )
    )
    read = smpp34.decode(pdu.encode(pdu.SUBMIT_SM, 9, body))
    assert isinstance(read, smpp34.SubmitSm)
    assert (read.sequence_number, read.service_type, read.validity_period) == (9, "CMT", "000001000000000R")
    assert (read.source_addr_ton, read.source_addr_npi, read.source_addr) == (ton, npi, source)
    assert (read.dest_addr_ton, read.dest_addr_npi, read.destination_addr) == (to_ton, to_npi, destination)
    assert (read.esm_class, read.data_coding, read.registered_delivery) == (esm_class, data_coding, registered)
    assert (read.short_message, {tlv.tag: tlv.value for tlv in read.tlvs}) == (text, tlvs)


@given(source=st.text(ASCII, max_size=20), text=st.binary(max_size=254), esm=OCTET, coding=OCTET, tlvs=READ_TLVS)
def test_we_read_another_codecs_deliver_sm(
    source: str, text: bytes, esm: int, coding: int, tlvs: dict[int, bytes]
) -> None:
    octets = smpp34.DeliverSm(
        source,
        "Shop",
        text,
        esm_class=esm,
        data_coding=coding,
        service_type="CMT",
        validity_period="000001000000000R",
        tlvs=[smpp34.Tlv(tag, value) for tag, value in tlvs.items()],
    ).encode()
    assert pdu.decode_deliver_sm(octets[16:]) == pdu.Delivery(source, esm, coding, text, tlvs)


def test_parameters_that_nobody_reads_take_no_memory() -> None:
    tlvs = [(tag, b"") for tag in range(0x1400, 0x5000)] + [(0x427, b"\2")]
    assert pdu.decode_tlvs(pdu.encode_tlvs(tlvs), 0) == {0x427: b"\2"}


def test_reads_a_data_sm() -> None:
    body = b"\0\x01\x01380501112233\0\x05\x00Shop\0\x04\x00\x00" + pdu.encode_tlvs([(0x1E, b"A1\0"), (0x427, b"\2")])
    assert pdu.decode_data_sm(body) == pdu.Delivery("380501112233", 4, 0, b"", {0x1E: b"A1\0", 0x427: b"\2"})


@given(st.lists(st.binary(max_size=30), max_size=5), st.lists(st.integers(0, 200), max_size=6))
def test_reads_may_fall_anywhere(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pdu.encode(pdu.DELIVER_SM, number, body) for number, body in enumerate(bodies))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = pdu.FrameReader()
    read = [item for start, end in pairwise(edges) for item in reader.feed(stream[start:end])]
    assert read == [pdu.Pdu(pdu.DELIVER_SM, 0, number, body) for number, body in enumerate(bodies)]


@pytest.mark.parametrize("length", ABSURD_LENGTHS.values(), ids=ABSURD_LENGTHS)
def test_an_absurd_length_is_refused_after_the_good_ones(length: int) -> None:
    items = pdu.FrameReader().feed(RECEIPT + length.to_bytes(4, "big") + bytes(12))
    assert next(items).sequence == 3
    with pytest.raises(pdu.FrameError):
        next(items)


@pytest.mark.parametrize("end", range(16, len(RECEIPT)))
def test_a_body_cut_anywhere_is_malformed(end: int) -> None:
    with pytest.raises(pdu.PduError):
        pdu.decode_deliver_sm(RECEIPT[16:end])


@given(st.binary(max_size=80))
def test_nonsense_is_malformed_and_nothing_worse(body: bytes) -> None:
    for decode in (pdu.decode_deliver_sm, pdu.decode_data_sm):
        try:
            decode(body)
        except pdu.PduError:
            continue
    pdu.decode_message_id(body)


def test_a_text_too_long_for_its_field_is_refused() -> None:
    with pytest.raises(pdu.PduError):
        pdu.encode_submit_sm(SubmitSm(Address(5, 0, "Shop").encode(), Address(1, 1, "1").encode(), bytes(255)))
