"""The SMS alphabet, and how long texts are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core import gsm

ALPHABET = "".join(char for char in gsm.BASIC if char != "\x1b") + "".join(gsm.EXTENSION.values())

OCTETS = {  # text, septets as hex; the codes are those of 3GPP TS 23.038, tables 6.2.1 and 6.2.1.1
    "letters and digits keep their ASCII code": ("Az09", "417a3039"),
    "the at sign is zero": ("@", "00"),
    "dollar, pound and yen": ("$£¥", "020103"),
    "underscore and the capital delta": ("_Δ", "1110"),
    "small letters with accents": ("éàüñ", "057f7e7d"),
    "the euro sign costs an escape": ("€", "1b65"),
    "brackets and braces cost an escape": ("[]{}", "1b3c1b3e1b281b29"),
    "the rest of the extension": ("^\\~|\f", "1b141b2f1b3d1b401b0a"),
}

FOREIGN = {
    "a backtick": "`",
    "a tab": "\t",
    "a curly quote": "’",
    "an en dash": "–",
    "a non-breaking space": "\u00a0",
    "Cyrillic": "я",
    "a small c with a cedilla": "ç",
    "an emoji": "😀",
    "the escape itself": "\x1b",
}

SEGMENTS = {  # text, encoding, units, parts
    "an empty text is one message": ("", "gsm", 0, 1),
    "160 septets stand alone": ("a" * 160, "gsm", 160, 1),
    "161 septets are two parts": ("a" * 161, "gsm", 161, 2),
    "306 septets are two full parts": ("a" * 306, "gsm", 306, 2),
    "307 septets are three": ("a" * 307, "gsm", 307, 3),
    "80 euro signs are 160 septets": ("€" * 80, "gsm", 160, 1),
    "81 euro signs do not stand alone": ("€" * 81, "gsm", 162, 2),
    "an odd part ends before a pair, so 153 euro signs need three": ("€" * 153, "gsm", 306, 3),
    "70 Cyrillic letters stand alone": ("я" * 70, "ucs2", 70, 1),
    "71 are two parts": ("я" * 71, "ucs2", 71, 2),
    "one foreign character halves the message": ("a" * 70 + "я", "ucs2", 71, 2),
    "35 emoji are 70 units": ("😀" * 35, "ucs2", 70, 1),
    "67 emoji do not fill two parts evenly": ("😀" * 67, "ucs2", 134, 3),
}

SHOWN = {  # septets, what a phone shows
    "an escape before a code without extension shows the basic character": ("1b41", "A"),
    "a lone escape at the end shows a space": ("411b", "A "),
    "an octet that is no septet": ("80", "\ufffd"),
}


@pytest.mark.parametrize(("text", "septets"), OCTETS.values(), ids=OCTETS)
def test_encodes_by_the_standard(text: str, septets: str) -> None:
    assert gsm.encode(text).hex() == septets


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_foreign_characters_are_refused(text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        gsm.encode("a" + text)


@pytest.mark.parametrize(("text", "encoding", "units", "parts"), SEGMENTS.values(), ids=SEGMENTS)
def test_counts_segments(text: str, encoding: str, units: int, parts: int) -> None:
    assert gsm.segments(text) == gsm.Segments(encoding, units, parts)


@pytest.mark.parametrize(("septets", "text"), SHOWN.values(), ids=SHOWN)
def test_decodes_what_the_standard_leaves_open(septets: str, text: str) -> None:
    assert gsm.decode(bytes.fromhex(septets)) == text


def test_the_alphabet_is_complete() -> None:
    assert len(gsm.BASIC) == 128
    assert len(set(ALPHABET)) == 127 + 10


@given(st.text(ALPHABET))
def test_what_is_encoded_decodes_to_the_same(text: str) -> None:
    assert gsm.decode(gsm.encode(text)) == text


@given(st.binary())
def test_decoding_never_raises(septets: bytes) -> None:
    gsm.decode(septets)


@given(st.text(ALPHABET), st.integers(2, 40))
def test_gsm_pieces_fit_and_join_to_the_text(text: str, size: int) -> None:
    pieces = gsm.split_gsm(text, size)
    assert "".join(pieces) == text
    assert all(len(gsm.encode(piece)) <= size for piece in pieces)
    assert all(len(gsm.encode(piece)) >= size - 1 for piece in pieces[:-1])


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(2, 40))
def test_ucs2_pieces_fit_and_never_cut_a_surrogate_pair(text: str, size: int) -> None:
    pieces = gsm.split_ucs2(text, size)
    octets = [piece.encode("utf-16-be") for piece in pieces]
    assert b"".join(octets).decode("utf-16-be") == text
    assert all(len(piece) <= 2 * size for piece in octets)
    assert all(gsm.ucs2_units(piece) * 2 == len(encoded) for piece, encoded in zip(pieces, octets, strict=True))


def test_transliteration_makes_a_typographic_text_plain() -> None:
    assert gsm.transliterate("“It’s\u00a0here” – now…") == '"It\'s here" - now...'
