"""Versions of a service's tables, applied in order by Alembic.

In a rolling upgrade processes of two releases share a database. So a migration may add, and what it takes away has to
have been out of use for a release; a process of the older release goes on, and can start again.
"""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text

from memos_runtime.sql.engine import is_sqlite, open_engine

_LOG = logging.getLogger(__name__)

_LOCK = 0x6D656D6F73
"""PostgreSQL's lock for it, the same for all services: they may share a database. SQLite lets one write anyway."""

_WAIT_MINUTES = 10


def migrate(database_url: str, scripts: Path, *, version_table: str) -> None:
    """Bring a database to the newest version, making it if it does not exist. Blocks.

    All steps are one transaction, so an interrupted migration leaves the version before it; of several processes that
    start at once, one migrates and the others wait. A shared database that a newer release has migrated already stays
    as it is.

    Args:
        database_url: SQLAlchemy URL.
        scripts: folder with `env.py` and `versions/`, which runs on `context.config.attributes["connection"]`.
        version_table: table that holds the version, one a service.
    """
    config = _config(scripts)
    engine = open_engine(database_url)
    try:
        with engine.begin() as connection:
            if not is_sqlite(database_url):
                for setting in ("lock_timeout", "idle_in_transaction_session_timeout"):  # a step may compute for long
                    connection.execute(text(f"SET LOCAL {setting} = '{_WAIT_MINUTES}min'"))
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                if _is_newer(connection, config, version_table):
                    _LOG.warning("the database has the schema of a newer release; it stays as it is")
                    return
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(database_url: str, scripts: Path, *, version_table: str) -> bool:
    """Return whether a database has the newest version, or that of a newer release. Blocks."""
    config = _config(scripts)
    engine = open_engine(database_url)
    try:
        with engine.connect() as connection:
            if not is_sqlite(database_url) and _is_newer(connection, config, version_table):
                return True
            return _present(connection, version_table) == set(ScriptDirectory.from_config(config).get_heads())
    finally:
        engine.dispose()


def _present(connection: Connection, version_table: str) -> set[str]:
    return set(MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads())


def _is_newer(connection: Connection, config: Config, version_table: str) -> bool:
    """Return whether a database has a version that this release does not know."""
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return bool(_present(connection, version_table) - known)


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
