"""The tables on a Citus cluster: which are distributed by what, and which every node has.

What belongs to an account lies where the account does, so that whatever carries `account_id = …` is one node's work.
Receipts, lost answers and clicks come without an account: the tables that lead from them to it are distributed by what
they do come with. docs/citus.md has the list of statements that cross nodes.
"""

from typing import Any

from sqlalchemy import Table

from cascade.core.errors import ConfigError
from cascade.store import schema

BY = {"sent_part": "provider_id", "lost_answer": "recipient", "short_link": "code"}
"""Tables distributed by something else than the account."""
EVERYWHERE = frozenset({"account", "api_key", "bot", "directory_version", "batch_number", "link_owner"})
"""Small tables that every node has a copy of."""
COORDINATOR = frozenset(
    {"receipt", "inbound", "node", "console_user", "console_session", "console_throttle", "console_audit"}
)
"""Inboxes that are emptied at once, and what only the nodes of Cascade and their operators ask for."""
FIRST = "message"
"""The table whose shards the others lie beside."""


def column_of(table: Table) -> str | None:
    """What a table is distributed by; None: it is not."""
    if table.name in EVERYWHERE | COORDINATOR:
        return None
    return BY.get(table.name, "account_id")


def statements() -> dict[str, list[str]]:
    """What distributes each table, in order."""
    tables = {table.name: table for table in schema.metadata.sorted_tables}
    in_order = [*EVERYWHERE & tables.keys(), FIRST, *(name for name in tables if name not in EVERYWHERE | {FIRST})]
    found = {}
    for name in in_order:
        column = column_of(tables[name])
        if name in EVERYWHERE:
            found[name] = [f"SELECT create_reference_table('{name}')"]
        elif column is not None:
            beside = "none" if name == FIRST or column != "account_id" else FIRST
            found[name] = [
                *_keys_with(tables[name], column),
                f"SELECT create_distributed_table('{name}', '{column}', colocate_with => '{beside}')",
            ]
    return found


def _keys_with(table: Table, column: str) -> list[str]:
    """Citus takes a unique key only where it holds the column: the numbers of rows alone are none."""
    key = [one.name for one in table.primary_key.columns]
    if not key or column in key:
        return []
    return [f"ALTER TABLE {table.name} DROP CONSTRAINT {table.name}_pkey, ADD PRIMARY KEY ({column}, {', '.join(key)})"]


async def distribute(connection: Any) -> list[str]:
    """Distribute what is not distributed yet, in the caller's transaction: after the tables were made, and after a
    migration that added one. The names of those tables."""
    if await connection.fetchval("SELECT to_regproc('create_reference_table')") is None:
        raise ConfigError(
            "store.citus", "the extension is not there", "Run CREATE EXTENSION citus in this database, or leave it out"
        )
    done = {name for (name,) in await connection.fetch("SELECT logicalrelid::regclass::text FROM pg_dist_partition")}
    missing = {name: work for name, work in statements().items() if name not in done}
    for work in missing.values():
        for statement in work:
            await connection.execute(statement)
    return list(missing)
