"""What goes into submit_sm for one attempt, read back by smpp34's codec."""

from datetime import UTC, datetime

import pytest
import smpp34
from hypothesis import given
from hypothesis import strategies as st

from cascade.channels.smpp import pdu
from cascade.channels.smpp.message import Composer, Submission
from cascade.channels.smpp.settings import DefaultAlphabet, LongMessages, Receipts, SmppSettings, Validity
from cascade.core import gsm
from cascade.core.attempt import Attempt, Rejected
from cascade.core.content import Button, Content, Media, plain_text
from cascade.core.words import Reason

from .attempts import PHONE, attempt

NOW = datetime(2026, 11, 23, 23, 59, 0, tzinfo=UTC)


def submits(given: Attempt, settings: SmppSettings) -> list[smpp34.SubmitSm]:
    submission = Composer(settings, lambda: NOW).compose(given)
    assert isinstance(submission, Submission)
    read = [smpp34.decode(pdu.encode(pdu.SUBMIT_SM, 1, body)) for body in submission.bodies]
    return [item for item in read if isinstance(item, smpp34.SubmitSm)]


def refusal(given: Attempt, settings: SmppSettings) -> Reason | None:
    composed = Composer(settings, lambda: NOW).compose(given)
    return composed.reason if isinstance(composed, Rejected) else None


TEXTS = {  # content, text of the SMS
    "text alone": (Content("Hi"), "Hi"),
    "a survey is numbered lines": (Content("Good?", options=("Yes", "No")), "Good?\n1. Yes\n2. No"),
    "a button is a link at the end": (
        Content("Sale", buttons=(Button("Shop", "https://s.ua"),)),
        "Sale Shop: https://s.ua",
    ),
    "a picture is a line": (Content("Sale", media=Media(image="https://i.ua/a.png")), "Sale\nhttps://i.ua/a.png"),
    "everything": (
        Content(
            "Sale", ("Yes",), Media(image="https://i.ua", thumbnail="https://t.ua"), (Button("Go", "https://s.ua"),)
        ),
        "Sale\n1. Yes\nhttps://i.ua Go: https://s.ua",
    ),
    "a button alone": (Content("", buttons=(Button("Go", "https://s.ua"),)), "Go: https://s.ua"),
}


@pytest.mark.parametrize(("content", "text"), TEXTS.values(), ids=TEXTS)
def test_content_becomes_plain_text(content: Content, text: str) -> None:
    assert plain_text(content) == text


SENDERS = {  # settings, sender of the client, (TON, NPI, address) or None where it is refused
    "a name": ({}, "Shop", (5, 0, "Shop")),
    "a name of 11 characters": ({}, "Shop & Sons", (5, 0, "Shop & Sons")),
    "a name of 12": ({}, "Shop and Son", None),
    "a name with Cyrillic": ({}, "Магазин", None),
    "a name with a character that GSM has not": ({}, "Shop[1]", None),
    "a name without a letter": ({}, "&-.", None),
    "a short code": ({}, "4321", (3, 0, "4321")),
    "a phone": ({}, "+380501112233", (1, 1, "380501112233")),
    "a phone without its plus": ({}, "380501112233", (1, 1, "380501112233")),
    "a number too long for a phone": ({}, "1234567890123456", None),
    "a number too short for a code": ({}, "12", None),
    "an empty name": ({}, "", None),
    "a mapped sender": ({"senders": {"Магазин №1": "Shop1"}}, "Магазин №1", (5, 0, "Shop1")),
    "mapped to a short code": ({"senders": {"Shop": "777"}}, "Shop", (3, 0, "777")),
    "not mapped: the default": ({"senders": {"A": "B"}, "default_sender": "Main"}, "Магазин", (5, 0, "Main")),
    "a default also for a name that could be itself": ({"default_sender": "Main"}, "Shop", (5, 0, "Main")),
    "types of number by the settings": ({"short_code_ton_npi": (0, 0)}, "4321", (0, 0, "4321")),
}


@pytest.mark.parametrize(("settings", "sender", "expected"), SENDERS.values(), ids=SENDERS)
def test_senders(settings: dict[str, object], sender: str, expected: tuple[int, int, str] | None) -> None:
    made = SmppSettings(**settings)  # type: ignore[arg-type]
    if expected is None:
        assert refusal(attempt(sender=sender), made) is Reason.INVALID_SENDER
    else:
        [submit] = submits(attempt(sender=sender), made)
        assert (submit.source_addr_ton, submit.source_addr_npi, submit.source_addr) == expected


