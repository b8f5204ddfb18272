"""The past of a cube."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube


@dataclass(frozen=True, slots=True)
class Difference:
    """Two revisions of a cube, and the paths of the fields that differ."""

    before: MemCube
    after: MemCube
    paths: tuple[str, ...]
