"""The life cycle as a table (MemOS, arXiv 2507.03724, section 5.2)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from memos_kernel.cube import MemCube, State
from memos_kernel.errors import CubeFrozen, IllegalTransition

TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.GENERATED: frozenset({State.ACTIVATED, State.MERGED, State.ARCHIVED, State.EXPIRED, State.STALE}),
    State.ACTIVATED: frozenset({State.MERGED, State.ARCHIVED, State.EXPIRED, State.STALE}),
    State.MERGED: frozenset({State.ACTIVATED, State.ARCHIVED, State.EXPIRED, State.STALE}),
    State.ARCHIVED: frozenset({State.ACTIVATED, State.EXPIRED, State.STALE}),
    State.STALE: frozenset({State.ARCHIVED, State.EXPIRED}),
    State.EXPIRED: frozenset({State.ARCHIVED}),
}
"""Moves that are allowed. An expired cube comes back only by way of the archive, a stale one never into use."""

INITIAL = frozenset({State.GENERATED, State.ARCHIVED})
"""States that a cube may be stored in first: for use, or as a record that only a filter by its state finds."""

SEARCHED_BY_DEFAULT = frozenset({State.GENERATED, State.ACTIVATED})
"""States that a list or search without a state filter shows."""

COLD = frozenset({State.ARCHIVED, State.EXPIRED})
"""States in which no hot index has a cube's vector: the catalogue keeps it, and searches it if it is asked to."""

COOLING = SEARCHED_BY_DEFAULT | {State.MERGED}
"""States from which a cube that nobody uses goes into the archive."""

INJECTABLE = frozenset({State.GENERATED, State.ACTIVATED, State.MERGED, State.ARCHIVED})
"""States in which a cube may enter a prompt."""


def check_transition(cube: MemCube, target: State) -> None:
    """Refuse a move that the table does not have.

    Raises:
        IllegalTransition: there is no such move.
        CubeFrozen: the cube is frozen; it may only be used, not moved on.
    """
    if target not in TRANSITIONS[cube.state]:
        raise IllegalTransition(
            f"{cube.name} is {cube.state.name}; from there it can go to "
            f"{', '.join(sorted(state.name for state in TRANSITIONS[cube.state]))}.",
            current=cube.state.name,
            target=target.name,
        )
    if target is not State.ACTIVATED:
        check_not_frozen(cube)


def check_not_frozen(cube: MemCube) -> None:
    """Refuse to change or delete a frozen cube.

    Raises:
        CubeFrozen: it is frozen.
    """
    if cube.frozen:
        raise CubeFrozen(f"{cube.name} is frozen; unfreeze it first.", name=str(cube.name))


def is_over(cube: MemCube, *, now: datetime) -> bool:
    """Return whether the time to live of a cube has passed, whatever its state. A frozen cube's does not pass."""
    return cube.expire_time is not None and cube.expire_time <= now and not cube.frozen


def is_hot(cube: MemCube) -> bool:
    """Return whether the hot index is to have the vector of a cube."""
    return cube.delete_time is None and cube.state not in COLD


def freeze(cube: MemCube) -> MemCube:
    """Return the cube frozen: it refuses new content, new metadata and deletion, does not expire, and its history
    stays readable.

    Raises:
        IllegalTransition: the cube is expired or stale, or frozen already.
    """
    if cube.frozen:
        raise IllegalTransition(f"{cube.name} is frozen already.", current="FROZEN", target="FROZEN")
    if cube.state in (State.EXPIRED, State.STALE):
        raise IllegalTransition(
            f"{cube.name} is {cube.state.name}; only a cube that is still in use can be frozen.",
            current=cube.state.name,
            target="FROZEN",
        )
    return replace(cube, frozen=True)


def unfreeze(cube: MemCube) -> MemCube:
    """Return the cube open to changes again, in the state that it was frozen in.

    Raises:
        IllegalTransition: the cube is not frozen.
    """
    if not cube.frozen:
        raise IllegalTransition(f"{cube.name} is not frozen.", current=cube.state.name, target="UNFROZEN")
    return replace(cube, frozen=False)
