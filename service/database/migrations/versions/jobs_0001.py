"""The tables of jobs, datasets and artifacts, as they were first."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("model", sa.JSON, nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("purpose", sa.Text),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("stalled", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("progress", sa.JSON),
        sa.Column("note", sa.Text),
        sa.Column("reply", sa.JSON),
        sa.Column("problem", sa.JSON),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("expired", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_jobs_owner"),
    )
    op.create_index("ix_jobs_owner_created_at", "jobs", ["owner", "created_at"])
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_table(
        "job_runs",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("saved", sa.Text, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_job_runs"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_runs_job", ondelete="CASCADE"),
    )
    op.create_table(
        "job_results",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("image", sa.Integer, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("cost", sa.JSON, nullable=False),
        sa.Column("answered_by", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("job", "image", name="pk_job_results"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_results_job", ondelete="CASCADE"),
    )
    op.create_table(
        "job_events",
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_job_events"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_events_job", ondelete="CASCADE"),
    )
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifacts"),
    )
    op.create_table(
        "holds",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("shown", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.PrimaryKeyConstraint("sha256", "holder", name="pk_holds"),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name="fk_holds_sha256"),
    )
    op.create_index("ix_holds_holder", "holds", ["holder"])
    op.create_index("ix_holds_expires_at", "holds", ["expires_at"])
    op.create_table(
        "datasets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("artifact", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("items", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_owner_created_at", "datasets", ["owner", "created_at"])
    op.create_table(
        "workers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
