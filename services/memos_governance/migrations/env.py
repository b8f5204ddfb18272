"""Runs migrations on the connection that `migrate` opened; Alembic loads this file by its path."""

from alembic import context

from memos_governance.adapters.sql.schema import metadata
from memos_governance.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
