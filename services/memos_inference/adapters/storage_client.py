"""Storage's BlobService as inference reads from it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.v1 import blob_service_pb2 as public
from memos_kernel.names import CubeName


class StorageBlobs:
    """Implements `ports.BlobSource`, with the grant of the call that is served."""

    def __init__(self, stub: BlobServiceStub) -> None:
        self._stub = stub

    async def read(self, name: CubeName) -> AsyncGenerator[bytes]:
        """See the port."""
        asked = pb.DownloadBlobRequest(request=public.DownloadBlobRequest(name=str(name)))
        async with aclosing(self._stub.DownloadBlob(asked)) as answers:
            async for answer in answers:
                if data := answer.response.chunk.data:
                    yield data
