"""What one statement does to an earlier one about the same."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from memos_kernel.names import CubeName, PrincipalName


class LinkKind(IntEnum):
    """The numbers are stored, and are those of the contract."""

    SUPERSEDES = 1
    """The older one held until the newer one was told."""
    MAY_SUPERSEDE = 2
    """The two may contradict each other; both stay as they are."""
    UNRELATED = 3
    """Somebody said that neither touches the other."""
    RESTATES = 4
    """The newer one says the same, in other forms of the same words; both hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLink:
    """A newer statement and an older one.

    Attributes:
        evidence: probability that the newer one makes the older one untrue, as it was judged, or how well it says the
            same if it restates it; 1 if somebody decided.
        time: when it was judged or decided.
        decided_by: who decided; None if it was judged.
    """

    newer: CubeName
    older: CubeName
    kind: LinkKind
    evidence: float
    time: datetime
    decided_by: PrincipalName | None = None
