"""Brings a database's tables up to date. Apart, because alembic takes a third of a second to import."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection

logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of itself when it is imported, and at every start

from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from alembic.migration import MigrationContext  # noqa: E402
from alembic.script import ScriptDirectory  # noqa: E402

from service.database import VERSION_TABLE  # noqa: E402


def upgrade(connection: Connection) -> None:
    """To the newest revision. Raises ValueError for a database that a newer version of this program has migrated."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    _refuse_newer(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise ValueError(
            f"the database was migrated by a newer rakinglight: it is at {found!r}, and this one knows "
            f"{scripts.get_current_head()!r} at most. Run the newer one, or name another by RAKINGLIGHT_DATABASE."
        )
