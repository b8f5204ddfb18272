"""Generate an answer with memories."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from memos_inference.domain import (
    Ended,
    GenerationEvent,
    Injection,
    Prompt,
    Sampling,
    Turn,
    check_injections,
    check_turns,
)
from memos_inference.ports import Engine, Tracer
from memos_kernel.ids import Clock
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class GenerateAnswer:
    """Checks every injection against the grant, then lets the model answer."""

    engine: Engine
    tracer: Tracer
    clock: Clock

    async def __call__(
        self, turns: Sequence[Turn], injections: Sequence[Injection], sampling: Sampling, *, grant: Grant
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield pieces of the answer and then, last, how it ended.

        Raises:
            MissingField, InvalidField, LimitExceeded: turns or injections break a rule.
            GrantInvalid, StateConflict, IncompatiblePayload: a cube may not be injected.
            ContextExceeded: the prompt does not fit.
        """
        check_turns(turns)
        running = await self.engine.describe()
        cubes = check_injections(injections, grant=grant, now=self.clock.now(), running=running.identity)
        generation = self.tracer.generation(model=running.model, cubes=cubes, max_tokens=sampling.max_tokens)
        with generation as ended:
            async with aclosing(self.engine.generate(Prompt(tuple(turns), cubes), sampling)) as events:
                async for event in events:
                    if isinstance(event, Ended):
                        ended(event)
                    yield event
