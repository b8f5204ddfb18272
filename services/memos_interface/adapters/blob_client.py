"""Storage's BlobService as the interface reads from it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.v1 import blob_service_pb2 as public
from memos_kernel.cube import BlobRef
from memos_kernel.names import CubeName
from memos_wire.cubes import blob_from_proto


class BlobClient:
    """Implements `ports.BlobReader`."""

    def __init__(self, stub: BlobServiceStub) -> None:
        self._stub = stub

    async def read(self, name: CubeName, *, offset: int, limit: int) -> AsyncGenerator[BlobRef | bytes, None]:
        """See the port."""
        asked = public.DownloadBlobRequest(name=str(name), offset=offset, limit=limit)
        async with aclosing(self._stub.DownloadBlob(pb.DownloadBlobRequest(request=asked))) as answers:
            async for answer in answers:
                part = answer.response
                if part.HasField("blob"):
                    yield blob_from_proto(part.blob)
                if part.chunk.data:
                    yield part.chunk.data
