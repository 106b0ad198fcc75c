"""Persons to be erased."""

import sqlalchemy as sa
from alembic import op

revision = "1.7"
down_revision = "1.6"


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "phone"),
        sqlite_with_rowid=False,
    )
