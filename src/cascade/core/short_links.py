"""Short links: the form of their codes, where they may lead, and who follows them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Base62 without the look-alikes 0, O, I, l and 1; each costs one septet in an SMS."""
CODE_LENGTH: Final = 8
"""57^8 codes: a guess at random meets one of ten million links once in eleven million tries."""
MAX_URL: Final = 2_048

_CODE = re.compile(f"[{ALPHABET}]{{{CODE_LENGTH}}}")
_URL = re.compile(
    r"(https?)://"
    r"(?:([\w.-]+)|(\[[0-9a-f:.]+\]))"
    r"(:[0-9]{1,5})?"
    r"([/?#][^\x00-\x20\x7f-\x9f\s\ud800-\udfff]*)?",
    re.IGNORECASE,
)
_ASCII_HOST = re.compile(r"[A-Za-z0-9._-]+")
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

# Previews and crawlers by their own names. iMessage calls itself facebookexternalhit. CUBOT is a telephone.
_MACHINE = re.compile(
    r"(?<!cu)bot\b|crawl|spider|preview|facebookexternalhit|facebot|meta-external|whatsapp|viber|slack-img|"
    r"google-|-google|googleother|googleimageproxy|vkshare|embedly|headless|cfnetwork|okhttp",
    re.IGNORECASE,
)
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_AHEAD = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)


class Click(NamedTuple):
    """Somebody or something followed a link. `is_machine`: it said so itself."""

    account_id: int
    message_id: bytes
    code: str
    target: str
    at_ms: int
    is_machine: bool


def is_code(text: str) -> bool:
    return _CODE.fullmatch(text) is not None


def redirect_target(url: str) -> str | None:
    """The URL as a `Location` header holds it; None when it is no http(s) URL of at most 2048 characters.

    A URL in visible ASCII is given back as it came. What else a client may write, as people do, is encoded as browsers
    do it: a host by IDNA, the rest by per cent signs. A user or password is refused: `https://bank.example@evil.example`.
    """
    if len(url) > MAX_URL:
        return None
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme, name, address, port, rest = match.groups(default="")
    host = _ascii_host(name) if name else address
    if host is None:
        return None
    return f"{scheme}://{host}{port}{quote(rest, safe=_VISIBLE)}"


def is_machine(headers: Mapping[str, str]) -> bool:
    """Whether a request says of itself that no person made it. `headers` in lower case; nameless ones count as such."""
    agent = headers.get("user-agent", "")
    return (
        not agent
        or _MACHINE.search(agent) is not None
        or any(_AHEAD.search(headers.get(name, "")) for name in _PURPOSES)
    )


def is_too_soon(click_at_ms: int, sent_at_ms: Iterable[int], preview_ms: int) -> bool:
    """Whether a click came so soon after a sending that no person can have made it."""
    return any(0 <= click_at_ms - at_ms < preview_ms for at_ms in sent_at_ms)


def _ascii_host(name: str) -> str | None:
    if name.isascii():  # an empty label, or one of more than 63 characters, names no host (RFC 1035, 2.3.4)
        return name if all(0 < len(label) < 64 for label in name.removesuffix(".").split(".")) else None
    try:
        host = name.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return host if _ASCII_HOST.fullmatch(host) else None
