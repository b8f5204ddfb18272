"""Storage, lifecycle, planning and lineage in memory, for tests of the use cases."""

# a twin takes what the port gives, and needs less of it

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from memos_interface.domain.chat import Plan, PlannedMemory
from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.question import MemoryCall
from memos_interface.domain.revisions import Difference
from memos_interface.domain.search import CubeFilter, SearchAnswer, SearchHit, SearchLeg, SearchQuery
from memos_interface.ports import ChangePage, CubePage, Stored, StoredBatch, StoredName, StoredNames, Vectors
from memos_kernel.changes import Change, ChangeKind, change_of
from memos_kernel.cube import Access, MemCube, Plaintext, RevisionRef, content_hash, fingerprint
from memos_kernel.embedding import Embedding
from memos_kernel.errors import (
    CubeNotFound,
    DuplicateContent,
    EtagMismatch,
    InvalidField,
    MemosError,
    RequestIdReused,
    ResourceExists,
    RevisionNotFound,
    VaultNotFound,
)
from memos_kernel.forms import MemoryForm
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.lineage import Edge, Graph, Node
from memos_kernel.memory_links import LinkKind, MemoryLink
from memos_kernel.names import CubeName, PlanName, PrincipalName, VaultName
from memos_kernel.requests import RequestKey
from memos_kernel.states import INITIAL, SEARCHED_BY_DEFAULT, check_not_frozen, freeze, unfreeze

_MOMENT = 0.01


