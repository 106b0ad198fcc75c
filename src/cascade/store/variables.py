"""The values that an account stores for the placeholders of its texts."""

from collections.abc import Iterable
from operator import attrgetter

from cascade.core.placeholders import Slot, Variable
from cascade.store.database import Reader, Transaction

PUT = """
    INSERT INTO variable (account_id, type, id, value, updated_at_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account_id, type, id) DO UPDATE SET value = excluded.value, updated_at_ms = excluded.updated_at_ms
"""
VALUES = "SELECT id, value FROM variable WHERE account_id = ? AND type = ? AND id IN (*)"


async def put(tx: Transaction, account_id: int, variables: Iterable[Variable], now_ms: int) -> None:
    """Add or overwrite values. Of two for the same placeholder the later one counts."""
    in_order = sorted(variables, key=attrgetter("type", "id"))  # so that two requests never wait for each other
    await tx.many(PUT, [(account_id, one.type, one.id, one.value, now_ms) for one in in_order])


async def values(reader: Reader, account_id: int, slots: Iterable[Slot]) -> dict[Slot, str]:
    """The values that the account has for these placeholders."""
    by_type: dict[str, list[str]] = {}
    for type_, id_ in slots:
        by_type.setdefault(type_, []).append(id_)
    found = {}
    for type_, ids in by_type.items():
        for id_, value in await reader.rows(VALUES, (account_id, type_, ids)):
            found[Slot(type_, id_)] = value
    return found
