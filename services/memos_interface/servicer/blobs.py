"""BlobService: uploads are handed on to storage as they come, downloads come from a use case."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from memos_api.internal.v1 import blob_service_pb2 as internal
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.v1 import blob_service_pb2 as pb
from memos_api.v1 import blob_service_pb2_grpc as pb_grpc
from memos_interface.usecases.download_blob import DownloadBlob
from memos_kernel.cube import BlobRef
from memos_kernel.names import CubeName
from memos_runtime.context import current_principal
from memos_wire.cubes import blob_to_proto


class BlobServicer(pb_grpc.BlobServiceServicer):
    """Moves the bytes of payloads."""

    def __init__(self, storage: BlobServiceStub, download: DownloadBlob) -> None:
        self._storage = storage
        self._download = download

    async def UploadBlob(self, requests: AsyncIterator[pb.UploadBlobRequest], context: object) -> pb.UploadBlobResponse:
        """Hand the bytes on."""
        answer: internal.UploadBlobResponse = await self._storage.UploadBlob(_handed_on(requests))
        return answer.response

    async def DownloadBlob(
        self, request: pb.DownloadBlobRequest, context: object
    ) -> AsyncIterator[pb.DownloadBlobResponse]:
        """Stream the bytes."""
        place = request.offset
        parts = self._download(
            CubeName.parse(request.name), offset=request.offset, limit=request.limit, caller=current_principal()
        )
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, BlobRef):
                    yield pb.DownloadBlobResponse(blob=blob_to_proto(part))
                else:
                    yield pb.DownloadBlobResponse(chunk=pb.BlobChunk(offset=place, data=part))
                    place += len(part)


async def _handed_on(requests: AsyncIterator[pb.UploadBlobRequest]) -> AsyncIterator[internal.UploadBlobRequest]:
    async for request in requests:
        yield internal.UploadBlobRequest(request=request)
