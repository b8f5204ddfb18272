"""Take the cubes of a vault back to a moment, page by page. Done again, it changes nothing more."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from memos_kernel.cube import MemCube
from memos_kernel.errors import ContentPurged, CubeFrozen, DuplicateContent, InvalidField, QuotaExceeded
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, VaultName
from memos_storage.domain import revisions
from memos_storage.domain.derived import outdated
from memos_storage.domain.selection import check_as_of
from memos_storage.domain.values import StoredCube, Vector
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_vault
from memos_storage.usecases.create_cubes import check_room
from memos_storage.usecases.derived import replace_source, still_true
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.room import check_growth
from memos_storage.usecases.tombstones import Tombstones

PAGE = 200
"""Most cubes in one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What is to be restored.

    Attributes:
        as_of: the moment of record time that the vault goes back to.
        begun: when the restoration began; cubes created later are not touched.
    """

    vault: VaultName
    as_of: datetime
    begun: datetime


@dataclass(frozen=True, slots=True)
class RestoredPage:
    """How many cubes were changed, those that could not be, and the uid to go on after; empty at the end."""

    changed: int
    skipped: tuple[CubeName, ...]
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCubes:
    """Goes through what has changed since the moment, each page in one transaction.

    First everything that was not there then is deleted, so that its content is free; then the rest comes back with text
    and fields of then. All of it is new revisions: nothing is lost, and a restoration can be restored from.
    """

    catalog: Catalog
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def remove(self, wanted: Restoration, *, after: str, limit: int, mutation: Mutation) -> RestoredPage:
        """Delete what was not there at the moment.

        Raises:
            VaultNotFound, InvalidField: the vault, the moment, the limit.
            Overloaded, StoreFull.
        """
        return await self._page(wanted, after, limit, mutation, _Step.remove)

    async def bring_back(self, wanted: Restoration, *, after: str, limit: int, mutation: Mutation) -> RestoredPage:
        """Give what was there at the moment the text and the fields of then.

        Raises:
            VaultNotFound, InvalidField: the vault, the moment, the limit.
            Overloaded, StoreFull.
        """
        return await self._page(wanted, after, limit, mutation, _Step.bring_back)

    async def _page(
        self, wanted: Restoration, after: str, limit: int, mutation: Mutation, change: "_Change"
    ) -> RestoredPage:
        if not 1 <= limit <= PAGE:
            raise InvalidField(f"limit is {limit}; give 1 to {PAGE}.", field="limit")
        require_vault(mutation.grant, wanted.vault, field="vault")
        now = self.clock.now()
        check_as_of(wanted.as_of, now=now)
        found = await self.catalog.altered(
            wanted.vault, since=wanted.as_of, created_until=wanted.begun, after=after, limit=limit, now=now
        )

        def work(tx: Transaction) -> tuple[int, tuple[CubeName, ...]]:
            check_room(tx, 2 * len(found))
            step = _Step(tx, wanted, mutation, self.ids, self.tombstones, now)
            skipped = [name for _, name in found if not change(step, name)]
            return step.changed, tuple(skipped)

        changed, skipped = await self.catalog.write(work)
        return RestoredPage(changed, skipped, found[-1][0] if len(found) == limit else "")


@dataclass(slots=True)
class _Step:
    """A page inside its transaction."""

    tx: Transaction
    wanted: Restoration
    mutation: Mutation
    ids: IdFactory
    tombstones: Tombstones
    now: datetime
    changed: int = 0

    def remove(self, name: CubeName) -> bool:
        """Delete a cube if it was not there then; return False if it is frozen."""
        stored = self.tx.live(name)
        if stored is None or self.then(stored) is not None:
            return True
        return self.delete(stored.cube)

    def bring_back(self, name: CubeName) -> bool:
        """Take a cube back if it was there then.

        Return False if it is frozen, its content is held or purged, or the vault has no room for it.
        """
        stored = self.tx.live(name) or self.tx.deleted(name)
        then = self.then(stored) if stored is not None else None
        if stored is None or then is None:
            return True
        try:
            back = revisions.restored(stored.cube, then.cube, now=self.now)
            if back is not stored.cube:
                self.store(stored.cube, back if still_true(self.tx, back, now=self.now) else outdated(back), then)
        except (CubeFrozen, DuplicateContent, ContentPurged, QuotaExceeded):
            return False
        return True

    def store(self, cube: MemCube, back: MemCube, then: StoredCube) -> None:
        content = cube.delete_time is not None or cube.text != back.text
        if content:
            self.tombstones.check_text(self.tx, back)
            check_growth(self.tx, back, self.mutation.grant, before=cube)
        vector = self.tx.vector(cube.uid, then.content_revision) if content else None
        try:
            self.replace(cube, back, vector=vector, content=content)
        except DuplicateContent:
            if not self.make_way(back):
                raise
            self.replace(cube, back, vector=vector, content=content)
        self.note("cube.restore", back)

    def make_way(self, back: MemCube) -> bool:
        """Delete the cube that holds the content of another, if it has another content to go back to itself."""
        holder = self.tx.holder(back.vault, back.content_hash)
        then = self.then(holder) if holder is not None else None
        if holder is None or then is None or then.cube.content_hash == back.content_hash:
            return False
        return self.delete(holder.cube)

    def then(self, stored: StoredCube) -> StoredCube | None:
        """Return what a cube was at the moment, if it was there."""
        found = self.tx.at(stored.cube.uid, self.wanted.as_of)
        return found if found is not None and found.cube.delete_time is None else None

    def delete(self, cube: MemCube) -> bool:
        try:
            gone = revisions.deleted(cube, now=self.now)
        except CubeFrozen:
            return False
        self.replace(cube, gone)
        self.note("cube.delete", gone)
        return True

    def replace(self, cube: MemCube, changed: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        replace_source(self.tx, cube, changed, self.mutation, self.ids, now=self.now, vector=vector, content=content)

    def note(self, action: str, cube: MemCube) -> None:
        self.changed += 1
        reason = f"The vault goes back to {self.wanted.as_of.isoformat()}."
        self.tx.audit(self.mutation.event(self.ids, action, cube, now=self.now, reason=reason))


_Change = Callable[[_Step, CubeName], bool]
