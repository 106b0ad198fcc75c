"""SIP messages as bytes: what a caller sends, and what it must understand.

Source: RFC 3261, sections 7, 18.3, 20 and 25. Text that is not UTF-8 is kept as well as it can be, so that no octet of
a peer makes us fail.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cascade.core.errors import CascadeError

VERSION = "SIP/2.0"
MAGIC = "z9hG4bK"
"""How the branch of every RFC 3261 transaction begins (8.1.1.7)."""
MAX_HEAD_OCTETS = 32 * 1024
MAX_BODY_OCTETS = 64 * 1024
MAX_HEADERS = 256
MAX_CSEQ = 2**31 - 1

COMPACT = {
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "s": "subject",
    "t": "to",
    "v": "via",
}
LISTS = frozenset({"via", "route", "record-route", "contact"})
"""Headers of which one line may hold several values, divided by commas (7.3.1)."""

_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
_REQUEST = re.compile(r"([A-Za-z0-9.!%*_+`'~-]+) (\S+) SIP/2\.0", re.IGNORECASE)
_CSEQ = re.compile(r"([0-9]{1,10})\s+(\S+)")
_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*(\S+)\s+([^;\s]+)\s*(.*)", re.IGNORECASE | re.DOTALL)
_URI = re.compile(r"[!-~]*:[!-~]*")
_FORBIDDEN = re.compile(r"[\r\n\0]")


class SipError(CascadeError):
    """The peer's octets are not SIP. Over UDP it spoils one message."""


class SipStreamError(SipError):
    """Where the next message begins is unknown: close the connection."""


class Headers(tuple[tuple[str, str], ...]):
    """Names and values in the order of the wire, each name as it was written."""

    __slots__ = ()

    def all(self, name: str) -> list[str]:
        """Every value, several in one line taken apart; `name` in small letters."""
        values: list[str] = []
        for written, value in self:
            if _plain(written) == name:
                values += split_list(value) if name in LISTS else [value]
        return values

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


class Request(NamedTuple):
    method: str
    uri: str
    headers: Headers
    body: bytes = b""


class Response(NamedTuple):
    status: int
    reason: str
    headers: Headers
    body: bytes = b""


Message = Request | Response


class Via(NamedTuple):
    """One hop. `params` by name in small letters; a name without a value has an empty one."""

    protocol: str
    sent_by: str
    params: dict[str, str]


def encode(message: Message) -> bytes:
    """The whole message with its `Content-Length`. Raises `SipError` when a line would be two, or hold a NUL."""
    if isinstance(message, Request):
        start = f"{message.method} {message.uri} {VERSION}"
    else:
        start = f"{VERSION} {message.status} {message.reason}"
    lines = [start, *(f"{name}: {value}" for name, value in message.headers)]
    if any(_FORBIDDEN.search(line) for line in lines):
        raise SipError("a line of the message would hold a line break or a NUL")
    lines += [f"Content-Length: {len(message.body)}", "", ""]
    return "\r\n".join(lines).encode() + message.body


def decode(data: bytes) -> Message:
    """A datagram. What follows the announced length is dropped (18.3). Raises `SipError`."""
    data = data.lstrip(b"\r\n")
    head, end, body = _divide(data)
    if not end:
        raise SipError("the headers have no end")
    message = _decode_head(head)
    length = _content_length(message.headers)
    if length is None:
        return _with_body(message, body)
    if length > len(body):
        raise SipError("the body is shorter than Content-Length")
    return _with_body(message, body[:length])


class StreamReader:
    """Cuts a stream into messages, however the reads fall."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises `SipStreamError`, after the good ones, when it cannot go on."""
        rest = self._rest + data
        self._rest = b""
        while True:
            rest = rest.lstrip(b"\r\n")  # keep-alives (RFC 5626, 4.4.1)
            head, end, body = _divide(rest)
            if not end:
                if len(rest) > MAX_HEAD_OCTETS:
                    raise SipStreamError("the headers do not end")
                break
            try:
                message = _decode_head(head)
                length = _content_length(message.headers)
            except SipError as error:
                raise SipStreamError(str(error)) from error
            if length is None:
                raise SipStreamError("a message without Content-Length on a stream")
            if len(body) < length:
                break
            yield _with_body(message, body[:length])
            rest = body[length:]
        self._rest = rest


def split_list(value: str) -> list[str]:
    """The values of a list header; commas in quotes and angle brackets divide nothing."""
    return [part for part in (part.strip() for part in _split(value, ",")) if part]


