"""Change a cube that is there: update, delete, move it through its life cycle, count its uses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel import limits
from memos_kernel.checks import check_validity
from memos_kernel.cube import MemCube
from memos_kernel.errors import EtagMismatch, GrantInvalid, LimitExceeded, MissingField
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName
from memos_kernel.permission import Action, Grant
from memos_storage.domain import revisions, usage
from memos_storage.domain.checks import check_mutable, check_vector
from memos_storage.domain.derived import check_inherited
from memos_storage.domain.values import Answer, Vector
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import require_cube, shown
from memos_storage.usecases.create_cubes import SWEEP_SHARE, check_known_dimensions, check_room
from memos_storage.usecases.derived import check_way_back, replace_source
from memos_storage.usecases.mutation import Mutation, cube_of, once, single
from memos_storage.usecases.tombstones import Tombstones

_TRANSITION_ACTIONS = frozenset({Action.CUBE_WRITE, Action.CUBE_USE, Action.CUBE_EXPIRE})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCube:
    """Changes the fields of a mask, as a new revision."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def __call__(
        self, wanted: MemCube, *, mask: Sequence[str], vector: Vector | None, mutation: Mutation
    ) -> MemCube:
        """Return the cube as stored; without a new revision if nothing changes. `wanted.vault` is not looked at.

        Raises:
            ImmutableField, MissingField, InvalidField, LimitExceeded: the mask or a value.
            ContentPurged, QuotaExceeded: the text.
            CubeNotFound, EtagMismatch, CubeFrozen, DuplicateContent, RequestIdReused, Overloaded, StoreFull.
        """
        paths = revisions.check_mask(mask)
        now = self.clock.now()
        check_mutable(wanted, now=now, field="cube", paths=frozenset(paths))
        if vector is not None:
            check_vector(vector, field="embedding")

        def work(tx: Transaction) -> Answer:
            stored = require_cube(tx, wanted.name, mutation.grant).cube
            revisions.check_etag(stored, wanted.etag)
            changed = revisions.updated(stored, wanted, paths=paths, now=now)
            if changed is not stored:
                check_inherited(stored, changed)
                check_validity(changed.valid_from, changed.valid_until, field="cube")
                replace_cube(tx, stored, changed, vector, self.tombstones, mutation, self.ids, now=now)
                tx.audit(mutation.event(self.ids, "cube.update", changed, now=now))
            return single(changed)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        return shown(cube_of(answer), mutation.grant, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteCube:
    """Takes a cube out of every read and search; it is kept until its purge time."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, name: CubeName, *, etag: str, mutation: Mutation) -> MemCube:
        """Return the cube with its delete and purge time.

        Raises:
            CubeNotFound, EtagMismatch, CubeFrozen, RequestIdReused, Overloaded, StoreFull.
        """
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            stored = require_cube(tx, name, mutation.grant).cube
            revisions.check_etag(stored, etag)
            gone = revisions.deleted(stored, now=now)
            replace_source(tx, stored, gone, mutation, self.ids, now=now)
            tx.audit(mutation.event(self.ids, "cube.delete", gone, now=now))
            return single(gone)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        return shown(cube_of(answer), mutation.grant, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyTransition:
    """Applies what lifecycle decided, by compare-and-set."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory

    async def __call__(self, decided: MemCube, *, expected_revision: int, reason: str, mutation: Mutation) -> MemCube:
        """Return the cube in the state and frozenness of `decided`.

        Raises:
            EtagMismatch: the cube has another revision than the decision was made on.
            GrantInvalid: the grant allows none of the actions that may move a cube.
            IllegalTransition: a derived cube would come back into use though what it tells of has changed.
            CubeNotFound, RequestIdReused, Overloaded, StoreFull.
        """
        if not mutation.grant.actions & _TRANSITION_ACTIONS:
            raise GrantInvalid("The grant does not allow to move cubes.", cause="action")
        now = self.clock.now()

        def work(tx: Transaction) -> Answer:
            stored = require_cube(tx, decided.name, mutation.grant).cube
            if stored.revision != expected_revision:
                raise EtagMismatch(
                    f"{stored.name} has changed since the decision; decide again.",
                    name=str(stored.name),
                    revision=str(stored.revision),
                )
            check_way_back(tx, stored, decided.state, now=now)
            changed = revisions.moved(stored, state=decided.state, frozen=decided.frozen, now=now)
            if changed is not stored:
                if Action.CUBE_EXPIRE in mutation.grant.actions:
                    check_room(tx, 1, share=SWEEP_SHARE)
                replace_source(tx, stored, changed, mutation, self.ids, now=now)
                tx.audit(mutation.event(self.ids, "cube.transition", changed, now=now, reason=reason))
            return single(changed)

        answer = await self.catalog.write(lambda tx: once(tx, mutation, lambda: work(tx), now=now))
        return shown(cube_of(answer), mutation.grant, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUsage:
    """Counts uses of cubes; makes no revision."""

    catalog: Catalog
    clock: Clock

    async def __call__(self, uses: Sequence[tuple[CubeName, datetime]], *, grant: Grant) -> list[MemCube]:
        """Return the used cubes that are still there for the caller, each once.

        Raises:
            MissingField, LimitExceeded: no uses or too many.
            Overloaded, StoreFull: nothing was counted.
        """
        if not uses:
            raise MissingField("uses is empty; give at least one.", field="uses")
        if len(uses) > limits.BATCH_ITEMS:
            raise LimitExceeded(
                f"uses has {len(uses)} entries; the limit is {limits.BATCH_ITEMS}.",
                field="uses",
                limit=str(limits.BATCH_ITEMS),
                unit="uses",
            )
        now = self.clock.now()

        def command(tx: Transaction) -> list[MemCube]:
            cubes: dict[CubeName, MemCube] = {}
            for name, at in sorted(uses, key=lambda use: str(use[0])):  # in one order, so that none wait crosswise
                cube = cubes.get(name) or self._visible(tx, name, grant)
                if cube is not None:
                    cubes[name] = replace(cube, usage=usage.used(cube.usage, at=at, now=now))
            for cube in cubes.values():
                tx.set_usage(cube.uid, cube.usage)
            return list(cubes.values())

        return [shown(cube, grant, now=now) for cube in await self.catalog.write(command)]

    def _visible(self, tx: Transaction, name: CubeName, grant: Grant) -> MemCube | None:
        stored = tx.live(name)
        return stored.cube if stored is not None and grant.covers(stored.cube.vault) else None


def replace_cube(
    tx: Transaction,
    stored: MemCube,
    changed: MemCube,
    vector: Vector | None,
    tombstones: Tombstones,
    mutation: Mutation,
    ids: IdFactory,
    *,
    now: datetime,
) -> None:
    """Store a changed cube; a text that changed needs its vector. What was made from the old one goes out of use.

    Raises:
        MissingField, InvalidField: the vector.
        ContentPurged: the text was purged from the vault.
        DuplicateContent, Overloaded.
    """
    if changed.text == stored.text:
        replace_source(tx, stored, changed, mutation, ids, now=now)
        return
    if vector is None:
        raise MissingField("The text changes; give the vector of the new text.", field="embedding")
    tombstones.check_text(tx, changed)
    check_known_dimensions(tx, vector, field="embedding")
    check_room(tx, 1)
    if (quota := mutation.grant.quotas.get(stored.vault)) is not None:
        tx.limit(stored.vault, quota)
    replace_source(tx, stored, changed, mutation, ids, now=now, vector=vector, content=True)
