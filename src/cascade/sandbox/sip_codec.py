"""SIP as the sandbox's trunk reads and writes it.

Written apart from the gateway's own client, so that a misreading of the protocol on one side meets the other.

Source: RFC 3261; RFC 7616 and RFC 8760 for the digest.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

LONGEST_OCTETS: Final = 65_535
NUMBER: Final = re.compile(r"[0-9]{1,10}")
SHORT: Final = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
PHRASES: Final = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    500: "Server Internal Error",
    503: "Service Unavailable",
    607: "Unwanted",
}
HASHES: Final = {"MD5": "md5", "SHA-256": "sha256"}


class BadMessageError(Exception):
    """Octets that are not SIP."""


@dataclass(slots=True)
class Incoming:
    """A request as it came: `headers` by name in small letters, each with its values in order."""

    method: str
    uri: str
    headers: dict[str, list[str]]
    body: bytes = b""

    def one(self, name: str) -> str:
        """The first value; `BadMessageError` when there is none."""
        values = self.headers.get(name)
        if not values:
            raise BadMessageError(f"no {name}")
        return values[0]

    @property
    def branch(self) -> str:
        found = re.search(r";\s*branch\s*=\s*([^;,\s]+)", self.one("via"), re.IGNORECASE)
        if found is None:
            raise BadMessageError("no branch")
        return found[1]

    @property
    def sequence(self) -> int:
        """The number of CSeq, whose method must be the request's."""
        number, _, method = self.one("cseq").partition(" ")
        if not NUMBER.fullmatch(number) or method.strip() != self.method:
            raise BadMessageError("CSeq is not the request's")
        return int(number)

    @property
    def called(self) -> str:
        return user_part(self.uri)

    @property
    def caller(self) -> str:
        """Who the network says is calling: the asserted identity before From."""
        asserted = self.headers.get("p-asserted-identity")
        return user_part(asserted[0] if asserted else self.one("from"))


@dataclass(slots=True)
class StreamCutter:
    """Cuts what TCP brings into requests."""

    rest: bytes = field(default=b"")

    def cut(self, data: bytes) -> list[Incoming]:
        self.rest += data
        whole: list[Incoming] = []
        while True:
            self.rest = self.rest.lstrip(b"\r\n")
            head, end, body = self.rest.partition(b"\r\n\r\n")
            if not end:
                if len(head) > LONGEST_OCTETS:
                    raise BadMessageError("the headers do not end")
                return whole
            request = parse_head(head)
            length = request.one("content-length")
            if not NUMBER.fullmatch(length) or int(length) > LONGEST_OCTETS:
                raise BadMessageError("no length")
            if len(body) < int(length):
                return whole
            request.body, self.rest = body[: int(length)], body[int(length) :]
            whole.append(request)


def parse(datagram: bytes) -> Incoming:
    head, end, body = datagram.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not end:
        raise BadMessageError("the headers do not end")
    request = parse_head(head)
    length = request.headers.get("content-length", [str(len(body))])[0]
    if not NUMBER.fullmatch(length) or int(length) > len(body):
        raise BadMessageError("the body is cut off")
    request.body = body[: int(length)]
    return request


def parse_head(head: bytes) -> Incoming:
    try:
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode()).split("\r\n")
    except UnicodeDecodeError as error:
        raise BadMessageError("not UTF-8") from error
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] != "SIP/2.0":
        raise BadMessageError("not a request")
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadMessageError("not a header")
        name = name.strip().lower()
        headers.setdefault(SHORT.get(name, name), []).append(value.strip())
    return Incoming(words[0], words[1], headers)


def respond(request: Incoming, status: int, tag: str, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A response to the request, on the way it came (8.2.6); `tag` is ours, and stays the same for one call."""
    to = request.one("to")
    if status > 100 and ";tag=" not in to:
        to = f"{to};tag={tag}"
    lines = [f"SIP/2.0 {status} {PHRASES[status]}"]
    lines += [f"Via: {via}" for via in request.headers["via"]]
    lines += [f"From: {request.one('from')}", f"To: {to}"]
    lines += [f"Call-ID: {request.one('call-id')}", f"CSeq: {request.one('cseq')}"]
    lines += [f"{name}: {value}" for name, value in extra]
    return ("\r\n".join([*lines, "Server: cascade-sandbox", "Content-Length: 0"]) + "\r\n\r\n").encode()


def user_part(uri: str) -> str:
    """The phone in a SIP URI or name-addr."""
    found = re.search(r"sips?:([^@;>:]+)[^@>]*@", uri)
    if found is None:
        raise BadMessageError("no user in a URI")
    return found[1]


def challenge(realm: str, nonce: str, algorithm: str) -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth"'


def is_answered(header: str, method: str, realm: str, nonces: set[str], accounts: dict[str, str]) -> bool:
    """Whether the credentials are those of an account, for a nonce of ours."""
    given = {name.lower(): value.strip('"') for name, value in re.findall(r'(\w+)\s*=\s*("[^"]*"|[^\s,]+)', header)}
    password = accounts.get(given.get("username", ""))
    name = HASHES.get(given.get("algorithm", "MD5"))
    if password is None or name is None or given.get("nonce") not in nonces or given.get("realm") != realm:
        return False

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    try:
        middle = ":".join(given[part] for part in ("nonce", "nc", "cnonce", "qop"))
        secret = digest(f"{given['username']}:{realm}:{password}")
        wanted = digest(f"{secret}:{middle}:{digest(method + ':' + given['uri'])}")
        return hmac.compare_digest(wanted, given["response"])
    except KeyError:
        return False
