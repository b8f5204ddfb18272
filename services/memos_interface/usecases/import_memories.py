"""Stores many cubes, batch by batch, as fast as they can be stored and no faster."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace

from memos_interface.domain.cubes import finish_new
from memos_interface.domain.extraction import Engine
from memos_interface.domain.imports import ImportItem, ImportOutcome, ImportPage
from memos_interface.ports import Delegation, Embedder, Generator, MemoryStore, Spans, StoredBatch, Vectors
from memos_interface.usecases.embedding import embed_all
from memos_interface.usecases.record_turn import WRITE_ACTIONS
from memos_kernel import limits
from memos_kernel.cube import MemCube, Origin, Plaintext
from memos_kernel.errors import (
    Capacity,
    DependencyUnavailable,
    Draining,
    InvalidField,
    LimitExceeded,
    MemosError,
    StoreFull,
)
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Principal
from memos_kernel.requests import RequestKey

AHEAD = 3
"""Batches that are under way at once: one is embedded while another is committed."""

_PAUSE_SECONDS = 0.5

Items = Sequence[ImportItem | MemosError]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMemories:
    """Each batch is one transaction under a grant of its own, so that an import ends when the permission does."""

    embedder: Embedder
    engine: Generator
    store: MemoryStore
    delegation: Delegation
    clock: Clock
    spans: Spans

    async def __call__(
        self, vault: VaultName, batches: AsyncIterator[Items], *, embedder: str, start: int, caller: Principal
    ) -> AsyncGenerator[ImportPage, None]:
        """Yield where to begin, then the outcomes of each batch once it is durable, in order.

        Raises:
            InvalidField: the vectors are of another embedder than the one that runs.
            LimitExceeded: too many items in a batch.
            VaultNotFound, StoreFull, Capacity: from the services behind; what was answered is stored.
        """
        engine = await self.engine.describe()
        if embedder and embedder != engine.embedder:
            raise _another(embedder, engine)
        self.spans.mark("create_memory", about=str(vault))
        yield ImportPage(start, embedder=engine.embedder)
        under_way: deque[asyncio.Task[ImportPage]] = deque()
        try:
            async for items in batches:
                _check_size(items)
                under_way.append(
                    asyncio.create_task(self._store(vault, items, engine if embedder else None, start, caller))
                )
                start += len(items)
                if len(under_way) == AHEAD or under_way[0].done():
                    yield await under_way[0]
                    under_way.popleft()
            while under_way:
                yield await under_way[0]
                under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _store(
        self, vault: VaultName, items: Items, engine: Engine | None, start: int, caller: Principal
    ) -> ImportPage:
        ready = [self._checked(item, vault, engine) for item in items]
        good = [item for item in ready if isinstance(item, ImportItem)]
        stored = await self._patiently(vault, good, engine, caller) if good else StoredBatch((), "")
        results = iter(stored.results)
        outcomes = [
            ImportOutcome(error=item) if isinstance(item, MemosError) else _outcome(next(results)) for item in ready
        ]
        return ImportPage(start, tuple(outcomes), stored.degraded)

    async def _patiently(
        self, vault: VaultName, items: Sequence[ImportItem], engine: Engine | None, caller: Principal
    ) -> StoredBatch:
        """Store a batch, and wait as long as a part is busy: that is how fast the items may come."""
        while True:
            try:
                async with self.delegation.acting(caller, WRITE_ACTIONS, (vault,)):
                    vectors = await self._vectors(items, engine)
                    return await self.store.create(
                        [item.cube for item in items], vectors, return_existing=True, request=RequestKey()
                    )
            except (StoreFull, Draining):
                raise
            except Capacity as error:
                await asyncio.sleep(error.retry_after or _PAUSE_SECONDS)

    async def _vectors(self, items: Sequence[ImportItem], engine: Engine | None) -> Vectors:
        missing = [item.cube.text for item in items if not item.vector]
        computed = await embed_all(self.embedder, missing)
        if engine is not None and missing and computed.embedder != engine.embedder:
            raise DependencyUnavailable("The embedder has just changed; begin anew.", dependency="inference")
        made = iter(computed.values)
        name = engine.embedder if engine is not None else computed.embedder
        return Vectors(tuple(item.vector or next(made) for item in items), name)

    def _checked(
        self, item: ImportItem | MemosError, vault: VaultName, engine: Engine | None
    ) -> ImportItem | MemosError:
        if isinstance(item, MemosError):
            return item
        try:
            return replace(item, cube=self._finished(item, vault, engine))
        except MemosError as error:
            return error

    def _finished(self, item: ImportItem, vault: VaultName, engine: Engine | None) -> MemCube:
        if item.cube.vault != vault:
            raise InvalidField(f"cube.vault is {item.cube.vault}; this import is into {vault}.", field="cube.vault")
        if item.cube.payload is not None and not isinstance(item.cube.payload, Plaintext):
            raise InvalidField("An import takes texts; store what has bytes with UploadBlob.", field="cube.plaintext")
        if item.vector and engine is None:
            raise InvalidField("There is a vector, and header.embedder does not say whose.", field="embedding")
        if item.vector and engine is not None and len(item.vector) != engine.dimensions:
            raise InvalidField(
                f"embedding has {len(item.vector)} elements; {engine.embedder} makes {engine.dimensions}.",
                field="embedding",
            )
        cube = replace(item.cube, origin=item.cube.origin or Origin.IMPORT)
        return finish_new(cube, tenant=vault.tenant, now=self.clock.now())


def _outcome(result: object) -> ImportOutcome:
    if isinstance(result, MemosError):
        return ImportOutcome(error=result)
    return ImportOutcome(str(result.cube.name), created=result.created)  # type: ignore[attr-defined]


def _another(embedder: str, engine: Engine) -> InvalidField:
    return InvalidField(
        f"header.embedder is {embedder!r}; {engine.embedder!r} runs here, and vectors of another are never found. Leave"
        " the vectors out, and they are computed.",
        field="header.embedder",
    )


def _check_size(items: Items) -> None:
    if len(items) > limits.BATCH_ITEMS:
        raise LimitExceeded(
            f"batch.items has {len(items)} entries; the limit is {limits.BATCH_ITEMS}. Split it.",
            field="batch.items",
            limit=str(limits.BATCH_ITEMS),
            unit="items",
        )
