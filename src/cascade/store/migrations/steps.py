"""What a revision can say beyond Alembic's own operations."""

from collections.abc import Sequence
from typing import Any

from alembic import op


def add_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Add an index while messages come and go. On PostgreSQL nothing of it can be taken back, so nothing else may be
    in the same revision; what an earlier try left half made is dropped first."""
    context = op.get_context()
    if context.dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with context.autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for the transactions that are under way, and nobody waits for it
        op.drop_index(name, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
        op.execute("RESET lock_timeout")
