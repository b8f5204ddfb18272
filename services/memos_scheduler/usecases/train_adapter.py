"""The job `train_adapter`: makes a LoRA adapter that knows memories."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from memos_kernel.cube import Kind, MemCube, Parametric
from memos_kernel.jobs import CUBE
from memos_scheduler.domain.jobs import TRAIN_ADAPTER, Job, JobKind, Progress
from memos_scheduler.domain.plan import oldest_first
from memos_scheduler.ports import AdapterTrainer, Memories, Trained
from memos_scheduler.usecases.conversion import asked, derived, made, name_of, only_bytes

_TRAINED, _EXAMINED, _STORED = 0.9, 0.93, 0.96
"""How much of the whole is done then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainAdapter:
    """Reads the memories, has inference train and examine an adapter, and stores it and its cube.

    The cube has the id of the job: repeated, that ends with the cube that an earlier attempt stored. An adapter that
    fails its exam is never stored.
    """

    memories: Memories
    trainer: AdapterTrainer

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return TRAIN_ADAPTER

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield after each step; the last one names the cube, and tells how it did in its exam."""
        vault, names = asked(job)
        if (cube := await made(self.memories, name_of(job))) is not None:
            yield Progress(fraction=1.0, result=_result(cube))
            return
        sources = oldest_first(await self.memories.read(names))
        async with aclosing(self.trainer.train(sources, vault=vault)) as parts:
            async for part in parts:
                if isinstance(part, Trained):
                    break
                assert isinstance(part, float)
                yield Progress(fraction=_TRAINED * part)
            assert isinstance(part, Trained)
            yield Progress(fraction=_EXAMINED)  # the next step has a grant of its own: this one may have used its up
            blob = await self.memories.upload(vault, part.payload.blob, only_bytes(parts))
        yield Progress(fraction=_STORED)
        stored = replace(part.payload, blob=blob)
        known = [sources[index] for index in part.learned]
        cube = await self.memories.create(derived(job, Kind.PARAMETRIC, stored, known))
        yield Progress(fraction=1.0, result={**_result(cube), **part.report})


def _result(cube: MemCube) -> dict[str, str]:
    assert isinstance(cube.payload, Parametric)
    payload = cube.payload
    return {CUBE: str(cube.name), "rank": str(payload.rank), "bytes": str(payload.blob.size_bytes)}
