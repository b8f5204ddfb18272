"""The job `build_activation`: makes a KV cache of memories."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from memos_kernel import limits
from memos_kernel.cube import Activation, Kind, MemCube, Origin, RevisionRef
from memos_kernel.errors import InvalidField, NotFound
from memos_kernel.jobs import CUBE, CUBES
from memos_kernel.names import CubeName, VaultName
from memos_scheduler.domain.jobs import BUILD_ACTIVATION, Job, JobKind, Progress
from memos_scheduler.domain.plan import oldest_first
from memos_scheduler.ports import CacheBuilder, Memories


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
        vault, names = _asked(job)
        name = CubeName(vault.tenant, job.name.id)
        if (made := await self._made(name)) is not None:
            yield Progress(fraction=1.0, result=_result(made))
            return
        sources = oldest_first(await self.memories.read(names))
        yield Progress(fraction=0.1)
        async with aclosing(self.builder.build(sources, vault=vault)) as parts:
            payload = await anext(parts)
            assert isinstance(payload, Activation)
            yield Progress(fraction=0.8)
            blob = await self.memories.upload(vault, payload.blob, _bytes(parts))
        yield Progress(fraction=0.9)
        cube = await self.memories.create(
            MemCube(
                name=name,
                vault=vault,
                kind=Kind.ACTIVATION,
                payload=replace(payload, blob=blob),
                origin=Origin.MODEL_OUTPUT,
                derived_from=tuple(RevisionRef(source.name, source.revision) for source in sources),
            )
        )
        yield Progress(fraction=1.0, result=_result(cube))

    async def _made(self, name: CubeName) -> MemCube | None:
        """Return the cube if an earlier attempt came as far as that."""
        try:
            (cube,) = await self.memories.read([name])
        except NotFound:
            return None
        return cube


def _result(cube: MemCube) -> dict[str, str]:
    assert isinstance(cube.payload, Activation)
    payload = cube.payload
    return {CUBE: str(cube.name), "tokens": str(payload.token_count), "bytes": str(payload.blob.size_bytes)}


async def _bytes(parts: AsyncIterable[Activation | bytes]) -> AsyncIterator[bytes]:
    async for part in parts:
        assert isinstance(part, bytes)
        yield part


def _asked(job: Job) -> tuple[VaultName, list[CubeName]]:
    if len(job.vaults) != 1:
        raise InvalidField(f"The job names {len(job.vaults)} vaults; give one.", field="job.vaults")
    vault = job.vaults[0]
    field = f"job.parameters[{CUBES}]"
    ids = [id for id in job.parameters.get(CUBES, "").split(",") if id]
    if not 0 < len(ids) <= limits.CONVERSION_SOURCES:
        raise InvalidField(f"{field} names {len(ids)} cubes; give 1 to {limits.CONVERSION_SOURCES}.", field=field)
    return vault, [CubeName(vault.tenant, id) for id in dict.fromkeys(ids)]
