"""Remember what was sent by the request, not by the message: on SQLite."""

import sqlalchemy as sa
from alembic import op

revision = "1.6"
down_revision = "1.5"


def upgrade() -> None:
    op.create_table(
        "recent_batch",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.Column("message_ids", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    if op.get_context().dialect.name == "sqlite":
        op.execute("INSERT INTO recent_batch SELECT id, account_id, digest, message_id, at_ms FROM recent_message")
        op.execute("DELETE FROM recent_message")
