"""What the loops learn, decided and written by the store, and counted."""

from collections.abc import Mapping, Sequence

from cascade.engine import metrics
from cascade.store import decisions
from cascade.store.database import Transaction
from cascade.store.decisions import News
from cascade.store.messages import Change, Key, Stored

__all__ = ["News", "apply"]


async def apply(tx: Transaction, news: Sequence[News], known: Mapping[Key, Stored]) -> list[Change]:
    """Decide each event in the order given, write what follows, count it. See `cascade.store.decisions.apply`."""
    changes = await decisions.apply(tx, news, known)
    metrics.count(changes)
    return changes
