"""Versions of the queue's tables."""

from pathlib import Path

from memos_runtime.sql import migrations


def migrate(database_url: str) -> None:
    """Bring the queue's database to the newest version. Blocks."""
    migrations.migrate(database_url, Path(__file__).parent)
