"""Stores many cubes, batch by batch, as fast as they can be stored and no faster."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from memos_interface.domain.cubes import finish_new
from memos_interface.domain.imports import ImportItem, ImportOutcome, ImportPage
from memos_interface.ports import Delegation, Embedder, EmbedderFacts, MemoryStore, Spans, StoredName, Vectors
from memos_interface.usecases.embedding import embed_all
from memos_interface.usecases.patience import patiently
from memos_interface.usecases.record_turn import WRITE_ACTIONS
from memos_kernel import limits
from memos_kernel.cube import MemCube, Origin, Plaintext
from memos_kernel.embedding import Embedding, embedded_text
from memos_kernel.errors import DependencyUnavailable, InvalidField, LimitExceeded, MemosError
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Principal

T = TypeVar("T")

AHEAD = 3
"""Batches that are under way at once: one is embedded while another is committed."""

_MESSAGE_BYTES = 3 * 1024 * 1024
_HEADER_BYTES = 4 * 1024
"""Room for what a cube has beside its text; labels and sources can be longer, and then storage's limit tells."""

Items = Sequence[ImportItem | MemosError]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMemories:
    """Each batch is one transaction under a grant of its own, so that an import ends when the permission does."""

    embedder: Embedder
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
        facts = await self._facts_for(embedder)
        self.spans.mark("create_memory", about=str(vault))
        yield ImportPage(start, embedder=facts.id)
        under_way: deque[asyncio.Task[ImportPage]] = deque()
        reading: asyncio.Task[Items | None] | None = None
        ended, failure = False, None
        try:
            while not ended or under_way:
                if reading is None and not ended and len(under_way) < AHEAD:
                    reading = asyncio.create_task(_next(batches))
                awaited = {*([reading] if reading is not None else []), *list(under_way)[:1]}
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if under_way and under_way[0].done():
                    yield under_way.popleft().result()
                elif reading is not None and reading.done():
                    done, reading = reading, None
                    try:
                        items = _checked_size(done.result())
                    except Exception as error:  # told once what came before is answered
                        items, failure = None, error
                    if items is None:
                        ended = True
                        continue
                    work = self._store(vault, items, embedder, facts.dimensions, start, caller)
                    under_way.append(asyncio.create_task(work))
                    start += len(items)
            if failure is not None:
                raise failure
        finally:
            left = [*under_way, *([reading] if reading is not None else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _facts_for(self, embedder: str) -> EmbedderFacts:
        facts = await self.embedder.describe_embedder()
        if embedder and embedder != facts.id:
            raise InvalidField(
                f"header.embedder is {embedder!r}; {facts.id!r} runs here, and vectors of another are never"
                " found. Leave the vectors out, and they are computed.",
                field="header.embedder",
            )
        return facts

    async def _store(
        self, vault: VaultName, items: Items, embedder: str, dimensions: int, start: int, caller: Principal
    ) -> ImportPage:
        ready = [self._checked(item, vault, embedder, dimensions) for item in items]
        good = [item for item in ready if isinstance(item, ImportItem)]
        results: list[StoredName | MemosError] = []
        degraded = False
        for group in _groups(good, dimensions):
            vectors = await self._patiently(partial(self._vectors, group, embedder), vault, caller)
            cubes = [item.cube for item in group]
            stored = await self._patiently(partial(self.store.create_many, cubes, vectors), vault, caller)
            results += stored.results
            degraded = degraded or stored.degraded
        made = iter(results)
        outcomes = [
            ImportOutcome(error=item) if isinstance(item, MemosError) else _outcome(next(made)) for item in ready
        ]
        return ImportPage(start, tuple(outcomes), degraded)

    async def _patiently(self, work: Callable[[], Awaitable[T]], vault: VaultName, caller: Principal) -> T:
        return await patiently(work, delegation=self.delegation, caller=caller, actions=WRITE_ACTIONS, vault=vault)

    async def _vectors(self, items: Sequence[ImportItem], embedder: str) -> Vectors:
        """Return the vectors that the items have, and those that are missing; it may be another embedder by now."""
        missing = [embedded_text(item.cube) for item in items if not item.vector]
        computed = await embed_all(self.embedder, missing)
        if len(missing) < len(items) and computed.embedder != embedder:
            await self._facts_for(embedder)
            if missing:
                raise DependencyUnavailable("The embedder is being changed; try again.", dependency="inference")
        made = iter(computed.values)
        return Vectors(
            tuple(Embedding(item.vector) if item.vector else next(made) for item in items),
            embedder or computed.embedder,
        )

    def _checked(
        self, item: ImportItem | MemosError, vault: VaultName, embedder: str, dimensions: int
    ) -> ImportItem | MemosError:
        if isinstance(item, MemosError):
            return item
        try:
            return replace(item, cube=self._finished(item, vault, embedder, dimensions))
        except MemosError as error:
            return error

    def _finished(self, item: ImportItem, vault: VaultName, embedder: str, dimensions: int) -> MemCube:
        if item.cube.vault != vault:
            raise InvalidField(f"cube.vault is {item.cube.vault}; this import is into {vault}.", field="cube.vault")
        if item.cube.payload is not None and not isinstance(item.cube.payload, Plaintext):
            raise InvalidField("An import takes texts; store what has bytes with UploadBlob.", field="cube.plaintext")
        if item.vector and not embedder:
            raise InvalidField("There is a vector, and header.embedder does not say whose.", field="embedding")
        if item.vector and len(item.vector) != dimensions:
            raise InvalidField(
                f"embedding has {len(item.vector)} elements; {embedder} makes {dimensions}.",
                field="embedding",
            )
        cube = replace(item.cube, origin=item.cube.origin or Origin.IMPORT)
        return finish_new(cube, tenant=vault.tenant, now=self.clock.now())


def _outcome(result: StoredName | MemosError) -> ImportOutcome:
    if isinstance(result, MemosError):
        return ImportOutcome(error=result)
    return ImportOutcome(str(result.name), created=result.created)


async def _next(batches: AsyncIterator[Items]) -> Items | None:
    return await anext(batches, None)


def _groups(items: Sequence[ImportItem], dimensions: int) -> Iterator[list[ImportItem]]:
    """Yield items in parts that fit into one message to storage, with the vectors that they get."""
    group: list[ImportItem] = []
    size = 0
    for item in items:
        own = len(item.cube.text.encode()) + 4 * dimensions + _HEADER_BYTES
        if group and size + own > _MESSAGE_BYTES:
            yield group
            group, size = [], 0
        group.append(item)
        size += own
    if group:
        yield group


def _checked_size(items: Items | None) -> Items | None:
    if items is not None and len(items) > limits.BATCH_ITEMS:
        raise LimitExceeded(
            f"batch.items has {len(items)} entries; the limit is {limits.BATCH_ITEMS}. Split it.",
            field="batch.items",
            limit=str(limits.BATCH_ITEMS),
            unit="items",
        )
    return items
