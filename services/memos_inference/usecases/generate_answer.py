"""Generate an answer with memories."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from memos_inference.domain.generation import Ended, GenerationEvent, Prompt, Sampling, Turn, check_turns
from memos_inference.domain.injection import Admitted, Injection, Refusal, check_injections, refusal_of
from memos_inference.domain.seals import Seals
from memos_inference.ports import Cache, Caches, Engine, Tracer
from memos_kernel.cube import MemCube
from memos_kernel.errors import DataCorrupted, MemosError
from memos_kernel.ids import Clock
from memos_kernel.permission import Grant

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GenerateAnswer:
    """Checks every injection against the grant, then lets the model answer."""

    engine: Engine
    caches: Caches
    tracer: Tracer
    clock: Clock
    seals: Seals

    async def __call__(
        self,
        turns: Sequence[Turn],
        injections: Sequence[Injection],
        sampling: Sampling,
        *,
        cache: MemCube | None = None,
        grant: Grant,
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield pieces of the answer and then, last, how it ended.

        A cache that cannot be used never stops an answer: the prompt is read as a whole, and the end says so.

        Raises:
            MissingField, InvalidField, LimitExceeded: turns or injections break a rule.
            GrantInvalid, StateConflict: a memory may not be injected.
            ContextExceeded: the prompt does not fit.
        """
        check_turns(turns)
        running = await self.engine.describe()
        admitted = check_injections(
            injections, cache, grant=grant, now=self.clock.now(), running=running.identity, seals=self.seals
        )
        told = [*admitted.memories, *([cache] if cache is not None else [])]
        generation = self.tracer.generation(model=running.model, cubes=told, max_tokens=sampling.max_tokens)
        with generation as ended:
            async with self._cache(admitted) as (ready, refusals):
                prompt = Prompt(tuple(turns), admitted.memories)
                answer = self.engine.generate(prompt, sampling, tenant=str(grant.tenant), cache=ready)
                async with aclosing(answer) as events:
                    async for event in events:
                        if isinstance(event, Ended):
                            event = replace(event, refusals=refusals)
                            ended(event)
                        yield event

    @asynccontextmanager
    async def _cache(self, admitted: Admitted) -> AsyncIterator[tuple[Cache | None, tuple[Refusal, ...]]]:
        """Hold the cache, if there is one that can be used, and say which cannot."""
        async with AsyncExitStack() as stack:
            cache, refusals = None, admitted.refusals
            if admitted.cache is not None:
                try:
                    cache = await stack.enter_async_context(self.caches.use(admitted.cache))
                except MemosError as error:
                    refusals = (*refusals, refusal_of(admitted.cache, error))
                except Exception:  # no memory on the device, a broken disk: there is always the text
                    _log.exception("the KV cache %s cannot be used", admitted.cache.name)
                    unusable = DataCorrupted(f"The KV cache of {admitted.cache.name} cannot be used; see the log.")
                    refusals = (*refusals, refusal_of(admitted.cache, unusable))
            yield cache, refusals
