"""Lets work that has begun come to its end even if the caller leaves."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SECONDS = 30.0
"""Time that such work gets at least, however little its caller has left."""

_log = logging.getLogger(__name__)


class Finishing:
    """Runs coroutines that a cancelled caller must not tear in two."""

    def __init__(self, allow: Callable[[float], None]) -> None:
        """Take what gives the running context more seconds."""
        self._allow = allow
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work returns. If the caller is cancelled or out of time meanwhile, the work still goes on."""
        task = asyncio.create_task(self._in_own_time(work))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for what still runs."""
        if self._running:
            await asyncio.wait(self._running)

    async def _in_own_time(self, work: Coroutine[Any, Any, T]) -> T:
        self._allow(SECONDS)
        return await work

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.info("work after the answer failed: %s", type(task.exception()).__name__)
