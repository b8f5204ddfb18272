"""Versions of governance's schema (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from memos_governance.adapters.sql.database import open_engine

VERSION_TABLE = "governance_version"
"""A version table of its own, so that services can share a database."""


def migrate(database_url: str) -> None:
    """Bring the schema to the newest version; does nothing if it is there. Blocks."""
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(database_url: str) -> bool:
    """Return whether the schema has the newest version. Blocks."""
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    finally:
        engine.dispose()
    return set(present) == set(ScriptDirectory.from_config(_config()).get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
