"""Read cubes by name, by page, and those that are due."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.cube import Kind, MemCube
from memos_kernel.errors import InvalidField, LimitExceeded, MemosError, MissingField
from memos_kernel.ids import Clock
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.selection import Selection, check_as_of
from memos_storage.domain.values import Outcome, Scope
from memos_storage.ports import Catalog, Spans
from memos_storage.usecases.access import cube_not_found, require_vault, shown
from memos_storage.usecases.links import link_origins

DERIVED = 100
"""Most derived cubes in one answer."""

DUE = 1_000
"""Most due cubes in one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCubes:
    """Returns cubes by name."""

    catalog: Catalog
    clock: Clock
    spans: Spans

    async def __call__(
        self, names: Sequence[CubeName | MemosError], *, as_of: datetime | None = None, grant: Grant
    ) -> list[Outcome]:
        """Return an outcome for each name, in order; a name that could not be read is its error, and stays one.

        Of a moment in the past, the cubes are in the revision of then, with the use of now.

        Raises:
            MissingField, LimitExceeded, InvalidField: no names or too many, or a moment that has not come.
        """
        if not names:
            raise MissingField("names is empty; give at least one.", field="names")
        if len(names) > limits.BATCH_GET_NAMES:
            raise LimitExceeded(
                f"names has {len(names)} entries; the limit is {limits.BATCH_GET_NAMES}.",
                field="names",
                limit=str(limits.BATCH_GET_NAMES),
                unit="names",
            )
        now = self.clock.now()
        check_as_of(as_of, now=now)
        wanted, scope = [name for name in names if isinstance(name, CubeName)], Scope.of(grant)
        with self.spans.span("storage.get") as span:
            if as_of is None:
                found = await self.catalog.get(wanted, scope)
            else:
                found = await self.catalog.get_as_of(wanted, scope, as_of=as_of, now=now)
            link_origins(span, (stored.cube for stored in found.values()))
        return [
            Outcome(error=name)
            if isinstance(name, MemosError)
            else Outcome(shown(found[name].cube, grant, now=now))
            if name in found
            else Outcome(error=cube_not_found(name))
            for name in names
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDerivedCubes:
    """Returns what was made from cubes in another form: KV caches, or adapters."""

    catalog: Catalog
    clock: Clock

    async def __call__(self, names: Sequence[CubeName], kind: Kind, *, grant: Grant) -> list[MemCube]:
        """Return at most `DERIVED` live cubes of the kind that were made from some of these, newest first.

        Raises:
            MissingField, LimitExceeded, InvalidField: no names or too many, or texts are asked for.
        """
        if not names:
            raise MissingField("names is empty; give at least one.", field="names")
        check_count(names, limits.BATCH_GET_NAMES, field="names")
        if kind is Kind.PLAINTEXT:
            raise InvalidField(
                "kind is PLAINTEXT; what is told in another form is ACTIVATION or PARAMETRIC.", field="kind"
            )
        now = self.clock.now()
        found = await self.catalog.derived(names, kind, Scope.of(grant), limit=DERIVED)
        return [shown(stored.cube, grant, now=now) for stored in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCubes:
    """Returns the cubes of a vault, newest first."""

    catalog: Catalog
    clock: Clock

    async def __call__(
        self,
        vault: VaultName,
        filter: CubeFilter,
        *,
        as_of: datetime | None = None,
        after: tuple[datetime, str] | None,
        size: int,
        grant: Grant,
    ) -> tuple[list[MemCube], tuple[datetime, str] | None]:
        """Return a page, and (create time, uid) of its last cube if there are more.

        Raises:
            VaultNotFound: the grant does not cover the vault.
            LimitExceeded, InvalidField: the filter, or a moment that has not come.
        """
        require_vault(grant, vault, field="vault")
        filter.check()
        now = self.clock.now()
        check_as_of(as_of, now=now)
        scope = Scope(vault.tenant, frozenset((vault,)))
        selection = Selection(scope=scope, filter=filter, now=now, as_of=as_of)
        rows = await self.catalog.page(selection, after=after, limit=size + 1)
        cubes = [shown(row.cube, grant, now=now) for row in rows[:size]]
        if len(rows) <= size:
            return cubes, None
        last = cubes[-1]
        assert last.create_time is not None
        return cubes, (last.create_time, last.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDueCubes:
    """Returns cubes that are past their expire time and not expired yet."""

    catalog: Catalog
    clock: Clock

    async def __call__(self, *, at: datetime, limit: int, grant: Grant) -> list[MemCube]:
        """Return at most `limit` cubes of the grant's vaults; those that are not frozen come first.

        Raises:
            InvalidField: the limit is not from 1 to 1000.
        """
        if not 1 <= limit <= DUE:
            raise InvalidField(f"limit is {limit}; give 1 to {DUE}.", field="limit")
        now = self.clock.now()
        rows = await self.catalog.due(Scope.of(grant), at=at, limit=limit)
        return [shown(row.cube, grant, now=now) for row in rows]
