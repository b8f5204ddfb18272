"""Lifecycle's own rules: which move a cube is due for, and how a decision is written down."""

from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel.cube import MemCube, State
from memos_kernel.states import check_transition, is_over


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep did.

    Attributes:
        expired: cubes that were expired.
        skipped: cubes that were due, and that somebody changed meanwhile.
        more: whether another sweep would find work that this one left.
        time: the time that expire times were compared with.
    """

    expired: int
    skipped: int
    more: bool
    time: datetime


@dataclass(frozen=True, slots=True)
class VaultSweep:
    """What one sweep of a vault did.

    Attributes:
        archived: cubes that went into the archive.
        deleted: cubes that were deleted.
        skipped: cubes that were due, and that somebody changed meanwhile.
        more: whether another sweep would find work that this one left.
    """

    archived: int
    deleted: int
    skipped: int
    more: bool


def move(cube: MemCube, target: State) -> MemCube:
    """Return the cube in its new state.

    Raises:
        IllegalTransition: the table of the life cycle has no such move.
        CubeFrozen: the cube is frozen.
    """
    check_transition(cube, target)
    return replace(cube, state=target)


def state_after_use(cube: MemCube) -> State | None:
    """Return the state that use in a prompt moves a cube to, or None if it stays.

    MemOS (arXiv 2507.03724, section 5.2): a Generated memory becomes Activated when it is first called
    into a reasoning context, and an Archived one when it is recalled. Later uses only warm it. What has never been
    anything but archived is a record, such as a chat's answer, which must not become evidence for itself.
    """
    is_record = cube.state is State.ARCHIVED and cube.revision == 1
    return State.ACTIVATED if cube.state in (State.GENERATED, State.ARCHIVED) and not is_record else None


def is_due(cube: MemCube, *, now: datetime) -> bool:
    """Return whether the cube has outlived its time to live and was not expired yet.

    MemOS (arXiv 2507.03724, section 5.2): the move to Expired is driven by the lifespan policy of the
    cube, here its expire time, which is the first moment at which it no longer lives.
    """
    return cube.state is not State.EXPIRED and is_over(cube, now=now)
