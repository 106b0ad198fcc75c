"""JSON Web Tokens, as much of them as providers ask for: RS256 to say who we are, HS256 to know who calls."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cascade.core.secret import Secret


def rsa_key(pem: str) -> RSAPrivateKey:
    """Raises ValueError when it is no private key of RSA, or one that wants a password."""
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("no private key in PEM") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not a key of RSA")
    return key


def rs256(claims: Mapping[str, Any], key: RSAPrivateKey) -> str:
    """The signed token."""
    signed = f"{_encode(orjson.dumps({'alg': 'RS256', 'typ': 'JWT'}))}.{_encode(orjson.dumps(claims))}"
    return f"{signed}.{_encode(key.sign(signed.encode(), PKCS1v15(), hashes.SHA256()))}"


def hs256_claims(token: str, secret: Secret) -> dict[str, Any]:
    """What a token says that this secret signed. Raises ValueError for any other."""
    signed, dot, signature = token.rpartition(".")
    head, middle, body = signed.partition(".")
    expected = hmac.new(secret.reveal().encode(), signed.encode(), hashlib.sha256).digest()
    if not dot or not middle or not hmac.compare_digest(_encode(expected).encode(), signature.encode()):
        raise ValueError("the signature does not fit the token")
    claims = orjson.loads(_decode(body))
    if orjson.loads(_decode(head)).get("alg") != "HS256" or not isinstance(claims, dict):
        raise ValueError("no claims signed by HS256")
    return claims


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
