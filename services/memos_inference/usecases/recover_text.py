"""Write down as text what a KV cache or an adapter holds."""

import asyncio
from dataclasses import dataclass

from memos_inference import prompt as prompts
from memos_inference.domain.generation import Delta, Prompt, Role, Sampling, Turn
from memos_inference.domain.injection import check_stand_in
from memos_inference.domain.recovery import Recovered, settled
from memos_inference.domain.seals import Seals
from memos_inference.ports import Adapter, Cache, Copies, Engine
from memos_kernel.cube import Activation, MemCube
from memos_kernel.ids import Clock
from memos_kernel.permission import Grant

_TOGETHER = 4
"""Questions at a time: others have some, too."""

_ANSWER = Sampling(max_tokens=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverText:
    """A cache holds the tokens of its memories. An adapter is asked what it was trained on, in several phrasings."""

    engine: Engine
    caches: Copies[Cache]
    adapters: Copies[Adapter]
    clock: Clock
    seals: Seals

    async def __call__(self, cube: MemCube, *, grant: Grant) -> list[Recovered]:
        """Return the memories, in the order in which the cube got them, without those that the model is unsure of.

        Raises:
            GrantInvalid: the grant does not allow to use it.
            InvalidField: it is no cache and no adapter.
            StateConflict: it is out of use, for a memory of it has changed.
            IncompatiblePayload: it is of another model, or not of this system.
            DataCorrupted, FormUnsupported, StoreFull, LimitExceeded, Overloaded, DependencyUnavailable.
        """
        running = await self.engine.describe()
        check_stand_in(cube, grant=grant, now=self.clock.now(), running=running.identity, seals=self.seals)
        if isinstance(cube.payload, Activation):
            async with self.caches.use(cube) as cache:
                told = prompts.lines_of(await self.engine.words_of(cache))
            return [Recovered(line, 1.0) for line in told]
        async with self.adapters.use(cube) as adapter:
            gate, tenant = asyncio.Semaphore(_TOGETHER), str(grant.tenant)
            try:
                async with asyncio.TaskGroup() as asking:
                    tasks = [
                        [asking.create_task(self._asked(question, adapter, gate, tenant)) for question in probe.ask]
                        for probe in adapter.probes
                    ]
            except ExceptionGroup as several:
                raise several.exceptions[0] from None
        found = (
            settled(probe, [task.result() for task in some]) for probe, some in zip(adapter.probes, tasks, strict=True)
        )
        return [one for one in found if one is not None]

    async def _asked(self, question: str, adapter: Adapter, gate: asyncio.Semaphore, tenant: str) -> str:
        async with gate:
            prompt = Prompt((Turn(Role.USER, question),))
            events = self.engine.generate(prompt, _ANSWER, tenant=tenant, adapter=adapter)
            return "".join([event.text async for event in events if isinstance(event, Delta)])
