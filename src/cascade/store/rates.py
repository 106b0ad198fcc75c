"""What is left of accounts' requests, where several nodes take them. Counted by the store's clock. PostgreSQL's."""

from typing import NamedTuple

from cascade.core.directory import Rate
from cascade.store.database import Transaction
from cascade.store.nodes import NOW_MS

ADD = f"""
    INSERT INTO request_bucket (account_id, kind, tokens, filled_at_ms) VALUES (?, ?, ?, {NOW_MS})
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants only, here and below
HOLD = f"""
    SELECT tokens, filled_at_ms, {NOW_MS} FROM request_bucket WHERE account_id = ? AND kind = ? FOR UPDATE
"""  # noqa: S608
WRITE = "UPDATE request_bucket SET tokens = ?, filled_at_ms = ? WHERE account_id = ? AND kind = ?"


class Wanted(NamedTuple):
    account_id: int
    kind: str
    rate: Rate
    tokens: int


class Taken(NamedTuple):
    """`left` is what remains in the bucket."""

    tokens: int
    left: float


async def take(tx: Transaction, account_id: int, kind: str, rate: Rate, wanted: int) -> Taken:
    """Take up to so many tokens out of a bucket that refills; a new one is full. Whoever else takes waits meanwhile."""
    rows = await tx.rows(HOLD, (account_id, kind))
    if not rows:
        await tx.execute(ADD, (account_id, kind, float(rate.burst)))
        rows = await tx.rows(HOLD, (account_id, kind))
    [(tokens, filled_at_ms, now_ms)] = rows
    filled = min(tokens + max(now_ms - filled_at_ms, 0) * rate.per_s / 1000, float(rate.burst))
    taken = min(wanted, int(filled))
    await tx.execute(WRITE, (filled - taken, now_ms, account_id, kind))
    return Taken(taken, filled - taken)
