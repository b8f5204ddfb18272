"""Reads of whole histories."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from memos_kernel.names import VaultName
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.values import StoredCube


class HistoryReader(Protocol):
    """The catalogue as an export reads it."""

    async def heads(
        self, vault: VaultName, *, as_of: datetime, after: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return cubes of a vault as they were at a moment, deleted or not, the oldest first.

        `after` is (create time, uid) of the last one before. Those past their purge time are left out.
        """
        ...

    async def revisions(
        self, uids: Sequence[str], *, above: int, as_of: datetime, vectors: bool, limit: int
    ) -> list[ArchivedRevision]:
        """Return the revisions of cubes up to a moment, by uid and number, of numbers above `above`."""
        ...
