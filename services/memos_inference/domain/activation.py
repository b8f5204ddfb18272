"""KV caches: what is made of some memories, and which cache makes room for another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_inference.domain.injection import check_memory
from memos_inference.domain.sizes import check_number
from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Grant


@dataclass(frozen=True, slots=True)
class Encoded:
    """Keys and values that were written to a file: over how many tokens, of which model."""

    token_count: int
    identity: CompatibilityIdentity


def check_bundle(cubes: Sequence[MemCube], vault: VaultName, *, grant: Grant, now: datetime) -> None:
    """Refuse memories that no cache may be made of.

    Raises:
        GrantInvalid: the grant does not allow to use them.
        MissingField, LimitExceeded: no memory, or too many.
        InvalidField: one is no text, is there twice, or is of another vault, whose readers may be others.
        StateConflict: one may not enter a prompt.
    """
    grant.require(Action.CUBE_USE)
    if not cubes:
        raise MissingField("cubes is empty; give at least one memory.", field="cubes")
    check_number(len(cubes), limits.DERIVED_FROM, field="cubes")
    seen = set()
    for index, cube in enumerate(cubes):
        field = f"cubes[{index}]"
        if cube.vault != vault:
            raise InvalidField(f"{field} is not in {vault}.", field=f"{field}.vault")
        if cube.name in seen:
            raise InvalidField(f"{field} is {cube.name} again.", field=f"{field}.name")
        seen.add(cube.name)
        check_memory(cube, grant=grant, now=now, field=field)


class GreedyDual:
    """Which of several things of different size and worth is dropped first.

    After GreedyDual-Size-Frequency (Cherkasova, 1998). The value of a thing is what its uses save per byte, counted
    from the value of what was dropped last: so what was worth much once, and is not used any more, gets its turn too.
    """

    def __init__(self) -> None:
        self._floor = 0.0

    def value(self, *, uses: int, seconds: float, nbytes: int) -> float:
        """Return the value of something that was used now, and saves so many seconds each time."""
        return self._floor + uses * seconds / max(nbytes, 1)

    def dropped(self, value: float) -> None:
        """Take note of what was dropped."""
        self._floor = max(self._floor, value)
