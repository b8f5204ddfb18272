"""Retriever, Restorer and Purger over storage's gRPC services."""

from collections.abc import Sequence

from memos_api.internal.v1 import (
    purge_service_pb2,
    snapshot_service_pb2,
    storage_service_pb2,
    vector_service_pb2,
)
from memos_api.internal.v1.purge_service_pb2_grpc import PurgeServiceStub
from memos_api.internal.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.internal.v1.vector_service_pb2_grpc import VectorServiceStub
from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_api.v1.purge_service_pb2 import PURGE_STATE_DONE
from memos_kernel.embedding import Embedding, embedded_text
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_scheduler.domain.plan import Candidate, Retrieval
from memos_scheduler.ports import BareText, PurgeStep, QueryVector, RestoreGoal, RestoreStep
from memos_wire.cubes import cube_from_proto
from memos_wire.embeddings import embedding_to_proto, fit
from memos_wire.times import to_timestamp


class StorageRetriever:
    """Asks storage, which applies the grant of the call as its filter."""

    def __init__(self, stub: StorageServiceStub) -> None:
        self._stub = stub

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
        request = storage_service_pb2.SearchMemCubesRequest(
            vaults=[str(vault) for vault in vaults],
            query=query,
            top_k=top_k,
            filter=memory_service_pb2.CubeFilter.FromString(conditions),
            view=memcube_pb2.CUBE_VIEW_FULL,
            time_zone=time_zone,
        )
        if vector is not None:
            request.embedding.CopyFrom(embedding_to_proto(vector.embedding))
            request.embedder = vector.embedder
        response = await self._stub.SearchMemCubes(request)
        return Retrieval(
            tuple(
                Candidate(
                    cube=cube_from_proto(hit.cube),
                    rank=rank,
                    score=hit.score,
                    leg_scores=dict(hit.leg_scores),
                    superseded_by=CubeName.parse(hit.superseded_by) if hit.superseded_by else None,
                )
                for rank, hit in enumerate(response.hits, start=1)
            ),
            degraded=response.degraded,
        )


class StorageVectors:
    """Implements `ports.VectorStore`; storage applies the grant of the call."""

    def __init__(self, stub: VectorServiceStub) -> None:
        self._stub = stub

    async def current(self) -> str:
        """See the port."""
        return str((await self._stub.GetEmbedder(vector_service_pb2.GetEmbedderRequest())).embedder)

    async def bare(self, embedder: str, *, past: bool, after: str, limit: int) -> tuple[list[BareText], str]:
        """See the port."""
        answer = await self._stub.ListTexts(
            vector_service_pb2.ListTextsRequest(embedder=embedder, past=past, after=after, limit=limit)
        )
        cubes = [cube_from_proto(cube) for cube in answer.cubes]
        return [BareText(cube.uid, cube.revision, embedded_text(cube)) for cube in cubes], answer.last

    async def put(self, embedder: str, vectors: Sequence[tuple[BareText, Embedding]]) -> int:
        """See the port."""
        items = [
            vector_service_pb2.TextVector(uid=text.uid, revision=text.revision, embedding=embedding_to_proto(embedding))
            for text, embedding in vectors
        ]
        request = vector_service_pb2.PutVectorsRequest(embedder=embedder, vectors=items)
        fit((item.embedding for item in request.vectors), size=request.ByteSize())
        answer = await self._stub.PutVectors(request)
        return int(answer.stored)

    async def adopt(self, embedder: str) -> bool:
        """See the port."""
        answer = await self._stub.AdoptEmbedder(vector_service_pb2.AdoptEmbedderRequest(embedder=embedder))
        return bool(answer.adopted)


class StorageRestorer:
    """Asks storage, which applies the grant of the call."""

    def __init__(self, stub: SnapshotServiceStub) -> None:
        self._stub = stub

    async def remove(self, goal: RestoreGoal, *, after: str, limit: int) -> RestoreStep:
        """See the port."""
        return await self._ask(goal, after, limit, snapshot_service_pb2.RESTORE_PHASE_REMOVE)

    async def bring_back(self, goal: RestoreGoal, *, after: str, limit: int) -> RestoreStep:
        """See the port."""
        return await self._ask(goal, after, limit, snapshot_service_pb2.RESTORE_PHASE_BRING_BACK)

    async def _ask(
        self, goal: RestoreGoal, after: str, limit: int, phase: snapshot_service_pb2.RestorePhase.ValueType
    ) -> RestoreStep:
        request = snapshot_service_pb2.RestoreMemCubesRequest(
            vault=str(goal.vault),
            as_of=to_timestamp(goal.as_of),
            begin_time=to_timestamp(goal.begun),
            phase=phase,
            after=after,
            limit=limit,
        )
        answer = await self._stub.RestoreMemCubes(request)
        return RestoreStep(answer.changed, len(answer.skipped), answer.last)


class StoragePurger:
    """Asks storage, which applies the grant of the call."""

    def __init__(self, stub: PurgeServiceStub) -> None:
        self._stub = stub

    async def due(self) -> PurgeName | None:
        """See the port."""
        answer = await self._stub.PlanDuePurge(purge_service_pb2.PlanDuePurgeRequest())
        return PurgeName.parse(answer.purge.name) if answer.HasField("purge") else None

    async def step(self, name: PurgeName) -> PurgeStep:
        """See the port."""
        answer = await self._stub.RunPurge(purge_service_pb2.RunPurgeRequest(name=str(name)))
        done = answer.purge.state == PURGE_STATE_DONE
        return PurgeStep(answer.purge.cube_count, answer.remaining, done, answer.wait_seconds)
