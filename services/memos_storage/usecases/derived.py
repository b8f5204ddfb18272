"""KV caches and adapters follow the memories that they were made from: any change of those takes them out of use.

So do texts that were written down from a cache or an adapter, when that goes out of use.
"""

from collections.abc import Sequence
from datetime import datetime

from memos_kernel.cube import Kind, MemCube, State
from memos_kernel.errors import IllegalTransition, InvalidField, StateConflict
from memos_kernel.ids import IdFactory
from memos_kernel.states import INJECTABLE, TRANSITIONS
from memos_storage.domain import revisions
from memos_storage.domain.derived import OTHER_FORMS, inherited, is_derived, outdates, stale, usable
from memos_storage.domain.values import StoredCube, Vector
from memos_storage.ports import Transaction
from memos_storage.usecases.mutation import Mutation


def replace_source(
    tx: Transaction,
    stored: MemCube,
    changed: MemCube,
    mutation: Mutation,
    ids: IdFactory,
    *,
    now: datetime,
    vector: Vector | None = None,
    content: bool = False,
) -> None:
    """Store a new revision, see `Transaction.replace`, and take out of use what was made from the one before.

    Raises:
        DuplicateContent: a live cube of the vault holds the same content.
    """
    tx.replace(changed, vector=vector, content=content)
    follow(tx, stored, changed, mutation, ids, now=now)


def follow(
    tx: Transaction, stored: MemCube, changed: MemCube, mutation: Mutation, ids: IdFactory, *, now: datetime
) -> None:
    """Take out of use what was made from a cube that has changed."""
    if outdates(stored, changed):
        kinds = OTHER_FORMS if stored.kind is Kind.PLAINTEXT else frozenset(Kind)
        for cube in filter(is_derived, derived_of(tx, [stored], kinds=kinds)):
            if cube.delete_time is None and State.STALE in TRANSITIONS[cube.state]:
                reason = f"{stored.name} has changed."
                gone = make_stale(tx, stale(cube, changed), mutation, ids, reason=reason, now=now)
                follow(tx, cube, gone, mutation, ids, now=now)


def make_stale(
    tx: Transaction, cube: MemCube, mutation: Mutation, ids: IdFactory, *, reason: str, now: datetime
) -> MemCube:
    """Return a cube that is out of use for good, frozen or not."""
    gone = revisions.moved(cube, state=State.STALE, frozen=False, now=now)
    tx.replace(gone)
    tx.audit(mutation.event(ids, "cube.transition", gone, now=now, reason=reason))
    return gone


def derived_of(
    tx: Transaction, sources: Sequence[MemCube], *, kinds: frozenset[Kind] = frozenset(Kind)
) -> list[MemCube]:
    """Return what was made from some cubes; not from others that had their names before."""
    made = {cube.name: cube.create_time for cube in sources}

    def follows(cube: MemCube) -> bool:
        times = (made.get(ref.name) for ref in cube.derived_from)
        return any(time is not None and cube.create_time is not None and time <= cube.create_time for time in times)

    return [cube for cube in tx.purges.derived(list(made), kinds) if follows(cube)]


def from_sources(tx: Transaction, cube: MemCube, *, now: datetime) -> MemCube:
    """Return a new derived cube with what it takes over from its sources.

    Raises:
        InvalidField: a source is not in the cube's vault, so that others may read the cube than may read the source.
        StateConflict: a source is out of use, or has changed since the revision that the cube was made from.
    """
    locked = {name: tx.live(name) for name in sorted({ref.name for ref in cube.derived_from}, key=str)}
    sources = []
    for index, ref in enumerate(cube.derived_from):
        stored = locked[ref.name]
        if stored is None or stored.cube.vault != cube.vault:
            field = f"derived_from[{index}].name"
            raise InvalidField(f"{field} names no cube of {cube.vault}.", field=field)
        if not _holds(tx, stored, ref.revision, now=now):
            raise StateConflict(
                f"{ref.name} has changed since revision {ref.revision}, or is out of use; make it again from what is"
                " in use now.",
                name=str(ref.name),
                state=stored.cube.state.name,
            )
        sources.append(stored.cube)
    return inherited(cube, sources)


def still_true(tx: Transaction, cube: MemCube, *, now: datetime) -> bool:
    """Return whether the sources of a cube are as they were when it was made; a text needs none."""
    return not is_derived(cube) or not any(
        stored is None or not _holds(tx, stored, revision, now=now) for stored, revision in _sources(tx, cube)
    )


def contradicted(tx: Transaction, cube: MemCube, *, now: datetime) -> bool:
    """Return whether a source of a cube that came from elsewhere is here, and tells something else by now."""
    return is_derived(cube) and any(
        stored is not None and not _holds(tx, stored, revision, now=now) for stored, revision in _sources(tx, cube)
    )


def _sources(tx: Transaction, cube: MemCube) -> list[tuple[StoredCube | None, int]]:
    """Return the sources that are here, in an order in which nobody waits crosswise, and the revisions that count."""
    return [(tx.live(ref.name), ref.revision) for ref in sorted(cube.derived_from, key=lambda ref: str(ref.name))]


def check_way_back(tx: Transaction, cube: MemCube, target: State, *, now: datetime) -> None:
    """Refuse to bring a derived cube back into use that tells of what has changed.

    Raises:
        IllegalTransition: it is stale, or its sources are not as they were.
    """
    if not is_derived(cube) or cube.state in INJECTABLE or target not in INJECTABLE:
        return
    if cube.state is State.STALE or not still_true(tx, cube, now=now):
        raise IllegalTransition(
            f"{cube.name} is {cube.state.name}, and what it was made from has changed; make it again.",
            current=cube.state.name,
            target=target.name,
        )


def _holds(tx: Transaction, stored: StoredCube, revision: int, *, now: datetime) -> bool:
    then = tx.revision(stored.cube.uid, revision)
    return then is not None and usable(stored.cube, now=now) and not outdates(then.cube, stored.cube)
