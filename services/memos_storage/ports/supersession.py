"""Who tells whether a statement makes an earlier one untrue, and where that is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from memos_storage.domain.memory_links import StoredLink


@dataclass(frozen=True, slots=True)
class Told:
    """A statement.

    Attributes:
        text: what was said.
        tokens: codes of the vectors of its tokens, see `memos_kernel.token_codes`; empty if there are none.
        dimensions: of these vectors.
    """

    text: str
    tokens: bytes = b""
    dimensions: int = 0


class Judge(Protocol):
    """Compares statements of the same person, or about the same things."""

    def __call__(self, newer: Told, older: Told, cosine: float) -> float:
        """Return the probability that the older statement is untrue since the newer one was told.

        Args:
            newer: told later.
            older: told earlier.
            cosine: of the vectors of the two texts.
        """
        ...

    def restates(self, newer: Told, older: Told, cosine: float) -> float:
        """Return how well the newer statement says the same as the older one in other forms, to 1; 0 if it does not.

        Args:
            newer: told later.
            older: told earlier.
            cosine: of the vectors of the two texts.
        """
        ...


class MemoryLinks(Protocol):
    """Reads links between statements. None is of a cube that is deleted."""

    async def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube, to what it outdates and to what outdates it, the latest first."""
        ...

    async def to(self, uids: Sequence[str], *, least: float = 0.0) -> list[StoredLink]:
        """Return the links to what outdates these cubes, and to what may with at least some evidence."""
        ...


class LinkLedger(Protocol):
    """The links inside one transaction."""

    def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube, as `MemoryLinks.of` does."""
        ...

    def put(self, link: StoredLink) -> None:
        """Store a link, in the place of one of the same two cubes if there is one."""
        ...
