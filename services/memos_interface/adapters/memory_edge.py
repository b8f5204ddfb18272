"""Models, governance, audit and telemetry in memory, for tests of the use cases."""

# a twin takes what the port gives, and needs less of it

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from memos_interface.domain.audit import AuditEvent
from memos_interface.domain.chat import Delta, GenerationEnd, PlannedMemory
from memos_interface.domain.extraction import Engine
from memos_interface.domain.question import Turn
from memos_interface.ports import EmbedderFacts, Vectors
from memos_kernel.cube import BlobRef, TraceRef
from memos_kernel.embedding import Embedding
from memos_kernel.errors import CredentialInvalid, CubeNotFound, MemosError, VaultNotFound
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant, Principal

_CHUNK = 1024 * 1024


class MemoryModels:
    """The ports Embedder and Generator. It answers with `answer`, word by word; `failure` makes it fail."""

    def __init__(self, *, answer: str = "I do not know.", context_length: int = 512) -> None:
        self.answer = answer
        self.context_length = context_length
        self.failure: MemosError | None = None
        self.prompts: list[tuple[tuple[Turn, ...], tuple[str, ...]]] = []
        self.embedded: list[str] = []
        self.stopped = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See the port. A vector is made of the text's hash."""
        if self.failure is not None:
            raise self.failure
        self.embedded.extend(texts)
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return Vectors(tuple(Embedding([byte / 255 for byte in digest[:4]]) for digest in digests), "hash-4")

    async def embed_query(self, text: str) -> Vectors:
        """See the port."""
        return await self.embed([text])

    async def generate(
        self,
        turns: Sequence[Turn],
        memories: Sequence[PlannedMemory],
        *,
        max_tokens: int,
        temperature: float,
        caches: Sequence[PlannedMemory] = (),
        adapter: PlannedMemory | None = None,
        conversation: str = "",
    ) -> AsyncGenerator[Delta | GenerationEnd, None]:
        """See the port."""
        if self.failure is not None:
            raise self.failure
        self.prompts.append((tuple(turns), tuple(memory.cube.text for memory in memories)))
        pieces = self.answer.splitlines(keepends=True) if "\n" in self.answer else self.answer.split(" ")
        try:
            for index, piece in enumerate(pieces):
                yield Delta(piece if "\n" in self.answer or not index else f" {piece}")
        except GeneratorExit:
            self.stopped = True
            raise
        yield GenerationEnd(finish_reason="stop", prompt_tokens=9, completion_tokens=len(pieces), model="twin")

    async def describe(self) -> Engine:
        """See the port."""
        return Engine(model="twin", context_length=self.context_length)

    async def describe_embedder(self) -> EmbedderFacts:
        """See the port."""
        return EmbedderFacts("hash-4", 4)


class MemoryAuthority:
    """The port Authority: keys, and for each principal the vaults in which everything is allowed."""

    def __init__(self, *, clock: Clock, new_id: IdFactory) -> None:
        self.keys: dict[str, Principal] = {}
        self.vaults: dict[PrincipalName, set[VaultName]] = {}
        self.calls: list[str] = []
        self._clock = clock
        self._new_id = new_id

    async def authenticate(self, api_key: str) -> Principal:
        """See the port."""
        self.calls.append("authenticate")
        if api_key not in self.keys:
            raise CredentialInvalid("The key is not known.")
        return self.keys[api_key]

    async def issue_grant(self, principal: PrincipalName, actions: frozenset[Action], vaults: tuple[str, ...]) -> Grant:
        """See the port."""
        self.calls.append("issue_grant")
        own = self.vaults.get(principal, set())
        named = {VaultName.parse(vault, field="vault") for vault in vaults}
        for vault in named - own:
            raise VaultNotFound(f"{vault} is not there.", name=str(vault))
        return Grant(
            id=self._new_id(),
            principal=principal,
            issued_to="interface",
            vaults=frozenset(named or own),
            all_vaults=False,
            actions=actions,
            policy_epoch=1,
            expire_time=self._clock.now() + timedelta(seconds=60),
            token=b"token",
        )


class MemoryBlobs:
    """Blobs with their bytes, by the name of the cube."""

    def __init__(self) -> None:
        self.held: dict[CubeName, tuple[BlobRef, bytes]] = {}
        self.reads: list[tuple[int, int]] = []
        self.written: dict[str, bytes] = {}

    async def read(self, name: CubeName, *, offset: int, limit: int) -> AsyncGenerator[BlobRef | bytes, None]:
        """See the port."""
        if name not in self.held:
            raise CubeNotFound(f"{name} is not there.", name=str(name))
        blob, data = self.held[name]
        self.reads.append((offset, limit))
        yield blob
        for start in range(offset, min(len(data), offset + limit), _CHUNK):
            yield data[start : min(start + _CHUNK, offset + limit)]

    async def write(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterator[bytes]) -> BlobRef:
        """See the port BlobWriter."""
        data = b"".join([chunk async for chunk in chunks])
        stored = replace(blob, name=f"blob-{len(self.written)}")
        self.written[stored.name] = data
        return stored


class MemoryDelegation:
    """The port Delegation, on an Authority."""

    def __init__(self, authority: MemoryAuthority) -> None:
        self._authority = authority
        self.granted: list[tuple[frozenset[Action], tuple[VaultName, ...]]] = []

    @asynccontextmanager
    async def acting(
        self, principal: Principal, actions: frozenset[Action], vaults: tuple[VaultName, ...]
    ) -> AsyncIterator[None]:
        """See the port."""
        await self._authority.issue_grant(principal.name, actions, tuple(str(vault) for vault in vaults))
        self.granted.append((actions, vaults))
        yield


class MemoryAudit:
    """The ports AuditLog and AuditTrail."""

    def __init__(self) -> None:
        self.events: dict[str, AuditEvent] = {}
        self.notes: list[tuple[str, str]] = []
        self.failure: MemosError | None = None

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """See the port."""
        if self.failure is not None:
            raise self.failure
        self.events.update((event.id, event) for event in events)

    def note(self, principal: PrincipalName, action: str, resources: Iterable[str]) -> None:
        """See the port."""
        self.notes.extend((action, resource) for resource in resources)


class MemorySpans:
    """The port Spans."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.links: list[tuple[str, TraceRef]] = []
        self.forecasts: list[tuple[float, float]] = []

    def mark(self, operation: str, *, about: str = "") -> None:
        """See the port."""
        self.operations.append(operation)

    def link(self, origins: Iterable[TraceRef | None], *, used_for: str) -> None:
        """See the port."""
        self.links.extend((used_for, origin) for origin in origins if origin is not None)

    def foretold(self, *, expected_ms: float, actual_ms: float) -> None:
        """See the port."""
        self.forecasts.append((expected_ms, actual_ms))

    def trace_id(self) -> str:
        """See the port."""
        return ""