def params_of(text: str) -> dict[str, str]:
    """`;name=value` pairs, quotes taken away; of a repeated name the first counts."""
    params: dict[str, str] = {}
    for pair in _split(text, ";"):
        name, _, value = pair.partition("=")
        name = name.strip().lower()
        if name:
            params.setdefault(name, unquoted(value.strip()))
    return params


def unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return value


def via_of(message: Message) -> Via:
    """The topmost hop. Raises `SipError` when there is none that can be read."""
    match = _VIA.fullmatch(message.headers.first("via") or "")
    if match is None:
        raise SipError("no Via that can be read")
    return Via(match[1].upper(), match[2], params_of(match[3]))


def cseq_of(message: Message) -> tuple[int, str]:
    """Number and method. Raises `SipError`."""
    match = _CSEQ.fullmatch((message.headers.first("cseq") or "").strip())
    if match is None or int(match[1]) > MAX_CSEQ:
        raise SipError("no CSeq that can be read")
    return int(match[1]), match[2].upper()


def call_id_of(message: Message) -> str:
    """Raises `SipError` when there is none."""
    call_id = (message.headers.first("call-id") or "").strip()
    if not call_id:
        raise SipError("no Call-ID")
    return call_id


def tag_of(value: str) -> str | None:
    """The tag of a From or To."""
    return params_of(_after_address(value)).get("tag")


def uri_of(value: str) -> str | None:
    """The URI of a From, To, Contact or Route, out of its angle brackets; None where there is none that can stand in
    a request's first line."""
    opened = next((place for place, char in _unquoted_chars(value) if char == "<"), None)
    if opened is None:
        uri = value.partition(";")[0].strip()
    else:
        uri, closed, _ = value[opened + 1 :].partition(">")
        uri = uri.strip() if closed else ""
    return uri if _URI.fullmatch(uri) else None


def user_of(uri: str) -> str | None:
    """The user part of a SIP URI, its parameters left out."""
    scheme, _, rest = uri.partition(":")
    user, at, _ = rest.partition("@")
    if scheme.lower() not in ("sip", "sips") or not at:
        return None
    return user.partition(":")[0].partition(";")[0]


def _after_address(value: str) -> str:
    closed = next((place for place, char in _unquoted_chars(value) if char == ">"), None)
    return value[closed + 1 :] if closed is not None else value.partition(";")[2]


def _unquoted_chars(value: str) -> Iterator[tuple[int, str]]:
    """The characters outside of quotes, with their places."""
    is_quoted = is_escaped = False
    for place, char in enumerate(value):
        if is_escaped:
            is_escaped = False
        elif is_quoted:
            is_escaped = char == "\\"
            is_quoted = char != '"'
        elif char == '"':
            is_quoted = True
        else:
            yield place, char


def _split(value: str, divider: str) -> Iterable[str]:
    depth = start = 0
    for place, char in _unquoted_chars(value):
        if char == "<":
            depth += 1
        elif char == ">":
            depth = max(depth - 1, 0)
        elif char == divider and depth == 0:
            yield value[start:place]
            start = place + 1
    yield value[start:]


def _divide(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Head and body. Some peers end their lines with LF alone."""
    found = [(data.find(end), end) for end in (b"\r\n\r\n", b"\n\n")]
    place, end = min(((place, end) for place, end in found if place >= 0), default=(-1, b""))
    return (data[:place], end, data[place + len(end) :]) if place >= 0 else (data, b"", b"")


def _decode_head(head: bytes) -> Message:
    if len(head) > MAX_HEAD_OCTETS:
        raise SipError("the headers are too long")
    lines: list[str] = []
    for line in head.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and len(lines) > 1:  # folded (7.3.1)
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    if len(lines) > MAX_HEADERS:
        raise SipError("there are too many headers")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise SipError("a header is not `Name: value`")
        headers.append((name, value))
    if status := _STATUS.fullmatch(lines[0]):
        return Response(int(status[1]), (status[2] or "").strip(), Headers(headers))
    if request := _REQUEST.fullmatch(lines[0]):
        return Request(request[1], request[2], Headers(headers))
    raise SipError("the first line is neither a request's nor a response's")


def _content_length(headers: Headers) -> int | None:
    value = headers.first("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 10) or int(value) > MAX_BODY_OCTETS:
        raise SipError("Content-Length is no length that we take")
    return int(value)


def _with_body(message: Any, body: bytes) -> Message:
    replaced: Message = message._replace(body=body)
    return replaced


def _plain(name: str) -> str:
    name = name.lower()
    return COMPACT.get(name, name)
