"""Whether a service takes calls: not before it has started, and no new ones once it drains."""

import asyncio
from typing import Literal

from memos_kernel.errors import DependencyUnavailable, Draining

_RETRY_SECONDS = 1.0


class Gate:
    """The door of one service, with the number of calls inside."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.state: Literal["starting", "open", "draining"] = "starting"

    def open(self) -> None:
        """Take calls."""
        self.state = "open"

    def drain(self) -> None:
        """Refuse new calls; those inside go on."""
        self.state = "draining"

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until no call is inside; return whether that came about in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def enter(self) -> None:
        """Let a call in; it must `leave`.

        Raises:
            DependencyUnavailable: the service is still starting.
            Draining: it is going down.
        """
        if self.state != "open":
            raise self._refusal()
        self._inside += 1
        self._empty.clear()

    def leave(self) -> None:
        """Let a call out."""
        self._inside -= 1
        if not self._inside:
            self._empty.set()

    def _refusal(self) -> DependencyUnavailable | Draining:
        if self.state == "draining":
            return Draining(f"{self._service} is going down; try again.", retry_after=_RETRY_SECONDS)
        return DependencyUnavailable(
            f"{self._service} is starting; try again.", retry_after=_RETRY_SECONDS, dependency=self._service
        )
