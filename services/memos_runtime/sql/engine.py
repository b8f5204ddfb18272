"""Opening a database, and what differs between SQLite and PostgreSQL."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

_BUSY_SECONDS = 10
_FROZEN_SECONDS = 8
"""Less than who waits for a lock does: of a client that froze or is cut off, the next one is told nothing."""

_CACHE_KIB = 32 * 1024


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return URL.create("sqlite+pysqlite", database=str(path)).render_as_string(hide_password=False)


def is_sqlite(url: str) -> bool:
    """Return whether the URL names an SQLite database."""
    return make_url(url).get_backend_name() == "sqlite"


def open_engine(url: str, *, pool_size: int = 1, read_only: bool = False) -> Engine:
    """Return an engine that keeps `pool_size` connections, or with 0 opens one for each use; nothing is opened yet.

    SQLite: WAL, `synchronous=FULL` (a commit is on the disk when it returns), `secure_delete` (most of what is deleted
    is overwritten at once), foreign keys, and transactions that are begun explicitly, those of a writer as writers.
    """
    engine = create_engine(
        make_url(url),
        **({"pool_size": pool_size, "max_overflow": 0} if pool_size else {"poolclass": NullPool}),
        hide_parameters=True,  # an error's text ends in a log, and parameters are content
        **({} if is_sqlite(url) else _postgresql_options(read_only)),
    )
    if is_sqlite(url):
        event.listen(engine, "connect", _sqlite_reader if read_only else _sqlite_writer)
        event.listen(engine, "begin", _begin if read_only else _begin_immediate)
    return engine


def insert_or_ignore(dialect: str, table: Table) -> Any:
    """Return an INSERT that leaves out rows which break a unique constraint."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def _postgresql_options(read_only: bool) -> dict[str, Any]:
    """A read of several statements sees one moment; a write sees what others committed while it waited for a lock.

    A process that freezes, or is cut off, inside a transaction must not hold its locks for ever.
    """
    settings = {
        "lock_timeout": f"{_BUSY_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{_FROZEN_SECONDS}s",
        "tcp_keepalives_idle": _FROZEN_SECONDS,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 3,
    }
    return {
        "pool_pre_ping": True,
        "isolation_level": "REPEATABLE READ" if read_only else "READ COMMITTED",
        "connect_args": {
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "connect_timeout": _BUSY_SECONDS,
            "keepalives_idle": _FROZEN_SECONDS,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    }


def _sqlite_writer(connection: Any, _: object) -> None:
    _pragmas(connection, "synchronous=FULL", "journal_mode=WAL", "secure_delete=ON")


def _sqlite_reader(connection: Any, _: object) -> None:
    _pragmas(connection, "query_only=ON")


def _pragmas(connection: Any, *settings: str) -> None:
    connection.isolation_level = None  # pysqlite begins nothing by itself
    common = (
        f"busy_timeout={_BUSY_SECONDS * 1000}",
        "foreign_keys=ON",
        f"cache_size=-{_CACHE_KIB}",
        "temp_store=MEMORY",
    )
    cursor = connection.cursor()
    for setting in (*common, *settings):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.connection.cursor().execute("BEGIN")  # never fails; through the engine it takes as long as a query


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
