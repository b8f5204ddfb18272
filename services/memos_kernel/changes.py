"""What happened to the cubes of a vault, as a feed tells it."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName


class ChangeKind(IntEnum):
    """What happened; the numbers are those of the contract's ChangeKind."""

    CREATED = 1
    UPDATED = 2
    DELETED = 3
    UNDELETED = 4
    PURGED = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one cube.

    Attributes:
        revision: the revision that it made; of a purge the newest one before.
        time: its record time.
        cube: the cube in that revision; None once it is purged, or past its purge time.
    """

    kind: ChangeKind
    name: CubeName
    uid: str
    revision: int
    time: datetime
    cube: MemCube | None = None


def change_of(cube: MemCube, *, was_deleted: bool) -> ChangeKind:
    """Return what a new revision of a cube, which is not the first, tells those who watch."""
    if cube.delete_time is not None:
        return ChangeKind.DELETED
    return ChangeKind.UNDELETED if was_deleted else ChangeKind.UPDATED
