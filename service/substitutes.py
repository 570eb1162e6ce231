"""Substitutes: made by jobs of `substitute`, kept under an id as archives that the zoo can serve."""

from __future__ import annotations

from typing import Any

from service.database.schema import substitutes
from service.kept import Kept


class Substitutes(Kept):
    """Those in a database."""

    noun, prefix, table = "substitute", "subs", substitutes
    media_type, member = "application/zip", "archive"
    said = ("model", "architecture", "queries", "agreement", "job")

    def keep(self, owner: str, archive: bytes, *, job: str, **said: Any) -> str:
        """Keep the `archive` that `job` has made; its id.

        said  model {"name", "version", "sha256"} that was asked, architecture, queries, and the agreement with it
        """
        return self.put(owner, archive, job=job, **said)
