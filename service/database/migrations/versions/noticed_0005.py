"""Stored answers are packed, those of before are forgotten; and a noticed key may have to wait."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("keys", sa.Column("next_at", sa.Double))
    op.drop_index("ix_ledger_answered", "ledger")
    op.drop_column("ledger", "answer")
    op.add_column("ledger", sa.Column("answer", sa.LargeBinary))
    answered = sa.text("answer IS NOT NULL")
    op.create_index("ix_ledger_answered", "ledger", ["created_at"], sqlite_where=answered, postgresql_where=answered)
