"""Makes a finished turn durable: the talk, its lineage, and the use of the memories."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_interface.domain.chat import GenerationEnd, Plan
from memos_interface.domain.turn import Turn, cubes_of
from memos_interface.ports import Delegation, Embedder, Lifecycle, Lineage, MemoryStore, Spans
from memos_interface.usecases.embedding import embed_all
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import ContentPurged, MemosError, QuotaExceeded
from memos_kernel.ids import IdFactory
from memos_kernel.lineage import Edge, Graph, Node, NodeKind, Relation
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Principal
from memos_kernel.requests import RequestKey

USE_ACTIONS = frozenset({Action.CUBE_READ, Action.CUBE_USE, Action.MODEL_USE, Action.LINEAGE_WRITE})
"""What recalling and using memories needs; the same as the method table's row of Chat, so that grants are shared."""

WRITE_ACTIONS = frozenset({Action.CUBE_READ, Action.CUBE_WRITE, Action.MODEL_USE})
"""What storing a turn needs; the same as the row of AddMemories."""


_REASON_CHARS = 120
"""Most of a planner's reason that enters the lineage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A finished answer. `turn` is None if the caller wants nothing stored."""

    name: str
    time: datetime
    plan: Plan
    end: GenerationEnd
    turn: Turn | None
    vaults: tuple[VaultName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTurn:
    """Stores the turn while the use is counted, then its lineage, which names the turn's cubes.

    Every part gets a grant with time left: a generation may take longer than the grant of the call lasts.
    """

    embedder: Embedder
    store: MemoryStore
    lifecycle: Lifecycle
    lineage: Lineage
    delegation: Delegation
    new_id: IdFactory
    spans: Spans

    async def __call__(self, answered: Answered, *, caller: Principal, key: RequestKey) -> tuple[str, ...]:
        """Return the names of the cubes that record the turn; everything is durable then.

        Raises:
            QuotaExceeded: the vault has no room for the turn; use and lineage of the answer are recorded.
            MemosError: something could not be recorded.
        """
        told = _told(answered.plan)
        cubes = cubes_of(answered.turn, told, new_id=self.new_id) if answered.turn is not None else ()
        (recorded, full), _ = await asyncio.gather(
            self._store_if_it_fits(cubes, caller, key), self._record_use(answered.plan, caller, answered.vaults)
        )
        # What was there before, as when an earlier call had this request id, does not come from this answer.
        new = [str(cube.name) for cube in cubes if cube.name in {stored.name for stored in recorded}]
        await self._record_lineage(lineage_of(answered, new, trace_id=self.spans.trace_id()), caller, answered.vaults)
        if full is not None:
            raise full
        return tuple(str(cube.name) for cube in recorded)

    async def _store_if_it_fits(
        self, cubes: Sequence[MemCube], caller: Principal, key: RequestKey
    ) -> tuple[tuple[MemCube, ...], QuotaExceeded | None]:
        try:
            return await self._store(cubes, caller, key), None
        except QuotaExceeded as error:
            return (), error

    async def _store(self, cubes: Sequence[MemCube], caller: Principal, key: RequestKey) -> tuple[MemCube, ...]:
        if not cubes:
            return ()
        async with self.delegation.acting(caller, WRITE_ACTIONS, (cubes[0].vault,)):
            vectors = await embed_all(self.embedder, [embedded_text(cube) for cube in cubes])
            batch = await self.store.create(cubes, vectors, return_existing=True, request=key, supersede=True)
        stored: list[MemCube] = []
        for result in batch.results:
            if isinstance(result, ContentPurged):
                continue  # said again after it was erased: it stays out, and the answer stands
            if isinstance(result, MemosError):
                raise result
            stored.append(result.cube)
        return tuple(stored)

    async def _record_use(self, plan: Plan, caller: Principal, vaults: tuple[VaultName, ...]) -> None:
        used = _used(plan)
        if used:
            async with self.delegation.acting(caller, USE_ACTIONS, vaults):
                await self.lifecycle.record_use(used, plan=plan.name)

    async def _record_lineage(self, lineage: Graph, caller: Principal, vaults: tuple[VaultName, ...]) -> None:
        async with self.delegation.acting(caller, USE_ACTIONS, vaults):
            await self.lineage.record(lineage)


def _used(plan: Plan) -> list[RevisionRef]:
    return [RevisionRef(memory.cube.name, memory.cube.revision) for memory in plan.used]


def _told(plan: Plan) -> list[RevisionRef]:
    """Return what an answer is derived from: words, in whatever form, so that it stays when a KV cache goes."""
    return [RevisionRef(memory.cube.name, memory.cube.revision) for memory in plan.chosen]


def lineage_of(answered: Answered, recorded: Sequence[str], *, trace_id: str) -> Graph:
    """Return the lineage of an answer: cubes -> plan -> answer -> cubes of the turn. It holds no content."""
    plan, end = answered.plan, answered.end
    nodes = [
        Node(
            name=plan.name,
            kind=NodeKind.PLAN,
            summary=f"{len(plan.chosen)} memories chosen, {len(plan.rejected)} left out",
            time=answered.time,
            trace_id=trace_id,
        ),
        Node(
            name=answered.name,
            kind=NodeKind.ANSWER,
            summary=f"{end.completion_tokens} tokens by {end.model} ({end.finish_reason})",
            time=answered.time,
            trace_id=trace_id,
        ),
        *(Node(name=str(memory.cube.name), kind=NodeKind.CUBE, revision=memory.cube.revision) for memory in plan.used),
        *(Node(name=name, kind=NodeKind.CUBE, revision=1) for name in recorded),
    ]
    edges = [
        *(
            Edge(str(memory.cube.name), plan.name, Relation.PLANNED, memory.reason[:_REASON_CHARS])
            for memory in plan.used
        ),
        Edge(plan.name, answered.name, Relation.GENERATED),
        *(Edge(answered.name, name, Relation.RECORDED) for name in recorded),
    ]
    return Graph(tuple(nodes), tuple(edges))
