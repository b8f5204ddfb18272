"""Read the cubes of a vault with all that they were."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.selection import Selection, check_as_of
from memos_storage.domain.values import Scope, StoredCube
from memos_storage.ports import HistoryReader
from memos_storage.usecases.access import require_vault

PAGE_CUBES = 200
"""Cubes that are looked at for one page."""

PAGE_BYTES = 8 * 1024 * 1024
"""Texts and vectors after which a page ends, at the end of a cube."""

_REVISIONS = 200
"""Revisions that are read at once."""

_AHEAD = timedelta(seconds=5)

Place = tuple[datetime, str]
"""Create time and uid of a cube."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """A page of an export.

    Attributes:
        after: the last cube of the page before.
        revisions: whether what the cubes were before is wanted too.
        vectors: whether vectors are wanted.
        deleted: whether cubes that were deleted at the moment are wanted too.
    """

    vault: VaultName
    as_of: datetime
    after: Place | None = None
    filter: CubeFilter
    revisions: bool = True
    vectors: bool = True
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportCubes:
    """Reads a page of a vault as it was at a moment; what was purged since is not in it."""

    histories: HistoryReader
    clock: Clock

    async def __call__(
        self, request: ExportRequest, *, grant: Grant
    ) -> AsyncGenerator[list[ArchivedRevision] | Place, None]:
        """Yield revisions, those of a cube one behind the other; then the place where the next page begins, if any.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            InvalidField: the moment has not come.
        """
        require_vault(grant, request.vault, field="vault")
        now = self.clock.now()
        if now < request.as_of <= now + _AHEAD:  # whoever began the export has a clock of his own
            await asyncio.sleep((request.as_of - now).total_seconds())
            now = request.as_of
        check_as_of(request.as_of, now=now)
        heads = await self.histories.heads(
            request.vault, as_of=request.as_of, after=request.after, limit=PAGE_CUBES + 1, now=now
        )
        page: Sequence[StoredCube] = heads[:PAGE_CUBES]
        more = len(heads) > PAGE_CUBES
        read = 0
        for group in _groups(page):
            async for part in self._histories(request, [one for one in group if _wanted(one, request, grant, now)]):
                read += sum(_size(item) for item in part)
                yield part
            if read > PAGE_BYTES and group[-1] is not page[-1]:
                page, more = group, True
                break
        if more:
            yield _place(page[-1])

    async def _histories(
        self, request: ExportRequest, heads: Sequence[StoredCube]
    ) -> AsyncGenerator[list[ArchivedRevision], None]:
        """Yield the revisions of cubes; of one with very many, part by part."""
        if not heads:
            return
        newest = {head.cube.uid: head for head in heads}
        if not request.revisions:
            yield await self._newest(request, newest)
            return
        above = 0
        # With room for what is committed meanwhile with a time of before; it is left out.
        most = _REVISIONS if len(heads) == 1 else sum(head.cube.revision for head in heads) + _REVISIONS
        while True:
            found = await self.histories.revisions(
                list(newest), above=above, as_of=request.as_of, vectors=request.vectors, limit=most
            )
            kept = [item for item in found if item.cube.revision <= newest[item.cube.uid].cube.revision]
            if kept:
                yield [_with_use(item, newest[item.cube.uid]) for item in kept]
            if len(heads) > 1 or len(found) < most:
                return
            above = found[-1].cube.revision

    async def _newest(self, request: ExportRequest, heads: Mapping[str, StoredCube]) -> list[ArchivedRevision]:
        """Return the revision of the moment alone: the record begins with it, and so does its text."""
        vectors = {}
        if request.vectors:
            texts = {uid: head.content_revision for uid, head in heads.items()}
            told = await self.histories.revisions(
                list(heads),
                above=min(texts.values()) - 1,
                as_of=request.as_of,
                vectors=True,
                limit=1 if len(heads) == 1 else sum(head.cube.revision for head in heads.values()) + _REVISIONS,
            )
            vectors = {item.cube.uid: item.vectors for item in told if item.cube.revision == texts[item.cube.uid]}
        return [ArchivedRevision(head.cube, head.cube.revision, vectors.get(uid, ())) for uid, head in heads.items()]


def _wanted(head: StoredCube, request: ExportRequest, grant: Grant, now: datetime) -> bool:
    cube = head.cube
    if cube.delete_time is not None and (not request.deleted or cube.blob is not None):
        return False  # the bytes of what is deleted cannot be read
    selection = Selection(scope=Scope.of(grant), filter=request.filter, now=now, as_of=request.as_of)
    return selection.matches(replace(cube, delete_time=None))


def _groups(heads: Sequence[StoredCube]) -> Iterator[Sequence[StoredCube]]:
    """Yield cubes in groups of few revisions, or one with many."""
    begin = revisions = 0
    for end, head in enumerate(heads):
        if end > begin and revisions + head.cube.revision > _REVISIONS:
            yield heads[begin:end]
            begin, revisions = end, 0
        revisions += head.cube.revision
    if heads[begin:]:
        yield heads[begin:]


def _with_use(item: ArchivedRevision, head: StoredCube) -> ArchivedRevision:
    return replace(item, cube=replace(item.cube, usage=head.cube.usage))


def _size(item: ArchivedRevision) -> int:
    return len(item.cube.text) + sum(vector.values.nbytes + len(vector.tokens or b"") for vector in item.vectors)


def _place(head: StoredCube) -> Place:
    assert head.cube.create_time is not None
    return head.cube.create_time, head.cube.uid
