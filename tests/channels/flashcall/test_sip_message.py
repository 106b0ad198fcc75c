"""Octets in and out. Whatever a peer sends, nothing but `SipError` is raised."""

from collections.abc import Callable

import aiosipua
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.channels.flashcall.sip.message import (
    Headers,
    Message,
    Request,
    Response,
    SipError,
    SipStreamError,
    StreamReader,
    call_id_of,
    cseq_of,
    decode,
    encode,
    params_of,
    split_list,
    tag_of,
    uri_of,
    user_of,
    via_of,
)

RINGING = (
    b"SIP/2.0 180 Ringing\r\n"
    b"v: SIP/2.0/UDP 10.0.0.1:5060;rport=5060;branch=z9hG4bK1, SIP / 2.0 / TCP proxy;branch=z9hG4bK2\r\n"
    b'f: "A, B" <sip:+380441234567@gw>;tag=ours\r\n'
    b"t: <sip:+380501112233@trunk;user=phone>;tag=theirs\r\n"
    b"i: abc@gw\r\n"
    b"CSeq: 1\r\n  INVITE\r\n"
    b"l: 0\r\n\r\n"
)
HEAD = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n"


def test_compact_folded_and_listed_headers_are_read() -> None:
    message = decode(RINGING)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (180, "Ringing")
    assert [hop.partition(";")[0] for hop in message.headers.all("via")] == [
        "SIP/2.0/UDP 10.0.0.1:5060",
        "SIP / 2.0 / TCP proxy",
    ]
    assert via_of(message) == ("UDP", "10.0.0.1:5060", {"rport": "5060", "branch": "z9hG4bK1"})
    assert cseq_of(message) == (1, "INVITE")
    assert call_id_of(message) == "abc@gw"
    assert (tag_of(message.headers.first("from") or ""), tag_of(message.headers.first("to") or "")) == (
        "ours",
        "theirs",
    )
    assert uri_of(message.headers.first("from") or "") == "sip:+380441234567@gw"


URIS = {  # a Contact, where its BYE goes
    "in brackets": ("<sip:a@b;transport=udp>;expires=5", "sip:a@b;transport=udp"),
    "bare": ("sip:a@b;expires=5", "sip:a@b"),
    "a name with a bracket": ('"a <b" <sip:a@b>', "sip:a@b"),
    "no end": ("<sip:a@b", None),
    "everything": ("*", None),
    "two words": ("<sip:a@b c>", None),
    "a tab, which would end it": ("<sip:a@b\tc>", None),
    "a space beyond ASCII, which some would take for an end": ("<sip:a@b\u00a0c>", None),
}


@pytest.mark.parametrize(("contact", "uri"), URIS.values(), ids=URIS)
def test_where_a_call_that_was_answered_is_ended(contact: str, uri: str | None) -> None:
    assert uri_of(contact) == uri


