"""Short links: where each leads, for which message, and how often it was followed.

A link is found by its code alone, as a receipt is by its provider's id: the code leads to the account.
"""

import os
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from cascade.core.short_links import ALPHABET, CODE_LENGTH
from cascade.store.database import Insertion, Reader, Transaction
from cascade.store.messages import Key

_EVEN: Final = 256 - 256 % len(ALPHABET)
_LETTERS: Final = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
_UNEVEN: Final = bytes(range(_EVEN, 256))
"""Bytes that would make some letters likelier than others."""


class NewLink(NamedTuple):
    """A link to store. `target` is ready for a `Location` header."""

    code: str
    key: Key
    target: str
    created_at_ms: int
    expires_at_ms: int


class Target(NamedTuple):
    """Where a code leads."""

    key: Key
    url: str


class Clicks(NamedTuple):
    """How a link was followed so far: by people, and by previews and crawlers. The times are those of people."""

    code: str
    target: str
    people: int
    machines: int
    first_at_ms: int | None
    last_at_ms: int | None


class Counted(NamedTuple):
    """Clicks to add to a link."""

    account_id: int
    code: str
    people: int
    machines: int
    first_at_ms: int | None
    last_at_ms: int | None


TAKEN = "SELECT code FROM short_link WHERE code IN (*)"
ADD = Insertion(
    "short_link",
    {
        "code": "text",
        "account_id": "bigint",
        "message_id": "bytea",
        "target": "text",
        "created_at_ms": "bigint",
        "expires_at_ms": "bigint",
    },
)
TARGET = "SELECT account_id, message_id, target FROM short_link WHERE code = ? AND expires_at_ms > ?"
COUNT = """
    UPDATE short_link SET clicks = clicks + ?, machine_clicks = machine_clicks + ?,
        first_click_at_ms = coalesce(first_click_at_ms, ?), last_click_at_ms = coalesce(?, last_click_at_ms)
    WHERE account_id = ? AND code = ?
"""
OF_MESSAGE = """
    SELECT code, target, clicks, machine_clicks, first_click_at_ms, last_click_at_ms FROM short_link
    WHERE account_id = ? AND message_id = ? ORDER BY created_at_ms, code
"""
PURGE = """
    DELETE FROM short_link
    WHERE code IN (SELECT code FROM short_link WHERE expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?)
"""


def random_codes(count: int) -> list[str]:
    """Codes from the system's generator: nobody can tell the next one from those before."""
    letters = b""
    wanted = count * CODE_LENGTH
    while len(letters) < wanted:
        letters += os.urandom(wanted - len(letters) + 16).translate(_LETTERS, _UNEVEN)
    text = letters.decode("ascii")
    return [text[start : start + CODE_LENGTH] for start in range(0, wanted, CODE_LENGTH)]


async def new_codes(reader: Reader, count: int) -> list[str]:
    """As many codes, each different and not in use."""
    fresh: dict[str, None] = {}
    while len(fresh) < count:
        some = random_codes(count - len(fresh))
        taken = {code for (code,) in await reader.rows(TAKEN, (some,))}
        fresh.update((code, None) for code in some if code not in taken)
    return list(fresh)


async def add(tx: Transaction, links: Sequence[NewLink]) -> None:
    """Store links, in the transaction that stores their messages."""
    await tx.insert(ADD, [(code, *key, target, created, expires) for code, key, target, created, expires in links])


async def target(reader: Reader, code: str, now_ms: int) -> Target | None:
    """Where a code leads; None when there is no such link, or no longer."""
    for account_id, message_id, url in await reader.rows(TARGET, (code, now_ms)):
        return Target(Key(account_id, message_id), url)
    return None


async def count(tx: Transaction, counted: Sequence[Counted]) -> None:
    """Add clicks to their links. A link that is gone counts nothing."""
    await tx.many(
        COUNT,
        [
            (people, machines, first, last, account_id, code)
            for account_id, code, people, machines, first, last in sorted(counted, key=attrgetter("code"))
        ],
    )


async def of_message(reader: Reader, key: Key) -> list[Clicks]:
    """The clicks on each short link of a message."""
    return [Clicks(*row) for row in await reader.rows(OF_MESSAGE, key)]


async def purge(tx: Transaction, limit: int, now_ms: int) -> int:
    """Forget up to `limit` links whose time is over; how many there were."""
    return await tx.execute(PURGE, (now_ms, limit))
