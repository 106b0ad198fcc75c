"""Let PostgreSQL look more often at how many deliveries are pending."""

from alembic import op

revision = "1.11"
down_revision = "1.10"


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE delivery SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)"
        )
