"""Erase what a purge names, tier by tier, and sign that it is done. Each step can be repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from memos_kernel import limits
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PurgeName
from memos_kernel.permission import Action, Grant
from memos_storage.domain.purges import Doomed, Purge, PurgeState, Reach, Receipt
from memos_storage.domain.receipts import statement
from memos_storage.domain.values import PointId
from memos_storage.ports import BlobRegistry, BlobStore, Catalog, Outbox, Signer, Transaction, VectorIndex
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.read_purges import ReadPurges

PAGE = 200
"""Cubes that one transaction erases."""

_REMOVE = 1_000
"""Points in one call to the index."""

_WAIT_SECONDS = 1.0

_NO_BLOBS = Reach("blobs", "None of these cubes had any.")

_NOTHING_TO_ERASE = (
    Reach("snapshots", "A snapshot is the name of a moment and holds no content."),
    Reach("job queue", "A job of a purge holds the name of the purge alone."),
    Reach("request ids", "What was answered is kept as names and revisions, which lead nowhere now."),
    Reach("audit log", "Holds who did what to which name, and no content; it is kept."),
)


@dataclass(frozen=True, slots=True)
class PurgeStep:
    """How far the purge is, the cubes still to be erased, and the seconds to wait before the next step."""

    purge: Purge
    remaining: int = 0
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPurge:
    """Does one step: a page of cubes, or, when there are none left, the other tiers and the receipt."""

    catalog: Catalog
    outbox: Outbox
    index: VectorIndex
    blobs: BlobStore
    registry: BlobRegistry
    signer: Callable[[], Signer]
    clock: Clock
    ids: IdFactory

    async def __call__(self, name: PurgeName, *, mutation: Mutation) -> PurgeStep:
        """Return how far the purge is then.

        Raises:
            GrantInvalid: the grant allows neither to purge nor to expire.
            ResourceNotFound: there is no such purge, or it is hidden.
            DependencyUnavailable: the vector index is away; what was erased stays so.
            Overloaded, StoreFull.
        """
        _require_action(mutation.grant)
        read = ReadPurges(catalog=self.catalog)
        purge = await read.get(name, grant=mutation.grant)
        if purge.state is PurgeState.ERASING:
            return await self._erase(purge, mutation)
        if purge.state is PurgeState.ERASED:
            return await self._finish(purge, mutation)
        return PurgeStep(purge)

    async def _erase(self, purge: Purge, mutation: Mutation) -> PurgeStep:
        now = self.clock.now()

        def command(tx: Transaction) -> PurgeStep:
            erased = tx.purges.erase(purge.name, limit=PAGE, now=now)
            for cube in erased:
                tx.audit(mutation.note(self.ids, "cube.purge", cube.name, now=now, reason=str(purge.name)))
            remaining = tx.purges.remaining(purge.name)
            if not remaining:
                tx.purges.set_erased(purge.name)
            found = tx.purges.find(purge.name)
            assert found is not None
            return PurgeStep(found, remaining, wait_seconds=_WAIT_SECONDS if remaining and not erased else 0.0)

        return await self.catalog.write(command)

    async def _finish(self, purge: Purge, mutation: Mutation) -> PurgeStep:
        cubes, points = await self.catalog.purged(purge.name)
        indexed = [
            (name, dimensions, points[name]) for name, dimensions in await self.outbox.embedders() if name in points
        ]
        removed = await self._remove_blobs(purge.name) if await self._empty_index(indexed) else None
        files = await self.catalog.scrub() if removed is not None else None
        if removed is None or files is None:
            return PurgeStep(purge, wait_seconds=_WAIT_SECONDS)
        indexes = [
            await self.index.scrub(embedder, dimensions, now=self.clock.now()) for embedder, dimensions, _ in indexed
        ]
        now = self.clock.now()
        copies = [] if removed is _NO_BLOBS else [_copies(purge)]
        tiers = [_rows(cubes), *indexes, files, removed, *copies, *_NOTHING_TO_ERASE]
        said = statement(purge, cubes, tiers, now=now)
        signer = self.signer()
        receipt = Receipt(said, signer.sign(said), signer.public_key)

        def command(tx: Transaction) -> Purge | None:
            tx.purges.finish(purge.name, receipt, now=now)
            tx.audit(mutation.note(self.ids, "purge.finish", purge.name, now=now))
            return tx.purges.find(purge.name)

        done = await self.catalog.write(command)
        assert done is not None
        return PurgeStep(done)

    async def _remove_blobs(self, name: PurgeName) -> Reach | None:
        """Take the blobs out of the store, and look; None if one is still there."""
        leaving = await self.registry.gone(purge=name, limit=limits.PURGE_CUBES)
        if not leaving:
            return _NO_BLOBS
        for blob in leaving:
            await self.blobs.remove(blob.vault, blob.name)
        for vault in {blob.vault for blob in leaving}:
            if {blob.name for blob in leaving} & set(await self.blobs.names(vault)):
                return None
        reach = await self.blobs.scrub()
        return replace(reach, done=f"{reach.done} Blobs {len(leaving)}.")

    async def _empty_index(self, indexed: Sequence[tuple[str, int, Sequence[PointId]]]) -> bool:
        """Take points out of the index, and look; False if one is back, put by a worker that stalled."""
        for embedder, dimensions, ids in indexed:
            for start in range(0, len(ids), _REMOVE):
                part = ids[start : start + _REMOVE]
                await self.index.remove(embedder, part)
                if await self.index.held(embedder, dimensions, part):
                    return False
        return True


def _rows(cubes: Sequence[Doomed]) -> Reach:
    revisions = sum(cube.revisions for cube in cubes)
    return Reach(
        "catalogue",
        f"Erased, with vectors, terms, labels, sources and outbox entries: cubes {len(cubes)}, revisions {revisions}."
        " Then no row of any of them was found.",
    )


def _copies(purge: Purge) -> Reach:
    return Reach(
        "copies of inference",
        "No call can use them any more.",
        "What a machine of inference fetched before is removed once nobody has used it for an hour, or when that"
        " machine starts again.",
        purge.create_time + limits.KV_COPY_RETENTION,
    )


def _require_action(grant: Grant) -> None:
    if Action.CUBE_EXPIRE not in grant.actions:
        grant.require(Action.CUBE_PURGE)
