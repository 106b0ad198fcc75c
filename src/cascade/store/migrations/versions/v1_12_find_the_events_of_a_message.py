"""Find the events of a message."""

from cascade.store.migrations.steps import add_index

revision = "1.12"
down_revision = "1.11"


def upgrade() -> None:
    add_index("event_of_message", "event", ["account_id", "message_id"], unique=False)
