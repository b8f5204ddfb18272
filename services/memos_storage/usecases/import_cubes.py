"""Store cubes as they were in another installation, with all their revisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_kernel import limits
from memos_kernel.cube import MemCube, State
from memos_kernel.errors import InvalidField, LimitExceeded, MemosError, MissingField, ResourceExists
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import VaultName
from memos_storage.domain.archives import (
    ArchivedRevision,
    History,
    ImportOutcome,
    check_history,
    histories,
    joined,
    with_blob_of,
)
from memos_storage.domain.derived import is_derived
from memos_storage.domain.values import StoredCube
from memos_storage.ports import Catalog, Transaction, VectorIndex
from memos_storage.usecases.access import require_vault
from memos_storage.usecases.create_cubes import check_known_dimensions, check_room
from memos_storage.usecases.derived import contradicted, follow, make_stale
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.room import check_growth
from memos_storage.usecases.tombstones import Tombstones

Adopted = ImportOutcome | MemosError


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of each cube, by the order in which they were given."""

    cubes: tuple[tuple[MemCube, Adopted], ...]
    degraded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCubes:
    """Stores histories: each cube whole or not at all, all of them in one transaction."""

    catalog: Catalog
    index: VectorIndex
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def __call__(
        self, vault: VaultName, revisions: Sequence[ArchivedRevision], *, reason: str, mutation: Mutation
    ) -> Imported:
        """Return what became of each cube; one that cannot be stored does not keep the others from it.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            MissingField, LimitExceeded: no revisions, or too many.
            Overloaded, StoreFull: nothing was stored.
        """
        require_vault(mutation.grant, vault, field="vault")
        if not revisions:
            raise MissingField("revisions is empty; give at least one.", field="revisions")
        if len(revisions) > limits.ARCHIVE_REVISIONS:
            raise LimitExceeded(
                f"revisions has {len(revisions)} entries; the limit is {limits.ARCHIVE_REVISIONS}. Split it.",
                field="revisions",
                limit=str(limits.ARCHIVE_REVISIONS),
                unit="revisions",
            )
        given = list(histories(revisions))
        now = self.clock.now()
        checked = [_checked(history, vault, now=now) for history in given]

        def work(tx: Transaction) -> list[Adopted]:
            check_room(tx, sum(1 for history in given if any(item.vectors for item in history)))
            outcomes: list[Adopted] = [ImportOutcome.UNCHANGED] * len(given)
            for index in sorted(range(len(given)), key=lambda one: given[one][-1].cube.content_hash):
                if (refused := checked[index]) is not None:
                    _drop_blob(tx, given[index][-1].cube)
                outcomes[index] = refused or self._adopt(tx, given[index], reason, mutation, now)
            return outcomes

        outcomes = await self.catalog.write(work)
        cubes = [history[-1].cube for history in given]
        return Imported(tuple(zip(cubes, outcomes, strict=True)), degraded=not self.index.healthy)

    def _adopt(self, tx: Transaction, history: History, reason: str, mutation: Mutation, now: datetime) -> Adopted:
        try:
            outcome = self._store(tx, history, mutation, now)
        except MemosError as error:
            _drop_blob(tx, history[-1].cube)
            return error
        if outcome is not ImportOutcome.UNCHANGED:
            cube = history[-1].cube
            tx.audit(mutation.event(self.ids, "cube.import", cube, now=now, reason=reason))
        return outcome

    def _store(self, tx: Transaction, history: History, mutation: Mutation, now: datetime) -> ImportOutcome:
        newest, grant = history[-1].cube, mutation.grant
        stored = tx.present(newest.uid)
        if stored is not None and not grant.covers(stored.cube.vault):
            raise ResourceExists(
                f"The cube {newest.uid} is here already, in another vault; a cube is in one vault of an installation.",
                name=str(newest.name),
            )
        if stored is not None and is_derived(stored.cube) and stored.cube.state is State.STALE is newest.state:
            _drop_blob(tx, newest)  # both have seen the change, each at a time of its own
            return ImportOutcome.UNCHANGED
        fresh = history if stored is None else _joined(tx, history, stored)
        if not fresh:
            _drop_blob(tx, newest)
            return ImportOutcome.UNCHANGED
        for item in fresh:
            self.tombstones.check(tx, item.cube)
            for vector in item.vectors:
                check_known_dimensions(tx, vector, field="vectors")
        if stored is None:
            check_growth(tx, newest, grant, before=None)
            _create(tx, history, now=now)
            if newest.state is not State.STALE and contradicted(tx, newest, now=now):
                make_stale(tx, newest, mutation, self.ids, reason="Its source here tells something else.", now=now)
            return ImportOutcome.CREATED
        check_growth(tx, newest, grant, before=stored.cube)
        tx.adopt(fresh, now=now)
        follow(tx, stored.cube, newest, mutation, self.ids, now=now)
        _drop_blob(tx, newest)
        return ImportOutcome.EXTENDED


def _create(tx: Transaction, history: History, *, now: datetime) -> None:
    first, cube = history[0], history[-1].cube
    if first.content_revision != first.cube.revision:
        raise InvalidField("The first revision of a cube brings its text.", field="content_revision")
    if cube.blob is not None:
        if any(item.cube.blob != cube.blob for item in history):
            raise InvalidField("The revisions of a cube have the same bytes.", field="blob")
        if not tx.blobs.free(cube.vault, cube.blob.name):
            raise InvalidField(f"{cube.vault} has no blob {cube.blob.name} that waits for a cube.", field="blob.name")
    tx.adopt(history, now=now)
    if cube.blob is not None:
        tx.blobs.take(cube.blob.name, cube.uid)


def _joined(tx: Transaction, history: History, stored: StoredCube) -> History:
    """Return what comes behind the revisions that are here, with the bytes that are here.

    Raises:
        StateConflict: see `domain.archives.joined`.
    """
    newest, here = history[-1].cube, stored.cube
    held = tx.revision(here.uid, min(here.revision, newest.revision))
    return joined(with_blob_of(history, here), here, then=held.cube if held is not None else None)


def _drop_blob(tx: Transaction, cube: MemCube) -> None:
    """Let bytes go that were uploaded for a cube that has its own here."""
    if cube.blob is not None:
        tx.blobs.drop(cube.blob.name)


def _check_sizes(history: History) -> None:
    """Refuse vectors of one embedder and several sizes: the first one of all would decide for the installation.

    Raises:
        InvalidField: as said.
    """
    sizes: dict[str, int] = {}
    for vector in (vector for item in history for vector in item.vectors):
        if sizes.setdefault(vector.embedder, vector.values.size) != vector.values.size:
            raise InvalidField(f"The vectors of {vector.embedder} have several sizes.", field="vectors")


def _checked(history: History, vault: VaultName, *, now: datetime) -> MemosError | None:
    try:
        check_history(history, vault=vault, now=now, field="revisions")
        _check_sizes(history)
    except MemosError as error:
        return error
    return None
