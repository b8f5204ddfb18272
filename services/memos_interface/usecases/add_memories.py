"""Reads messages and texts into cubes and stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from memos_interface.domain.junk import PURGED
from memos_interface.domain.reader import Item, Message, Skipped, read
from memos_interface.ports import Delegation, Embedder, MemoryStore, Spans, Stored
from memos_interface.usecases.embedding import embed_all
from memos_interface.usecases.extract_facts import ExtractFacts
from memos_interface.usecases.record_turn import WRITE_ACTIONS
from memos_kernel.checks import check_expiry
from memos_kernel.cube import Kind, MemCube, Plaintext, SemanticType
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import ContentPurged, MemosError
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Principal
from memos_kernel.requests import RequestKey
from memos_kernel.text import check_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRequest:
    """What to remember; see AddMemoriesRequest of the contract for each field."""

    vault: VaultName
    messages: Sequence[Message] = ()
    texts: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    semantic_type: SemanticType = SemanticType.UNSPECIFIED
    extract: bool = False
    keep_earlier: bool = False
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAnswer:
    """One result an item that was kept, in order of the input, and what was left out."""

    added: tuple[Stored, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    provenance_id: str = ""
    degraded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMemories:
    """The write path: read everything, embed it, store it in one transaction."""

    embedder: Embedder
    store: MemoryStore
    extract_facts: ExtractFacts
    delegation: Delegation
    clock: Clock
    new_id: IdFactory
    spans: Spans

    async def __call__(self, request: AddRequest, *, caller: Principal, key: RequestKey) -> AddAnswer:
        """Store what is worth remembering. Nothing is written before all of the input has been checked.

        Raises:
            RequestError: by field.
            StateConflict: extraction is asked of a model that cannot.
            VaultNotFound, RequestIdReused, StoreFull, Capacity: from the services behind.
        """
        now = self.clock.now()
        check_labels(dict(request.labels))
        check_expiry(request.expire_time, field="expire_time", now=now)
        reading = read(request.messages, request.texts, now=now, semantic_type=request.semantic_type)
        self.spans.mark("create_memory", about=str(request.vault))
        if request.extract:
            reading = await self.extract_facts(
                reading, semantic_type=request.semantic_type, caller=caller, vault=request.vault
            )
        if not reading.items:
            return AddAnswer(skipped=reading.skipped)
        cubes = [self._cube(item, request) for item in reading.items]
        async with self.delegation.acting(caller, WRITE_ACTIONS, (request.vault,)):
            vectors = await embed_all(self.embedder, [embedded_text(cube) for cube in cubes])
            batch = await self.store.create(
                cubes, vectors, return_existing=True, request=key, supersede=not request.keep_earlier
            )
        results = zip(reading.items, batch.results, strict=True)
        purged = {Skipped(item.index, PURGED) for item, result in results if _is_purged(result)}
        return AddAnswer(
            added=tuple(_stored(result) for result in batch.results if not _is_purged(result)),
            skipped=tuple(sorted({*reading.skipped, *purged}, key=lambda entry: entry.index)),
            provenance_id=batch.provenance_id,
            degraded=batch.degraded,
        )

    def _cube(self, item: Item, request: AddRequest) -> MemCube:
        return MemCube(
            name=CubeName(request.vault.tenant, self.new_id()),
            vault=request.vault,
            kind=Kind.PLAINTEXT,
            payload=Plaintext(item.text),
            labels=request.labels,
            semantic_type=item.semantic_type,
            origin=item.origin,
            sources=(item.source,),
            expire_time=request.expire_time,
        )


def _is_purged(result: Stored | MemosError) -> bool:
    return isinstance(result, ContentPurged)


def _stored(result: Stored | MemosError) -> Stored:
    if isinstance(result, MemosError):
        raise result
    return result