CODINGS = {  # default alphabet, text, data_coding, octets
    "GSM": (DefaultAlphabet.GSM, "@é", 0, b"\x00\x05"),
    "GSM extension": (DefaultAlphabet.GSM, "€", 0, b"\x1b\x65"),
    "one Cyrillic letter": (DefaultAlphabet.GSM, "aя", 8, b"\x00a\x04\x4f"),
    "an emoji": (DefaultAlphabet.GSM, "😀", 8, b"\xd8\x3d\xde\x00"),
    "Latin-1": (DefaultAlphabet.LATIN1, "@é", 0, b"@\xe9"),
    "Latin-1 without Greek": (DefaultAlphabet.LATIN1, "Δ", 8, b"\x03\x94"),
    "Latin-1 that the air cannot carry": (DefaultAlphabet.LATIN1, "ç", 8, b"\x00\xe7"),
    "ASCII": (DefaultAlphabet.ASCII, "@[", 0, b"@["),
    "ASCII without accents": (DefaultAlphabet.ASCII, "é", 8, b"\x00\xe9"),
}


@pytest.mark.parametrize(("alphabet", "text", "coding", "octets"), CODINGS.values(), ids=CODINGS)
def test_codings(alphabet: DefaultAlphabet, text: str, coding: int, octets: bytes) -> None:
    [submit] = submits(attempt(text), SmppSettings(default_alphabet=alphabet))
    assert (submit.data_coding, submit.short_message) == (coding, octets)


VALIDITIES = {  # form, window_s, validity_period
    "5 minutes": (Validity.RELATIVE, 300, "000000000500000R"),
    "a day": (Validity.RELATIVE, 86_400, "000001000000000R"),
    "30 days": (Validity.RELATIVE, 30 * 86_400, "000030000000000R"),
    "2 s": (Validity.RELATIVE, 2, "000000000002000R"),
    "an hour, a minute and a second": (Validity.RELATIVE, 3661, "000000010101000R"),
    "absolute, over midnight": (Validity.ABSOLUTE, 300, "261124000400000+"),
}


@pytest.mark.parametrize(("form", "window_s", "period"), VALIDITIES.values(), ids=VALIDITIES)
def test_the_window_is_the_validity(form: Validity, window_s: int, period: str) -> None:
    [submit] = submits(attempt(window_s=window_s), SmppSettings(validity=form))
    assert submit.validity_period == period


REGISTERED = {  # receipts, registered_delivery of the three parts, the parts an Accepted names
    "every part": (Receipts.EVERY, [1, 1, 1], [0, 1, 2]),
    "the last": (Receipts.LAST, [0, 0, 1], [2]),
    "none": (Receipts.NONE, [0, 0, 0], []),
}


@pytest.mark.parametrize(("receipts", "registered", "reported"), REGISTERED.values(), ids=REGISTERED)
def test_receipts_are_asked_for_by_setting(receipts: Receipts, registered: list[int], reported: list[int]) -> None:
    settings = SmppSettings(receipts=receipts)
    assert [submit.registered_delivery for submit in submits(attempt("a" * 400), settings)] == registered
    submission = Composer(settings, lambda: NOW).compose(attempt("a" * 400))
    assert isinstance(submission, Submission)
    assert list(submission.reported) == reported


