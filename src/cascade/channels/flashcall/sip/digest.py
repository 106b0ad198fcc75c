"""HTTP Digest as SIP uses it: the answer to a 401 or 407.

Source: RFC 3261, 22.4; RFC 7616 for SHA-256; RFC 8760 for both at once.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cascade.channels.flashcall.sip.message import Response, split_list, unquoted
from cascade.core.secret import Secret

_HASHES: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    "SHA-256": hashlib.sha256,
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
}
"""The strongest first."""
_ANSWERS = {401: ("www-authenticate", "Authorization"), 407: ("proxy-authenticate", "Proxy-Authorization")}


@dataclass(frozen=True, slots=True)
class Challenge:
    """`is_stale`: the credentials were right, and only the nonce has aged."""

    realm: str
    nonce: str
    algorithm: str
    has_qop: bool
    opaque: str | None
    is_stale: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: Secret


def new_cnonce() -> str:
    return secrets.token_hex(8)


def challenge_of(response: Response) -> Challenge | None:
    """The strongest challenge that can be answered; None where there is none."""
    name, _ = _ANSWERS[response.status]
    found = [challenge for value in response.headers.all(name) if (challenge := _read(value)) is not None]
    order = list(_HASHES)
    return min(found, key=lambda each: order.index(_base(each.algorithm)), default=None)


def answer(
    status: int, challenge: Challenge, credentials: Credentials, method: str, uri: str, cnonce: str
) -> tuple[str, str]:
    """The header that answers it: name and value. Each nonce is used once, so its count is always 1."""
    hashed = _HASHES[_base(challenge.algorithm)]

    def digest(*parts: str) -> str:
        return hashed(":".join(parts).encode()).hexdigest()

    secret = digest(credentials.username, challenge.realm, credentials.password.reveal())
    if challenge.algorithm.endswith("-SESS"):
        secret = digest(secret, challenge.nonce, cnonce)
    asked = digest(method, uri)
    fields = {
        "username": _quoted(credentials.username),
        "realm": _quoted(challenge.realm),
        "nonce": _quoted(challenge.nonce),
        "uri": _quoted(uri),
        "algorithm": challenge.algorithm.replace("-SESS", "-sess"),
    }
    if challenge.has_qop:
        fields["response"] = _quoted(digest(secret, challenge.nonce, "00000001", cnonce, "auth", asked))
        fields |= {"qop": "auth", "nc": "00000001", "cnonce": _quoted(cnonce)}
    else:
        fields["response"] = _quoted(digest(secret, challenge.nonce, asked))
        if challenge.algorithm.endswith("-SESS"):
            fields["cnonce"] = _quoted(cnonce)
    if challenge.opaque is not None:
        fields["opaque"] = _quoted(challenge.opaque)
    return _ANSWERS[status][1], "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def _read(value: str) -> Challenge | None:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    fields = _fields(split_list(rest))
    algorithm = fields.get("algorithm", "MD5").upper()
    qops = [word.strip().lower() for word in fields["qop"].split(",")] if "qop" in fields else []
    if "nonce" not in fields or _base(algorithm) not in _HASHES or (qops and "auth" not in qops):
        return None
    return Challenge(
        fields.get("realm", ""),
        fields["nonce"],
        algorithm,
        bool(qops),
        fields.get("opaque"),
        fields.get("stale", "").lower() == "true",
    )


def _fields(pairs: Iterable[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        fields.setdefault(name.strip().lower(), unquoted(value.strip()))
    return fields


def _base(algorithm: str) -> str:
    return algorithm.removesuffix("-SESS")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
