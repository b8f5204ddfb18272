"""Returns the bytes of a cube's payload for as long as the caller may read it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from memos_interface.domain import audit
from memos_interface.ports import AuditTrail, BlobReader, Delegation
from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted
from memos_kernel.names import CubeName
from memos_kernel.permission import Action, Principal

_READ = frozenset({Action.CUBE_READ})

WINDOW = 64 * 1024 * 1024
"""Bytes that are read under one grant, which is good for a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadBlob:
    """Reads window after window, each under a fresh grant, so that a download ends when the permission does."""

    blobs: BlobReader
    delegation: Delegation
    audit_trail: AuditTrail
    window: int = WINDOW

    async def __call__(
        self, name: CubeName, *, offset: int, limit: int, caller: Principal
    ) -> AsyncGenerator[BlobRef | bytes, None]:
        """Yield the blob, then its bytes from `offset` on, with a limit at most so many.

        Raises:
            CubeNotFound: it is not there for the caller (any more).
            InvalidField: it has no blob, or the part lies outside.
            DataCorrupted: all was read, and size or hash differ.
        """
        digest, place, end = hashlib.sha256(), offset, offset + limit if limit else None
        blob: BlobRef | None = None
        whole = not offset and not limit
        while blob is None or place < (blob.size_bytes if end is None else min(end, blob.size_bytes)):
            size = self.window if end is None else min(self.window, end - place)
            before = place
            async with aclosing(self.blobs.read(name, offset=place, limit=size)) as parts:
                async with self.delegation.acting(caller, _READ, ()):
                    found = await anext(parts)  # with this the call is made, and the others need no grant
                if blob is None:
                    assert isinstance(found, BlobRef)
                    blob = found
                    self.audit_trail.note(caller.name, audit.READ, [str(name)])
                    yield blob
                async for part in parts:
                    assert isinstance(part, bytes)
                    if whole:
                        await asyncio.to_thread(digest.update, part)
                    place += len(part)
                    yield part
            if place == before:  # the bytes end before they should, or none are there
                break
        if whole and (place != blob.size_bytes or digest.hexdigest() != blob.sha256):
            raise DataCorrupted(f"The blob of {name} differs from its hash or size.", name=str(name))
