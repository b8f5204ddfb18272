"""Embedder on transformers: callers at the same time share the passes of one thread."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memos_inference.adapters.lane import Lane
from memos_inference.domain.models import EmbedderDescription, Embeddings, TokenUse
from memos_kernel.embedding import Embedding
from memos_kernel.errors import DependencyUnavailable, MemosError

if TYPE_CHECKING:
    from memos_inference.adapters.torch_encoder import TorchEncoder

_BATCH_TOKENS = 1024
"""Estimated tokens that the thread takes from the queue at once: the longest that a new caller waits for others."""
_TEXT_TOKENS = 256
"""Most that one text is estimated at; encoders cut longer ones off near there."""


@dataclass(slots=True, eq=False)
class _Call:
    """One caller and the texts it still waits for. Belongs to the event loop."""

    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[Embedding]]
    found: list[Embedding]
    missing: int
    tokens: TokenUse

    def deliver(self, start: int, found: Sequence[Embedding]) -> None:
        self.found[start : start + len(found)] = found
        self.missing -= len(found)
        if not self.missing and not self.done.done():
            self.done.set_result(self.found)

    def give_up(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some texts of one caller."""

    call: _Call
    start: int
    texts: list[str]
    size: int

    def deliver(self, found: Sequence[Embedding]) -> None:
        self.call.loop.call_soon_threadsafe(self.call.deliver, self.start, found)

    def fail(self, error: Exception) -> None:
        self.call.loop.call_soon_threadsafe(self.call.give_up, error)


class TransformersEmbedder:
    """Embedder whose model is loaded by `start`."""

    def __init__(self, load: "Callable[[], TorchEncoder]", *, max_batch_texts: int, max_queue_tokens: int) -> None:
        """Take what loads the encoder (it runs in a thread), and the limits; tokens are estimated."""
        self._load = load
        self._max_batch_texts = max_batch_texts
        self._encoder: TorchEncoder | None = None
        self._lane: Lane[_Part] = Lane("embedder", self._work, batch=_BATCH_TOKENS, capacity=max_queue_tokens)

    @property
    def healthy(self) -> bool:
        """Whether it is loaded."""
        return self._encoder is not None

    async def start(self) -> None:
        """Load the model.

        Raises:
            DependencyUnavailable, DataCorrupted: it cannot be loaded.
        """
        try:
            self._encoder = await asyncio.to_thread(self._load)
        except MemosError:
            raise
        except Exception as error:
            raise DependencyUnavailable(
                f"The embedder cannot be loaded ({error}); check inference.embedder.", dependency="embedder"
            ) from error
        self._lane.start()

    async def close(self) -> None:
        """Fail what waits and end the thread."""
        await asyncio.to_thread(self._lane.close)
        self._encoder = None

    async def describe(self) -> EmbedderDescription:
        """See `Embedder`."""
        return self._loaded().description

    async def embed(self, texts: Sequence[str], *, tokens: TokenUse = TokenUse.NONE) -> Embeddings:
        """See `Embedder`."""
        embedder = self._loaded().description.id
        loop = asyncio.get_running_loop()
        call = _Call(loop, loop.create_future(), [Embedding(())] * len(texts), len(texts), tokens)
        parts = _split(call, texts)
        self._lane.submit(parts)
        try:
            return Embeddings(embedder, await call.done)
        except asyncio.CancelledError:
            self._lane.withdraw(parts)
            raise

    def _loaded(self) -> "TorchEncoder":
        if self._encoder is None:
            raise DependencyUnavailable(
                "The embedder is not loaded yet; try again.", retry_after=1.0, dependency="embedder"
            )
        return self._encoder

    def _work(self, parts: Sequence[_Part]) -> None:
        """Embed the texts of several callers together. Runs in the lane's thread."""
        texts = [text for part in parts for text in part.texts]
        uses = [part.call.tokens for part in parts for _ in part.texts]
        found = self._loaded().encode(texts, max_texts=self._max_batch_texts, uses=uses)
        taken = 0
        for part in parts:
            part.deliver(found[taken : taken + len(part.texts)])
            taken += len(part.texts)


def _split(call: _Call, texts: Sequence[str]) -> list[_Part]:
    """Cut a call into parts of about half a batch, so that a small call need not wait for all of a large one."""
    parts: list[_Part] = []
    group: list[str] = []
    start = size = 0
    for index, text in enumerate(texts):
        cost = min(_TEXT_TOKENS, len(text) // 3 + 2)
        if group and size + cost > _BATCH_TOKENS // 2:
            parts.append(_Part(call, start, group, size))
            group, start, size = [], index, 0
        group.append(text)
        size += cost
    return [*parts, _Part(call, start, group, size)]
