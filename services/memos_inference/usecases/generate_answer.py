"""Generate an answer with memories."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from memos_inference.domain.generation import Ended, GenerationEvent, Prompt, Sampling, Turn, check_turns
from memos_inference.domain.injection import Injection, Refusal, check_injections, refusal_of
from memos_inference.domain.seals import Seals
from memos_inference.ports import Adapter, Cache, Copies, Engine, Tracer
from memos_kernel.cube import MemCube
from memos_kernel.errors import DataCorrupted, MemosError
from memos_kernel.ids import Clock
from memos_kernel.permission import Grant

Opened = TypeVar("Opened")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GenerateAnswer:
    """Checks every injection against the grant, then lets the model answer."""

    engine: Engine
    caches: Copies[Cache]
    adapters: Copies[Adapter]
    tracer: Tracer
    clock: Clock
    seals: Seals

    async def __call__(
        self,
        turns: Sequence[Turn],
        injections: Sequence[Injection],
        sampling: Sampling,
        *,
        caches: Sequence[MemCube] = (),
        adapter: MemCube | None = None,
        grant: Grant,
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield pieces of the answer and then, last, how it ended.

        A cache or an adapter that cannot be used never stops an answer: the words are read, and the end says so.

        Raises:
            MissingField, InvalidField, LimitExceeded: turns or injections break a rule.
            GrantInvalid, StateConflict: a memory may not be injected.
            ContextExceeded: the prompt does not fit.
        """
        check_turns(turns)
        running = await self.engine.describe()
        admitted = check_injections(
            injections,
            caches,
            adapter=adapter,
            grant=grant,
            now=self.clock.now(),
            running=running.identity,
            seals=self.seals,
        )
        told = [*admitted.memories, *caches, *([adapter] if adapter is not None else [])]
        generation = self.tracer.generation(model=running.model, cubes=told, max_tokens=sampling.max_tokens)
        with generation as ended:
            async with AsyncExitStack() as stack:
                refusals = list(admitted.refusals)
                held = await asyncio.gather(*(_held(stack, self.caches, one, refusals) for one in admitted.caches))
                with_adapter = await _held(stack, self.adapters, admitted.adapter, refusals)
                known = admitted.known if with_adapter is not None else frozenset()
                read = tuple(cube for cube in admitted.memories if cube.name not in known)
                answer = self.engine.generate(
                    Prompt(tuple(turns), read),
                    sampling,
                    tenant=str(grant.tenant),
                    caches=[cache for cache in held if cache is not None],
                    adapter=with_adapter,
                )
                async with aclosing(answer) as events:
                    async for event in events:
                        if isinstance(event, Ended):
                            event = replace(event, refusals=tuple(refusals))
                            ended(event)
                        yield event


async def _held(
    stack: AsyncExitStack, copies: Copies[Opened], cube: MemCube | None, refusals: list[Refusal]
) -> Opened | None:
    """Return what a cube is for the model, for as long as the stack lasts; or None, and note why."""
    if cube is None:
        return None
    try:
        return await stack.enter_async_context(copies.use(cube))
    except MemosError as error:
        refusals.append(refusal_of(cube, error))
    except Exception:  # no memory on the device, a broken disk: there is always the text
        _log.exception("%s cannot be used", cube.name)
        refusals.append(refusal_of(cube, DataCorrupted(f"{cube.name} cannot be used; see the log.")))
    return None
