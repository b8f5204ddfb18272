"""Twins of the ports without a model: deterministic, in memory, for tests of what is above them."""

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from memos_inference import prompt as prompts
from memos_inference.domain.activation import Encoded
from memos_inference.domain.composition import beginning, composed
from memos_inference.domain.generation import Delta, Ended, FinishReason, GenerationEvent, Prompt, Sampling, check_room
from memos_inference.domain.models import EmbedderDescription, Embeddings, EngineDescription, TokenUse
from memos_inference.domain.recovery import Probe
from memos_inference.ports import Adapter, Cache, Trained
from memos_kernel.cube import MemCube
from memos_kernel.embedding import Embedding
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName
from memos_kernel.speed import Speed
from memos_kernel.token_codes import TokenCodes, no_tokens, pack_query, pack_tokens, rotation

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class HashEmbedder:
    """Embedder that counts words in buckets by hash: texts with common words are near."""

    dimensions: int = 256

    async def describe(self) -> EmbedderDescription:
        """See `Embedder`."""
        return EmbedderDescription(f"hash-{self.dimensions}", self.dimensions)

    async def embed(self, texts: Sequence[str], *, tokens: TokenUse = TokenUse.NONE) -> Embeddings:
        """See `Embedder`. A token is a word."""
        return Embeddings(
            f"hash-{self.dimensions}", [Embedding(self._vector(text), self._tokens(text, tokens)) for text in texts]
        )

    def _tokens(self, text: str, use: TokenUse) -> TokenCodes | None:
        words = text.split()
        if use is TokenUse.NONE:
            return None
        if not words:
            return no_tokens()
        rotated = np.array([self._vector(word) for word in words], dtype=np.float32) @ rotation(self.dimensions)
        return pack_tokens(rotated) if use is TokenUse.STORE else pack_query(rotated, words)

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self.dimensions
        for word in text.casefold().split() or [""]:
            digest = hashlib.sha256(word.strip(".,;:!?").encode()).digest()
            counts[int.from_bytes(digest[:4], "big") % self.dimensions] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]


@dataclass(frozen=True, slots=True)
class EchoEngine:
    """Engine that answers with the words of the last turn. A token is a word."""

    context_length: int = 512
    memories_read_well: int = 8
    composes: bool = False

    async def describe(self) -> EngineDescription:
        """See `Engine`."""
        identity = CompatibilityIdentity("echo", "echo", "echo", "echo", "{}", "float32", "none", "", "base")
        return EngineDescription(
            model="echo",
            context_length=self.context_length,
            memories_read_well=self.memories_read_well,
            identity=identity,
            composes=self.composes,
        )

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`."""
        return [len(text.split()) for text in texts]

    async def encode(self, memories: Sequence[MemCube], path: Path, *, tenant: str = "") -> Encoded:
        """See `Engine`."""
        words = prompts.system_text(memories).split()
        check_room(len(words), Sampling(), limit=self.context_length)
        data = " ".join(words).encode()
        await asyncio.to_thread(path.write_bytes, data)
        digest = hashlib.sha256(data).hexdigest()
        return Encoded(len(words), replace((await self.describe()).identity, token_ids_sha256=digest))

    async def words_of(self, cache: Cache) -> str:
        """See `Engine`; a line begins with each dash, for words have none."""
        assert isinstance(cache, WordCache)
        return " ".join(cache.words).replace(" - ", "\n- ")

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        tenant: str = "",
        caches: Sequence[Cache] = (),
        adapter: Adapter | None = None,
    ) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`."""
        read = [word for turn in prompts.messages(prompt, system_role=True) for word in turn.text.split()]
        tokens = len(read)
        check_room(tokens, sampling, limit=self.context_length)
        words = (adapter.answer if isinstance(adapter, WordAdapter) else prompt.turns[-1].text).split()
        known = [cache.words for cache in caches if isinstance(cache, WordCache)]
        runs = composed(read, known, recompute=0) if self.composes else beginning(read, known)
        given = words[: min(sampling.max_tokens, self.context_length - tokens)]
        for index, word in enumerate(given):
            yield Delta(f" {word}" if index else word)
        yield Ended(
            finish_reason=FinishReason.STOP if len(given) == len(words) else FinishReason.LENGTH,
            prompt_tokens=tokens,
            completion_tokens=len(given),
            first_token_ms=0.0,
            queue_ms=0.0,
            model="echo",
            cached_tokens=sum(run.tokens for run in runs),
            approximate_tokens=sum(run.tokens for run in runs if not run.exact),
        )


@dataclass(frozen=True, slots=True)
class WordCache:
    """A cache of the echo engine: the words that it has read before."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WordAdapter:
    """An adapter of the echo engine: what it answers, whatever is asked."""

    answer: str
    probes: tuple[Probe, ...] = ()


@dataclass(slots=True)
class MemoryCopies(Generic[Opened]):
    """What cubes are for the model, by their names; `broken` is raised instead, if it is set."""

    opened: dict[CubeName, Opened] = field(default_factory=dict)
    broken: Exception | None = None
    fetching: Speed | None = None

    @asynccontextmanager
    async def use(self, cube: MemCube) -> AsyncIterator[Opened]:
        """See `Copies`."""
        if self.broken is not None:
            raise self.broken
        yield self.opened[cube.name]


@dataclass(slots=True)
class EchoTraining:
    """Trainer that writes down what it is told; `failure` is raised at half way, if it is set."""

    failure: Exception | None = None
    stopped: bool = False

    async def train(
        self, memories: Sequence[MemCube], folder: Path, *, identity: CompatibilityIdentity
    ) -> AsyncGenerator[float | Trained]:
        """See `AdapterTraining`."""
        try:
            yield 0.5
        except GeneratorExit:
            self.stopped = True
            raise
        if self.failure is not None:
            raise self.failure
        path = folder / "adapter"
        await asyncio.to_thread(path.write_bytes, "\n".join(cube.text for cube in memories).encode())
        learned = [index for index, cube in enumerate(memories) if cube.text != "nothing"]
        yield Trained(
            path, rank=4, activated=False, learned=learned, report={"facts": str(len(learned)), "model": identity.model}
        )


@dataclass(slots=True)
class MemoryBlobs:
    """Blobs in memory, by the name of their cube."""

    data: dict[str, bytes] = field(default_factory=dict)
    reads: int = 0

    async def fetch(self, name: CubeName, path: Path) -> str:
        """See `BlobSource`."""
        self.reads += 1
        data = self.data[str(name)]
        await asyncio.to_thread(path.write_bytes, data)
        return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class RecordedGeneration:
    """What a tracer was told about one generation."""

    model: str
    cubes: tuple[MemCube, ...]
    max_tokens: int
    ends: list[Ended] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecordingTracer:
    """Tracer that keeps what it is told."""

    generations: list[RecordedGeneration] = field(default_factory=list)

    @contextmanager
    def generation(self, *, model: str, cubes: Sequence[MemCube], max_tokens: int) -> Iterator[Callable[[Ended], None]]:
        """See `Tracer`."""
        generation = RecordedGeneration(model, tuple(cubes), max_tokens)
        self.generations.append(generation)
        yield generation.ends.append
