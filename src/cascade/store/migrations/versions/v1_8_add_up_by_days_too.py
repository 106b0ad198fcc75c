"""Add up by days, too."""

import sqlalchemy as sa
from alembic import op

revision = "1.8"
down_revision = "1.7"


def upgrade() -> None:
    op.create_table(
        "statistic_day",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("day_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day_ms", "kind", "channel", "detail"),
        sqlite_with_rowid=False,
    )
