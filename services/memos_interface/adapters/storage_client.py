"""Storage, over its channel."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_api.internal.v1 import vector_service_pb2
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.internal.v1.vector_service_pb2_grpc import VectorServiceStub
from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.revisions import Difference
from memos_interface.domain.search import CubeFilter, SearchAnswer, SearchQuery
from memos_interface.ports import ChangePage, CubePage, Stored, StoredBatch, StoredName, StoredNames, Vectors
from memos_interface.wire.search import (
    filter_to_proto,
    hits_from_proto,
    legs_from_proto,
    times_from_proto,
    topics_from_proto,
)
from memos_kernel.cube import MemCube
from memos_kernel.errors import LimitExceeded, MemosError
from memos_kernel.memory_links import LinkKind, MemoryLink
from memos_kernel.names import CubeName, VaultName
from memos_kernel.requests import RequestKey
from memos_wire.changes import change_from_proto
from memos_wire.cubes import cube_from_proto, cube_to_proto
from memos_wire.embeddings import MESSAGE_BYTES, embedding_to_proto, fit
from memos_wire.errors import error_of
from memos_wire.memory_links import link_from_proto
from memos_wire.requests import request_key_to_proto
from memos_wire.times import to_timestamp


class VectorClient:
    """Storage's VectorService, as whoever embeds needs it."""

    def __init__(self, stub: VectorServiceStub) -> None:
        self._stub = stub

    async def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        answer: vector_service_pb2.GetEmbedderResponse = await self._stub.GetEmbedder(
            vector_service_pb2.GetEmbedderRequest()
        )
        return answer.embedder


