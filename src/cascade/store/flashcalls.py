"""Flash calls: who calls each, and how often the typed digits were wrong."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from cascade.store.database import Insertion, Reader, Statement, Transaction
from cascade.store.messages import Key


class Flashcall(NamedTuple):
    """`caller` None: the provider chooses the number, and checks the digits. `digits`: how many of its last ones make
    the code. `wrong`: how many tries did not match; `matched_at_ms`: when one did."""

    key: Key
    caller: str | None
    digits: int
    wrong: int = 0
    matched_at_ms: int | None = None


ADD = Insertion(
    "flashcall",
    {"account_id": "bigint", "message_id": "bytea", "caller": "text", "digits": "int"},
)
# Two requests that call one phone at the same time must not choose alike. SQLite has one writer in any case.
LOCK = Statement(
    sqlite="SELECT 1 WHERE ? IS NOT NULL",
    postgres="SELECT pg_advisory_xact_lock(hashtextextended('flashcall ' || (?::bigint)::text, 0))",
)
LAST_CALLERS = "SELECT phone, caller FROM last_caller WHERE account_id = ? AND phone IN (*)"
REMEMBER = Insertion(
    "last_caller",
    {"account_id": "bigint", "phone": "text", "caller": "text"},
    "ON CONFLICT (account_id, phone) DO UPDATE SET caller = excluded.caller",
)
FIND = """
    SELECT message_id, caller, digits, wrong, matched_at_ms FROM flashcall
    WHERE account_id = ? AND message_id IN (*)
"""
# The guard is read under the row's lock, so of many tries at once none goes beyond the limit.
_OPEN = "account_id = ? AND message_id = ? AND matched_at_ms IS NULL AND wrong < ?"
MATCH = f"UPDATE flashcall SET matched_at_ms = ? WHERE {_OPEN}"  # noqa: S608 - constants only
MISS = f"UPDATE flashcall SET wrong = wrong + 1 WHERE {_OPEN}"  # noqa: S608

FORGIVE = "UPDATE flashcall SET wrong = wrong - 1 WHERE account_id = ? AND message_id = ? AND wrong > 0"


async def last_callers(tx: Transaction, account_id: int, phones: Collection[str]) -> dict[str, str]:
    """Who was last chosen to call each phone of the account; a phone that nobody called is not in it. Until the
    transaction ends no other chooses a caller for the account."""
    await tx.rows(LOCK, (account_id,))
    return dict(await tx.rows(LAST_CALLERS, (account_id, list(phones))))


async def remember_callers(tx: Transaction, account_id: int, callers: Mapping[str, str]) -> None:
    """Who was chosen to call each phone."""
    await tx.insert(REMEMBER, [(account_id, phone, caller) for phone, caller in callers.items()])


async def add(tx: Transaction, calls: Iterable[Flashcall]) -> None:
    """Store them with their messages."""
    await tx.insert(ADD, [(*call.key, call.caller, call.digits) for call in calls])


async def find(reader: Reader, account_id: int, message_ids: Collection[bytes]) -> Mapping[bytes, Flashcall]:
    """Those of the account's messages that are flash calls, by id."""
    rows = await reader.rows(FIND, (account_id, list(message_ids)))
    return {id_: Flashcall(Key(account_id, id_), *rest) for id_, *rest in rows}


async def match(tx: Transaction, key: Key, most_wrong: int, now_ms: int) -> bool:
    """Write down that the right digits were typed; whether that counted: once, and not after `most_wrong` others."""
    return await tx.execute(MATCH, (now_ms, *key, most_wrong)) > 0


async def miss(tx: Transaction, key: Key, most_wrong: int) -> bool:
    """The same of wrong ones."""
    return await tx.execute(MISS, (*key, most_wrong)) > 0


async def forgive(tx: Transaction, key: Key) -> None:
    """Take back one wrong try: nothing was compared after all."""
    await tx.execute(FORGIVE, key)
