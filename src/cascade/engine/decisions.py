"""What the loops learn, decided and written by the store, and counted."""

from collections.abc import Mapping, Sequence

from cascade.engine import metrics
from cascade.store import decisions
from cascade.store.database import Database, Transaction
from cascade.store.decisions import News
from cascade.store.messages import Change, Key, Stored
from cascade.store.receipts import Sent

__all__ = ["News", "apply", "settle"]


async def apply(
    tx: Transaction, news: Sequence[News], known: Mapping[Key, Stored], sent: Sequence[Sent] = ()
) -> list[Change]:
    """Decide each event in the order given, write what follows, count it. See `cascade.store.decisions.apply`."""
    changes = await decisions.apply(tx, news, known, sent)
    metrics.count(changes)
    return changes


async def settle(
    database: Database, news: Sequence[News], known: Mapping[Key, Stored], sent: Sequence[Sent] = ()
) -> list[Change]:
    """The same in transactions of its own, for whoever can find out afterwards how far it came when it fails."""
    changes, (news, sent) = await decisions.apply_at_once(database, news, known, sent)
    metrics.count(changes)
    if news or sent:
        async with database.transaction() as tx:
            changes += await apply(tx, news, known, sent)
    return changes
