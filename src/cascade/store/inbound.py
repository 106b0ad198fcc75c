"""What people told us, as it came: stored before the provider is told that we have it, and worked by the engine."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cascade.core.inbound import Inbound, InboundKind
from cascade.core.node import ALONE, Share
from cascade.store.database import Reader, Row, Statement, Transaction
from cascade.store.texts import storable


class Told(NamedTuple):
    """One thing in the inbox. `id` is ours."""

    id: int
    link: str
    inbound: Inbound
    received_at_ms: int


# A provider repeats a call that it did not see answered: the first one counts.
ADD = """
    INSERT INTO inbound (link, provider_id, kind, address, text, payload, reply_to, phone, profile, received_at_ms,
        due_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (link, provider_id) DO NOTHING
"""
_COLUMNS = "id, link, provider_id, kind, address, text, payload, reply_to, phone, profile, received_at_ms"
DUE = f"SELECT {_COLUMNS} FROM inbound WHERE due_at_ms <= ? ORDER BY due_at_ms, id LIMIT ?"  # noqa: S608
DUE_SHARE = f"""
    SELECT {_COLUMNS} FROM inbound WHERE due_at_ms <= ? AND id % ? = ? ORDER BY due_at_ms, id LIMIT ?
"""  # noqa: S608
WAITING = f"""
    SELECT {_COLUMNS} FROM inbound WHERE due_at_ms IS NOT NULL AND link = ? AND address = ?
"""  # noqa: S608
# On PostgreSQL it also holds the rows until the end of the transaction: of two nodes the second one finds them done.
DONE = Statement(
    "UPDATE inbound SET due_at_ms = NULL WHERE id = ? AND due_at_ms IS NOT NULL",
    """
    WITH wanted (id, place) AS MATERIALIZED (SELECT * FROM unnest(?::bigint[]) WITH ORDINALITY)
    UPDATE inbound SET due_at_ms = NULL FROM wanted
    WHERE inbound.id = wanted.id AND inbound.due_at_ms IS NOT NULL RETURNING wanted.place
    """,
)
KNOWN = "SELECT provider_id FROM inbound WHERE link = ? AND provider_id IN (*)"
POSTPONE = "UPDATE inbound SET due_at_ms = ? WHERE id = ?"


async def add(tx: Transaction, link: str, came: Sequence[Inbound], now_ms: int) -> None:
    """Put these into the inbox and wake whoever works it."""
    await tx.many(
        ADD,
        [
            (
                link,
                storable(one.id),
                one.kind.value,
                storable(one.address),
                storable(one.text),
                storable(one.payload),
                storable(one.reply_to),
                storable(one.phone),
                storable(json.dumps(dict(one.profile), ensure_ascii=False)),
                now_ms,
                now_ms,
            )
            for one in came
        ],
    )
    tx.inbound_ready()


async def due(reader: Reader, now_ms: int, limit: int, share: Share = ALONE) -> list[Told]:
    """The oldest to be worked now; of several nodes each is given its share."""
    if share.count == 1:
        rows = await reader.rows(DUE, (now_ms, limit))
    else:
        rows = await reader.rows(DUE_SHARE, (now_ms, share.count, share.index, limit))
    return [_told(row) for row in rows]


async def waiting(reader: Reader, link: str, address: str) -> list[Told]:
    """What is still to be worked of one person."""
    return [_told(row) for row in await reader.rows(WAITING, (link, address))]


async def known(reader: Reader, ids: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those among (link, provider id) that are something a person told us."""
    by_link: dict[str, list[str]] = {}
    for link, provider_id in ids:
        by_link.setdefault(link, []).append(storable(provider_id))
    return {
        (link, provider_id)
        for link, provider_ids in by_link.items()
        for (provider_id,) in await reader.rows(KNOWN, (link, provider_ids))
    }


async def done(tx: Transaction, ids: Iterable[int]) -> set[int]:
    """They are worked; those among them that were not before."""
    wanted = sorted(ids)
    were_due = await tx.each(DONE, [(id_,) for id_ in wanted])
    return {id_ for id_, was_due in zip(wanted, were_due, strict=True) if was_due}


async def postpone(tx: Transaction, ids: Iterable[int], due_at_ms: int) -> None:
    await tx.many(POSTPONE, [(due_at_ms, id_) for id_ in ids])


def _told(row: Row) -> Told:
    id_, link, provider_id, kind, address, text, payload, reply_to, phone, profile, received_at_ms = row
    inbound = Inbound(provider_id, InboundKind(kind), address, text, payload, reply_to, phone, json.loads(profile))
    return Told(id_, link, inbound, received_at_ms)
