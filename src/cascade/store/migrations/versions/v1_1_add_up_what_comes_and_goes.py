"""Sums that grow with what happens; numbers of bots that never come again."""

import sqlalchemy as sa
from alembic import op

revision = "1.1"
down_revision = "1.0"


def upgrade() -> None:
    op.create_table(
        "pulse",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("delivered", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "at_ms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "statistic",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "hour_ms", "kind", "channel", "detail"),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table("bot", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
