"""The threads that write to the catalogue."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from memos_kernel.errors import Draining, Overloaded
from memos_runtime.sql.faults import translated, wait_to_try_again
from memos_storage.adapters.sql.schema import STORE

T = TypeVar("T")
Work = Callable[[Connection], Any]

_RETRY_AFTER = 0.2
_JOIN_SECONDS = 10.0


@dataclass(slots=True)
class _Command:
    work: Work
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: Exception | None = None


class GroupWriter:
    """Runs commands; each is answered after the commit that made it durable.

    With one thread, commands that wait together share one transaction and one fsync. With several, each command is a
    transaction of its own: groups would lock rows crosswise.
    """

    def __init__(self, engine: Engine, *, queue_size: int, group_size: int, threads: int = 1) -> None:
        """Take an engine with a connection for each thread; at most `group_size` commands share a transaction."""
        assert threads == 1 or group_size == 1
        self._engine = engine
        self._group_size = group_size
        self._queue: queue.Queue[_Command | None] = queue.Queue(queue_size)
        self._threads = [
            threading.Thread(target=self._loop, name=f"catalogue-writer-{number}", daemon=True)
            for number in range(threads)
        ]
        self._closed = False

    def start(self) -> None:
        """Begin to take commands."""
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run a command and return its result once it is durable. A command cancelled while it waits is not run.

        Raises:
            Overloaded: the queue is full.
            StoreFull: the disk is full.
            Draining: the catalogue is closed.
        """
        if self._closed:
            raise Draining("The catalogue is closed.", service="storage")
        command = _Command(work)
        try:
            self._queue.put_nowait(command)
        except queue.Full:
            raise Overloaded("Too many writes wait; try again.", retry_after=_RETRY_AFTER, queue="catalogue") from None
        return cast(T, await asyncio.wrap_future(command.future))

    def close(self) -> None:
        """Finish what waits, and stop. Can be called twice."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)

    def _loop(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = [first], False
            while len(group) < self._group_size and not last:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                else:
                    group.append(following)
            self._commit([command for command in group if command.future.set_running_or_notify_cancel()])
            if last:
                return

    def _commit(self, group: list[_Command], *, attempt: int = 1) -> None:
        try:
            with self._engine.begin() as connection:
                for command in group:
                    _run(connection, command, alone=len(group) == 1)
        except Exception as error:  # the transaction is gone, and every command with it
            if self._wait_to_try_again(group, error, attempt):
                for command in group:
                    command.error = None
                    self._commit([command], attempt=attempt + 1)
                return
            for command in group:
                command.error = command.error or translated(error, store=STORE)
        for command in group:
            if command.error is not None:
                command.future.set_exception(command.error)
            else:
                command.future.set_result(command.result)

    def _wait_to_try_again(self, group: list[_Command], error: Exception, attempt: int) -> bool:
        if len(group) > 1:  # a value of one of them that the database refuses; alone, the others succeed
            return isinstance(error, DataError | IntegrityError)
        return wait_to_try_again(error, attempt=attempt)


def _run(connection: Connection, command: _Command, *, alone: bool) -> None:
    """Run one command of a group; its own failure undoes only itself.

    A database error ends the whole transaction, for SQLite may have rolled it back already.
    """
    if alone:
        try:
            command.result = command.work(connection)
        except Exception as error:
            command.error = translated(error, store=STORE)
            raise
        return
    savepoint = connection.begin_nested()
    try:
        command.result = command.work(connection)
        savepoint.commit()
    except DBAPIError:
        raise
    except Exception as error:
        savepoint.rollback()
        command.error = error
