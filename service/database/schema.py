"""The tables: one schema for SQLite and PostgreSQL. `migrations/` makes them; a test holds the two to each other.

Times are seconds since 1970, in UTC. What is large is never here: it lies in the store of artifacts, and a row names it
by the SHA-256 of its content.

    jobs ──< job_runs     one image by one method: the state from which it goes on, or what it found
      │──<  job_results   one image: its entry in the reply
      └──<  job_events    what happened, numbered from 1
    artifacts ──< holds   who needs it; what nobody holds is swept away
    datasets ──> artifacts <── perturbations, substitutes
    workers               job processes, each with a count that grows while it lives
    keys ──< reservations what a request under way may come to cost its key
      │──<  ledger        one image that was asked about, and the answer for whoever asks again
      └──   watches       what the detector of copyists remembers of a key
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Packed(TypeDecorator[Any]):
    """JSON, compressed: the labels of a thousand classes are the same in every answer."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> bytes | None:
        return None if value is None else zlib.compress(json.dumps(value, separators=(",", ":")).encode())

    def process_result_value(self, value: bytes | None, dialect: Any) -> Any:
        return None if value is None else json.loads(zlib.decompress(value))


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

#: `attempt` counts the times that a worker took the job up, and fences it: whoever writes names the attempt that it is,
#: and a worker that was taken for dead finds its own to be over. `stalled` are those since the last saved state.
#: `asked` is what tells jobs of one method apart: {"parameters", "compare", "seed", "dataset"}, those that were said.
#: `request` is the artifact that holds what was asked, `dataset` what `Datasets.hold` gave for the dataset that it is
#: about, and `digest` tells requests apart for `idempotency_key`. `reply` is the reply without its results.
#: `last_event` is the number of the newest event.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", JSON, nullable=False),
    Column("method", Text),
    Column("asked", JSON, nullable=False),
    Column("purpose", Text),
    Column("request_id", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("images", Integer, nullable=False),
    Column("dataset", Text),
    Column("attempt", Integer, nullable=False, default=0),
    Column("stalled", Integer, nullable=False, default=0),
    Column("worker", Text),
    Column("seconds", Double, nullable=False, default=0.0),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress", JSON(none_as_null=True)),
    Column("note", Text),
    Column("reply", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("last_event", BigInteger, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("expires_at", Double),
    Column("expired", Boolean, nullable=False, default=False),
    UniqueConstraint("owner", "idempotency_key"),
    Index("ix_jobs_owner_created_at", "owner", "created_at"),
    Index("ix_jobs_state", "state"),
)

#: `saved` is the artifact of a frame: `progress` with the state, or `result` with what was found. `done` says which.
job_runs = Table(
    "job_runs",
    metadata,
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("saved", Text, nullable=False),
    Column("done", Boolean, nullable=False),
)

#: `entry` is the artifact, an NPZ; `cost` and `answered_by` are those of its runs.
job_results = Table(
    "job_results",
    metadata,
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("image", Integer, primary_key=True),
    Column("entry", Text, nullable=False),
    Column("cost", JSON, nullable=False),
    Column("answered_by", JSON, nullable=False),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", Double, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

#: A holder is "job:<id>:request", ":states" or ":results", "dataset:<id>", "perturbation:<id>", "ledger:<request>", or
#: "reply:<caller>/<request id>". A hold without `expires_at` lasts until its holder lets go. `shown` is false for what
#: only the service itself reads: requests and states.
holds = Table(
    "holds",
    metadata,
    Column("sha256", Text, ForeignKey("artifacts.sha256"), primary_key=True),
    Column("holder", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("shown", Boolean, nullable=False),
    Column("expires_at", Double),
    Index("ix_holds_holder", "holder"),
    Index("ix_holds_expires_at", "expires_at"),
)

#: `classes` are [{name, images}] in order, so that a list needs no `items`, which are [name, class] of each image.
datasets = Table(
    "datasets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("classes", JSON, nullable=False),
    Column("items", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_datasets_owner_created_at", "owner", "created_at"),
)

#: Universal ones. `given` and `held_out` are the shares of images that one fools; `job` has made it.
perturbations = Table(
    "perturbations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("model", JSON, nullable=False),
    Column("method", Text, nullable=False),
    Column("norm", Text, nullable=False),
    Column("epsilon", Double, nullable=False),
    Column("shape", JSON, nullable=False),
    Column("given", JSON, nullable=False),
    Column("held_out", JSON(none_as_null=True)),
    Column("job", Text, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_perturbations_owner_created_at", "owner", "created_at"),
)

#: Of the model that was asked: `queries` are the images that one learnt from, `agreement` the share of held-out images
#: of which it says the same; `job` has made it.
substitutes = Table(
    "substitutes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("model", JSON, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("queries", BigInteger, nullable=False),
    Column("agreement", JSON, nullable=False),
    Column("job", Text, nullable=False),
    Column("artifact", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index("ix_substitutes_owner_created_at", "owner", "created_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("beats", BigInteger, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

#: `digest` is the SHA-256 of the secret. `view`, `top_k` and `response` are a black box's alone. `budget` and `spent`
#: are images, `rate` images a minute. `noticed` is {"at", "queries", "score"} of the first
#: alarm, {"times"} that there was one, {"over"} where the last is. `next_at` is when a slowed key has its next turn.
keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("view", Text),
    Column("top_k", Integer),
    Column("budget", BigInteger),
    Column("spent", BigInteger, nullable=False, default=0),
    Column("rate", BigInteger),
    Column("response", Text),
    Column("noticed", JSON(none_as_null=True)),
    Column("next_at", Double),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    UniqueConstraint("digest"),
)
Index("ix_keys_created_at", keys.c.created_at)
Index(
    "ix_keys_name",
    keys.c.name,
    unique=True,
    sqlite_where=keys.c.revoked_at.is_(None),
    postgresql_where=keys.c.revoked_at.is_(None),
)

#: In this table and the two below `key` is a key's id, the name of one of the key file, or empty for who showed none.
#: A reservation whose `expires_at` is over counts no more: its process has died. `digest` tells requests apart.
reservations = Table(
    "reservations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("digest", Text, nullable=False),
    Column("images", Integer, nullable=False),
    Column("expires_at", Double, nullable=False),
    UniqueConstraint("key", "idempotency_key"),
)

#: `image` is its number in the request, `digest` the SHA-256 of the image as it came, `kept` the artifact with it; a
#: request about a dataset has one entry, without them. `request` tells requests apart for `idempotency_key`, and
#: `answer` is what it was told, for a while; both are there only where a request may come again. `charged` is false for
#: what costs no budget.
ledger = Table(
    "ledger",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("key", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", JSON, nullable=False),
    Column("method", Text),
    Column("purpose", Text),
    Column("request_id", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("request", Text),
    Column("image", Integer),
    Column("digest", Text),
    Column("dataset", Text),
    Column("kept", Text),
    Column("answer", Packed),
    Column("charged", Boolean, nullable=False),
    UniqueConstraint("key", "idempotency_key", "image"),
    Index("ix_ledger_created_at", "created_at", "id"),
    Index("ix_ledger_key_created_at", "key", "created_at"),
)
Index(
    "ix_ledger_answered",
    ledger.c.created_at,
    sqlite_where=ledger.c.answer.is_not(None),
    postgresql_where=ledger.c.answer.is_not(None),
)

watches = Table(
    "watches",
    metadata,
    Column("key", Text, primary_key=True),
    Column("state", LargeBinary),
)
