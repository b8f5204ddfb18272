"""Storage's BlobService as inference reads from it and writes to it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.v1 import blob_service_pb2 as public
from memos_kernel import limits
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef
from memos_kernel.names import CubeName, VaultName
from memos_wire.cubes import blob_from_proto


class StorageBlobs:
    """Implements `ports.BlobSource` and `ports.BlobSink`, with the grant of the call that is served."""

    def __init__(self, stub: BlobServiceStub) -> None:
        self._stub = stub

    async def read(self, name: CubeName) -> AsyncGenerator[bytes]:
        """See `BlobSource`."""
        asked = pb.DownloadBlobRequest(request=public.DownloadBlobRequest(name=str(name)))
        async with aclosing(self._stub.DownloadBlob(asked)) as answers:
            async for answer in answers:
                if data := answer.response.chunk.data:
                    yield data

    async def write(self, vault: VaultName, path: Path) -> BlobRef:
        """See `BlobSink`."""
        size, sha256 = await asyncio.to_thread(_measured, path)
        header = public.BlobHeader(vault=str(vault), media_type=SAFETENSORS, size_bytes=size, sha256=sha256)
        answer = await self._stub.UploadBlob(_requests(header, path))
        return blob_from_proto(answer.response.blob)


async def _requests(header: public.BlobHeader, path: Path) -> AsyncIterator[pb.UploadBlobRequest]:
    yield pb.UploadBlobRequest(request=public.UploadBlobRequest(header=header))
    offset = 0
    while data := await asyncio.to_thread(_part, path, offset):
        chunk = public.BlobChunk(offset=offset, data=data)
        yield pb.UploadBlobRequest(request=public.UploadBlobRequest(chunk=chunk))
        offset += len(data)


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _part(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(limits.BLOB_CHUNK_BYTES)
