"""Run by alembic, from `Database.migrate`, in the transaction that it hands over."""

from alembic import context

from service.database import VERSION_TABLE
from service.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
