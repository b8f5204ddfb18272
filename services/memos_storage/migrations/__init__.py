"""Versions of the catalogue's tables."""

from pathlib import Path

from memos_runtime.sql import migrations
from memos_storage.adapters.sql.schema import VERSION_TABLE


def migrate(database_url: str) -> None:
    """Bring the catalogue to the newest version. Blocks."""
    migrations.migrate(database_url, Path(__file__).parent, version_table=VERSION_TABLE)
