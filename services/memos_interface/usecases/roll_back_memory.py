"""Takes a cube back to an older revision."""

from dataclasses import dataclass

from memos_interface.ports import Embedder, MemoryStore, Spans
from memos_kernel.cube import MemCube
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import InvalidField
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey

TEXT = "plaintext.text"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollBackMemory:
    """Gives a cube the text and the fields of an older revision, as a new one; a text of then gets a vector of now."""

    embedder: Embedder
    store: MemoryStore
    spans: Spans

    async def __call__(self, name: CubeName, *, revision: int, etag: str, key: RequestKey) -> MemCube:
        """Return the cube as stored.

        Raises:
            InvalidField: the revision.
            CubeNotFound, RevisionNotFound, EtagMismatch, CubeFrozen, DuplicateContent, RequestIdReused: from storage.
            Capacity: from the embedder.
        """
        if revision < 1:
            raise InvalidField(f"revision is {revision}; give 1 or more.", field="revision")
        self.spans.mark("update_memory", about=str(name))
        found = await self.store.diff(name, before=revision, after=0)
        vectors = await self.embedder.embed([embedded_text(found.before)]) if TEXT in found.paths else None
        return await self.store.roll_back(name, revision=revision, etag=etag, vectors=vectors, request=key)
