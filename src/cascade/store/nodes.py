"""The nodes at work on one PostgreSQL, and which of them serves each link.

A node lives as long as it renews its lease. Whoever finds one whose lease is over buries it: from then on it owns
nothing, and what it was sending is unknown. Leases are counted by the store's clock, which all nodes share. A number is
never given to two nodes, so that a node's id is the fencing token of all that it holds.

SQLite needs none of this: one process owns the file.
"""

from collections.abc import Iterable
from typing import NamedTuple

from cascade.core.node import Role
from cascade.store import messages
from cascade.store.database import Reader, Transaction

NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

JOIN = f"""
    INSERT INTO node (name, role, started_at_ms, lease_ends_at_ms) VALUES (?, ?, {NOW_MS}, {NOW_MS} + ?) RETURNING id
"""  # noqa: S608 - constants only, here and below
NAMESAKES = "DELETE FROM node WHERE name = ? RETURNING id"
RENAME = "UPDATE node SET name = ? WHERE id = ?"
RENEW = f"UPDATE node SET lease_ends_at_ms = {NOW_MS} + ? WHERE id = ? RETURNING 1"  # noqa: S608
LEAVE = "DELETE FROM node WHERE id = ?"
STANDING = f"SELECT id, name, role, started_at_ms, lease_ends_at_ms - {NOW_MS} FROM node ORDER BY id"  # noqa: S608
BURY = f"""
    DELETE FROM node WHERE id = ANY(ARRAY(
        SELECT id FROM node WHERE lease_ends_at_ms <= {NOW_MS} FOR UPDATE SKIP LOCKED))
    RETURNING id
"""  # noqa: S608
FREE = "UPDATE link_owner SET node_id = NULL, is_up = NULL WHERE node_id IN (*) RETURNING link"
ADD_LINKS = "INSERT INTO link_owner (link) SELECT unnest(?::text[]) ON CONFLICT DO NOTHING"
FORGET_LINKS = "DELETE FROM link_owner WHERE node_id IS NULL AND NOT link = ANY(?)"
LINKS = "SELECT link, node_id, is_up FROM link_owner"
TAKE = """
    UPDATE link_owner SET node_id = ? WHERE link = ANY(ARRAY(
        SELECT link FROM link_owner WHERE node_id IS NULL AND link = ANY(?) ORDER BY link LIMIT ?
        FOR UPDATE SKIP LOCKED))
    RETURNING link
"""
RELEASE = "UPDATE link_owner SET node_id = NULL, is_up = NULL WHERE node_id = ? AND link IN (*)"
TELL = "UPDATE link_owner SET is_up = ? WHERE node_id = ? AND link IN (*)"


class Node(NamedTuple):
    """`lease_left_ms`: as of the look at it; others may bury it when nothing is left."""

    id: int
    name: str
    role: Role
    started_at_ms: int
    lease_left_ms: int


class Owned(NamedTuple):
    """A link as the store knows it. `node_id` None: nobody serves it. `is_up` None: its owner has not said yet."""

    link: str
    node_id: int | None
    is_up: bool | None


class Buried(NamedTuple):
    """`links` are free now; `leases` is how many messages their owners were sending."""

    ids: list[int]
    links: list[str]
    leases: int


async def join(tx: Transaction, name: str, role: Role, lease_ms: int) -> int:
    """Be a new node; its id. Nobody else living can have the name: see `bury_namesakes`."""
    [(id_,)] = await tx.rows(JOIN, (name, role.value, lease_ms))
    return int(id_)


async def bury_namesakes(tx: Transaction, name: str, now_ms: int) -> Buried:
    """Who bears the name of one that is about to join is dead, though its lease may still run."""
    return await _bury(tx, [id_ for (id_,) in await tx.rows(NAMESAKES, (name,))], now_ms)


async def renew(reader: Reader, id_: int, lease_ms: int) -> bool:
    """Live on for so long; False: it was buried. A lease that ran out unnoticed is as good as new. One statement, which
    is a transaction by itself: each node says it every second."""
    return bool(await reader.rows(RENEW, (lease_ms, id_)))


async def rename(tx: Transaction, id_: int, name: str) -> None:
    await tx.execute(RENAME, (name, id_))


async def leave(tx: Transaction, id_: int) -> None:
    """Be no node any more. Nothing that it holds is being sent."""
    await tx.rows(FREE, ([id_],))
    await tx.execute(LEAVE, (id_,))
    tx.nodes_changed()


async def bury(tx: Transaction, now_ms: int) -> Buried:
    """Take from the dead what they held. Their messages on the wire are past their deadline at once."""
    return await _bury(tx, [id_ for (id_,) in await tx.rows(BURY)], now_ms)


async def _bury(tx: Transaction, ids: list[int], now_ms: int) -> Buried:
    if not ids:
        return Buried([], [], 0)
    links = [link for (link,) in await tx.rows(FREE, (ids,))]
    leases = await messages.end_leases(tx, links, now_ms) if links else 0
    tx.nodes_changed()
    return Buried(ids, links, leases)


async def standing(reader: Reader) -> tuple[list[Node], list[Node]]:
    """Those whose leases run, and those that are to be buried; the oldest first."""
    nodes: dict[bool, list[Node]] = {True: [], False: []}
    for id_, name, role, started_at_ms, lease_left_ms in await reader.rows(STANDING):
        nodes[lease_left_ms > 0].append(Node(id_, name, Role(role), started_at_ms, lease_left_ms))
    return nodes[True], nodes[False]


async def links(reader: Reader) -> dict[str, Owned]:
    return {row[0]: Owned(*row) for row in await reader.rows(LINKS)}


async def add_links(tx: Transaction, names: Iterable[str]) -> None:
    """Let links be known, as nobody's yet."""
    await tx.execute(ADD_LINKS, (sorted(names),))


async def forget_links(tx: Transaction, known: Iterable[str]) -> int:
    """Forget links that nobody serves, but these: of bots that were removed, or of a configuration that was changed. A
    node that does know one makes it known again; how many went."""
    return await tx.execute(FORGET_LINKS, (sorted(known),))


async def take(tx: Transaction, id_: int, names: Iterable[str], limit: int) -> list[str]:
    """Become the owner of up to `limit` of these links, as far as they are free."""
    return [link for (link,) in await tx.rows(TAKE, (id_, sorted(names), limit))]


async def release(tx: Transaction, id_: int, names: Iterable[str]) -> None:
    """Own these links no more. Nothing of them is being sent."""
    await tx.execute(RELEASE, (id_, sorted(names)))
    tx.nodes_changed()


async def tell(tx: Transaction, id_: int, names: Iterable[str], *, is_up: bool) -> None:
    """Say of links that it owns how they do."""
    await tx.execute(TELL, (is_up, id_, sorted(names)))
