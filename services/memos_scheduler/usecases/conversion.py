"""What jobs have in common that make cubes of other cubes."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import TypeVar

from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, Origin, Payload, RevisionRef
from memos_kernel.errors import InvalidField, NotFound
from memos_kernel.jobs import CUBES
from memos_kernel.names import CubeName, VaultName
from memos_scheduler.domain.jobs import Job
from memos_scheduler.ports import Memories

T = TypeVar("T")


def asked(job: Job) -> tuple[VaultName, list[CubeName]]:
    """Return the vault of a job, and the cubes that it names.

    Raises:
        InvalidField: there is not one vault, or there are no cubes, or too many.
    """
    if len(job.vaults) != 1:
        raise InvalidField(f"The job names {len(job.vaults)} vaults; give one.", field="job.vaults")
    vault = job.vaults[0]
    field = f"job.parameters[{CUBES}]"
    ids = [id for id in job.parameters.get(CUBES, "").split(",") if id]
    if not 0 < len(ids) <= limits.CONVERSION_SOURCES:
        raise InvalidField(f"{field} names {len(ids)} cubes; give 1 to {limits.CONVERSION_SOURCES}.", field=field)
    return vault, [CubeName(vault.tenant, id) for id in dict.fromkeys(ids)]


def name_of(job: Job) -> CubeName:
    """Return the name of the cube that a job makes: its own, so that a second attempt finds that of the first."""
    return CubeName(job.vaults[0].tenant, job.name.id)


async def made(memories: Memories, name: CubeName) -> MemCube | None:
    """Return the cube if an earlier attempt came as far as that."""
    try:
        (cube,) = await memories.read([name])
    except NotFound:
        return None
    return cube


def derived(job: Job, kind: Kind, payload: Payload, sources: Sequence[MemCube]) -> MemCube:
    """Return the cube that a job makes of others."""
    return MemCube(
        name=name_of(job),
        vault=job.vaults[0],
        kind=kind,
        payload=payload,
        origin=Origin.MODEL_OUTPUT,
        derived_from=tuple(RevisionRef(source.name, source.revision) for source in sources),
    )


async def only_bytes(parts: AsyncIterable[T | bytes]) -> AsyncIterator[bytes]:
    """Yield the parts, all of which are bytes."""
    async for part in parts:
        assert isinstance(part, bytes)
        yield part
