"""The files of an archive as they come, one after the other."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from memos_interface.domain.archives import ArchiveFile, invalid
from memos_kernel.errors import ArchiveInvalid, InvalidField

Incoming = AsyncIterator[ArchiveFile | bytes]


class IncomingFiles:
    """The files that come, one after the other."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def expect(self, wanted: ArchiveFile | str) -> ArchiveFile:
        """Return the next file, which has to be this one.

        Raises:
            ArchiveInvalid: it is another one, or there is none.
        """
        path = wanted if isinstance(wanted, str) else wanted.path
        found = await anext(self._incoming, None)
        if found is None:
            raise invalid(path, "is missing")
        if isinstance(found, bytes):
            raise InvalidField("There are bytes of no file.", field="chunk")
        if found.path != path:
            raise ArchiveInvalid(f"{found.path} came where {path} was expected.", file=path)
        if isinstance(wanted, ArchiveFile) and found != wanted:
            raise invalid(path, "is not the one that the list of its part names")
        return found

    async def chunks(self, file: ArchiveFile) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file.

        Raises:
            ArchiveInvalid: size or hash differ.
        """
        digest, size = hashlib.sha256(), 0
        while size < file.size_bytes:
            came = await anext(self._incoming, None)
            if not isinstance(came, bytes):
                raise invalid(file.path, "is cut off")
            size += len(came)
            digest.update(came)
            if size > file.size_bytes:
                break
            yield came
        if size != file.size_bytes or digest.hexdigest() != file.sha256:
            raise invalid(file.path, "differs from its hash or size")

    async def read(self, file: ArchiveFile, *, most: int) -> bytes:
        """Return the bytes of a file of limited size.

        Raises:
            ArchiveInvalid: it is larger, or size or hash differ.
        """
        if file.size_bytes > most:
            raise ArchiveInvalid(f"{file.path} has {file.size_bytes} bytes; at most {most} are read.", file=file.path)
        return b"".join([data async for data in self.chunks(file)])

    async def end(self) -> None:
        """Refuse what comes behind the last part.

        Raises:
            InvalidField: something does.
        """
        if await anext(self._incoming, None) is not None:
            raise InvalidField("There are files behind the last part of the manifest.", field="file")
