"""The database of governance: one writer, a few readers, nothing of it on the event loop."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from memos_governance.adapters.sql.writer import STORE, Writer
from memos_runtime.sql.engine import open_engine
from memos_runtime.sql.faults import fault_of
from memos_runtime.workers import Worker

T = TypeVar("T")

_GROUP = 64
_WAITING = 4_096


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
        writing = open_engine(self._url, pool_size=1)
        reading = open_engine(self._url, pool_size=self._readers, read_only=True)
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
