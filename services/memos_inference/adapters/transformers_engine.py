"""Engine on transformers: one thread decodes, callers wait in a bounded queue."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memos_inference.adapters.detokenizer import Detokenizer
from memos_inference.adapters.lane import Lane
from memos_inference.adapters.model_loader import FIRST_PAUSE, ModelLoader
from memos_inference.domain import (
    Delta,
    Ended,
    EngineDescription,
    FinishReason,
    GenerationEvent,
    Prompt,
    Sampling,
    check_room,
)
from memos_kernel.errors import Draining
from memos_runtime.workers import Worker

if TYPE_CHECKING:
    from memos_inference.adapters.chat_tokenizer import ChatTokenizer
    from memos_inference.adapters.torch_decoder import TorchDecoder


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What the engine runs on."""

    decoder: "TorchDecoder"
    tokenizer: "ChatTokenizer"
    description: EngineDescription
    stop_ids: frozenset[int]


@dataclass(slots=True, eq=False)
class _Generation:
    """One caller. `cancelled` is set by the event loop and read by the thread before each token."""

    loop: asyncio.AbstractEventLoop
    model: LoadedModel
    prompt: Sequence[int]
    sampling: Sampling
    events: asyncio.Queue[GenerationEvent | Exception] = field(default_factory=asyncio.Queue)
    queued: float = field(default_factory=time.perf_counter)
    cancelled: bool = False
    size: int = 1

    def emit(self, event: GenerationEvent) -> None:
        self.loop.call_soon_threadsafe(self.events.put_nowait, event)

    def fail(self, error: Exception) -> None:
        self.loop.call_soon_threadsafe(self.events.put_nowait, error)


class TransformersEngine:
    """Engine whose model is loaded in the background; calls wait for it, but not for a second try."""

    def __init__(self, load: Callable[[], LoadedModel], *, max_queue: int, first_pause: float = FIRST_PAUSE) -> None:
        """Take what loads the model, how many generations may wait, and the seconds between the first two tries."""
        self._loader = ModelLoader(load, first_pause=first_pause)
        self._tokens = Worker("tokenizer")
        self._running: set[_Generation] = set()
        self._lane: Lane[_Generation] = Lane("engine", _decode, batch=1, capacity=max_queue)

    @property
    def healthy(self) -> bool:
        """Whether the model is loaded."""
        return self._loader.loaded

    def start(self) -> None:
        """Begin to load the model."""
        self._lane.start()
        self._loader.start()

    async def close(self) -> None:
        """Fail what waits and what runs, end the threads. A model that is being loaded is waited for only shortly."""
        await self._loader.close()
        for generation in self._running:
            generation.cancelled = True
        await asyncio.to_thread(self._lane.close)
        await self._tokens.close()

    async def describe(self) -> EngineDescription:
        """See `Engine`."""
        return (await self._loader.model()).description

    async def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """See `Engine`."""
        model = await self._loader.model()
        return await self._tokens.run(model.tokenizer.count, texts)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[GenerationEvent]:
        """See `Engine`."""
        model = await self._loader.model()
        ids = await self._tokens.run(model.tokenizer.prompt_ids, prompt)
        check_room(len(ids), sampling, limit=model.description.context_length)
        generation = _Generation(asyncio.get_running_loop(), model, ids, sampling)
        self._lane.submit([generation])
        self._running.add(generation)
        try:
            while True:
                event = await generation.events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, Ended):
                    return
        finally:
            generation.cancelled = True
            self._running.discard(generation)
            self._lane.withdraw([generation])


def _decode(generations: Sequence[_Generation]) -> None:
    """Generate answers, one after another. Runs in the lane's thread."""
    for generation in generations:
        _decode_one(generation)


def _decode_one(generation: _Generation) -> None:
    started = time.perf_counter()
    model = generation.model
    text = Detokenizer(model.tokenizer.decode)
    finish, count, first = FinishReason.LENGTH, 0, 0.0
    for token in model.decoder.tokens(generation.prompt, generation.sampling, cancelled=lambda: generation.cancelled):
        first = first or time.perf_counter()
        if token in model.stop_ids:
            finish = FinishReason.STOP
            break
        count += 1
        if piece := text.push(token):
            generation.emit(Delta(piece))
    if generation.cancelled:
        generation.fail(Draining("The engine is going down.", service="inference"))  # for nobody, if the caller left
        return
    if tail := text.flush():
        generation.emit(Delta(tail))
    generation.emit(
        Ended(
            finish_reason=finish,
            prompt_tokens=len(generation.prompt),
            completion_tokens=count,
            first_token_ms=(first - started) * 1e3,
            queue_ms=(started - generation.queued) * 1e3,
            model=model.description.model,
        )
    )
