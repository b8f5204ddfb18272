"""Take a cube back to an older revision, as a new revision."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube
from memos_kernel.errors import InvalidField
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName
from memos_storage.domain import revisions
from memos_storage.domain.checks import check_vector
from memos_storage.domain.values import Answer, Vector
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_cube, shown
from memos_storage.usecases.change_cubes import replace_cube
from memos_storage.usecases.mutation import Mutation, cube_of, once, single
from memos_storage.usecases.read_revisions import revision_not_found
from memos_storage.usecases.tombstones import Tombstones


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackCube:
    """Gives a cube the text and the fields of an older revision. Nothing is taken out of its history."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def __call__(
        self, name: CubeName, *, revision: int, etag: str, vector: Vector | None, mutation: Mutation
    ) -> MemCube:
        """Return the cube as stored; without a new revision if it is as it was then.

        `vector` is that of the text of then; without it the one that was stored with the text comes back.

        Raises:
            InvalidField, MissingField: the revision, the vector.
            CubeNotFound, RevisionNotFound, EtagMismatch, CubeFrozen: there is nothing to take back, or it may not be.
            ContentPurged: the text was purged from the vault with another cube.
            QuotaExceeded: the text of then is longer, and the vault has no room for it.
            DuplicateContent: another cube of the vault holds the content by now.
            RequestIdReused, Overloaded, StoreFull.
        """
        if revision < 1:
            raise InvalidField(f"revision is {revision}; give 1 or more.", field="revision")
        if vector is not None:
            check_vector(vector, field="embedding")
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            stored = require_cube(tx, name, mutation.grant).cube
            revisions.check_etag(stored, etag)
            old = tx.revision(stored.uid, revision)
            if old is None:
                raise revision_not_found(name, revision)
            changed = revisions.rolled_back(stored, old.cube, now=now)
            if changed is not stored:
                then = vector or tx.vector(stored.uid, old.content_revision)
                replace_cube(tx, stored, changed, then, self.tombstones, mutation, self.ids, now=now)
                reason = f"Taken back to revision {revision}."
                tx.audit(mutation.event(self.ids, "cube.rollback", changed, now=now, reason=reason))
            return single(changed)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        return shown(cube_of(answer), mutation.grant, now=now)
