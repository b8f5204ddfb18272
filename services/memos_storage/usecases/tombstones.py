"""What keeps purged memories from being stored again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from memos_kernel.cube import MemCube
from memos_kernel.errors import ContentPurged
from memos_storage.domain import purges
from memos_storage.ports import Transaction


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Tombstones of the installation; `secret` keys them."""

    secret: Callable[[], bytes]

    def of(self, cubes: Iterable[MemCube]) -> frozenset[bytes]:
        """Return the tombstones of cubes."""
        return purges.buried(cubes, self.secret())

    def check_text(self, tx: Transaction, cube: MemCube) -> None:
        """Refuse words that were purged from the cube's vault.

        Raises:
            ContentPurged: they were.
        """
        self.check(tx, replace(cube, sources=(), derived_from=()))

    def check(self, tx: Transaction, cube: MemCube) -> None:
        """Refuse what was purged from the cube's vault.

        Raises:
            ContentPurged: its words, the place of a message that it is from, or a cube that it is derived from.
        """
        purge = tx.purges.stopped(cube.vault, lambda: purges.sought(cube, self.secret()))
        if purge is not None:
            raise ContentPurged(
                f"{purge} erased this from {cube.vault}; lift that purge to store it again.", purge=str(purge)
            )
