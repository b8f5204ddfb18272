"""Versions of the catalogue's tables, applied in order by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from memos_storage.adapters.sql.engine import open_engine


def migrate(database_url: str) -> None:
    """Bring the catalogue database to the newest version, making it if it does not exist. Blocks.

    All steps are one transaction, so an interrupted migration leaves the version before it.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = open_engine(database_url, pool_size=1)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
