"""Purges in memory."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime

from memos_kernel.changes import ChangeKind
from memos_kernel.cube import Kind, MemCube
from memos_kernel.errors import StateConflict
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_storage.adapters.memory.changes import change
from memos_storage.adapters.memory.tables import Tables
from memos_storage.domain.purges import Doomed, Purge, PurgeState, Receipt
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import PointId

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryPurges:
    """Implements `ports.PurgeLedger`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def hold(self, vault: VaultName) -> None:
        """Nobody else is at it."""

    def named(self, vault: VaultName, names: Sequence[CubeName]) -> list[MemCube]:
        """Return the cubes of a vault among the names, deleted or not."""
        return self._free(lambda cube: cube.vault == vault and cube.name in set(names))

    def selected(self, selection: Selection, *, limit: int) -> list[MemCube]:
        """Return cubes that the filter matches, deleted or not."""
        return self._free(lambda cube: selection.matches(replace(cube, delete_time=None)))[:limit]

    def due(self, tenant: str, *, now: datetime, limit: int) -> list[MemCube]:
        """Return deleted cubes of one vault whose purge time has come."""
        found = self._free(
            lambda cube: cube.vault.tenant == tenant and cube.purge_time is not None and cube.purge_time <= now
        )
        return [cube for cube in found if cube.vault == found[0].vault][:limit]

    def derived(self, names: Sequence[CubeName], kinds: frozenset[Kind]) -> list[MemCube]:
        """Return the cubes of the tenant and of some kinds that were made directly from these."""
        return self._free(lambda cube: cube.kind in kinds and any(ref.name in set(names) for ref in cube.derived_from))

    def told(self, uids: Sequence[str]) -> Iterator[MemCube]:
        """Return every revision of these cubes."""
        return (row.cube for uid in uids for row in self._tables.history.get(uid, ()))

    def add(self, purge: Purge, uids: Sequence[str]) -> None:
        """Store a purge, and take its cubes out of every read of now and of the past."""
        tables = self._tables
        tables.purges[purge.name] = purge
        rows = {uid: tables.cubes[uid] for uid in uids}
        if any(row.cube.frozen for row in rows.values()):
            raise StateConflict("Some of these cubes have just been frozen; count them again.", name=str(purge.name))
        tables.purge_cubes[purge.name] = {
            uid: Doomed(uid, row.cube.name, row.cube.revision) for uid, row in rows.items()
        }
        tables.purge_points[purge.name] = ()
        for uid, row in rows.items():
            deleted = row.cube.delete_time or purge.create_time
            tables.changes.append(change(ChangeKind.PURGED, row.cube, time=purge.create_time))
            tables.cubes[uid] = replace(row, cube=replace(row.cube, delete_time=deleted, purge_time=_LONG_AGO))

    def bury(self, name: PurgeName, tombstones: Set[bytes]) -> None:
        """Keep these from being stored until the purge is lifted."""
        self._tables.tombstones[name] = frozenset(tombstones)

    def find(self, name: PurgeName) -> Purge | None:
        """Return a purge."""
        return self._tables.purges.get(name)

    def unfinished(self, tenant: str, *, before: datetime) -> Purge | None:
        """Return the oldest purge that was asked for before a moment and is not done."""
        found = [
            purge
            for purge in self._tables.purges.values()
            if purge.name.tenant == tenant and purge.state is not PurgeState.DONE and purge.create_time < before
        ]
        return min(found, key=lambda purge: purge.create_time, default=None)

    def erase(self, name: PurgeName, *, limit: int, now: datetime) -> list[Doomed]:
        """Erase cubes from every table; those that a worker of the outbox holds stay for later."""
        tables = self._tables
        held = {entry.uid for entry in tables.outbox.values() if entry.until is not None and entry.until > now}
        items = tables.purge_cubes.get(name, {})
        gone = [uid for uid, item in items.items() if not item.erased and uid not in held][:limit]
        points = [
            (embedder, PointId(uid, revision))
            for (uid, revision), held in tables.vectors.items()
            if uid in gone
            for embedder in held
        ]
        if not gone:
            return []
        tables.purge_points[name] += tuple(points)
        for uid in gone:
            del tables.cubes[uid], tables.history[uid]
        tables.vectors = {key: vector for key, vector in tables.vectors.items() if key[0] not in gone}
        tables.outbox = {number: entry for number, entry in tables.outbox.items() if entry.uid not in gone}
        hashes = {(row.vault, row.blob.sha256) for row in tables.blobs.values() if row.uid in gone}
        for blob, row in tables.blobs.items():
            copied = not row.uid and row.purge is None and (row.vault, row.blob.sha256) in hashes
            if row.uid in gone or copied:
                tables.blobs[blob] = replace(row, uid="", gone=True, purge=name)
        done = [replace(items[uid], erased=True) for uid in gone]
        tables.purge_cubes[name] = {**items, **{item.uid: item for item in done}}
        return done

    def remaining(self, name: PurgeName) -> int:
        """Return how many cubes of a purge still have a row."""
        return sum(uid in self._tables.cubes for uid in self._tables.purge_cubes.get(name, ()))

    def set_erased(self, name: PurgeName) -> None:
        """Take note that the catalogue has none of the cubes any more."""
        if self._tables.purges[name].state is PurgeState.ERASING:
            self._set(name, state=PurgeState.ERASED)

    def finish(self, name: PurgeName, receipt: Receipt, *, now: datetime) -> None:
        """Store the receipt, and forget what it was needed for; if it is done already, nothing."""
        if self._tables.purges[name].state is not PurgeState.ERASED:
            return
        self._set(name, state=PurgeState.DONE, end_time=now, receipt=receipt)
        del self._tables.purge_cubes[name], self._tables.purge_points[name]
        self._tables.blobs = {blob: row for blob, row in self._tables.blobs.items() if row.purge != name}

    def lift(self, name: PurgeName, *, now: datetime) -> None:
        """Forget the tombstones of a purge."""
        self._set(name, lift_time=now)
        self._tables.tombstones.pop(name, None)

    def stopped(self, vault: VaultName, tombstones: Callable[[], Set[bytes]]) -> PurgeName | None:
        """Return a purge that keeps one of these from being stored in the vault."""
        return next((name for name, held in self._tables.tombstones.items() if held & tombstones()), None)

    def _set(self, name: PurgeName, **values: object) -> None:
        self._tables.purges[name] = replace(self._tables.purges[name], **values)  # type: ignore[arg-type]

    def _free(self, wanted: Callable[[MemCube], bool]) -> list[MemCube]:
        """Return cubes of no purge that goes on."""
        taken = {uid for items in self._tables.purge_cubes.values() for uid in items}
        return [row.cube for uid, row in self._tables.cubes.items() if uid not in taken and wanted(row.cube)]
