"""Select what is to be erased for good, and hide it at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.cube import MemCube, State
from memos_kernel.errors import CountMismatch, CubeFrozen, IllegalTransition, InvalidField, LimitExceeded, MissingField
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_kernel.permission import Grant
from memos_kernel.states import check_transition
from memos_kernel.text import check_line
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.purges import Purge
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import Answer, Scope
from memos_storage.ports import Catalog, Transaction
from memos_storage.usecases.access import cube_not_found, require_vault
from memos_storage.usecases.derived import derived_of, make_stale
from memos_storage.usecases.mutation import Mutation, once
from memos_storage.usecases.read_purges import required_purge
from memos_storage.usecases.tombstones import Tombstones

ANY_STATE = frozenset(State)

_ABANDONED = timedelta(minutes=10)
"""Age of a purge after which the sweep goes on with it, in case its job is gone."""

_RETENTION = "The time of deleted cubes had come."


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRequest:
    """What a caller wants erased: names, or a filter.

    Attributes:
        expected: how many cubes the caller expects, derived ones included.
        validate_only: only count.
    """

    vault: VaultName
    names: Sequence[CubeName] = ()
    filter: CubeFilter | None = None
    expected: int = 0
    validate_only: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlannedPurge:
    """How many cubes, and the purge; without one, how many of them are derived, and the names of some."""

    count: int
    purge: Purge | None = None
    derived: int = 0
    sample: tuple[CubeName, ...] = ()


@dataclass(slots=True)
class _Chosen:
    """The cubes of a purge: those that were asked for, and what is derived from them; that of `elsewhere` stays."""

    asked: dict[str, MemCube]
    derived: dict[str, MemCube] = field(default_factory=dict)
    elsewhere: dict[str, MemCube] = field(default_factory=dict)

    @property
    def all(self) -> list[MemCube]:
        return [*self.asked.values(), *self.derived.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPurge:
    """Selects cubes with what is derived from them, and takes them out of every read in the same transaction."""

    catalog: Catalog
    clock: Clock
    ids: IdFactory
    tombstones: Tombstones

    async def __call__(self, request: PurgeRequest, *, mutation: Mutation) -> PlannedPurge:
        """Return how many cubes there are; and the purge, unless they are only to be counted.

        Raises:
            VaultNotFound, CubeNotFound: the vault, a name.
            MissingField, InvalidField, LimitExceeded: nothing or everything is selected, or too much.
            CountMismatch: another number of cubes than expected.
            CubeFrozen: one of them is frozen.
            RequestIdReused, Overloaded, StoreFull.
        """
        now, grant = self.clock.now(), mutation.grant
        _check(request, grant)
        if request.validate_only:
            chosen = await self.catalog.write(lambda tx: self._choose(tx, request, now))
            sample = tuple(cube.name for cube in chosen.all[: limits.PURGE_SAMPLE])
            return PlannedPurge(len(chosen.all), derived=len(chosen.derived), sample=sample)

        def work(tx: Transaction) -> Answer:
            chosen = self._choose(tx, request, now)
            _check_count(len(chosen.all), request.expected)
            purge = self._plan(tx, chosen, request.vault, request.reason, mutation, now)
            uids = [cube.uid for cube in chosen.all]
            tx.purges.bury(purge.name, self.tombstones.of(tx.purges.told(uids)))
            return Answer((), purge.name.id)

        def command(tx: Transaction) -> Purge:
            tx.purges.hold(request.vault)
            answer = once(tx, mutation, lambda: work(tx), now=now)
            name = PurgeName(request.vault.tenant, answer.provenance_id)
            return required_purge(tx.purges.find(name), name, grant)

        purge = await self.catalog.write(command)
        return PlannedPurge(purge.cubes, purge)

    async def due(self, *, mutation: Mutation) -> Purge | None:
        """Plan the erasure of deleted cubes of one vault whose purge time has come.

        Nobody asked for what is derived from them to go, so that becomes stale; nor for their words to be forgotten, so
        there are no tombstones. If none are due, return a purge that was asked for a while ago and is not done.

        Raises:
            Overloaded, StoreFull.
        """
        now, tenant = self.clock.now(), mutation.grant.principal.tenant

        def command(tx: Transaction) -> Purge | None:
            found = tx.purges.due(tenant, now=now, limit=limits.PURGE_CUBES)
            if not found:
                return tx.purges.unfinished(tenant, before=now - _ABANDONED)
            chosen = _Chosen({cube.uid: cube for cube in found})
            chosen.elsewhere |= {cube.uid: cube for cube in derived_of(tx, found) if cube.uid not in chosen.asked}
            return self._plan(tx, chosen, found[0].vault, _RETENTION, mutation, now)

        return await self.catalog.write(command)

    def _choose(self, tx: Transaction, request: PurgeRequest, now: datetime) -> _Chosen:
        if request.filter is not None:
            scope = Scope(request.vault.tenant, frozenset({request.vault}))
            selection = Selection(scope=scope, filter=request.filter, now=now)
            found = tx.purges.selected(selection, limit=limits.PURGE_CUBES + 1)
        else:
            names = list(dict.fromkeys(request.names))
            found = tx.purges.named(request.vault, names)
            missing = set(names) - {cube.name for cube in found}
            if missing:
                raise cube_not_found(min(missing, key=str))
        chosen = _with_derived(tx, {cube.uid: cube for cube in found}, request.vault)
        _check_size(len(chosen.all) + len(chosen.elsewhere))
        _check_none_frozen(chosen.all)
        return chosen

    def _plan(
        self, tx: Transaction, chosen: _Chosen, vault: VaultName, reason: str, mutation: Mutation, now: datetime
    ) -> Purge:
        stale = [self._make_stale(tx, cube, mutation, now) for cube in chosen.elsewhere.values()]
        purge = Purge(
            name=PurgeName(vault.tenant, self.ids()),
            vault=vault,
            principal=mutation.grant.principal,
            reason=reason,
            cubes=len(chosen.all),
            stale=stale.count(True),
            kept=stale.count(False),
            create_time=now,
        )
        tx.purges.add(purge, [cube.uid for cube in chosen.all])
        tx.audit(mutation.note(self.ids, "purge.plan", purge.name, now=now, reason=reason))
        return purge

    def _make_stale(self, tx: Transaction, cube: MemCube, mutation: Mutation, now: datetime) -> bool:
        """Take a cube out of use, if it is not already; False if it is frozen, expired or deleted, and stays so."""
        if cube.state is State.STALE:
            return True
        if cube.delete_time is not None:
            return False
        try:
            check_transition(cube, State.STALE)
        except (IllegalTransition, CubeFrozen):
            return False
        make_stale(tx, cube, mutation, self.ids, reason="What it is derived from was purged.", now=now)
        return True


def _with_derived(tx: Transaction, asked: dict[str, MemCube], vault: VaultName) -> _Chosen:
    """Follow derivation from the cubes that were asked for as far as it leads, also through other vaults."""
    chosen = _Chosen(asked)
    frontier = list(asked.values())
    while frontier and len(chosen.all) + len(chosen.elsewhere) <= limits.PURGE_CUBES:
        known = chosen.asked.keys() | chosen.derived.keys() | chosen.elsewhere.keys()
        frontier = [cube for cube in derived_of(tx, frontier) if cube.uid not in known]
        chosen.derived |= {cube.uid: cube for cube in frontier if cube.vault == vault}
        chosen.elsewhere |= {cube.uid: cube for cube in frontier if cube.vault != vault}
    return chosen


def _check(request: PurgeRequest, grant: Grant) -> None:
    require_vault(grant, request.vault, field="vault")
    check_line(request.reason, field="reason", limit=limits.REASON_CHARS)
    if request.names and request.filter is not None:
        raise InvalidField("names and filter are both set; give one of them.", field="names")
    if not request.names and request.filter is None:
        raise MissingField("Give names, or a filter, of what is to be erased.", field="names")
    check_count(request.names, limits.PURGE_NAMES, field="names")
    for index, name in enumerate(request.names):
        if name.tenant != request.vault.tenant:
            raise InvalidField(f"names[{index}] and vault are of two tenants.", field=f"names[{index}]")
    if request.filter is not None:
        request.filter.check()
        if request.filter == CubeFilter(states=ANY_STATE):
            raise MissingField("filter has no condition and would erase the whole vault; give one.", field="filter")
    if request.expected < 1 and not request.validate_only:
        raise MissingField(
            "expected_count is required: what the same call with validate_only counts.", field="expected_count"
        )


def _check_count(count: int, expected: int) -> None:
    if count != expected:
        raise CountMismatch(
            f"This would erase {count} cubes, and {expected} were expected; look at them with validate_only.",
            count=str(count),
            expected=str(expected),
        )


def _check_size(count: int) -> None:
    if count > limits.PURGE_CUBES:
        raise LimitExceeded(
            f"This would erase more than {limits.PURGE_CUBES} cubes; narrow the filter, and repeat it for the rest.",
            field="filter",
            limit=str(limits.PURGE_CUBES),
            unit="cubes",
        )


def _check_none_frozen(cubes: Sequence[MemCube]) -> None:
    frozen = [cube for cube in cubes if cube.frozen]
    if frozen:
        raise CubeFrozen(
            f"{frozen[0].name} is frozen, as are {len(frozen) - 1} others of these cubes; unfreeze them first.",
            name=str(frozen[0].name),
        )
