"""Which embedder answers: the main one, or while it is being changed also the next one."""

from dataclasses import dataclass

from memos_inference.ports import Embedder
from memos_kernel.errors import DependencyUnavailable


@dataclass(frozen=True, slots=True)
class ServedEmbedders:
    """The main embedder, and the one that is to take its place."""

    main: Embedder
    next: Embedder | None = None

    async def named(self, id: str) -> Embedder:
        """Return the embedder of an id; the main one where it is not served, or no id is given."""
        if not id or self.next is None:
            return self.main
        return self.next if await _id_of(self.next) == id else self.main

    async def target(self) -> str:
        """Return the id of the embedder that all texts are to have vectors of.

        Raises:
            DependencyUnavailable: it is not loaded.
        """
        return (await (self.next or self.main).describe()).id


async def _id_of(embedder: Embedder) -> str:
    try:
        return (await embedder.describe()).id
    except DependencyUnavailable:
        return ""
