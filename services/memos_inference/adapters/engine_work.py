"""What the engine's thread does for its callers: answers, and reading for KV caches."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from memos_inference.adapters.detokenizer import Detokenizer
from memos_inference.domain.generation import Delta, Ended, FinishReason, GenerationEvent, Sampling
from memos_inference.domain.models import EngineDescription

if TYPE_CHECKING:
    from memos_inference.adapters.chat_tokenizer import ChatTokenizer
    from memos_inference.adapters.kv_cache import Reused
    from memos_inference.adapters.kv_chunks import Pair
    from memos_inference.adapters.lora import LoraAdapter
    from memos_inference.adapters.torch_decoder import State, TorchDecoder


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What the engine runs on."""

    decoder: "TorchDecoder"
    tokenizer: "ChatTokenizer"
    description: EngineDescription
    stop_ids: frozenset[int]


class Post:
    """What the engine's thread tells the event loop, handed over once a pass.

    To wake the loop for each event would have the two threads take turns at every token of every answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: list[tuple[asyncio.Queue[GenerationEvent | Exception], GenerationEvent | Exception]] = []

    def add(self, to: "asyncio.Queue[GenerationEvent | Exception]", event: GenerationEvent | Exception) -> None:
        """Keep an event until `send`. Of the engine's thread."""
        self._letters.append((to, event))

    def send(self) -> None:
        """Hand over what was kept. Of the engine's thread."""
        if self._letters:
            letters, self._letters = self._letters, []
            self._loop.call_soon_threadsafe(_deliver, letters)


def _deliver(letters: "list[tuple[asyncio.Queue[GenerationEvent | Exception], GenerationEvent | Exception]]") -> None:
    for to, event in letters:
        to.put_nowait(event)


@dataclass(eq=False, kw_only=True)
class Generation:
    """An answer that is being written; see `batcher.Work`."""

    loop: asyncio.AbstractEventLoop
    post: Post
    model: LoadedModel
    prompt: Sequence[int]
    sampling: Sampling
    tenant: str
    reused: "Reused"
    adapter: "LoraAdapter | None" = None
    adapter_from: int = 0
    events: asyncio.Queue[GenerationEvent | Exception] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    _queued: float = field(default_factory=time.perf_counter)
    _started: float = 0.0
    _first: float = 0.0
    _count: int = 0

    @property
    def decoder(self) -> "TorchDecoder":
        """See `batcher.Work`."""
        return self.model.decoder

    @property
    def temperature(self) -> float:
        """See `batcher.Work`."""
        return self.sampling.temperature

    @property
    def capacity(self) -> int:
        """See `batcher.Work`."""
        return len(self.prompt) + self._most

    def begin(self) -> None:
        """See `batcher.Work`."""
        self._started = time.perf_counter()

    def take(self, token: int, state: "State") -> bool:
        """See `batcher.Work`."""
        self._first = self._first or time.perf_counter()
        if token in self.model.stop_ids:
            self._end(FinishReason.STOP)
            return False
        self._count += 1
        if piece := self._text.push(token):
            self._emit(Delta(piece))
        if self._count == self._most:
            self._end(FinishReason.LENGTH)
            return False
        return True

    def fail(self, error: Exception) -> None:
        """See `batcher.Work`."""
        self.loop.call_soon_threadsafe(self.events.put_nowait, error)

    @cached_property
    def _most(self) -> int:
        """Tokens of the answer at most."""
        return min(self.sampling.max_tokens, self.decoder.context_length - len(self.prompt))

    @cached_property
    def _text(self) -> Detokenizer:
        return Detokenizer(self.model.tokenizer.decode)

    def _end(self, finish: FinishReason) -> None:
        if tail := self._text.flush():
            self._emit(Delta(tail))
        self._emit(
            Ended(
                finish_reason=finish,
                prompt_tokens=len(self.prompt),
                completion_tokens=self._count,
                first_token_ms=(self._first - self._started) * 1e3,
                queue_ms=(self._started - self._queued) * 1e3,
                model=self.model.description.model,
                cached_tokens=self.reused.tokens,
                approximate_tokens=self.reused.approximate_tokens,
            )
        )

    def _emit(self, event: GenerationEvent) -> None:
        self.post.add(self.events, event)


@dataclass(eq=False, kw_only=True)
class Reading:
    """Tokens that are read for a KV cache; see `batcher.Work`."""

    loop: asyncio.AbstractEventLoop
    decoder: "TorchDecoder"
    prompt: Sequence[int]
    tenant: str
    pairs: "asyncio.Future[list[Pair]]"
    cancelled: bool = False
    reused: "Reused"
    adapter: "LoraAdapter | None" = None
    adapter_from: int = 0
    temperature: float = 0.0

    @property
    def capacity(self) -> int:
        """See `batcher.Work`."""
        return len(self.prompt)

    def begin(self) -> None:
        """See `batcher.Work`."""

    def take(self, token: int, state: "State") -> bool:
        """See `batcher.Work`."""
        from memos_inference.adapters.packed import Packed

        assert isinstance(state, Packed)
        self.loop.call_soon_threadsafe(self._settle, state.cache.pairs(), None)
        return False

    def fail(self, error: Exception) -> None:
        """See `batcher.Work`."""
        self.loop.call_soon_threadsafe(self._settle, None, error)

    def _settle(self, pairs: "list[Pair] | None", error: Exception | None) -> None:
        if self.pairs.done():
            return
        if error is not None:
            self.pairs.set_exception(error)
        elif pairs is not None:
            self.pairs.set_result(pairs)
