"""The feed of changes, and what wakes those who follow it."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from memos_kernel.changes import Change
from memos_kernel.names import VaultName
from memos_storage.domain.feed import Place


class ChangeFeed(Protocol):
    """What happened in a vault, in the order in which it became visible."""

    async def latest(self, vault: VaultName) -> Place:
        """Return the place of the newest change; all that is not told by then comes behind it."""
        ...

    async def after(self, vault: VaultName, place: Place, *, limit: int, now: datetime) -> list[tuple[Place, Change]]:
        """Return the changes behind a place, in order, with their cubes as far as they can be read."""
        ...

    async def forget(self, *, before: datetime) -> int:
        """Remove changes that were recorded before a moment; returns how many."""
        ...


class Commit(Protocol):
    """A commit that may come."""

    async def wait(self, seconds: float) -> float:
        """Wait for it at most so long, and return the seconds that have passed."""
        ...


class Commits(Protocol):
    """Tells of commits of this process, so that nobody has to look all the time."""

    def noticing(self) -> AbstractContextManager[Commit]:
        """Return what notices every commit from here on."""
        ...
