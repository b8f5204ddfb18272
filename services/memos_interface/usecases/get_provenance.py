"""Draws where a cube or an answer came from and where it went."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from memos_interface.domain import audit, graph
from memos_interface.ports import AuditTrail, Lineage, MemoryStore
from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import (
    CubeNotFound,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    ResourceNotFound,
)
from memos_kernel.lineage import Graph
from memos_kernel.names import AnswerName, CubeName, PlanName
from memos_kernel.permission import Principal

Root = CubeName | AnswerName | PlanName


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProvenance:
    """Joins recorded lineage with the cubes as the caller may read them now."""

    store: MemoryStore
    lineage: Lineage
    audit_trail: AuditTrail

    async def __call__(self, name: str, *, depth: int, caller: Principal) -> Graph:
        """Return the graph around a name.

        Raises:
            MissingField, MalformedName, InvalidField, LimitExceeded: by field.
            CubeNotFound, ResourceNotFound: the root is not there for this caller.
        """
        root, steps = parse_root(name), _steps(depth)
        if root.tenant != caller.name.tenant:
            raise _missing(root)
        recorded = await self.lineage.around(name, depth=steps)
        cubes, complete = await self._readable(recorded, root, steps)
        if isinstance(root, CubeName) and name not in cubes:
            raise _missing(root)
        if not isinstance(root, CubeName) and all(node.name != name for node in recorded.nodes):
            raise _missing(root)
        recorded = replace(recorded, truncated=recorded.truncated or not complete)
        drawn = graph.draw(name, recorded, cubes, depth=steps)
        shown = [cube for cube in graph.cube_names(drawn) if cube in cubes]
        self.audit_trail.note(caller.name, audit.READ, shown)
        return drawn

    async def _readable(self, recorded: Graph, root: Root, depth: int) -> tuple[dict[str, MemCube], bool]:
        """Read the cubes of the lineage, then what those were derived from, a step at a time.

        Returns:
            What may be read, by name, and whether nothing was left unread for the size of the graph.
        """
        found: dict[str, MemCube] = {}
        asked: set[str] = set()
        complete = True
        start = (str(root),) if isinstance(root, CubeName) else ()
        wanted = dict.fromkeys((*start, *graph.cube_names(recorded)))
        for _ in range(depth + 1):
            new = [name for name in wanted if name not in asked]
            batch = new[: graph.NODES - len(asked)]
            complete = complete and len(batch) == len(new)
            if not batch:
                break
            asked.update(batch)
            read = await self._read(batch)
            found.update((str(cube.name), cube) for cube in read)
            wanted = dict.fromkeys(str(ref.name) for cube in read for ref in cube.derived_from)
        return found, complete

    async def _read(self, names: Iterable[str]) -> list[MemCube]:
        parsed = [CubeName.parse(name) for name in names]
        cubes: list[MemCube] = []
        for start in range(0, len(parsed), limits.BATCH_GET_NAMES):
            results = await self.store.get(parsed[start : start + limits.BATCH_GET_NAMES], full=True)
            cubes.extend(result for result in results if isinstance(result, MemCube))
        return cubes


def parse_root(name: str) -> Root:
    """Read the name of what is asked about.

    Raises:
        MissingField: it is empty.
        MalformedName: it is not a cube, an answer or a plan.
    """
    if not name:
        raise MissingField("name is required.", field="name")
    for kind in (CubeName, AnswerName, PlanName):
        try:
            return kind.parse(name)
        except MalformedName:
            continue
    raise MalformedName(
        f"name is {name[:80]!r}; it can be a cube, an answer or a plan.",
        field="name",
        pattern="tenants/{tenant}/cubes|answers|plans/{id}",
    )


def _steps(depth: int) -> int:
    if depth < 0:
        raise InvalidField("depth is negative; 0 means the default.", field="depth")
    if depth > limits.PROVENANCE_DEPTH:
        raise LimitExceeded(
            f"depth is {depth}; the limit is {limits.PROVENANCE_DEPTH}.",
            field="depth",
            limit=str(limits.PROVENANCE_DEPTH),
            unit="steps",
        )
    return depth or limits.PROVENANCE_DEPTH_DEFAULT


def _missing(root: Root) -> CubeNotFound | ResourceNotFound:
    kind = CubeNotFound if isinstance(root, CubeName) else ResourceNotFound
    return kind(f"{root} is not there.", name=str(root))
