"""KV caches and LoRA adapters: their bytes, and the cubes that hold them."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

from memos_api.v1 import blob_service_pb2 as pb
from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_client._base import Calls
from memos_client._values import Cube

SAFETENSORS = "application/vnd.safetensors"
_CHUNK = 1024 * 1024


class BlobCalls(Calls):
    """BlobService. Vaults and cubes are named in full, or by their last part."""

    async def create_parametric(
        self,
        vault: str,
        source: Path | bytes,
        *,
        identity: Mapping[str, str],
        rank: int,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Cube:
        """Store a LoRA adapter: a safetensors file, or its bytes. Done again, it names the cube that has these bytes.

        Args:
            vault: vault to write to.
            source: what is stored.
            identity: the fields of `CompatibilityIdentity`, all but `token_ids_sha256`: the model that it fits.
            rank: rank of the adapter.
            name: name of the cube; one is made if it is left out.
            labels: labels of the cube.
            progress: told of the number of bytes after each that went.
            timeout: seconds for the upload.

        Raises:
            MemosError: RequestError, NotFound (the vault), DuplicateContent, AlreadyExists, Unavailable.
            OSError: the file cannot be read.
        """
        made = memcube_pb2.CompatibilityIdentity(**identity)
        blob = await self.upload_blob(vault, source, progress=progress, timeout=timeout)
        payload = memcube_pb2.ParametricPayload(blob=blob, identity=made, rank=rank)
        return await self._create(memcube_pb2.MemCube(parametric=payload, labels=labels), vault, name)

    async def create_activation(
        self,
        vault: str,
        source: Path | bytes,
        *,
        identity: Mapping[str, str],
        token_count: int,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Cube:
        """Store a KV cache: a safetensors file, or its bytes. See `create_parametric`; here every field is needed.

        Raises:
            MemosError: RequestError, NotFound (the vault), DuplicateContent, AlreadyExists, Unavailable.
            OSError: the file cannot be read.
        """
        made = memcube_pb2.CompatibilityIdentity(**identity)
        blob = await self.upload_blob(vault, source, progress=progress, timeout=timeout)
        payload = memcube_pb2.ActivationPayload(blob=blob, identity=made, token_count=token_count)
        return await self._create(memcube_pb2.MemCube(activation=payload, labels=labels), vault, name)

    async def upload_blob(
        self,
        vault: str,
        source: Path | bytes,
        *,
        progress: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> memcube_pb2.BlobRef:
        """Store bytes in the safetensors format, for a cube that is created within 24 hours.

        Raises:
            MemosError: RequestError, NotFound (the vault), Unavailable.
            OSError: the file cannot be read.
        """
        size, sha256 = await asyncio.to_thread(_measure, source)
        header = pb.BlobHeader(
            vault=self._name("vaults", vault), media_type=SAFETENSORS, size_bytes=size, sha256=sha256
        )
        answer: pb.UploadBlobResponse = await self._transport.upload(
            lambda: _requests(header, source, progress), timeout=timeout
        )
        return answer.blob

    async def download_blob(self, name: str, *, offset: int = 0, limit: int = 0) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a cube's payload, from `offset` on and with a limit at most so many.

        Raises:
            MemosError: NotFound, RequestError (a cube of text), and at the end InternalError if all was read and
                differs from its hash.
        """
        request = pb.DownloadBlobRequest(name=self._name("cubes", name), offset=offset, limit=limit)
        async for answer in self.stream(request):
            if answer.chunk.data:
                yield answer.chunk.data

    async def save_blob(self, name: str, path: Path, *, progress: Callable[[int], None] | None = None) -> int:
        """Write the bytes of a cube's payload to a file, which appears whole or not at all; return their number.

        Raises:
            MemosError: see `download_blob`.
            OSError: the file cannot be written.
        """
        size = 0
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                async for data in self.download_blob(name):
                    await asyncio.to_thread(file.write, data)
                    size += len(data)
                    if progress is not None:
                        progress(len(data))
                file.close()
                await asyncio.to_thread(Path(file.name).replace, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    await asyncio.to_thread(Path(file.name).unlink)
        return size

    async def _create(self, cube: memcube_pb2.MemCube, vault: str, name: str) -> Cube:
        cube.vault, cube.name = self._name("vaults", vault), self._name("cubes", name)
        request = memory_service_pb2.CreateMemoryRequest(cube=cube)
        answer: memory_service_pb2.CreateMemoryResponse = await self.call(request)
        return Cube(answer.cube)


async def _requests(
    header: pb.BlobHeader, source: Path | bytes, progress: Callable[[int], None] | None
) -> AsyncIterator[pb.UploadBlobRequest]:
    yield pb.UploadBlobRequest(header=header)
    offset, chunks = 0, _chunks(source)
    while data := await asyncio.to_thread(next, chunks, b""):
        yield pb.UploadBlobRequest(chunk=pb.BlobChunk(offset=offset, data=data))
        offset += len(data)
        if progress is not None:
            progress(len(data))


def _measure(source: Path | bytes) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for data in _chunks(source):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def _chunks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[at : at + _CHUNK] for at in range(0, len(source), _CHUNK))
        return
    with source.open("rb") as file:
        while data := file.read(_CHUNK):
            yield data
