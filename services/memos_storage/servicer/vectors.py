"""VectorService: convert, call a use case, convert."""

from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import vector_service_pb2 as pb
from memos_api.internal.v1.vector_service_pb2_grpc import VectorServiceServicer
from memos_kernel.errors import InvalidField
from memos_runtime.context import current_grant
from memos_storage.domain.values import PointId, TextPlace
from memos_storage.ports import Catalog
from memos_storage.servicer.messages import vector_of
from memos_storage.usecases.embed_texts import AdoptEmbedder, ListTexts, PutVectors
from memos_wire.cubes import cube_to_proto


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorUseCases:
    """What the servicer calls."""

    texts: ListTexts
    put: PutVectors
    adopt: AdoptEmbedder
    catalog: Catalog


class VectorServicer(VectorServiceServicer):
    """Serves memos.internal.v1.VectorService."""

    def __init__(self, use_cases: VectorUseCases) -> None:
        self._do = use_cases

    async def GetEmbedder(self, request: pb.GetEmbedderRequest, context: Any) -> pb.GetEmbedderResponse:
        """Return the embedder that searches go by."""
        return pb.GetEmbedderResponse(embedder=await self._do.catalog.embedder())

    async def ListTexts(self, request: pb.ListTextsRequest, context: Any) -> pb.ListTextsResponse:
        """List texts without a vector."""
        cubes, last = await self._do.texts(
            request.embedder,
            past=request.past,
            after=_opened(request.after),
            limit=request.limit,
            grant=current_grant(),
        )
        sealed = "" if last is None else f"{last[0]}/{last[1]}"
        return pb.ListTextsResponse(cubes=[cube_to_proto(cube) for cube in cubes], last=sealed)

    async def PutVectors(self, request: pb.PutVectorsRequest, context: Any) -> pb.PutVectorsResponse:
        """Store vectors."""
        vectors = [
            (
                PointId(item.uid, item.revision),
                vector_of(item.embedding, embedder=request.embedder, field=f"vectors[{index}].embedding"),
            )
            for index, item in enumerate(request.vectors)
        ]
        return pb.PutVectorsResponse(stored=await self._do.put(vectors, grant=current_grant()))

    async def AdoptEmbedder(self, request: pb.AdoptEmbedderRequest, context: Any) -> pb.AdoptEmbedderResponse:
        """Switch searches to an embedder."""
        return pb.AdoptEmbedderResponse(adopted=await self._do.adopt(request.embedder))


def _opened(after: str) -> TextPlace | None:
    if not after:
        return None
    key, _, revision = after.partition("/")
    try:
        return int(key), int(revision)
    except ValueError as error:
        raise InvalidField("after is no place that was answered.", field="after") from error
