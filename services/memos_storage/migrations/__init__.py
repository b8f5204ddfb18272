"""Versions of the catalogue's tables."""

from pathlib import Path

from memos_runtime.sql import migrations


def migrate(database_url: str) -> None:
    """Bring the catalogue to the newest version. Blocks."""
    migrations.migrate(database_url, Path(__file__).parent)
