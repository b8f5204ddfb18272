"""Whole histories in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from memos_kernel.names import VaultName
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.tables import vectors_of
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.values import StoredCube, Vector


class MemoryHistoryReader:
    """Implements `ports.HistoryReader` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def heads(
        self, vault: VaultName, *, as_of: datetime, after: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return cubes of a vault as they were at a moment, deleted or not, the oldest first."""
        newest = self._catalog.tables.cubes
        found = [row for uid in newest if (row := self._then(uid, as_of)) is not None and row.cube.vault == vault]
        kept = [row for row in found if (end := newest[row.cube.uid].cube.purge_time) is None or end > now]
        kept = [row for row in kept if after is None or _place(row) > after]
        return sorted(kept, key=_place)[:limit]

    async def revisions(
        self, uids: Sequence[str], *, above: int, as_of: datetime, vectors: bool, limit: int
    ) -> list[ArchivedRevision]:
        """Return the revisions of cubes up to a moment, by uid and number, of numbers above `above`."""
        tables = self._catalog.tables
        found = [
            ArchivedRevision(
                row.cube,
                row.content_revision,
                tuple(sorted(vectors_of(tables, uid, row.cube.revision), key=_embedder)) if vectors else (),
            )
            for uid in sorted(uids)
            for row in self._until(uid, as_of)
            if row.cube.revision > above
        ]
        return found[:limit]

    def _then(self, uid: str, as_of: datetime) -> StoredCube | None:
        rows, newest = self._until(uid, as_of), self._catalog.tables.cubes[uid]
        return replace(rows[-1], cube=replace(rows[-1].cube, usage=newest.cube.usage)) if rows else None

    def _until(self, uid: str, as_of: datetime) -> list[StoredCube]:
        if uid in {doomed for items in self._catalog.tables.purge_cubes.values() for doomed in items}:
            return []
        rows = self._catalog.tables.history.get(uid, ())
        return [row for row in rows if row.cube.update_time is not None and row.cube.update_time <= as_of]


def _embedder(vector: Vector) -> str:
    return vector.embedder


def _place(row: StoredCube) -> tuple[datetime, str]:
    assert row.cube.create_time is not None
    return row.cube.create_time, row.cube.uid