class MemoryStorage:
    """The port MemoryStore. It knows some vaults; cubes in others, and deleted ones, are not found."""

    def __init__(self, vaults: Iterable[VaultName], *, owner: PrincipalName, clock: Clock, new_id: IdFactory) -> None:
        self.vaults = set(vaults)
        self.cubes: dict[CubeName, MemCube] = {}
        self.history: dict[CubeName, tuple[MemCube, ...]] = {}
        self.vectors: dict[CubeName, Embedding] = {}
        self.judged: set[CubeName] = set()
        self._links: dict[tuple[CubeName, CubeName], MemoryLink] = {}
        self._changes: list[Change] = []
        self._owner = owner
        self._clock = clock
        self._new_id = new_id
        self._answers: dict[tuple[str, str], tuple[RequestKey, StoredBatch]] = {}

    async def create(
        self,
        cubes: Sequence[MemCube],
        vectors: Vectors | None,
        *,
        return_existing: bool,
        request: RequestKey,
        supersede: bool = False,
    ) -> StoredBatch:
        """See the port. It judges nothing, and notes which cubes were to be judged."""
        self.judged |= {cube.name for cube in cubes if supersede}
        identity = (request.method, request.request_id)
        if request and identity in self._answers:
            known, answer = self._answers[identity]
            if known != request:
                raise RequestIdReused("The request id was used with another body.", request_id=request.request_id)
            return answer
        provenance_id = self._new_id()
        results = tuple(
            self._store(cube, vector, provenance_id, return_existing)
            for cube, vector in zip(cubes, vectors.values if vectors else [Embedding(())] * len(cubes), strict=True)
        )
        answer = StoredBatch(results, provenance_id)
        if request:
            self._answers[identity] = (request, answer)
        return answer

    async def create_many(self, cubes: Sequence[MemCube], vectors: Vectors) -> StoredNames:
        """See the port."""
        batch = await self.create(cubes, vectors, return_existing=True, request=RequestKey())
        results = tuple(
            StoredName(one.cube.name, one.created) if isinstance(one, Stored) else one for one in batch.results
        )
        return StoredNames(results, batch.degraded)

    async def links(self, name: CubeName) -> tuple[MemoryLink, ...]:
        """See the port."""
        self._live_cube(name, "")
        found = [link for pair, link in self._links.items() if name in pair]
        return tuple(sorted(found, key=lambda link: link.time, reverse=True))

    async def settle_link(self, newer: CubeName, older: CubeName, *, kind: LinkKind, request: RequestKey) -> MemoryLink:
        """See the port. Validity stays as it is."""
        if newer == older:
            raise InvalidField("newer and older name the same cube.", field="older")
        check_not_frozen(self._live_cube(older, ""))
        self._live_cube(newer, "")
        link = MemoryLink(
            newer=newer, older=older, kind=kind, evidence=1.0, time=self._clock.now(), decided_by=self._owner
        )
        self._links[newer, older] = link
        return link

    async def get(
        self, names: Sequence[CubeName], *, full: bool, as_of: datetime | None = None
    ) -> tuple[MemCube | MemosError, ...]:
        """See the port."""
        return tuple(self._read(name, full, as_of) for name in names)

    async def list(
        self,
        vault: VaultName,
        *,
        filter: CubeFilter | None,
        page_size: int,
        page_token: str,
        as_of: datetime | None = None,
    ) -> CubePage:
        """See the port. A token is the number of cubes that came before."""
        self._check_vault(vault)
        found = [cube for cube in reversed(self._live(as_of)) if cube.vault == vault and _fits(cube, filter)]
        start, size = int(page_token or 0), page_size or 50
        headers = tuple(replace(cube, payload=None) for cube in found[start : start + size])
        return CubePage(headers, str(start + size) if start + size < len(found) else "")

    async def changes(self, vault: VaultName, *, resume_token: str, full: bool, wait_seconds: float) -> ChangePage:
        """See the port. It waits a moment; a token is the number of changes that came before."""
        self._check_vault(vault)
        await asyncio.sleep(min(wait_seconds, _MOMENT))
        start = int(resume_token) if resume_token else len(self._changes)
        found = [change for change in self._changes[start:] if change.cube is not None and change.cube.vault == vault]
        shown = found if full else [replace(change, cube=_header(change.cube)) for change in found]
        return ChangePage(tuple(shown), str(len(self._changes)))

    async def update(self, change: CubeChange, vectors: Vectors | None, *, request: RequestKey) -> MemCube:
        """See the port."""
        cube = self._live_cube(change.name, change.etag)
        check_not_frozen(cube)
        plain = {path for path in change.paths if "." not in path}
        values = {path: getattr(change, path) for path in plain}
        if change.changes_text:
            values["payload"] = Plaintext(change.text, change.language)
        if vectors is not None:
            self.vectors[cube.name] = vectors.values[0]
        return self._replace(replace(cube, **values))

    async def delete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        cube = self._live_cube(name, etag)
        check_not_frozen(cube)
        return replace(self._replace(replace(cube, delete_time=self._clock.now())), payload=None)

    async def undelete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        cube = self.cubes.get(name)
        if cube is None or cube.delete_time is None:
            self._live_cube(name, etag)
            raise ResourceExists(f"{name} is not deleted.", name=str(name))
        held = [other for other in self._live() if (other.vault, other.text) == (cube.vault, cube.text)]
        if held:
            raise DuplicateContent(f"{held[0].name} holds the same content.", existing=str(held[0].name))
        return replace(self._replace(replace(cube, delete_time=None)), payload=None)

    async def revisions(self, name: CubeName, *, page_size: int, page_token: str) -> CubePage:
        """See the port. A token is the number of revisions that came before."""
        found = tuple(replace(cube, payload=None) for cube in reversed(self._revisions(name)))
        start, size = int(page_token or 0), page_size or 50
        return CubePage(found[start : start + size], str(start + size) if start + size < len(found) else "")

    async def diff(self, name: CubeName, *, before: int, after: int) -> Difference:
        """See the port."""
        found = self._revisions(name)
        last = after or found[-1].revision
        old, new = (self._revision(name, number) for number in (before or max(1, last - 1), last))
        fields = ("labels", "semantic_type", "priority", "expire_time", "delete_time")
        paths = [path for path in fields if getattr(old, path) != getattr(new, path)]
        return Difference(old, new, (*paths, *(["plaintext.text"] if old.text != new.text else [])))

    async def roll_back(
        self, name: CubeName, *, revision: int, etag: str, vectors: Vectors | None, request: RequestKey
    ) -> MemCube:
        """See the port."""
        cube, old = self._live_cube(name, etag), self._revision(name, revision)
        check_not_frozen(cube)
        if vectors is not None:
            self.vectors[name] = vectors.values[0]
        return self._replace(replace(cube, payload=old.payload, labels=old.labels, priority=old.priority))

    async def search(self, query: SearchQuery, vectors: Vectors | None, *, top_k: int) -> SearchAnswer:
        """See the port. A cube fits as well as it has words of the query."""
        for vault in query.vaults:
            self._check_vault(vault)
        words = set(query.query.casefold().split())
        scored = [
            (len(words & set(cube.text.casefold().split())), cube)
            for cube in self._live(query.as_of)
            if (not query.vaults or cube.vault in query.vaults) and _fits(cube, query.filter)
        ]
        best = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])[:top_k]
        dense = SearchLeg(name="dense", ran=vectors is not None, reason="" if vectors else "no vector")
        return SearchAnswer(
            hits=tuple(SearchHit(cube=cube, score=float(score)) for score, cube in best),
            legs=(dense, SearchLeg(name="lexical", ran=True, candidates=len(best))),
            degraded=vectors is None,
        )

    def decide(self, name: CubeName, rule: Callable[[MemCube], MemCube], *, etag: str = "") -> MemCube:
        """Change a cube by a rule, as lifecycle does; return its header."""
        return replace(self._replace(rule(self._live_cube(name, etag))), payload=None)

    def _store(
        self, cube: MemCube, vector: Embedding, provenance_id: str, return_existing: bool
    ) -> Stored | MemosError:
        if cube.vault not in self.vaults or cube.payload is None:
            return VaultNotFound(f"{cube.vault} is not there.", name=str(cube.vault))
        if cube.state not in INITIAL:
            return InvalidField(f"A new cube is not {cube.state.name}.", field="items[0].cube.state")
        digest = content_hash(cube.payload, cube.sources)
        for known in self._live():
            if known.vault == cube.vault and known.content_hash == digest:
                if return_existing:
                    return Stored(known, created=False)
                return DuplicateContent("The vault holds it.", existing=str(known.name))
        now = self._clock.now()
        self.vectors[cube.name] = vector
        self.cubes[cube.name] = replace(
            cube,
            uid=self._new_id(),
            create_time=now,
            update_time=now,
            access=Access(self._owner),
            fingerprint=fingerprint(cube.text),
            content_hash=digest,
            revision=1,
            etag="r1",
            provenance_id=provenance_id,
        )
        self.history[cube.name] = (self.cubes[cube.name],)
        self._tell(ChangeKind.CREATED, self.cubes[cube.name])
        return Stored(self.cubes[cube.name], created=True)

    def _live(self, as_of: datetime | None = None) -> tuple[MemCube, ...]:
        moment = as_of or self._clock.now()
        if moment > self._clock.now():
            raise InvalidField("as_of has not come.", field="as_of")
        then = [[cube for cube in held if _recorded(cube) <= moment] for held in self.history.values()]
        cubes = self.cubes.values() if as_of is None else [held[-1] for held in then if held]
        return tuple(cube for cube in cubes if cube.delete_time is None and cube.vault in self.vaults)

    def _read(self, name: CubeName, full: bool, as_of: datetime | None = None) -> MemCube | MemosError:
        cube = next((cube for cube in self._live(as_of) if cube.name == name), None)
        if cube is None:
            return _missing(name)
        return cube if full else replace(cube, payload=None)

    def _live_cube(self, name: CubeName, etag: str) -> MemCube:
        cube = self._read(name, True)
        if isinstance(cube, MemosError):
            raise cube
        if etag and etag != cube.etag:
            raise EtagMismatch(f"{name} has changed.", name=str(name))
        return cube

    def _replace(self, cube: MemCube) -> MemCube:
        revision = cube.revision + 1
        was_deleted = self.cubes[cube.name].delete_time is not None
        self.cubes[cube.name] = replace(cube, revision=revision, etag=f"r{revision}", update_time=self._clock.now())
        self.history[cube.name] += (self.cubes[cube.name],)
        self._tell(change_of(cube, was_deleted=was_deleted), self.cubes[cube.name])
        return self.cubes[cube.name]

    def _tell(self, kind: ChangeKind, cube: MemCube) -> None:
        self._changes.append(Change(kind, cube.name, cube.uid, cube.revision, _recorded(cube), cube))

    def _revisions(self, name: CubeName) -> tuple[MemCube, ...]:
        found = self.history.get(name, ())
        if not found or found[0].vault not in self.vaults:
            raise _missing(name)
        return found

    def _revision(self, name: CubeName, number: int) -> MemCube:
        found = next((cube for cube in self._revisions(name) if cube.revision == number), None)
        if found is None:
            raise RevisionNotFound(f"{name} has no revision {number}.", name=str(name), revision=str(number))
        return found

    def _check_vault(self, vault: VaultName) -> None:
        if vault not in self.vaults:
            raise VaultNotFound(f"{vault} is not there.", name=str(vault))


