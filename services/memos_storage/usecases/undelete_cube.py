"""Take the deletion of a cube back."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube
from memos_kernel.errors import ResourceExists
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName
from memos_storage.domain import revisions
from memos_storage.domain.derived import outdated
from memos_storage.domain.values import Answer, StoredCube
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import cube_not_found, shown
from memos_storage.usecases.create_cubes import check_room
from memos_storage.usecases.derived import still_true
from memos_storage.usecases.mutation import Mutation, cube_of, once, single
from memos_storage.usecases.tombstones import Tombstones


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteCube:
    """Brings a deleted cube back into every read and search, as a new revision with the text that it had."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def __call__(self, name: CubeName, *, etag: str, mutation: Mutation) -> MemCube:
        """Return the cube without delete and purge time.

        Raises:
            CubeNotFound: there is none, it is hidden, or its purge time has come.
            ResourceExists: it is not deleted.
            ContentPurged: its words were purged with another cube.
            DuplicateContent: another cube of the vault holds the content by now.
            EtagMismatch, RequestIdReused, Overloaded, StoreFull.
        """
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            stored = self._deleted(tx, name, mutation)
            gone = stored.cube
            if gone.purge_time is not None and gone.purge_time <= now:
                raise cube_not_found(name)
            revisions.check_etag(gone, etag)
            back = revisions.undeleted(gone if still_true(tx, gone, now=now) else outdated(gone), now=now)
            self.tombstones.check_text(tx, back)
            vector = tx.vector(back.uid, stored.content_revision)
            check_room(tx, 1 if vector is not None else 0)
            tx.replace(back, vector=vector, content=True)
            tx.audit(mutation.event(self.ids, "cube.undelete", back, now=now))
            return single(back)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        return shown(cube_of(answer), mutation.grant, now=now)

    def _deleted(self, tx: Transaction, name: CubeName, mutation: Mutation) -> StoredCube:
        stored = tx.deleted(name)
        if stored is not None and mutation.grant.covers(stored.cube.vault):
            return stored
        live = tx.live(name)
        if live is not None and mutation.grant.covers(live.cube.vault):
            raise ResourceExists(f"{name} is not deleted.", name=str(name))
        raise cube_not_found(name)
