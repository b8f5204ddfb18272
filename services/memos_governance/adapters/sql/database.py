"""The database of governance: one writer, a few readers, nothing of it on the event loop."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from memos_governance.adapters.sql.writer import STORE, Writer
from memos_runtime.sql_faults import fault_of
from memos_runtime.workers import Worker

T = TypeVar("T")

_GROUP = 64
_WAITING = 4_096
_BUSY_MILLISECONDS = 5_000


class Database:
    """Runs blocking work on connections. `open` it before use; `close` may be called twice."""

    def __init__(self, url: str, *, readers: int) -> None:
        self._url = url
        self._readers = readers
        self._engines: list[Engine] = []
        self._writer: Writer | None = None
        self._workers: Worker | None = None

    def open(self) -> None:
        """Connect and start the threads. Blocks."""
        writing = open_engine(self._url, connections=1)
        reading = open_engine(self._url, connections=self._readers, read_only=True)
        self._engines = [writing, reading]
        # Several replicas lock tenants in a database of their own: a group could lock them crosswise.
        group = _GROUP if writing.dialect.name == "sqlite" else 1
        self._writer = Writer(writing, group=group, waiting=_WAITING)
        self._workers = Worker("governance.read", threads=self._readers, queue=_WAITING)

    @property
    def is_open(self) -> bool:
        """See the port."""
        return self._writer is not None

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run work in a transaction and return its result once it is durable; see `Writer`."""
        assert self._writer is not None, "the database is not open"
        return await self._writer.run(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run work on one consistent view of the database.

        Raises:
            Overloaded, DependencyUnavailable, InternalError: the database cannot serve it.
        """
        assert self._workers is not None, "the database is not open"
        return await self._workers.run(self._read, work)

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        writer, workers, self._writer, self._workers = self._writer, self._workers, None, None
        if writer is not None:
            await writer.close()
        if workers is not None:
            await workers.close()
        while self._engines:
            self._engines.pop().dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engines[1].connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise fault_of(error, store=STORE) from error


def open_engine(url: str, *, connections: int = 1, read_only: bool = False) -> Engine:
    """Return an engine whose transactions are real in SQLite too, and durable when committed."""
    if make_url(url).get_backend_name() != "sqlite":
        level = "REPEATABLE READ" if read_only else "READ COMMITTED"
        return create_engine(
            url, pool_size=connections, max_overflow=0, pool_pre_ping=True, isolation_level=level, hide_parameters=True
        )
    engine = create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by its own rules
        pragmas = ["foreign_keys=ON", f"busy_timeout={_BUSY_MILLISECONDS}"]
        pragmas += ["query_only=ON"] if read_only else ["journal_mode=WAL", "synchronous=FULL"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def insert_new(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that leaves rows that are there already as they are."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
