"""The table of substitutes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "substitutes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("model", sa.JSON, nullable=False),
        sa.Column("architecture", sa.Text, nullable=False),
        sa.Column("queries", sa.BigInteger, nullable=False),
        sa.Column("agreement", sa.JSON, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_substitutes"),
    )
    op.create_index("ix_substitutes_owner_created_at", "substitutes", ["owner", "created_at"])
