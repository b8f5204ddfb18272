"""One thread that writes, with group commit: commands that wait together share one transaction and one fsync."""

import asyncio
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError

from memos_kernel.errors import Draining, Overloaded
from memos_runtime.sql.faults import lost_a_race, translated
from memos_storage.adapters.sql.schema import STORE

T = TypeVar("T")
Work = Callable[[Connection], Any]

_RETRY_AFTER = 0.2
_JOIN_SECONDS = 10.0
_ATTEMPTS = 6
"""Most times that a command is run: in its group, then alone, while other processes come between."""

_PAUSE_SECONDS = 0.02


@dataclass(slots=True)
class _Command:
    work: Work
    future: Future[Any] = field(default_factory=Future)
    result: Any = None
    error: Exception | None = None


class GroupWriter:
    """Runs commands one after the other; each is answered after the commit that made it durable."""

    def __init__(self, engine: Engine, *, queue_size: int, group_size: int) -> None:
        """Take the engine of one writing connection; at most `group_size` commands share a transaction."""
        self._engine = engine
        self._group_size = group_size
        self._queue: queue.Queue[_Command | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._loop, name="catalogue-writer", daemon=True)
        self._closed = False

    def start(self) -> None:
        """Begin to take commands."""
        self._thread.start()

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
            self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

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
            raced = lost_a_race(error)
            if (raced or isinstance(error, DataError)) and (len(group) > 1 or (raced and attempt < _ATTEMPTS)):
                # a value of one command that the database refuses, or another process that came between
                time.sleep(random.uniform(0, _PAUSE_SECONDS * attempt) if len(group) == 1 else 0)  # noqa: S311
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
