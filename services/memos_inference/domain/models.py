"""The models: what they are, and what they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from memos_inference.domain.sizes import check_number, check_size
from memos_kernel import limits
from memos_kernel.embedding import Embedding
from memos_kernel.errors import MissingField
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.speed import Speed


class TokenUse(Enum):
    """What vectors of the tokens of a text are wanted for."""

    NONE = auto()
    STORE = auto()
    QUERY = auto()


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of texts, in order, all of one embedder."""

    embedder: str
    texts: Sequence[Embedding]

    @property
    def vectors(self) -> list[Sequence[float]]:
        """The vectors alone."""
        return [text.values for text in self.texts]


@dataclass(frozen=True, slots=True)
class EmbedderDescription:
    """The embedder: its id with the revision of its weights, and the length of its vectors."""

    id: str
    dimensions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDescription:
    """The generating model: id with revision, tokens it holds, memories it reads well, identity for payloads.

    `composes` says whether several caches may serve one prompt, `reading` how long prompts take by their tokens; None
    if that is not known.
    """

    model: str
    context_length: int
    memories_read_well: int
    identity: CompatibilityIdentity
    composes: bool = False
    reading: Speed | None = None


def check_texts(texts: Sequence[str], *, empty_allowed: bool = False, limit: int = limits.TEXT_BYTES) -> None:
    """Refuse a batch that is empty or too large, or holds a text that is; `limit` is in bytes of UTF-8.

    Raises:
        MissingField: no text, or one that is empty where that is not allowed.
        LimitExceeded: too many texts, or one that is too long.
    """
    if not texts:
        raise MissingField("texts is empty; give at least one.", field="texts")
    check_number(len(texts), limits.BATCH_ITEMS, field="texts")
    for index, text in enumerate(texts):
        check_size(text, field=f"texts[{index}]", limit=limit)
        if not empty_allowed and not text.strip():
            raise MissingField(f"texts[{index}] is empty; give it some text.", field=f"texts[{index}]")
