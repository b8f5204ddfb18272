"""CubeStore in memory, for tests of the use cases."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from memos_kernel.cube import MemCube
from memos_kernel.errors import CubeNotFound, EtagMismatch, RequestIdReused
from memos_kernel.names import CubeName, VaultName
from memos_kernel.requests import RequestKey
from memos_kernel.states import COOLING, check_not_frozen
from memos_lifecycle.domain import is_due
from memos_lifecycle.ports import NO_KEY


class MemoryCubeStore:
    """Keeps headers in a dict and remembers the reason of each change."""

    def __init__(self, cubes: Iterable[MemCube] = ()) -> None:
        self.cubes = {cube.name: cube for cube in cubes}
        self.reasons: dict[CubeName, list[str]] = {}
        self._answers: dict[tuple[str, str], tuple[RequestKey, MemCube]] = {}

    async def get(self, name: CubeName) -> MemCube:
        """See the port."""
        try:
            return self.cubes[name]
        except KeyError:
            raise CubeNotFound(f"{name} does not exist.", name=str(name)) from None

    async def apply(
        self, cube: MemCube, *, expected_revision: int, reason: str, request: RequestKey = NO_KEY
    ) -> MemCube:
        """See the port."""
        identity = (request.method, request.request_id)
        if request and identity in self._answers:
            known, answer = self._answers[identity]
            if known != request:
                raise RequestIdReused("The request id was used with another body.", request_id=request.request_id)
            return answer
        stored = await self.get(cube.name)
        if stored.revision != expected_revision:
            raise EtagMismatch(f"{cube.name} was changed meanwhile; read it again.", name=str(cube.name))
        revision = stored.revision + 1
        answer = replace(stored, state=cube.state, frozen=cube.frozen, revision=revision, etag=f"r{revision}")
        self.cubes[cube.name] = answer
        self.reasons.setdefault(cube.name, []).append(reason)
        if request:
            self._answers[identity] = (request, answer)
        return answer

    async def record_usage(self, names: Sequence[CubeName], *, at: datetime) -> tuple[MemCube, ...]:
        """See the port."""
        used = []
        for name in names:
            if name in self.cubes:
                usage = self.cubes[name].usage
                warmer = replace(usage, hits=usage.hits + 1, last_used_time=at, heat=usage.heat + 1.0)
                self.cubes[name] = replace(self.cubes[name], usage=warmer)
                used.append(self.cubes[name])
        return tuple(used)

    async def list_due(self, *, at: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        return tuple(cube for cube in self.cubes.values() if is_due(cube, now=at))[:limit]

    async def list_old(self, vault: VaultName, *, made_before: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        found = (cube for cube in self._standing(vault) if cube.create_time and cube.create_time < made_before)
        return tuple(itertools.islice(found, limit))

    async def list_idle(self, vault: VaultName, *, since: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        found = (
            cube
            for cube in self._standing(vault)
            if cube.state in COOLING and cube.update_time and max(cube.update_time, _used(cube)) < since
        )
        return tuple(itertools.islice(found, limit))

    async def retire(self, cube: MemCube, *, reason: str) -> None:
        """See the port."""
        stored = await self.get(cube.name)
        check_not_frozen(stored)
        if stored.revision != cube.revision:
            raise EtagMismatch(f"{cube.name} was changed meanwhile; read it again.", name=str(cube.name))
        del self.cubes[cube.name]
        self.reasons.setdefault(cube.name, []).append(reason)

    def _standing(self, vault: VaultName) -> Iterator[MemCube]:
        return (cube for cube in self.cubes.values() if cube.vault == vault and not cube.frozen)


def _used(cube: MemCube) -> datetime:
    return cube.usage.last_used_time or datetime.min.replace(tzinfo=UTC)
