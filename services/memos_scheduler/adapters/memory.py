"""The ports to other services in memory, for tests."""

from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace

from memos_kernel import limits
from memos_kernel.cube import BlobRef, Kind, MemCube
from memos_kernel.embedding import Embedding
from memos_kernel.errors import Capacity, CubeNotFound, MissingField, PermissionDenied
from memos_kernel.ids import Clock
from memos_kernel.names import CubeName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Grant
from memos_scheduler.domain.jobs import Job
from memos_scheduler.domain.plan import Candidate, EngineFacts, Retrieval
from memos_scheduler.ports import QueryVector, SweepStep

TWIN_FACTS = EngineFacts(model="twin", context_length=1_000, memories_read_well=8)


@dataclass(slots=True, kw_only=True)
class MemoryEngine:
    """An engine that counts words as tokens. `away` makes the named methods fail with that error."""

    facts: EngineFacts = TWIN_FACTS
    away: Mapping[str, Capacity] = field(default_factory=dict)
    described: int = 0

    async def describe(self) -> EngineFacts:
        """See the port."""
        self._answer("describe")
        self.described += 1
        return self.facts

    async def embed_query(self, text: str) -> QueryVector:
        """See the port."""
        return await self.embed(text)

    async def embed(self, text: str) -> QueryVector:
        """See the port."""
        self._answer("embed")
        return QueryVector(Embedding((float(len(text)),)), "twin")

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        """See the port."""
        self._answer("count_tokens")
        return tuple(len(text.split()) for text in texts)

    def _answer(self, method: str) -> None:
        if method in self.away:
            raise self.away[method]


@dataclass(slots=True)
class MemoryRetriever:
    """Returns prepared candidates, and is degraded without a vector, as storage is."""

    candidates: tuple[Candidate, ...] = ()
    asked: list[tuple[str, tuple[VaultName, ...], bytes, int]] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)

    async def search(
        self,
        query: str,
        *,
        vector: QueryVector | None,
        vaults: Sequence[VaultName],
        conditions: bytes,
        top_k: int,
        time_zone: str = "",
    ) -> Retrieval:
        """See the port."""
        self.zones.append(time_zone)
        self.asked.append((query, tuple(vaults), conditions, top_k))
        return Retrieval(self.candidates[:top_k], degraded=vector is None)


@dataclass(slots=True)
class MemoryMemories:
    """Cubes by name, blobs that were uploaded, and vectors of texts that were created."""

    cubes: dict[CubeName, MemCube] = field(default_factory=dict)
    blobs: list[bytes] = field(default_factory=list)
    vectors: dict[CubeName, QueryVector] = field(default_factory=dict)

    async def read(self, names: Sequence[CubeName]) -> tuple[MemCube, ...]:
        """See the port."""
        if not names:
            raise MissingField("names is empty.", field="names")
        for name in names:
            if name not in self.cubes:
                raise CubeNotFound(f"{name} does not exist.", name=str(name))
        return tuple(self.cubes[name] for name in names)

    async def derived(self, names: Sequence[CubeName], kind: Kind) -> tuple[MemCube, ...]:
        """See the port."""
        wanted = set(names)
        found = [cube for cube in self.cubes.values() if cube.kind is kind]
        return tuple(cube for cube in found if wanted & {ref.name for ref in cube.derived_from})

    async def upload(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterable[bytes]) -> BlobRef:
        """See the port."""
        data = b"".join([chunk async for chunk in chunks])
        self.blobs.append(data)
        return replace(blob, name=f"blob-{len(self.blobs)}")

    async def create(self, cube: MemCube, *, vector: QueryVector | None = None) -> MemCube:
        """See the port."""
        for held in self.cubes.values():
            if held.blob is not None and cube.blob is not None and held.blob.sha256 == cube.blob.sha256:
                return held
            if cube.text and (held.vault, held.text) == (cube.vault, cube.text):
                return held
        self.cubes[cube.name] = cube
        if vector is not None:
            self.vectors[cube.name] = vector
        return cube


@dataclass(slots=True, kw_only=True)
class MemoryGrants:
    """Grants every action in every vault to everybody but those in `denied`."""

    clock: Clock
    denied: set[PrincipalName] = field(default_factory=set)
    issued: list[Grant] = field(default_factory=list)
    in_use: Grant | None = None

    async def issue(
        self, principal: PrincipalName, *, actions: frozenset[Action], vaults: Sequence[VaultName] = ()
    ) -> Grant:
        """See the port."""
        if principal in self.denied:
            raise PermissionDenied("The principal may not do this.", resource=str(principal))
        grant = Grant(
            id=f"grant-{len(self.issued)}",
            principal=principal,
            issued_to="scheduler",
            vaults=frozenset(vaults),
            all_vaults=not vaults,
            actions=actions,
            policy_epoch=1,
            expire_time=self.clock.now() + limits.GRANT_LIFETIME,
        )
        self.issued.append(grant)
        return grant

    @contextmanager
    def use(self, grant: Grant) -> Iterator[None]:
        """See the port."""
        before, self.in_use = self.in_use, grant
        try:
            yield
        finally:
            self.in_use = before


@dataclass(slots=True)
class MemoryTenants:
    """A fixed list of tenants."""

    tenants: tuple[TenantName, ...] = ()

    async def names(self) -> tuple[TenantName, ...]:
        """See the port."""
        return self.tenants


@dataclass(slots=True)
class MemorySweeper:
    """Expires a number of due cubes."""

    due: int = 0

    async def sweep(self, *, limit: int) -> SweepStep:
        """See the port."""
        expired = min(self.due, limit)
        self.due -= expired
        return SweepStep(expired=expired, skipped=0, more=self.due > 0)


@dataclass(slots=True)
class MemoryObserver:
    """Remembers how attempts ended."""

    jobs: list[Job] = field(default_factory=list)

    def attempt(self, job: Job) -> AbstractContextManager[object]:
        """See the port."""
        return nullcontext()

    def settled(self, job: Job) -> None:
        """See the port."""
        self.jobs.append(job)
