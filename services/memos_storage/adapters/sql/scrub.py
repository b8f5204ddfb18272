"""Deleted rows leave the files of the database."""

import sqlite3

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from memos_storage.adapters.sql import schema
from memos_storage.domain.purges import Reach

_TIER = "database files"


def files(engine: Engine) -> Reach | None:
    """Free the files of what was deleted; None if a reader of an old moment is in the way. Blocks."""
    return _sqlite(engine) if engine.dialect.name == "sqlite" else _postgresql(engine)


def _sqlite(engine: Engine) -> Reach | None:
    connection = engine.raw_connection()  # outside of a transaction
    try:
        cursor = connection.cursor()
        # Rows that moved between pages leave copies in their free space, which secure_delete does not overwrite.
        cursor.execute("PRAGMA temp_store=FILE")
        cursor.execute("VACUUM")
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    except sqlite3.Error as error:  # past SQLAlchemy nobody gives it the type that is known outside
        raise DBAPIError.instance("VACUUM", None, error, sqlite3.Error) from error
    finally:
        connection.close()
    if busy:
        return None
    return Reach(
        _TIER,
        "SQLite wrote the whole database anew (VACUUM), and cut its write-ahead log to nothing.",
    )


def _postgresql(engine: Engine) -> Reach:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in schema.metadata.sorted_tables:
            connection.execute(text(f"VACUUM {table.name}"))
    return Reach(
        _TIER,
        "VACUUM was run on every table of PostgreSQL.",
        remains="Rows that an older transaction or a replica still sees; free space of pages until it is written over;"
        " the write-ahead log and its archive.",
    )
