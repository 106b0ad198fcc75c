"""Who wants no more advertising from an account, on no channel.

Of a person who was erased stays a digest: they are not written to again, and nobody reads their number here.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from cascade.store.database import Reader, Statement, Transaction, unnest


class OptOut(NamedTuple):
    """`link` is where the person said so; None: the account entered it."""

    phone: str
    link: str | None
    at_ms: int


ADD = Statement(
    "INSERT INTO opt_out (account_id, phone, link, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
    f"""
    INSERT INTO opt_out (account_id, phone, link, at_ms) SELECT * FROM {unnest("bigint", "text", "text", "bigint")}
    ON CONFLICT DO NOTHING
    """,  # noqa: S608 - constants only
)
KEEP = """
    INSERT INTO opt_out (account_id, phone, link, at_ms)
    SELECT account_id, ?, link, at_ms FROM opt_out WHERE account_id = ? AND phone = ? ON CONFLICT DO NOTHING
"""
REMOVE = "DELETE FROM opt_out WHERE account_id = ? AND phone IN (?, ?)"
ANY = "SELECT 1 FROM opt_out WHERE account_id = ? LIMIT 1"
AMONG = "SELECT phone FROM opt_out WHERE account_id = ? AND phone IN (*)"
ANY_DIGEST = "SELECT 1 FROM opt_out WHERE account_id = ? AND phone >= '#' AND phone < '$' LIMIT 1"
LIST = "SELECT phone, link, at_ms FROM opt_out WHERE account_id = ? AND phone > ? ORDER BY phone LIMIT ?"
ONE = "SELECT link, at_ms FROM opt_out WHERE account_id = ? AND phone IN (*)"


async def add(tx: Transaction, account_id: int, some: Iterable[OptOut]) -> int:
    """Remember these; how many are new. The first word of a person counts."""
    in_order = sorted(some, key=lambda one: one.phone)  # so that two nodes never wait for each other
    return await tx.many(ADD, [(account_id, *one) for one in in_order])


async def remove(tx: Transaction, account_id: int, phone: str) -> bool:
    """Whether there was one."""
    return await tx.execute(REMOVE, (account_id, phone, _digest(account_id, phone))) > 0


async def erase(tx: Transaction, account_id: int, phone: str) -> None:
    """Keep the person's wish, and not their number."""
    await tx.execute(KEEP, (_digest(account_id, phone), account_id, phone))
    await tx.execute(REMOVE, (account_id, phone, phone))


async def among(reader: Reader, account_id: int, phones: Collection[str]) -> frozenset[str]:
    """Those of the phones that want no advertising. An account without opt-outs costs one look, one without erased
    persons one more."""
    if not phones or not await reader.rows(ANY, (account_id,)):
        return frozenset()
    sought = {phone: phone for phone in phones}
    if await reader.rows(ANY_DIGEST, (account_id,)):
        sought |= {_digest(account_id, phone): phone for phone in phones}
    return frozenset(sought[found] for (found,) in await reader.rows(AMONG, (account_id, list(sought))))


async def page(reader: Reader, account_id: int, phone: str | None, after: str, limit: int) -> list[OptOut]:
    """Up to `limit` of the account's behind that phone, or the one of `phone`. Who was erased is in no list."""
    if phone is not None:
        rows = await reader.rows(ONE, (account_id, [phone, _digest(account_id, phone)]))
        return [OptOut(phone, *row) for row in rows[:1]]
    return [OptOut(*row) for row in await reader.rows(LIST, (account_id, after or "+", limit))]


def _digest(account_id: int, phone: str) -> str:
    """Before every phone in the order of the table. Another one in each account."""
    return f"#{hashlib.sha256(f'{account_id} {phone}'.encode()).hexdigest()}"
