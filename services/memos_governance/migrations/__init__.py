"""Versions of governance's tables."""

from pathlib import Path

from memos_governance.adapters.sql.schema import VERSION_TABLE
from memos_runtime.sql import migrations


def migrate(database_url: str) -> None:
    """Bring governance's database to the newest version. Blocks."""
    migrations.migrate(database_url, Path(__file__).parent, version_table=VERSION_TABLE)


def is_current(database_url: str) -> bool:
    """Return whether governance's database has the newest version, or that of a newer release. Blocks."""
    return migrations.is_current(database_url, Path(__file__).parent, version_table=VERSION_TABLE)
