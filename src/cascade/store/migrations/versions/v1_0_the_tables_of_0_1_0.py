"""The tables of 0.1.0."""

import sqlalchemy as sa
from alembic import op

revision = "1.0"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_strict", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False),
        sa.Column("senders", sa.Text(), nullable=True),
        sa.Column("send_rate", sa.Integer(), nullable=True),
        sa.Column("send_burst", sa.Integer(), nullable=True),
        sa.Column("read_rate", sa.Integer(), nullable=True),
        sa.Column("read_burst", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table("batch_number", sa.Column("taken", sa.BigInteger(), nullable=False))
    op.create_table(
        "delivery",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("tried_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "webhook_id", "event_id"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "delivery_due",
            ["account_id", "webhook_id", "due_at_ms"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )
        batch_op.create_index(
            "delivery_failed",
            ["account_id", "webhook_id", "event_id"],
            unique=False,
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.create_index(
            "delivery_of_batch",
            ["account_id", "webhook_id", "due_at_ms"],
            unique=False,
            sqlite_where=sa.text("state = 'pending' AND batch_id IS NOT NULL"),
            postgresql_where=sa.text("state = 'pending' AND batch_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_of_message",
            ["account_id", "webhook_id", "message_id", "event_id"],
            unique=False,
            sqlite_where=sa.text("state = 'pending'"),
            postgresql_where=sa.text("state = 'pending'"),
        )

    op.create_table("directory_version", sa.Column("version", sa.BigInteger(), nullable=False))
    op.create_table(
        "event",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lost_answer",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("link", "recipient", "message_id", "attempt"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("lost_answer", schema=None) as batch_op:
        batch_op.create_index("lost_answer_by_time", ["at_ms"], unique=False)

    op.create_table(
        "message",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("tracking_id", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("is_urgent", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("extras", sa.Text(), nullable=True),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("step_ends_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("delivered_step", sa.Integer(), nullable=True),
        sa.Column("delivered", sa.Text(), server_default="", nullable=False),
        sa.Column("is_read", sa.Boolean(), server_default=sa.text("FALSE"), nullable=False),
        sa.Column("open_parts", sa.Text(), server_default="", nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("max_cost_micros", sa.BigInteger(), nullable=True),
        sa.Column("finished_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("timeline", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("era", sa.BigInteger(), nullable=False),
        sa.Column("delivered_by", sa.Text(), nullable=True),
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index("message_by_id", ["account_id", "id"], unique=True)
        batch_op.create_index("message_by_phone", ["account_id", "era", "phone"], unique=False)
        batch_op.create_index("message_by_tracking_id", ["account_id", "era", "tracking_id"], unique=False)
        batch_op.create_index(
            "message_deadline",
            ["deadline_at_ms"],
            unique=False,
            sqlite_where=sa.text("deadline_at_ms IS NOT NULL"),
            postgresql_where=sa.text("deadline_at_ms IS NOT NULL"),
        )
        batch_op.create_index(
            "message_queue",
            ["account_id", "link", "is_urgent", "due_at_ms"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )

    op.create_table(
        "message_tag",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "tag", "message_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("recipient", sa.Text(), nullable=True),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.create_index("receipt_due", ["due_at_ms"], unique=False)

    op.create_table(
        "recent_message",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("recent_message", schema=None) as batch_op:
        batch_op.create_index("recent_message_by_digest", ["account_id", "digest"], unique=True)

    op.create_table(
        "recent_request",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "key_digest"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("recent_request", schema=None) as batch_op:
        batch_op.create_index("recent_request_by_time", ["at_ms"], unique=False)

    op.create_table(
        "sent_part",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("link", "provider_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "short_link",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("clicks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("machine_clicks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_click_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_click_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code"),
    )
    with op.batch_alter_table("short_link", schema=None) as batch_op:
        batch_op.create_index("short_link_by_expiry", ["expires_at_ms"], unique=False)
        batch_op.create_index("short_link_of_message", ["account_id", "message_id"], unique=False)

    op.create_table(
        "subscriber",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "link", "phone"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "variable",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "type", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "webhook",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.Text(), nullable=True),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("batch_max", sa.Integer(), nullable=False),
        sa.Column("retry_delays_s", sa.Text(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_key",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("scopes", sa.Text(), server_default="send,read,admin", nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("allowed_networks", sa.Text(), nullable=True),
        sa.Column("last_used_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "bot",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["account.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("channel", "token_digest"),
    )
    op.execute("INSERT INTO directory_version VALUES (0)")
    op.execute("INSERT INTO batch_number VALUES (0)")
