"""Versions of a service's tables, applied in order by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text

from memos_runtime.sql.engine import is_sqlite, open_engine

_LOCK = 0x6D656D6F73
"""PostgreSQL's lock for it, the same for all services: they may share a database. SQLite lets one write anyway."""

_WAIT_MINUTES = 10


def migrate(database_url: str, scripts: Path) -> None:
    """Bring a database to the newest version, making it if it does not exist. Blocks.

    All steps are one transaction, so an interrupted migration leaves the version before it; of several processes that
    start at once, one migrates and the others wait.

    Args:
        database_url: SQLAlchemy URL.
        scripts: folder with `env.py` and `versions/`, which runs on `context.config.attributes["connection"]`.
    """
    config = _config(scripts)
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            if not is_sqlite(database_url):
                connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_MINUTES}min'"))
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(database_url: str, scripts: Path, *, version_table: str) -> bool:
    """Return whether a database has the newest version. Blocks."""
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads()
    finally:
        engine.dispose()
    return set(present) == set(ScriptDirectory.from_config(_config(scripts)).get_heads())


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
