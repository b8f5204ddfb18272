"""BlobService: convert, call a use case, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceServicer
from memos_api.v1 import blob_service_pb2 as public
from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.names import CubeName, VaultName
from memos_runtime.context import current_grant
from memos_storage.domain.blobs import BlobChunk, BlobHeader
from memos_storage.usecases.download_blob import DownloadBlob
from memos_storage.usecases.upload_blob import UploadBlob
from memos_wire.cubes import blob_to_proto
from memos_wire.times import to_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobUseCases:
    """What the servicer calls."""

    upload: UploadBlob
    download: DownloadBlob


class BlobServicer(BlobServiceServicer):
    """Serves memos.internal.v1.BlobService."""

    def __init__(self, use_cases: BlobUseCases) -> None:
        self._do = use_cases

    async def UploadBlob(self, requests: AsyncIterator[pb.UploadBlobRequest], context: Any) -> pb.UploadBlobResponse:
        """Store bytes."""
        header = _header((await anext(requests)).request)
        staged = await self._do.upload(header, _chunks(requests), grant=current_grant())
        answer = public.UploadBlobResponse(
            blob=blob_to_proto(staged.blob), expire_time=to_timestamp(staged.expire_time)
        )
        return pb.UploadBlobResponse(response=answer)

    async def DownloadBlob(
        self, request: pb.DownloadBlobRequest, context: Any
    ) -> AsyncIterator[pb.DownloadBlobResponse]:
        """Stream bytes, or say where they are."""
        asked = request.request
        blob, chunks, address = await self._do.download(
            CubeName.parse(asked.name),
            offset=asked.offset,
            limit=asked.limit,
            grant=current_grant(),
            direct=request.direct,
        )
        yield pb.DownloadBlobResponse(response=public.DownloadBlobResponse(blob=blob_to_proto(blob)))
        if address:
            yield pb.DownloadBlobResponse(address=address)
            return
        place = asked.offset
        async with aclosing(chunks):
            async for data in chunks:
                chunk = public.BlobChunk(offset=place, data=data)
                yield pb.DownloadBlobResponse(response=public.DownloadBlobResponse(chunk=chunk))
                place += len(data)


def _header(request: public.UploadBlobRequest) -> BlobHeader:
    if not request.HasField("header"):
        raise MissingField("The first message has no header; it says what comes.", field="header")
    header = request.header
    vault = VaultName.parse(header.vault, field="header.vault")
    return BlobHeader(vault, header.media_type, header.size_bytes, header.sha256)


async def _chunks(requests: AsyncIterator[pb.UploadBlobRequest]) -> AsyncIterator[BlobChunk]:
    async for message in requests:
        request = message.request
        if not request.HasField("chunk"):
            raise InvalidField("Only the first message has a header; the others have chunks.", field="chunk")
        yield BlobChunk(request.chunk.offset, request.chunk.data)
