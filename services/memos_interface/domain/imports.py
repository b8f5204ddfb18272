"""What an import takes, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel.cube import MemCube
from memos_kernel.errors import MemosError


@dataclass(frozen=True, slots=True)
class ImportItem:
    """A cube to store, with the vector of its text if the caller has one."""

    cube: MemCube
    vector: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """The name of the cube that holds the content, or why there is none."""

    name: str = ""
    created: bool = False
    error: MemosError | None = None


@dataclass(frozen=True, slots=True)
class ImportPage:
    """The outcomes of one batch, in order; `start` is the number of the first item, from 0.

    The first page has no outcomes, and the id of the embedder that runs.
    """

    start: int
    outcomes: tuple[ImportOutcome, ...] = ()
    degraded: bool = False
    embedder: str = ""
