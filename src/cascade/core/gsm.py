"""The alphabet of SMS, and how a long text is cut into parts.

Source: 3GPP TS 23.038, 6.2.1 (basic alphabet and its extension); TS 23.040, 9.2.3.24.1 (concatenation). National
language tables are left out: SMSCs rarely carry them, and Ukrainian has none.
"""

import codecs
from dataclasses import dataclass

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
ESCAPE = 0x1B
SINGLE = {"gsm": 160, "ucs2": 70}
CONCATENATED = {"gsm": 153, "ucs2": 67}
"""Units in a message that stands alone, and in one part of a long one (with an 8-bit reference)."""

_ENCODING: dict[int, bytes] = {ord(c): bytes((code,)) for code, c in enumerate(BASIC) if code != ESCAPE}
_ENCODING |= {ord(c): bytes((ESCAPE, code)) for code, c in EXTENSION.items()}

# Nearly every text has only characters of Latin-1 that cost one septet, and for those one C call does the work.
_NO_SEPTET = 0xFF
_LATIN1_TO_GSM = bytes(_ENCODING[char][0] if len(_ENCODING.get(char, b"")) == 1 else _NO_SEPTET for char in range(256))
_TYPOGRAPHIC = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "‚": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "«": '"',
        "»": '"',
        "–": "-",
        "—": "-",
        "‑": "-",
        "…": "...",
        "\u00a0": " ",
        "\u202f": " ",
        "\t": " ",
        "`": "'",
    }
)


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs. `units` are septets ("gsm") or UTF-16 code units ("ucs2"), without headers."""

    encoding: str
    units: int
    parts: int


def encode(text: str) -> bytes:
    """One septet an octet, unpacked, as SMPP carries it. Raises UnicodeEncodeError at the first foreign character."""
    try:
        septets = text.encode("latin-1").translate(_LATIN1_TO_GSM)
        if _NO_SEPTET not in septets:
            return septets
    except UnicodeEncodeError:
        pass  # Greek capitals and the euro sign are beyond Latin-1, yet in this alphabet
    return codecs.charmap_encode(text, "strict", _ENCODING)[0]


def decode(septets: bytes) -> str:
    """The text of unpacked septets. Never raises: an octet over 0x7F becomes U+FFFD.

    An escape before a code without an extension shows the basic character, as the standard asks of a receiver; a lone
    escape at the end shows a space.
    """
    text = []
    escaped = False
    for septet in septets:
        if septet == ESCAPE and not escaped:
            escaped = True
            continue
        basic = BASIC[septet] if septet < len(BASIC) else "\ufffd"
        if basic == "\x1b":
            basic = " "
        text.append(EXTENSION.get(septet, basic) if escaped else basic)
        escaped = False
    if escaped:
        text.append(" ")
    return "".join(text)


def ucs2_units(text: str) -> int:
    """UTF-16 code units: an emoji costs two."""
    return len(text) + sum(char > "\uffff" for char in text) if not text.isascii() else len(text)


def split_gsm(text: str, size: int) -> list[str]:
    """Pieces of at most `size` septets, cut between characters and so never within an escape pair.

    Raises UnicodeEncodeError when the text is not in the alphabet.
    """
    if len(encode(text)) == len(text):
        return [text[start : start + size] for start in range(0, len(text), size)]
    return _split(text, size, [len(_ENCODING[ord(char)]) for char in text])


def split_ucs2(text: str, size: int) -> list[str]:
    """Pieces of at most `size` UTF-16 code units, cut between characters and so never within a surrogate pair."""
    if ucs2_units(text) == len(text):
        return [text[start : start + size] for start in range(0, len(text), size)]
    return _split(text, size, [2 if char > "\uffff" else 1 for char in text])


def _split(text: str, size: int, costs: list[int]) -> list[str]:
    pieces = []
    start = used = 0
    for position, cost in enumerate(costs):
        if used + cost > size:
            pieces.append(text[start:position])
            start, used = position, 0
        used += cost
    if start < len(text):
        pieces.append(text[start:])
    return pieces


def segments(text: str) -> Segments:
    """How the text will be sent and in how many parts; an empty text is one part."""
    try:
        encoding, units = "gsm", len(encode(text))
    except UnicodeEncodeError:
        encoding, units = "ucs2", ucs2_units(text)
    if units <= SINGLE[encoding]:
        return Segments(encoding, units, 1)
    split = split_gsm if encoding == "gsm" else split_ucs2
    return Segments(encoding, units, len(split(text, CONCATENATED[encoding])))


def transliterate(text: str) -> str:
    """Typographic quotes, dashes and spaces as their plain kin, so that one of them does not double the price."""
    return text.translate(_TYPOGRAPHIC)
