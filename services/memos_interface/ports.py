"""What the use cases need from outside. Calls act in the name of the running call, with its grant.

Every port raises the domain errors of `memos_kernel.errors`; each method's docstring names those that a use
case reacts to.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from memos_interface.domain.archives import ArchivedRevision, ArchiveOptions, Part, Seal, VaultRecord
from memos_interface.domain.audit import AuditEvent
from memos_interface.domain.chat import Delta, GenerationEnd, Plan, PlannedMemory
from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.extraction import Engine
from memos_interface.domain.question import MemoryCall, Turn
from memos_interface.domain.revisions import Difference
from memos_interface.domain.search import CubeFilter, SearchAnswer, SearchQuery
from memos_kernel.changes import Change
from memos_kernel.cube import BlobRef, MemCube, RevisionRef, TraceRef
from memos_kernel.embedding import Embedding
from memos_kernel.errors import MemosError
from memos_kernel.forms import MemoryForm
from memos_kernel.lineage import Graph
from memos_kernel.memory_links import LinkKind, MemoryLink
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant, Principal, Role
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True)
class Vectors:
    """One embedding a text, and the embedder that made them."""

    values: tuple[Embedding, ...]
    embedder: str


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """The id of the embedder that texts are embedded with, and the number of elements in its vectors."""

    id: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A cube as stored; `created` is False if the vault held the same content already.

    `links`: what it does to earlier cubes, or later ones to it.
    """

    cube: MemCube
    created: bool
    links: tuple[MemoryLink, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """What one write stored, in order. `degraded`: the vector index was away."""

    results: tuple[Stored | MemosError, ...]
    provenance_id: str
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class StoredName:
    """The name of a cube that is stored; `created` is False if the vault held the same content already."""

    name: CubeName
    created: bool


@dataclass(frozen=True, slots=True)
class StoredNames:
    """What one write stored, in order. `degraded`: the vector index was away."""

    results: tuple[StoredName | MemosError, ...]
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class CubePage:
    """Headers of cubes and the token of the next page."""

    cubes: tuple[MemCube, ...]
    next_page_token: str = ""


class Embedder(Protocol):
    """Makes vectors."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed up to 256 texts to be stored.

        Raises:
            Capacity: the model is away or its queue is full.
        """
        ...

    async def embed_query(self, text: str) -> Vectors:
        """Embed a text to look for others.

        Raises:
            Capacity: the model is away or its queue is full.
        """
        ...

    async def describe_embedder(self) -> EmbedderFacts:
        """Return the embedder that would do it.

        Raises:
            Capacity: it is away.
        """
        ...


class Generator(Protocol):
    """Generates text."""

    def generate(
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
        """Yield pieces of the answer, then how it ended. Closing the iterator stops the generation.

        `caches`: KV caches of the memories, which spare the reading of them.
        `adapter`: knows the memories whose form is `lora`, which are read only where it cannot be used.
        `conversation`: what the answer is part of; those of one meet a model that has its caches and adapter already.
        """
        ...

    async def describe(self) -> Engine:
        """Return what the generating model can do."""
        ...


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes of a vault, in order, and the token to go on with."""

    changes: tuple[Change, ...]
    resume_token: str


class BlobReader(Protocol):
    """The bytes of activation and parametric payloads."""

    def read(self, name: CubeName, *, offset: int, limit: int) -> AsyncGenerator[BlobRef | bytes, None]:
        """Yield the blob of a cube, then a part of its bytes.

        Raises:
            CubeNotFound, InvalidField, DataCorrupted, ResourceNotFound.
        """
        ...


class BlobWriter(Protocol):
    """Where the bytes of payloads are stored."""

    async def write(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterator[bytes]) -> BlobRef:
        """Store bytes that are as `blob` says, and return what a cube can take; its name is a new one.

        Raises:
            InvalidField: they are not, or are no safetensors.
        """
        ...


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a cube of an archive; neither created nor extended is one that was there already."""

    name: str
    created: bool = False
    extended: bool = False
    error: MemosError | None = None


@dataclass(frozen=True, slots=True)
class AdoptedBatch:
    """What became of cubes, in order. `degraded`: the vector index was away."""

    cubes: tuple[Adopted, ...]
    degraded: bool = False


class Histories(Protocol):
    """Cubes with all their revisions."""

    def page(
        self, vault: VaultName, options: ArchiveOptions, *, as_of: datetime, after: str
    ) -> AsyncGenerator[Sequence[ArchivedRevision] | str, None]:
        """Yield the revisions of a page of cubes, those of a cube one behind the other; then its place, if more follow.

        `after` is the place of the page before; it is empty at the start.
        """
        ...

    async def adopt(self, vault: VaultName, revisions: Sequence[ArchivedRevision], *, reason: str) -> AdoptedBatch:
        """Store cubes as they were elsewhere: each whole or not at all."""
        ...


class Notary(Protocol):
    """The key of the installation, for what is said about archives."""

    async def sign(self, statement: bytes) -> Seal:
        """Sign a statement."""
        ...

    def fits(self, seal: Seal) -> bool:
        """Return whether a signature is of its statement, by its key."""
        ...


class ArchiveTables(Protocol):
    """The tables of an archive as files. Blocks: to be called in a thread."""

    def written(self, part: Part) -> dict[str, bytes]:
        """Return the files of a part by their names."""
        ...

    def read(self, files: Mapping[str, bytes], *, directory: str) -> Part:
        """Return the part of some files.

        Raises:
            ArchiveInvalid: a file that is no such table, or with values that no cube has.
        """
        ...


class VaultDirectory(Protocol):
    """Vaults, and who may do what in them."""

    async def record(self, vault: VaultName) -> VaultRecord:
        """Return a vault with its roles.

        Raises:
            VaultNotFound, PermissionDenied.
        """
        ...

    async def give(self, vault: VaultName, principal: PrincipalName, role: Role) -> None:
        """Give a role.

        Raises:
            ResourceNotFound: there is no such principal.
        """
        ...


class MemoryStore(Protocol):
    """Storage."""

    async def create(
        self,
        cubes: Sequence[MemCube],
        vectors: Vectors | None,
        *,
        return_existing: bool,
        request: RequestKey,
        supersede: bool = False,
    ) -> StoredBatch:
        """Store cubes in one transaction, all or none but for errors that concern a single one.

        `vectors` has one for each of them; None if they are no texts. `supersede`: statements end the validity of what
        they make untrue.
        """
        ...

    async def links(self, name: CubeName) -> tuple[MemoryLink, ...]:
        """Return what a cube does to earlier ones and later ones do to it, the latest first."""
        ...

    async def settle_link(self, newer: CubeName, older: CubeName, *, kind: LinkKind, request: RequestKey) -> MemoryLink:
        """Say what one cube does to an earlier one; return the link as it is now."""
        ...

    async def create_many(self, cubes: Sequence[MemCube], vectors: Vectors) -> StoredNames:
        """Store texts as `create` does, and return existing ones; an answer that has only names costs a third less."""
        ...

    async def get(
        self, names: Sequence[CubeName], *, full: bool, as_of: datetime | None = None
    ) -> tuple[MemCube | MemosError, ...]:
        """Return up to 100 cubes or why not, in the order asked for, as they were `as_of` then."""
        ...

    async def list(
        self,
        vault: VaultName,
        *,
        filter: CubeFilter | None,
        page_size: int,
        page_token: str,
        as_of: datetime | None = None,
    ) -> CubePage:
        """Return a page of headers, as they were `as_of` then."""
        ...

    async def changes(self, vault: VaultName, *, resume_token: str, full: bool, wait_seconds: float) -> ChangePage:
        """Return what has changed in a vault behind a token; wait for it so long. Without a token, that of now."""
        ...

    async def update(self, change: CubeChange, vectors: Vectors | None, *, request: RequestKey) -> MemCube:
        """Change a cube; `vectors` holds one vector if its text changes."""
        ...

    async def delete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """Delete a cube softly; return its header."""
        ...

    async def undelete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """Take the deletion of a cube back; return its header."""
        ...

    async def revisions(self, name: CubeName, *, page_size: int, page_token: str) -> CubePage:
        """Return a page of the headers of a cube's revisions, newest first."""
        ...

    async def diff(self, name: CubeName, *, before: int, after: int) -> Difference:
        """Return two revisions of a cube; `after` 0 is the newest, `before` 0 the one in front of `after`."""
        ...

    async def roll_back(
        self, name: CubeName, *, revision: int, etag: str, vectors: Vectors | None, request: RequestKey
    ) -> MemCube:
        """Take a cube back to an older revision; `vectors` holds one vector if its text changes."""
        ...

    async def search(self, query: SearchQuery, vectors: Vectors | None, *, top_k: int) -> SearchAnswer:
        """Search; without vectors the dense leg is left out."""
        ...


class Planner(Protocol):
    """Decides which memories enter a prompt."""

    async def plan(
        self,
        call: MemoryCall,
        *,
        vaults: tuple[VaultName, ...],
        filter: CubeFilter | None,
        token_budget: int,
        turns: Sequence[str],
        max_tokens: int,
        form: MemoryForm,
    ) -> Plan:
        """Return the plan; the chosen cubes carry their payload.

        Args:
            call: what the question asks for.
            vaults: empty means those of the grant.
            filter: conditions on the memories.
            token_budget: most tokens of memory; 0 means the default.
            turns: texts of the conversation, which leave the memories the rest of the model's context.
            max_tokens: most tokens of the answer; 0 means the default.
            form: how the memories may reach the model.
        """
        ...


class Lifecycle(Protocol):
    """Moves cubes through their states."""

    async def record_use(self, cubes: Sequence[RevisionRef], *, plan: str) -> None:
        """Record that cubes entered a prompt."""
        ...

    async def freeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """Forbid changes to a cube; return its header.

        Raises:
            IllegalTransition: it is expired or stale, or frozen already.
        """
        ...

    async def unfreeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """Allow changes to a frozen cube again; return its header.

        Raises:
            IllegalTransition: it is not frozen.
        """
        ...


class Lineage(Protocol):
    """The record of what came from what."""

    async def record(self, graph: Graph) -> None:
        """Record nodes and edges; what is there already stays as it is."""
        ...

    async def around(self, *names: str, depth: int) -> Graph:
        """Return what is recorded within `depth` steps of up to 100 names; nothing of those that are not known."""
        ...


class Authority(Protocol):
    """Decides who is calling and what he may do."""

    async def authenticate(self, api_key: str) -> Principal:
        """Return whom a key speaks for.

        Raises:
            CredentialInvalid: the key is unknown or revoked.
        """
        ...

    async def issue_grant(self, principal: PrincipalName, actions: frozenset[Action], vaults: tuple[str, ...]) -> Grant:
        """Return a grant.

        Raises:
            VaultNotFound, PermissionDenied: the principal may not.
        """
        ...


class AuditLog(Protocol):
    """The tenants' audit chains."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Append up to 1,000 events; those that are there already are left out."""
        ...


class AuditTrail(Protocol):
    """Takes note of reads and injections; the entries become durable within a second."""

    def note(self, principal: PrincipalName, action: str, resources: Iterable[str]) -> None:
        """Note one event a resource. Never waits and never fails."""
        ...


class Delegation(Protocol):
    """Gets the caller's permission for a part of a call that its own grant does not cover."""

    def acting(
        self, principal: Principal, actions: frozenset[Action], vaults: tuple[VaultName, ...]
    ) -> AbstractAsyncContextManager[None]:
        """Let the calls made inside carry a fresh grant for these actions and vaults.

        Raises:
            VaultNotFound, PermissionDenied: on entering, if the principal may not.
        """
        ...


class Spans(Protocol):
    """What the running span tells of a call."""

    def mark(self, operation: str, *, about: str = "") -> None:
        """Say what the call does (`gen_ai.operation.name`), and to which vault or cube."""
        ...

    def link(self, origins: Iterable[TraceRef | None], *, used_for: str) -> None:
        """Link the running span to the spans in which what it reads or uses was first written."""
        ...

    def foretold(self, *, expected_ms: float, actual_ms: float) -> None:
        """Say how long the model was expected to take until the first token, and how long it took."""
        ...

    def trace_id(self) -> str:
        """Return the id of the running trace, or an empty string if none is recorded."""
        ...
