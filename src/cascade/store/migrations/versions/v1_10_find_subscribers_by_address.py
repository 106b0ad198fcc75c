"""Find a subscriber by the address, as what they write names them."""

from cascade.store.migrations.steps import add_index

revision = "1.10"
down_revision = "1.9"


def upgrade() -> None:
    add_index("subscriber_by_address", "subscriber", ["account_id", "link", "address"], unique=False)
