"""Tells who waits for changes that this process has committed something."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_GATHER_SECONDS = 0.02
"""For which more commits are waited for, so that a busy vault is not looked at once for each."""


class Notice:
    """Set by the next commit after it was made."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """There was a commit."""
        self._event.set()

    async def wait(self, seconds: float) -> float:
        """Wait for a commit, and return the seconds that have passed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
                await asyncio.sleep(_GATHER_SECONDS)
        except TimeoutError:
            pass
        return loop.time() - began


class LocalCommits:
    """Implements `ports.Commits` within one event loop."""

    def __init__(self) -> None:
        self._waiting: set[Notice] = set()

    def notify(self) -> None:
        """Say that something was committed."""
        for notice in self._waiting:
            notice.set()

    @contextmanager
    def noticing(self) -> Iterator[Notice]:
        """Return what notices every commit from here on."""
        notice = Notice()
        self._waiting.add(notice)
        try:
            yield notice
        finally:
            self._waiting.discard(notice)