class StorageClient:
    """The port MemoryStore."""

    def __init__(self, stub: StorageServiceStub) -> None:
        self._stub = stub

    async def create(
        self,
        cubes: Sequence[MemCube],
        vectors: Vectors | None,
        *,
        return_existing: bool,
        request: RequestKey,
        supersede: bool = False,
    ) -> StoredBatch:
        """See the port."""
        answer = await self._create(
            cubes,
            vectors,
            return_existing=return_existing,
            request_key=request_key_to_proto(request),
            supersede=supersede,
        )
        return StoredBatch(
            results=tuple(_stored(result) for result in answer.results),
            provenance_id=answer.provenance_id,
            degraded=answer.degraded,
        )

    async def create_many(self, cubes: Sequence[MemCube], vectors: Vectors) -> StoredNames:
        """See the port."""
        answer = await self._create(cubes, vectors, return_existing=True, names_only=True)
        return StoredNames(tuple(_stored_name(result) for result in answer.results), answer.degraded)

    async def _create(
        self, cubes: Sequence[MemCube], vectors: Vectors | None, **options: Any
    ) -> pb.BatchCreateMemCubesResponse:
        message = pb.BatchCreateMemCubesRequest(
            items=_items(cubes, vectors), embedder=vectors.embedder if vectors is not None else "", **options
        )
        _fit(message)
        answer: pb.BatchCreateMemCubesResponse = await self._stub.BatchCreateMemCubes(message)
        return answer

    async def links(self, name: CubeName) -> tuple[MemoryLink, ...]:
        """See the port."""
        answer = await self._stub.ListMemCubeLinks(pb.ListMemCubeLinksRequest(name=str(name)))
        return tuple(link_from_proto(link) for link in answer.links)

    async def settle_link(self, newer: CubeName, older: CubeName, *, kind: LinkKind, request: RequestKey) -> MemoryLink:
        """See the port."""
        message = pb.SettleMemCubeLinkRequest(
            newer=str(newer),
            older=str(older),
            kind=memory_service_pb2.LinkKind.ValueType(kind),
            request_key=request_key_to_proto(request),
        )
        return link_from_proto((await self._stub.SettleMemCubeLink(message)).link)

    async def get(
        self, names: Sequence[CubeName], *, full: bool, as_of: datetime | None = None
    ) -> tuple[MemCube | MemosError, ...]:
        """See the port."""
        request = pb.BatchGetMemCubesRequest(
            names=[str(name) for name in names], view=_view(full), as_of=to_timestamp(as_of)
        )
        answer = await self._stub.BatchGetMemCubes(request)
        return tuple(_read(result) for result in answer.results)

    async def list(
        self,
        vault: VaultName,
        *,
        filter: CubeFilter | None,
        page_size: int,
        page_token: str,
        as_of: datetime | None = None,
    ) -> CubePage:
        """See the port."""
        answer = await self._stub.ListMemCubes(
            pb.ListMemCubesRequest(
                vault=str(vault),
                filter=filter_to_proto(filter),
                page_size=page_size,
                page_token=page_token,
                as_of=to_timestamp(as_of),
            )
        )
        return CubePage(tuple(cube_from_proto(cube) for cube in answer.cubes), answer.next_page_token)

    async def changes(self, vault: VaultName, *, resume_token: str, full: bool, wait_seconds: float) -> ChangePage:
        """See the port."""
        answer = await self._stub.ListMemCubeChanges(
            pb.ListMemCubeChangesRequest(
                vault=str(vault), resume_token=resume_token, view=_view(full), wait_seconds=wait_seconds
            )
        )
        return ChangePage(tuple(change_from_proto(change) for change in answer.changes), answer.resume_token)

    async def update(self, change: CubeChange, vectors: Vectors | None, *, request: RequestKey) -> MemCube:
        """See the port."""
        message = pb.UpdateMemCubeRequest(
            cube=_changed(change), update_mask=FieldMask(paths=change.paths), request_key=request_key_to_proto(request)
        )
        _put_vector(message, vectors)
        return cube_from_proto((await self._stub.UpdateMemCube(message)).cube)

    async def delete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        message = pb.DeleteMemCubeRequest(name=str(name), etag=etag, request_key=request_key_to_proto(request))
        return cube_from_proto((await self._stub.DeleteMemCube(message)).cube)

    async def undelete(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        message = pb.UndeleteMemCubeRequest(name=str(name), etag=etag, request_key=request_key_to_proto(request))
        return cube_from_proto((await self._stub.UndeleteMemCube(message)).cube)

    async def revisions(self, name: CubeName, *, page_size: int, page_token: str) -> CubePage:
        """See the port."""
        message = pb.ListMemCubeRevisionsRequest(name=str(name), page_size=page_size, page_token=page_token)
        answer = await self._stub.ListMemCubeRevisions(message)
        return CubePage(tuple(cube_from_proto(cube) for cube in answer.revisions), answer.next_page_token)

    async def diff(self, name: CubeName, *, before: int, after: int) -> Difference:
        """See the port."""
        message = pb.DiffMemCubeRevisionsRequest(name=str(name), from_revision=before, to_revision=after)
        answer = await self._stub.DiffMemCubeRevisions(message)
        return Difference(cube_from_proto(answer.before), cube_from_proto(answer.after), tuple(answer.changed.paths))

    async def roll_back(
        self, name: CubeName, *, revision: int, etag: str, vectors: Vectors | None, request: RequestKey
    ) -> MemCube:
        """See the port."""
        message = pb.RollbackMemCubeRequest(
            name=str(name), revision=revision, etag=etag, request_key=request_key_to_proto(request)
        )
        _put_vector(message, vectors)
        return cube_from_proto((await self._stub.RollbackMemCube(message)).cube)

    async def search(self, query: SearchQuery, vectors: Vectors | None, *, top_k: int) -> SearchAnswer:
        """See the port."""
        message = pb.SearchMemCubesRequest(
            vaults=[str(vault) for vault in query.vaults],
            query=query.query,
            top_k=top_k,
            filter=filter_to_proto(query.filter),
            view=_view(query.full),
            as_of=to_timestamp(query.as_of),
            ranking=memory_service_pb2.Ranking(without=query.without, token_budget=query.token_budget),
            paths=query.paths,
            time_zone=query.time_zone,
        )
        _put_vector(message, vectors)
        answer = await self._stub.SearchMemCubes(message)
        return SearchAnswer(
            hits=hits_from_proto(answer.hits),
            legs=legs_from_proto(answer.legs),
            degraded=answer.degraded,
            stages=legs_from_proto(answer.stages),
            topics=topics_from_proto(answer.topics),
            times=times_from_proto(answer.times),
        )


def _put_vector(
    message: pb.UpdateMemCubeRequest | pb.RollbackMemCubeRequest | pb.SearchMemCubesRequest, vectors: Vectors | None
) -> None:
    if vectors is not None:
        message.embedding.CopyFrom(embedding_to_proto(vectors.values[0]))
        message.embedder = vectors.embedder


def _view(full: bool) -> memcube_pb2.CubeView.ValueType:
    return memcube_pb2.CUBE_VIEW_FULL if full else memcube_pb2.CUBE_VIEW_BASIC


def _fit(message: pb.BatchCreateMemCubesRequest) -> None:
    """Leave vectors of tokens out until the message fits; the job `embed_sweep` brings them later.

    Raises:
        LimitExceeded: it does not fit without them either.
    """
    fit((item.embedding for item in message.items), size=message.ByteSize())
    size = message.ByteSize()
    if size > MESSAGE_BYTES:
        raise LimitExceeded(
            f"The call's memories take {size} bytes with their vectors; the limit is {MESSAGE_BYTES}. "
            "Send them in several calls.",
            field="messages",
            limit=str(MESSAGE_BYTES),
            unit="bytes",
        )


def _items(cubes: Sequence[MemCube], vectors: Vectors | None) -> list[pb.NewMemCube]:
    if vectors is None:
        return [pb.NewMemCube(cube=cube_to_proto(cube)) for cube in cubes]
    return [
        pb.NewMemCube(cube=cube_to_proto(cube), embedding=embedding_to_proto(vector))
        for cube, vector in zip(cubes, vectors.values, strict=True)
    ]


def _stored(result: pb.CreateResult) -> Stored | MemosError:
    if result.WhichOneof("result") == "error":
        return error_of(result.error)
    links = tuple(link_from_proto(link) for link in result.links)
    return Stored(cube_from_proto(result.cube), result.created, links)


def _stored_name(result: pb.CreateResult) -> StoredName | MemosError:
    if result.WhichOneof("result") == "error":
        return error_of(result.error)
    return StoredName(CubeName.parse(result.cube.name), result.created)


def _read(result: memory_service_pb2.CubeResult) -> MemCube | MemosError:
    if result.WhichOneof("result") == "error":
        return error_of(result.error)
    return cube_from_proto(result.cube)


def _changed(change: CubeChange) -> memcube_pb2.MemCube:
    message = memcube_pb2.MemCube(
        name=str(change.name),
        etag=change.etag,
        labels=change.labels or {},
        semantic_type=memcube_pb2.SemanticType.ValueType(change.semantic_type),
        expire_time=to_timestamp(change.expire_time),
        valid_from=to_timestamp(change.valid_from),
        valid_until=to_timestamp(change.valid_until),
        priority=change.priority,
        sensitivity_tags=change.sensitivity_tags,
    )
    if any(path.startswith("plaintext.") for path in change.paths):
        message.plaintext.text = change.text
        message.plaintext.language = change.language
    return message
