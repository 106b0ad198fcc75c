"""The console's own tables: users, their sessions, vain attempts to come in, and who changed what."""

from enum import StrEnum
from typing import NamedTuple

from cascade.core.errors import CascadeError
from cascade.store.database import Reader, Row, Transaction


class UnknownUserError(CascadeError):
    """No user of the console has this name; `cascade console list` names them."""


class Role(StrEnum):
    """What a user of the console may do; each may do what those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # change what is on its way: send, cancel, deliver again
    ADMIN = "admin"  # change who may do what: accounts, keys, bots, users

    def may(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


class User(NamedTuple):
    id: int
    name: str
    password_hash: str
    role: Role
    is_enabled: bool
    created_at_ms: int


class Session(NamedTuple):
    """`digest` is of the token, which nobody but the browser has. `host` and `agent`: from where it was begun."""

    digest: bytes
    user: User
    created_at_ms: int
    seen_at_ms: int
    host: str
    agent: str


class Done(NamedTuple):
    """A line of the audit log. `account_id` None: it concerns no account, or all of them."""

    at_ms: int
    who: str
    host: str
    action: str
    account_id: int | None
    object: str


USER_COLUMNS = "id, name, password_hash, role, is_enabled, created_at_ms"
USERS = f"SELECT {USER_COLUMNS} FROM console_user ORDER BY name"  # noqa: S608 - constants only
USER = f"SELECT {USER_COLUMNS} FROM console_user WHERE name = ?"  # noqa: S608
ADD_USER = """
    INSERT INTO console_user (name, password_hash, role, created_at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
SESSION_COLUMNS = """session.digest, console_user.id, console_user.name, password_hash, role, is_enabled,
    console_user.created_at_ms, session.created_at_ms, seen_at_ms, host, agent"""
SESSION = f"""
    SELECT {SESSION_COLUMNS} FROM console_session AS session JOIN console_user ON console_user.id = session.user_id
    WHERE session.digest = ?
"""  # noqa: S608
SESSIONS = f"""
    SELECT {SESSION_COLUMNS} FROM console_session AS session JOIN console_user ON console_user.id = session.user_id
    WHERE session.user_id = ? ORDER BY session.seen_at_ms DESC
"""  # noqa: S608
ADD_SESSION = """
    INSERT INTO console_session (digest, user_id, created_at_ms, seen_at_ms, host, agent) VALUES (?, ?, ?, ?, ?, ?)
"""
PURGE_SESSIONS = "DELETE FROM console_session WHERE seen_at_ms < ? OR created_at_ms < ?"
# Changes nothing, but holds the row: two guesses at once are counted one after the other.
HOLD = """
    INSERT INTO console_throttle (subject, failures, last_at_ms) VALUES (?, 0, 0)
    ON CONFLICT (subject) DO UPDATE SET failures = console_throttle.failures
"""
FAILURES = "SELECT failures, last_at_ms FROM console_throttle WHERE subject = ?"
COUNT_FAILURE = "UPDATE console_throttle SET failures = ?, last_at_ms = ? WHERE subject = ?"
AUDIT = "INSERT INTO console_audit (at_ms, who, host, action, account_id, object) VALUES (?, ?, ?, ?, ?, ?)"
AUDITED = """
    SELECT id, at_ms, who, host, action, account_id, object FROM console_audit WHERE id < ? ORDER BY id DESC LIMIT ?
"""

FORGET_FAILURES_MS = 3_600_000
LONGEST_WAIT_MS = 900_000
FREE_FAILURES = {"name": 5, "host": 20}
"""How often a guess for one name, or from one address, may be wrong before the next has to wait: twice as long each
time. Waiting, not locking: nobody can shut a user out for good."""


async def users(reader: Reader) -> list[User]:
    return [_user(row) for row in await reader.rows(USERS)]


async def find_user(reader: Reader, name: str) -> User | None:
    rows = await reader.rows(USER, (name,))
    return _user(rows[0]) if rows else None


async def known_user(reader: Reader, name: str) -> User:
    user = await find_user(reader, name)
    if user is None:
        raise UnknownUserError(f"no user of the console is named {name!r}; `cascade console list` names them")
    return user


async def add_user(tx: Transaction, name: str, password_hash: str, role: Role, now_ms: int) -> bool:
    """False when there is one of that name, who stays as they are."""
    return bool(await tx.execute(ADD_USER, (name, password_hash, role.value, now_ms)))


async def set_password(tx: Transaction, user_id: int, password_hash: str, *, keep: bytes | None = None) -> None:
    """And end the user's sessions, all but the one of the digest `keep`."""
    await tx.execute("UPDATE console_user SET password_hash = ? WHERE id = ?", (password_hash, user_id))
    await tx.execute("DELETE FROM console_session WHERE user_id = ? AND digest <> ?", (user_id, keep or b""))


async def enable(tx: Transaction, user_id: int, *, is_enabled: bool) -> None:
    """Disabling ends the user's sessions."""
    await tx.execute("UPDATE console_user SET is_enabled = ? WHERE id = ?", (is_enabled, user_id))
    if not is_enabled:
        await tx.execute("DELETE FROM console_session WHERE user_id = ?", (user_id,))


async def set_role(tx: Transaction, user_id: int, role: Role) -> None:
    await tx.execute("UPDATE console_user SET role = ? WHERE id = ?", (role.value, user_id))


async def add_session(tx: Transaction, digest: bytes, user_id: int, host: str, agent: str, now_ms: int) -> None:
    await tx.execute(ADD_SESSION, (digest, user_id, now_ms, now_ms, host, agent))


async def find_session(reader: Reader, digest: bytes) -> Session | None:
    rows = await reader.rows(SESSION, (digest,))
    return _session(rows[0]) if rows else None


async def sessions(reader: Reader, user_id: int) -> list[Session]:
    """The one seen last comes first."""
    return [_session(row) for row in await reader.rows(SESSIONS, (user_id,))]


async def session_seen(tx: Transaction, digest: bytes, now_ms: int) -> None:
    await tx.execute("UPDATE console_session SET seen_at_ms = ? WHERE digest = ?", (now_ms, digest))


async def end_session(tx: Transaction, user_id: int, digest: bytes) -> None:
    await tx.execute("DELETE FROM console_session WHERE user_id = ? AND digest = ?", (user_id, digest))


async def purge_sessions(tx: Transaction, seen_before_ms: int, begun_before_ms: int) -> None:
    await tx.execute(PURGE_SESSIONS, (seen_before_ms, begun_before_ms))


async def guess(tx: Transaction, kind: str, subject: str, now_ms: int) -> int:
    """Count a guess as failed, until `guessed_right` says otherwise. Returns 0, or how long the next one has to wait in
    milliseconds: then this one is not counted and must not be looked at."""
    key = f"{kind}:{subject}"
    await tx.execute(HOLD, (key,))
    [(failures, last_at_ms)] = await tx.rows(FAILURES, (key,))
    if now_ms - last_at_ms > FORGET_FAILURES_MS:
        failures = 0
    over = failures - FREE_FAILURES[kind]
    wait_ms = last_at_ms + min(1_000 << min(over, 20), LONGEST_WAIT_MS) - now_ms if over >= 0 else 0
    if wait_ms > 0:
        return int(wait_ms)
    await tx.execute(COUNT_FAILURE, (failures + 1, now_ms, key))
    return 0


async def forget_failures(tx: Transaction, now_ms: int) -> None:
    """Those that count no longer."""
    await tx.execute("DELETE FROM console_throttle WHERE last_at_ms < ?", (now_ms - FORGET_FAILURES_MS,))


async def guessed_right(tx: Transaction, kind: str, subject: str) -> None:
    await tx.execute("DELETE FROM console_throttle WHERE subject = ?", (f"{kind}:{subject}",))


async def audit(tx: Transaction, done: Done) -> None:
    """Write down who changed what, in the transaction that changes it."""
    await tx.execute(AUDIT, done)


async def audited(reader: Reader, before_id: int, limit: int) -> list[tuple[int, Done]]:
    """The newest first, with the number under which a longer list goes on."""
    return [(row[0], Done(*row[1:])) for row in await reader.rows(AUDITED, (before_id, limit))]


def _user(row: Row) -> User:
    id_, name, password_hash, role, is_enabled, created_at_ms = row
    return User(id_, name, password_hash, Role(role), bool(is_enabled), created_at_ms)


def _session(row: Row) -> Session:
    return Session(row[0], _user(row[1:7]), *row[7:])
