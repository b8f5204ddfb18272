"""The feed of changes in memory."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from memos_kernel.changes import Change, ChangeKind
from memos_kernel.cube import MemCube
from memos_kernel.names import VaultName
from memos_storage.adapters.memory.tables import Tables
from memos_storage.domain.feed import Place

if TYPE_CHECKING:
    from memos_storage.adapters.memory.catalog import MemoryCatalog


class MemoryChangeFeed:
    """Implements `ports.ChangeFeed` over a `MemoryCatalog`."""

    def __init__(self, catalog: "MemoryCatalog") -> None:
        self._catalog = catalog

    async def latest(self, vault: VaultName) -> Place:
        """Return the place of the newest change."""
        return Place(0, len(self._catalog.tables.changes))

    async def after(self, vault: VaultName, place: Place, *, limit: int, now: datetime) -> list[tuple[Place, Change]]:
        """Return the changes behind a place, in order."""
        tables = self._catalog.tables
        told = enumerate(tables.changes[place.sequence :], place.sequence + 1)
        found = [(Place(0, number), one) for number, one in told if one.cube is not None and one.cube.vault == vault]
        return [(at, replace(one, cube=_readable(tables, one, now))) for at, one in found[:limit]]

    async def forget(self, *, before: datetime) -> int:
        """Remove changes that were recorded before a moment; their places stay taken."""
        changes = self._catalog.tables.changes
        old = [number for number, one in enumerate(changes) if one.cube is not None and one.time < before]
        for number in old:
            changes[number] = replace(changes[number], cube=None)
        return len(old)


def change(kind: ChangeKind, cube: MemCube, *, time: datetime | None = None) -> Change:
    """Return the change that a revision makes."""
    recorded = time or cube.update_time
    assert recorded is not None
    return Change(kind, cube.name, cube.uid, cube.revision, recorded, cube)


def _readable(tables: Tables, one: Change, now: datetime) -> MemCube | None:
    newest = tables.cubes.get(one.uid)
    if newest is None or one.kind is ChangeKind.PURGED:
        return None
    over = newest.cube.purge_time
    return None if over is not None and over <= now else one.cube
