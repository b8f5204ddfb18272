"""Twins of the ports without a model: deterministic, in memory, for tests of what is above them."""

import hashlib
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from memos_inference import prompt as prompts
from memos_inference.domain import (
    Delta,
    EmbedderDescription,
    Embeddings,
    Ended,
    EngineDescription,
    FinishReason,
    GenerationEvent,
    Prompt,
    Sampling,
    check_room,
)
from memos_kernel.cube import MemCube
from memos_kernel.identity import CompatibilityIdentity


@dataclass(frozen=True, slots=True)
class HashEmbedder:
    """Embedder that counts words in buckets by hash: texts with common words are near."""

    dimensions: int = 256

    async def describe(self) -> EmbedderDescription:
        """See `Embedder`."""
        return EmbedderDescription(f"hash-{self.dimensions}", self.dimensions)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """See `Embedder`."""
        return Embeddings(f"hash-{self.dimensions}", [self._vector(text) for text in texts])

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

    async def describe(self) -> EngineDescription:
        """See `Engine`."""
        identity = CompatibilityIdentity("echo", "echo", "echo", "echo", "{}", "float32", "none", "", "base")
        return EngineDescription(
            model="echo",
            context_length=self.context_length,
            memories_read_well=self.memories_read_well,
            identity=identity,
        )

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`."""
        return [len(text.split()) for text in texts]

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`."""
        tokens = sum(len(turn.text.split()) for turn in prompts.messages(prompt, system_role=True))
        check_room(tokens, sampling, limit=self.context_length)
        words = prompt.turns[-1].text.split()
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
        )


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
