"""What the engine's thread does for its callers: answers, and reading for KV caches."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memos_inference.adapters.detokenizer import Detokenizer
from memos_inference.domain.generation import Delta, Ended, FinishReason, GenerationEvent, Sampling
from memos_inference.domain.models import EngineDescription
from memos_kernel.errors import Draining

if TYPE_CHECKING:
    from memos_inference.adapters.chat_tokenizer import ChatTokenizer
    from memos_inference.adapters.kv_cache import KvPrefix
    from memos_inference.adapters.torch_decoder import Reading, TorchDecoder


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What the engine runs on."""

    decoder: "TorchDecoder"
    tokenizer: "ChatTokenizer"
    description: EngineDescription
    stop_ids: frozenset[int]


@dataclass(slots=True, eq=False, kw_only=True)
class Generation:
    """An answer. `cancelled` is set by the event loop and read by the thread before each token."""

    loop: asyncio.AbstractEventLoop
    model: LoadedModel
    prompt: Sequence[int]
    sampling: Sampling
    prefix: "KvPrefix | None" = None
    events: asyncio.Queue[GenerationEvent | Exception] = field(default_factory=asyncio.Queue)
    queued: float = field(default_factory=time.perf_counter)
    cancelled: bool = False
    size: int = 1

    def fail(self, error: Exception) -> None:
        """See `lane.Job`."""
        self.loop.call_soon_threadsafe(self.events.put_nowait, error)

    def run(self) -> None:
        """Generate. Runs in the lane's thread."""
        started = time.perf_counter()
        model = self.model
        text = Detokenizer(model.tokenizer.decode)
        finish, count, first = FinishReason.LENGTH, 0, 0.0
        tokens = model.decoder.tokens(self.prompt, self.sampling, cancelled=lambda: self.cancelled, prefix=self.prefix)
        for token in tokens:
            first = first or time.perf_counter()
            if token in model.stop_ids:
                finish = FinishReason.STOP
                break
            count += 1
            if piece := text.push(token):
                self._emit(Delta(piece))
        if self.cancelled:
            self.fail(Draining("The engine is going down.", service="inference"))  # for nobody, if the caller left
            return
        if tail := text.flush():
            self._emit(Delta(tail))
        self._emit(
            Ended(
                finish_reason=finish,
                prompt_tokens=len(self.prompt),
                completion_tokens=count,
                first_token_ms=(first - started) * 1e3,
                queue_ms=(started - self.queued) * 1e3,
                model=model.description.model,
                cached_tokens=self.prefix.shared_with(self.prompt) if self.prefix is not None else 0,
            )
        )

    def _emit(self, event: GenerationEvent) -> None:
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)


@dataclass(slots=True, eq=False, kw_only=True)
class ReadingPiece:
    """The next piece of tokens that are read for a KV cache. So a long text does not hold up those who wait."""

    loop: asyncio.AbstractEventLoop
    reading: "Reading"
    more: asyncio.Future[bool]
    cancelled: bool = False
    size: int = 1

    def fail(self, error: Exception) -> None:
        """See `lane.Job`."""
        self.loop.call_soon_threadsafe(self._settle, None, error)

    def run(self) -> None:
        """Read it. Runs in the lane's thread."""
        self.loop.call_soon_threadsafe(self._settle, self.reading.go_on(), None)

    def _settle(self, more: bool | None, error: Exception | None) -> None:
        if self.more.done():
            return
        if error is not None:
            self.more.set_exception(error)
        else:
            self.more.set_result(bool(more))
