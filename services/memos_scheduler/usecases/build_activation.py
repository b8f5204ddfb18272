"""The job `build_activation`: makes a KV cache of memories."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from memos_kernel.cube import Activation, Kind, MemCube
from memos_kernel.jobs import CUBE
from memos_scheduler.domain.jobs import BUILD_ACTIVATION, Job, JobKind, Progress
from memos_scheduler.domain.plan import oldest_first
from memos_scheduler.ports import CacheBuilder, Memories
from memos_scheduler.usecases.conversion import asked, derived, made, name_of, only_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildActivation:
    """Reads the memories, has inference compute keys and values, and stores them and their cube.

    The model may read for longer than a grant lasts, so what it gives is stored in a step of its own. The cube has the
    id of the job: repeated, that ends with the cube that an earlier attempt stored.
    """

    memories: Memories
    builder: CacheBuilder

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return BUILD_ACTIVATION

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield after each step; the last one names the cube."""
        vault, names = asked(job)
        if (cube := await made(self.memories, name_of(job))) is not None:
            yield Progress(fraction=1.0, result=_result(cube))
            return
        sources = oldest_first(await self.memories.read(names))
        yield Progress(fraction=0.1)
        async with aclosing(self.builder.build(sources, vault=vault)) as parts:
            payload = await anext(parts)
            assert isinstance(payload, Activation)
            yield Progress(fraction=0.8)
            blob = await self.memories.upload(vault, payload.blob, only_bytes(parts))
        yield Progress(fraction=0.9)
        stored = replace(payload, blob=blob)
        cube = await self.memories.create(derived(job, Kind.ACTIVATION, stored, sources))
        yield Progress(fraction=1.0, result=_result(cube))


def _result(cube: MemCube) -> dict[str, str]:
    assert isinstance(cube.payload, Activation)
    payload = cube.payload
    return {CUBE: str(cube.name), "tokens": str(payload.token_count), "bytes": str(payload.blob.size_bytes)}