REFUSED = {
    "nothing": b"",
    "no end of the headers": HEAD,
    "another protocol": b"HTTP/1.1 200 OK\r\n\r\n",
    "a status of two digits": b"SIP/2.0 20 OK\r\n\r\n",
    "a header without a colon": b"SIP/2.0 200 OK\r\nVia\r\n\r\n",
    "a header with a space in its name": b"SIP/2.0 200 OK\r\nA B: c\r\n\r\n",
    "a body that is cut off": HEAD + b"Content-Length: 9\r\n\r\nv=0",
    "a length that is no number": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length beyond all reason": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
    "headers without number": b"SIP/2.0 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    "a header of 40 KB": b"SIP/2.0 200 OK\r\nA: " + b"b" * 40_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("octets", REFUSED.values(), ids=REFUSED)
def test_what_is_not_sip_is_refused(octets: bytes) -> None:
    with pytest.raises(SipError):
        decode(octets)


def test_what_follows_the_announced_length_of_a_datagram_is_dropped() -> None:
    assert decode(HEAD + b"Content-Length: 2\r\n\r\nokrest").body == b"ok"


BROKEN_STREAMS = {
    "no length": HEAD + b"\r\n",
    "no end": b"INVITE " + b"x" * 40_000,
    "no SIP": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("octets", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
def test_a_stream_out_of_step_is_given_up(octets: bytes) -> None:
    with pytest.raises(SipStreamError):
        list(StreamReader().feed(octets))


def test_no_line_can_become_two() -> None:
    with pytest.raises(SipError):
        encode(Request("INVITE", "sip:a@b", Headers([("From", "x\r\nTo: y")])))


READERS: tuple[Callable[[Message], object], ...] = (via_of, cseq_of, call_id_of)
SIPPISH = st.lists(
    st.sampled_from(
        [
            *(bytes([octet]) for octet in b' \r\n\t:;,<>="\\%'),
            b"SIP/2.0",
            b"200 OK",
            b"INVITE",
            b"sip:a@b",
            b"v",
            b"Via",
        ]
    )
    | st.binary(max_size=8),
    max_size=60,
).map(b"".join)


@given(st.binary(max_size=400) | SIPPISH | SIPPISH.map(lambda some: HEAD + some + b"\r\n\r\n"))
def test_reading_raises_its_own_error_or_nothing(octets: bytes) -> None:
    for read in (decode, lambda data: list(StreamReader().feed(data))):
        try:
            read(octets)
        except SipError:
            continue
    try:
        message = decode(octets)
    except SipError:
        return
    for reader in READERS:
        try:
            reader(message)
        except SipError:
            continue
    for _, value in message.headers:
        split_list(value)
        params_of(value)
        tag_of(value)
        user_of(uri_of(value) or "")


@given(st.integers(0, len(RINGING) - 1), st.binary(min_size=1, max_size=3))
def test_a_message_that_is_cut_or_scratched_raises_its_own_error_or_nothing(place: int, scratch: bytes) -> None:
    for octets in (RINGING[:place], RINGING[:place] + scratch + RINGING[place + len(scratch) :]):
        try:
            message = decode(octets)
            via_of(message)
            cseq_of(message)
        except SipError:
            continue


@given(st.lists(st.integers(1, 200), max_size=20))
def test_a_stream_is_cut_alike_however_the_reads_fall(cuts: list[int]) -> None:
    stream = b"\r\n\r\n" + RINGING + HEAD + b"Content-Length: 3\r\n\r\nv=0" + b"\r\n" + RINGING
    reader, messages = StreamReader(), []
    for cut in [*cuts, len(stream)]:
        messages += list(reader.feed(stream[:cut]))
        stream = stream[cut:]
    assert [getattr(message, "status", None) for message in messages] == [180, 200, 180]
    assert [message.body for message in messages] == [b"", b"v=0", b""]


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_characters="\x7f"), max_size=30).map(
    str.strip
)
NAME = st.sampled_from(["From", "To", "Subject", "X-Own", "Record-Route"])


@given(st.lists(st.tuples(NAME, TEXT), max_size=8), st.binary(max_size=50))
def test_what_is_written_is_read_back(headers: list[tuple[str, str]], body: bytes) -> None:
    request = Request("OPTIONS", "sip:a@b", Headers(headers), body)
    read = decode(encode(request))
    assert read == request._replace(headers=Headers([*headers, ("Content-Length", str(len(body)))]))


def test_another_hand_reads_the_same() -> None:
    request = Request(
        "INVITE",
        "sip:+380501112233@trunk",
        Headers(
            [
                ("Via", "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKx"),
                ("From", "<sip:+380441234567@gw>;tag=ours"),
                ("To", "<sip:+380501112233@trunk>"),
                ("Call-ID", "abc"),
                ("CSeq", "2 INVITE"),
            ]
        ),
        b"v=0\r\n",
    )
    theirs = aiosipua.SipMessage.parse(encode(request))
    assert isinstance(theirs, aiosipua.SipRequest)
    assert (theirs.method, theirs.uri, theirs.call_id, theirs.body) == ("INVITE", request.uri, "abc", b"v=0\r\n")
    assert theirs.cseq is not None
    assert (theirs.cseq.seq, theirs.cseq.method) == (2, "INVITE")
