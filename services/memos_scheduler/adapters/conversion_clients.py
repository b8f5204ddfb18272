"""Memories of storage, and KV caches and adapters of inference, over their channels."""

from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing

from memos_api.internal.v1 import inference_service_pb2, storage_service_pb2
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.v1 import memcube_pb2
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube
from memos_kernel.names import CubeName, VaultName
from memos_scheduler.ports import QueryVector, Recovered, Trained
from memos_wire.blobs import upload_requests
from memos_wire.cubes import (
    activation_from_proto,
    blob_from_proto,
    cube_from_proto,
    cube_to_proto,
    parametric_from_proto,
)
from memos_wire.embeddings import embedding_to_proto
from memos_wire.errors import error_of


class StorageMemories:
    """Implements `ports.Memories`; storage applies the grant of the call."""

    def __init__(self, stub: StorageServiceStub, blobs: BlobServiceStub) -> None:
        self._stub = stub
        self._blobs = blobs

    async def read(self, names: Sequence[CubeName]) -> tuple[MemCube, ...]:
        """See the port."""
        answer = await self._stub.BatchGetMemCubes(
            storage_service_pb2.BatchGetMemCubesRequest(
                names=[str(name) for name in names], view=memcube_pb2.CUBE_VIEW_FULL
            )
        )
        for result in answer.results:
            if result.HasField("error"):
                raise error_of(result.error)
        return tuple(cube_from_proto(result.cube) for result in answer.results)

    async def derived(self, names: Sequence[CubeName], kind: Kind) -> tuple[MemCube, ...]:
        """See the port."""
        answer = await self._stub.ListDerivedMemCubes(
            storage_service_pb2.ListDerivedMemCubesRequest(
                names=[str(name) for name in names], kind=memcube_pb2.CubeKind.ValueType(kind)
            )
        )
        return tuple(cube_from_proto(cube) for cube in answer.cubes)

    async def upload(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterable[bytes]) -> BlobRef:
        """See the port."""
        answer = await self._blobs.UploadBlob(upload_requests(vault, blob, chunks))
        return blob_from_proto(answer.response.blob)

    async def create(self, cube: MemCube, *, vector: QueryVector | None = None) -> MemCube:
        """See the port."""
        item = storage_service_pb2.NewMemCube(cube=cube_to_proto(cube))
        if vector is not None:
            item.embedding.CopyFrom(embedding_to_proto(vector.embedding))
        answer = await self._stub.BatchCreateMemCubes(
            storage_service_pb2.BatchCreateMemCubesRequest(
                items=[item], embedder=vector.embedder if vector is not None else "", return_existing=True
            )
        )
        (result,) = answer.results
        if result.HasField("error"):
            raise error_of(result.error)
        return cube_from_proto(result.cube)


class InferenceCaches:
    """Implements `ports.CacheBuilder`."""

    def __init__(self, stub: InferenceServiceStub) -> None:
        self._stub = stub

    async def build(self, sources: Sequence[MemCube], *, vault: VaultName) -> AsyncGenerator[Activation | bytes, None]:
        """See the port."""
        asked = inference_service_pb2.BuildActivationRequest(
            vault=str(vault), cubes=[cube_to_proto(source) for source in sources]
        )
        async with aclosing(self._stub.BuildActivation(asked)) as answers:
            async for answer in answers:
                yield activation_from_proto(answer.payload) if answer.HasField("payload") else answer.chunk.data


class InferenceRecovery:
    """Implements `ports.TextRecoverer`."""

    def __init__(self, stub: InferenceServiceStub) -> None:
        self._stub = stub

    async def recover(self, cube: MemCube) -> tuple[Recovered, ...]:
        """See the port."""
        answer = await self._stub.RecoverText(inference_service_pb2.RecoverTextRequest(cube=cube_to_proto(cube)))
        return tuple(Recovered(one.text, one.confidence) for one in answer.texts)


class InferenceAdapters:
    """Implements `ports.AdapterTrainer`."""

    def __init__(self, stub: InferenceServiceStub) -> None:
        self._stub = stub

    async def train(
        self, sources: Sequence[MemCube], *, vault: VaultName
    ) -> AsyncGenerator[float | Trained | bytes, None]:
        """See the port."""
        asked = inference_service_pb2.TrainAdapterRequest(
            vault=str(vault), cubes=[cube_to_proto(source) for source in sources]
        )
        async with aclosing(self._stub.TrainAdapter(asked)) as answers:
            async for answer in answers:
                match answer.WhichOneof("part"):
                    case "adapter":
                        made = answer.adapter
                        yield Trained(parametric_from_proto(made.payload), tuple(made.learned), dict(made.report))
                    case "chunk":
                        yield answer.chunk.data
                    case _:
                        yield answer.progress
