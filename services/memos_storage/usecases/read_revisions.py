"""Read what a cube was: its revisions, newest first, and the difference of two."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube
from memos_kernel.errors import RevisionNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import CubeName
from memos_kernel.permission import Grant
from memos_storage.domain.revisions import changed_paths
from memos_storage.domain.values import Scope
from memos_storage.ports import Catalog
from memos_storage.usecases.access import cube_not_found, shown


@dataclass(frozen=True, slots=True)
class Difference:
    """Two revisions of a cube, and the paths that differ."""

    before: MemCube
    after: MemCube
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRevisions:
    """Returns the revisions of a cube, newest first; of a deleted one too, until its purge time."""

    catalog: Catalog
    clock: Clock

    async def __call__(
        self, name: CubeName, *, before: int | None, size: int, grant: Grant
    ) -> tuple[list[MemCube], int | None]:
        """Return a page, and the number of its last revision if there are more.

        Raises:
            CubeNotFound: there is none, or it is hidden.
        """
        now = self.clock.now()
        rows = await self.catalog.history(name, Scope.of(grant), before=before, limit=size + 1, now=now)
        if not rows and before is None:
            raise cube_not_found(name)
        cubes = [shown(row.cube, grant, now=now) for row in rows[:size]]
        return cubes, cubes[-1].revision if len(rows) > size else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRevisions:
    """Compares two revisions of a cube."""

    catalog: Catalog
    clock: Clock

    async def __call__(self, name: CubeName, *, before: int, after: int, grant: Grant) -> Difference:
        """Return both and what differs; `after` 0 is the newest, `before` 0 the one in front of `after`.

        Raises:
            CubeNotFound: there is none, or it is hidden.
            RevisionNotFound: it has no such revision.
        """
        now, scope = self.clock.now(), Scope.of(grant)
        newest = await self.catalog.history(name, scope, before=None, limit=1, now=now)
        if not newest:
            raise cube_not_found(name)

        async def revision(number: int) -> MemCube:
            rows = newest
            if number != newest[0].cube.revision:
                rows = await self.catalog.history(name, scope, before=number + 1, limit=1, now=now)
            if not rows or rows[0].cube.revision != number:
                raise revision_not_found(name, number)
            return shown(rows[0].cube, grant, now=now)

        last = after or newest[0].cube.revision
        old, new = await revision(before or max(1, last - 1)), await revision(last)
        return Difference(old, new, changed_paths(old, new))


def revision_not_found(name: CubeName, number: int) -> RevisionNotFound:
    """Return the error of a revision that a cube does not have."""
    return RevisionNotFound(
        f"{name} has no revision {number}; list its revisions.", name=str(name), revision=str(number)
    )
