"""What the catalogue knows of a statement and an earlier one about the same."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.cube import MemCube
from memos_kernel.memory_links import LinkKind, MemoryLink

MOST_TOLD = 1_000
"""Most links that are told of one cube, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLink(MemoryLink):
    """A link with what is needed to take it back.

    Attributes:
        closed_until: `valid_until` that the older statement got by this link; None if it got none.
        open_until: the one that it had before.
    """

    newer_uid: str
    older_uid: str
    closed_until: datetime | None = None
    open_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a vault says already about what a new statement tells.

    Attributes:
        judged: what it may outdate or be outdated by, the strongest evidence first.
        same: a text that says the same in the same words; None if there is none.
    """

    judged: tuple["Judged", ...] = ()
    same: MemCube | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A text beside a new one, as it was judged, how likely one of the two outdates the other, and what follows of it.

    `is_newer`: it is this one that was told later, and not the new one.
    """

    stored: MemCube
    kind: LinkKind
    evidence: float
    is_newer: bool = False
