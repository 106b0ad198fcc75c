"""Who may come in: passwords, sessions in the store, and the proof that a change was asked for by our own page."""

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64encode
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from starlette.requests import Request

from cascade.console.parts import ConsoleParts
from cascade.store import console
from cascade.store.console import Done, Role, Session, User

COOKIE: Final = "cascade_session"
SIGN_IN_COOKIE: Final = "cascade_sign_in"
SEEN_EVERY_MS: Final = 60_000
SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 1_000
LONGEST_NAME: Final = 100
HASHER = PasswordHasher()  # argon2id as RFC 9106 has it for little memory: 64 MiB, 3 passes


def _of_no_password(hasher: PasswordHasher) -> str:
    """Like a hash of its, with random octets in the place of salt and digest: no password is known to fit."""
    salt, digest = (b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


NOBODY: Final = _of_no_password(HASHER)
"""Checked in place of a user that does not exist, so that the answer takes as long. It is made up: to hash a password
would cost every start of Cascade a tenth of its CPU."""
_turns = asyncio.Semaphore(2)
"""Each check takes 64 MiB: a flood of guesses must not take them all."""


class Visitor(NamedTuple):
    """A user who is in. `csrf` goes with every change that their pages ask for."""

    session: Session
    csrf: str

    @property
    def user(self) -> User:
        return self.session.user

    @property
    def role(self) -> Role:
        return self.session.user.role


class Refused(NamedTuple):
    """Name or password is wrong; with `wait_ms`, neither was looked at."""

    wait_ms: int = 0


async def hash_password(password: str) -> str:
    async with _turns:
        return await asyncio.to_thread(HASHER.hash, password)


async def is_password(user: User | None, password: str) -> bool:
    def check() -> bool:
        try:
            return HASHER.verify(NOBODY if user is None else user.password_hash, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False

    async with _turns:
        is_right = await asyncio.to_thread(check)
    return is_right and user is not None and user.is_enabled


async def sign_in(parts: ConsoleParts, name: str, password: str, host: str, agent: str) -> str | Refused:
    """The token of a new session; it is not kept, its digest is."""
    now_ms = parts.now_ms()
    async with parts.database.transaction() as tx:
        subjects = (("host", host), ("name", name[:LONGEST_NAME].casefold()))
        for kind, subject in subjects:
            wait_ms = await console.guess(tx, kind, subject, now_ms)
            if wait_ms:
                return Refused(wait_ms)
        user = await console.find_user(tx, name)
    if not await is_password(user, password) or user is None:
        async with parts.database.transaction() as tx:
            await console.audit(tx, Done(now_ms, name[:LONGEST_NAME], host, "sign_in_refused", None, ""))
        return Refused()
    token = secrets.token_urlsafe(32)
    async with parts.database.transaction() as tx:
        for kind, subject in subjects:
            await console.guessed_right(tx, kind, subject)
        await console.purge_sessions(tx, now_ms - parts.times.idle_ms, now_ms - parts.times.longest_ms)
        await console.add_session(tx, _digest(token), user.id, host, agent[:200], now_ms)
        await console.audit(tx, Done(now_ms, user.name, host, "signed_in", None, ""))
    return token


async def visitor(parts: ConsoleParts, request: Request) -> Visitor | None:
    """Who asks; None when they are not in, or no longer."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    now_ms = parts.now_ms()
    async with parts.database.reading() as reader:
        session = await console.find_session(reader, _digest(token))
    if session is None or not session.user.is_enabled:
        return None
    if now_ms - session.seen_at_ms > parts.times.idle_ms or now_ms - session.created_at_ms > parts.times.longest_ms:
        return None
    if now_ms - session.seen_at_ms > SEEN_EVERY_MS:
        async with parts.database.transaction() as tx:
            await console.session_seen(tx, session.digest, now_ms)
    return Visitor(session, csrf_of(token))


async def sign_out(parts: ConsoleParts, who: Visitor) -> None:
    async with parts.database.transaction() as tx:
        await console.end_session(tx, who.user.id, who.session.digest)


def csrf_of(token: str) -> str:
    """What a page proves itself by: made from the session's token, which no other site can read."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_from_here(request: Request) -> bool:
    """Whether the browser says that a page of ours asks. Old browsers say nothing: there the token alone decides."""
    site = request.headers.get("sec-fetch-site")
    return site is None or site in ("same-origin", "none")


def matches(given: str | None, expected: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
