"""Storage's BlobService as inference reads from it."""

import asyncio
import hashlib
import logging
import threading
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from memos_api.internal.v1 import blob_service_pb2 as pb
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.v1 import blob_service_pb2 as public
from memos_inference.adapters.range_reader import AddressFailed, fetch
from memos_kernel.names import CubeName
from memos_runtime.workers import Worker

_AWAY_SECONDS = 300.0
"""For which nobody tries the store itself after it could not be read."""

_log = logging.getLogger(__name__)


class StorageBlobs:
    """Implements `ports.BlobSource`, with the grant of the call that is served.

    Where storage names an address in the object store, the bytes are read from there, in parts at the same time;
    else, or if that fails, they come from storage.
    """

    def __init__(self, stub: BlobServiceStub) -> None:
        self._stub = stub
        self._parts = Worker("kv_parts", threads=4)
        self._writes = Worker("kv_writes", threads=2)
        self._away_until = 0.0

    async def close(self) -> None:
        """Stop the threads."""
        await self._parts.close()
        await self._writes.close()

    async def fetch(self, name: CubeName, path: Path) -> str:
        """See the port."""
        asked = public.DownloadBlobRequest(name=str(name))
        direct = time.monotonic() > self._away_until
        digest = await self._received(pb.DownloadBlobRequest(request=asked, direct=direct), path)
        return digest or await self._received(pb.DownloadBlobRequest(request=asked), path)

    async def _received(self, asked: pb.DownloadBlobRequest, path: Path) -> str:
        """Write what comes; return its hash, or nothing if it was to come from an address and did not."""
        size = 0
        with path.open("wb") as file:
            writing = _Writing(file)
            async with aclosing(self._stub.DownloadBlob(asked)) as answers:
                async for answer in answers:
                    if answer.address:
                        return await self._fetched(answer.address, path, size)
                    size = size or answer.response.blob.size_bytes
                    if data := answer.response.chunk.data:
                        await self._writes.run(writing.write, data)
        return writing.digest.hexdigest()

    async def _fetched(self, address: str, path: Path, size: int) -> str:
        stop = threading.Event()
        reading = asyncio.ensure_future(self._parts.run(partial(fetch, address, path, size, stop=stop)))
        try:
            return await asyncio.shield(reading)
        except AddressFailed as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            _log.warning("reading from storage, for the blob store itself could not be read: %s", error)
            return ""
        finally:
            stop.set()  # also if the caller has left; the file is not removed under the thread
            await asyncio.wait([reading])


class _Writing:
    """A file that is written, and the hash of what it holds."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)
