"""Alembic's entry: runs the migrations on the connection that `migrate` opened."""

from alembic import context

from memos_scheduler.adapters.sql.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
