"""The tables of keys, their budgets, and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("view", sa.Text),
        sa.Column("top_k", sa.Integer),
        sa.Column("budget", sa.BigInteger),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("rate", sa.BigInteger),
        sa.Column("response", sa.Text),
        sa.Column("noticed", sa.JSON),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("digest", name="uq_keys_digest"),
    )
    op.create_index("ix_keys_created_at", "keys", ["created_at"])
    not_revoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "ix_keys_name", "keys", ["name"], unique=True, sqlite_where=not_revoked, postgresql_where=not_revoked
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
        sa.UniqueConstraint("key", "idempotency_key", name="uq_reservations_key"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.JSON, nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("request", sa.Text),
        sa.Column("image", sa.Integer),
        sa.Column("digest", sa.Text),
        sa.Column("dataset", sa.Text),
        sa.Column("kept", sa.Text),
        sa.Column("answer", sa.JSON),
        sa.Column("charged", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.UniqueConstraint("key", "idempotency_key", "image", name="uq_ledger_key"),
    )
    op.create_index("ix_ledger_created_at", "ledger", ["created_at", "id"])
    op.create_index("ix_ledger_key_created_at", "ledger", ["key", "created_at"])
    answered = sa.text("answer IS NOT NULL")
    op.create_index("ix_ledger_answered", "ledger", ["created_at"], sqlite_where=answered, postgresql_where=answered)
    op.create_table(
        "watches",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary),
        sa.PrimaryKeyConstraint("key", name="pk_watches"),
    )
