"""Who wants no more advertising, who has left a bot, and what was answered to surveys."""

import sqlalchemy as sa
from alembic import op

revision = "1.9"
down_revision = "1.8"


def upgrade() -> None:
    op.create_table(
        "opt_out",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "phone"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "survey_answer",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("inbound_id", sa.BigInteger(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("option", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "message_id", "inbound_id"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("subscriber", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stopped_at_ms", sa.BigInteger(), nullable=True))