def joined(parts: list[smpp34.SubmitSm], way: LongMessages) -> str:
    """The text as a phone puts it together, each part checked against its own limit."""
    octets = []
    for number, part in enumerate(parts, 1):
        tlvs = {tlv.tag: tlv.value for tlv in part.tlvs}
        text = part.short_message
        if way is LongMessages.PAYLOAD and len(parts) == 1 and not text:
            text = tlvs[0x0424]
        elif len(parts) > 1 and way is LongMessages.SAR:
            assert (tlvs[0x020E], tlvs[0x020F]) == (bytes((len(parts),)), bytes((number,)))
            assert len(text) <= (134 if part.data_coding == 8 else 153)
        elif len(parts) > 1:
            length = 6 if way is LongMessages.UDH8 else 7
            assert part.esm_class == 0x40
            assert text[:3] == (b"\x05\x00\x03" if way is LongMessages.UDH8 else b"\x06\x08\x04")
            assert text[length - 2 : length] == bytes((len(parts), number))
            text = text[length:]
            assert len(text) <= (140 - length if part.data_coding == 8 else (160 * 7 - length * 8) // 7)
        octets.append(text)
    if parts[0].data_coding == 8:
        return "".join(part.decode("utf-16-be") for part in octets)  # strict: a cut pair would raise
    assert all(gsm.encode(gsm.decode(part)) == part for part in octets)  # a cut escape would not come back
    return "".join(gsm.decode(part) for part in octets)


SIGNS = st.sampled_from(["aé€", "aя😀"]).flatmap(lambda signs: st.text(st.sampled_from(signs), min_size=1, max_size=30))


@pytest.mark.parametrize("way", LongMessages)
@given(some=SIGNS, times=st.integers(1, 60))
def test_long_texts_arrive_whole(way: LongMessages, some: str, times: int) -> None:
    text = (some * times)[:900]  # hypothesis alone hardly ever writes one of two parts
    parts = submits(attempt(text), SmppSettings(long_messages=way))
    assert joined(parts, way) == text
    if way is LongMessages.UDH8:
        assert len(parts) == gsm.segments(text).parts


LENGTHS = {  # how long one part and two are, in GSM's signs and in UTF-16's units
    LongMessages.UDH8: (306, 134),
    LongMessages.UDH16: (304, 132),
    LongMessages.SAR: (306, 134),
}


@pytest.mark.parametrize(("way", "lengths"), LENGTHS.items())
def test_a_part_is_filled_to_its_last_sign(way: LongMessages, lengths: tuple[int, int]) -> None:
    for sign, one, two in (("a", 160, lengths[0]), ("я", 70, lengths[1])):
        counts = [
            len(submits(attempt(sign * length), SmppSettings(long_messages=way))) for length in (one, one + 1, two)
        ]
        assert (counts, len(submits(attempt(sign * (two + 1)), SmppSettings(long_messages=way)))) == ([1, 2, 2], 3)


def test_a_validity_has_a_hundred_days_at_most() -> None:
    assert submits(attempt("a", window_s=10**9), SmppSettings())[0].validity_period == "000099235959000R"


def references(phones: list[str], way: LongMessages) -> list[bytes]:
    composer = Composer(SmppSettings(long_messages=way), lambda: NOW)
    found: list[bytes] = []
    for phone in phones:
        submission = composer.compose(attempt("a" * 200, phone=phone))
        assert isinstance(submission, Submission)
        read = [smpp34.decode(pdu.encode(pdu.SUBMIT_SM, 1, body)) for body in submission.bodies]
        marks = {item.short_message[3:4] for item in read if isinstance(item, smpp34.SubmitSm)}
        assert len(marks) == 1
        found += marks
    return found


def test_long_messages_to_one_phone_never_share_a_reference() -> None:
    others = [f"+38050{number:07}" for number in range(300)]
    mixed = [phone for other in others for phone in (other, PHONE)]
    of_one_phone = references(mixed, LongMessages.UDH8)[1::2][:256]
    assert len(set(of_one_phone)) == 256


REFUSED = {  # attempt, settings, reason
    "no text": (attempt(""), SmppSettings(), Reason.CONTENT_UNFIT),
    "more parts than the operator takes": (attempt("a" * 400), SmppSettings(max_parts=2), Reason.CONTENT_UNFIT),
}


@pytest.mark.parametrize(("given", "settings", "reason"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_no_sms_can_be(given: Attempt, settings: SmppSettings, reason: Reason) -> None:
    assert refusal(given, settings) is reason


def test_transliteration_is_a_choice() -> None:
    [plain] = submits(attempt("It’s"), SmppSettings(transliterate=True))
    [exact] = submits(attempt("It’s"), SmppSettings())
    assert (plain.data_coding, plain.short_message, exact.data_coding) == (0, b"It's", 8)


def test_the_destination_is_international_digits() -> None:
    [submit] = submits(attempt(), SmppSettings())
    assert (submit.dest_addr_ton, submit.dest_addr_npi, submit.destination_addr) == (1, 1, "380501112233")
