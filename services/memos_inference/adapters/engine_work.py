"""What the engine's thread does for its callers: answers, and KV caches."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memos_inference.adapters.detokenizer import Detokenizer
from memos_inference.domain.generation import Delta, Ended, FinishReason, GenerationEvent, Sampling
from memos_inference.domain.models import EngineDescription
from memos_kernel.cube import RevisionRef
from memos_kernel.errors import Draining
from memos_kernel.identity import CompatibilityIdentity

if TYPE_CHECKING:
    from memos_inference.adapters.chat_tokenizer import ChatTokenizer
    from memos_inference.adapters.kv_cache import KvPrefix
    from memos_inference.adapters.torch_decoder import TorchDecoder


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
class Encoding:
    """A KV cache, to be written to a file."""

    loop: asyncio.AbstractEventLoop
    model: LoadedModel
    ids: Sequence[int]
    path: Path
    identity: CompatibilityIdentity
    sources: Sequence[RevisionRef]
    done: asyncio.Future[None]
    cancelled: bool = False
    size: int = 1

    def fail(self, error: Exception) -> None:
        """See `lane.Job`."""
        self.loop.call_soon_threadsafe(self._settle, error)

    def run(self) -> None:
        """Read the tokens and write the file. Runs in the lane's thread."""
        from memos_inference.adapters import kv_file

        layers = self.model.decoder.encode(self.ids, cancelled=lambda: self.cancelled)
        if layers is None:
            self.fail(Draining("The engine is going down.", service="inference"))
            return
        kv_file.write(self.path, layers, ids=self.ids, identity=self.identity, sources=self.sources)
        self.loop.call_soon_threadsafe(self._settle, None)

    def _settle(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
