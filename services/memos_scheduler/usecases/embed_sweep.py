"""The job `embed_sweep`: gives every text of a tenant a vector of the embedder that is to be used."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from memos_kernel.ids import Clock
from memos_scheduler.domain.jobs import EMBED_SWEEP, Job, JobKind, Progress, fraction_after
from memos_scheduler.ports import TextEmbedder, VectorStore
from memos_scheduler.usecases.expire_sweep import TriggerSweeps

_SOON = timedelta(seconds=15)
"""After which everybody has asked again by which embedder searches go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSweep:
    """Embeds the texts of now until none is left, has the embedder adopted, and goes on with those of before.

    Repeating it does no harm. A text that is written meanwhile is met in another round, or by the next sweep.
    """

    embedder: TextEmbedder
    vectors: VectorStore
    batch: int

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return EMBED_SWEEP

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield the figures after each batch. How much is left is not known, so progress nears 1 by halves."""
        target = await self.embedder.target()
        done = rounds = 0
        for past in (False, True):
            found = True
            while found:
                found, after = False, ""
                while True:
                    texts, after = await self.vectors.bare(target, past=past, after=after, limit=self.batch)
                    if texts:
                        vectors = await self.embedder.embed([text.text for text in texts], embedder=target)
                        stored = await self.vectors.put(target, list(zip(texts, vectors, strict=True)))
                        done += stored
                        # Where nothing is new, another round finds the same: what is left waits for the next sweep.
                        found, rounds = found or stored > 0, rounds + 1
                        yield _progress(target, done, fraction_after(rounds))
                    if not after:
                        break
            if not past:
                await self.vectors.adopt(target)
        yield _progress(target, done, 1.0)


@dataclass(slots=True, kw_only=True)
class TriggerEmbedding:
    """Puts sweeps into the queue while the embedder is being changed, and else only now and then, for stragglers.

    The first of these are met soon after the change: who has not asked again yet still writes with the old one.
    """

    trigger: TriggerSweeps
    embedder: TextEmbedder
    vectors: VectorStore
    clock: Clock
    now_and_then: timedelta
    _next: datetime | None = field(default=None, init=False)
    _changing: bool = field(default=False, init=False)

    async def __call__(self) -> None:
        """Do it if it is time."""
        now = self.clock.now()
        target = await self.embedder.target()
        current = await self.vectors.current()
        settled = current in ("", target)
        if settled and self._next is not None and now < self._next:
            return
        await self.trigger()
        pause = _SOON if self._changing else self.now_and_then
        self._next, self._changing = now + (pause if settled else timedelta()), not settled


def _progress(target: str, done: int, fraction: float) -> Progress:
    return Progress(fraction=fraction, result={"embedder": target, "embedded": str(done)}, quiet=done == 0)