class MemoryLifecycle:
    """The port Lifecycle, on the storage in memory."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self.uses: list[tuple[RevisionRef, str]] = []
        self._answers: dict[RequestKey, MemCube] = {}

    async def record_use(self, cubes: Sequence[RevisionRef], *, plan: str) -> None:
        """See the port."""
        self.uses.extend((ref, plan) for ref in cubes)

    async def freeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        return self._once(request, lambda: self._storage.decide(name, freeze, etag=etag))

    async def unfreeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        return self._once(request, lambda: self._storage.decide(name, unfreeze, etag=etag))

    def _once(self, request: RequestKey, work: Callable[[], MemCube]) -> MemCube:
        if request in self._answers:
            return self._answers[request]
        answer = work()
        if request:
            self._answers[request] = answer
        return answer


class MemoryPlanner:
    """The port Planner: chooses what the storage in memory finds, at most two cubes.

    Attributes:
        conversations: what it was told of each: the turns, and the most tokens of the answer.
    """

    chosen = 2

    def __init__(self, storage: MemoryStorage, *, tenant: str, new_id: IdFactory) -> None:
        self.conversations: list[tuple[tuple[str, ...], int]] = []
        self._storage = storage
        self._tenant = tenant
        self._new_id = new_id

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
        """See the port."""
        self.conversations.append((tuple(turns), max_tokens))
        query = SearchQuery(query=call.query, vaults=vaults, filter=filter, time_zone=call.time_zone)
        answer = await self._storage.search(query, None, top_k=20)
        planned = [
            PlannedMemory(
                cube=hit.cube, form="text", reason=f"rank {rank}", score=hit.score, tokens=len(hit.cube.text.split())
            )
            for rank, hit in enumerate(answer.hits, start=1)
        ]
        return Plan(
            name=str(PlanName(self._tenant, self._new_id())),
            call=call,
            chosen=tuple(planned[: self.chosen]),
            rejected=tuple(planned[self.chosen :]),
        )


class MemoryLineage:
    """The port Lineage."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}

    async def record(self, graph: Graph) -> None:
        """See the port."""
        for node in graph.nodes:
            self.nodes.setdefault(node.name, node)
        self.edges.update(dict.fromkeys(graph.edges))

    async def around(self, *names: str, depth: int) -> Graph:
        """See the port."""
        ways: tuple[dict[str, set[str]], dict[str, set[str]]] = ({}, {})
        for edge in self.edges:
            ways[0].setdefault(edge.target, set()).add(edge.source)
            ways[1].setdefault(edge.source, set()).add(edge.target)
        reached = set(names)
        beyond: set[str] = set()
        for way in ways:
            frontier = set(names)
            for _ in range(depth):
                frontier = {far for near in frontier for far in way.get(near, ())}
                reached |= frontier
            beyond |= {far for near in frontier for far in way.get(near, ())}
        nodes = tuple(node for node in self.nodes.values() if node.name in reached)
        edges = tuple(edge for edge in self.edges if {edge.source, edge.target} <= reached)
        return Graph(nodes, edges, truncated=not beyond <= reached)


def _missing(name: CubeName) -> CubeNotFound:
    return CubeNotFound(f"{name} is not there.", name=str(name))


def _header(cube: MemCube | None) -> MemCube | None:
    return None if cube is None else replace(cube, payload=None)


def _recorded(cube: MemCube) -> datetime:
    assert cube.update_time is not None
    return cube.update_time


def _fits(cube: MemCube, conditions: CubeFilter | None) -> bool:
    wanted = conditions or CubeFilter()
    return (
        cube.state in (wanted.states or SEARCHED_BY_DEFAULT)
        and wanted.labels.items() <= cube.labels.items()
        and (not wanted.semantic_types or cube.semantic_type in wanted.semantic_types)
        and (not wanted.kinds or cube.kind in wanted.kinds)
    )
