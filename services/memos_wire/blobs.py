"""Bytes of blobs on their way into storage."""

from collections.abc import AsyncIterable, AsyncIterator

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.v1 import blob_service_pb2 as public
from memos_kernel.cube import BlobRef
from memos_kernel.names import VaultName


async def upload_requests(
    vault: VaultName, blob: BlobRef, chunks: AsyncIterable[bytes]
) -> AsyncIterator[pb.UploadBlobRequest]:
    """Yield the requests of an UploadBlob; of `blob` everything but the name is known."""
    header = public.BlobHeader(
        vault=str(vault), media_type=blob.media_type, size_bytes=blob.size_bytes, sha256=blob.sha256
    )
    yield pb.UploadBlobRequest(request=public.UploadBlobRequest(header=header))
    offset = 0
    async for data in chunks:
        chunk = public.BlobChunk(offset=offset, data=data)
        yield pb.UploadBlobRequest(request=public.UploadBlobRequest(chunk=chunk))
        offset += len(data)
