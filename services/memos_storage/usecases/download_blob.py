"""Read the bytes of a cube's payload."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, InvalidField, ResourceNotFound
from memos_kernel.names import CubeName
from memos_kernel.permission import Grant
from memos_storage.domain.values import Scope, StoredCube
from memos_storage.ports import BlobStore, Catalog
from memos_storage.usecases.access import cube_not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadBlob:
    """Who may read the cube may read its bytes."""

    catalog: Catalog
    blobs: BlobStore

    async def __call__(
        self, name: CubeName, *, offset: int, limit: int, grant: Grant, direct: bool = False
    ) -> tuple[BlobRef, AsyncGenerator[bytes, None], str]:
        """Return the blob, and its bytes from `offset` on, with a limit at most so many.

        With `direct` also where all bytes can be read for some minutes; that is empty if nowhere but here.

        Raises:
            CubeNotFound: it is not there, or hidden.
            InvalidField: the cube holds text, or the part lies outside.
            DataCorrupted, DependencyUnavailable: while the bytes are read.
        """
        cube = (await self._find(name, grant)).cube
        blob = cube.blob
        if blob is None:
            raise InvalidField(f"{name} holds text, which GetMemory returns; it has no blob.", field="name")
        if not 0 <= offset <= blob.size_bytes:
            raise InvalidField(f"offset is {offset}; the blob has {blob.size_bytes} bytes.", field="offset")
        if limit < 0:
            raise InvalidField(f"limit is {limit}; give a number of bytes, or 0 for all.", field="limit")
        chunks = self.blobs.get(cube.vault, blob, offset=offset, limit=limit)
        address = await self.blobs.address(cube.vault, blob) if direct else ""
        return blob, self._told(name, chunks, grant), address

    async def _find(self, name: CubeName, grant: Grant) -> StoredCube:
        found = (await self.catalog.get([name], Scope.of(grant))).get(name)
        if found is None:
            raise cube_not_found(name)
        return found

    async def _told(
        self, name: CubeName, chunks: AsyncGenerator[bytes, None], grant: Grant
    ) -> AsyncGenerator[bytes, None]:
        """Return the bytes; if there are none any more, look whether it is for the cube has gone meanwhile."""
        async with aclosing(chunks):
            try:
                async for chunk in chunks:
                    yield chunk
            except ResourceNotFound as error:
                await self._find(name, grant)
                raise DataCorrupted(f"The bytes of {name} are lost.", name=str(name)) from error
