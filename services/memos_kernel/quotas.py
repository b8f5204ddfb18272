"""How much a vault may hold, and holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VaultQuota:
    """Limits of a vault; 0 is no limit."""

    max_cubes: int = 0
    max_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.max_cubes or self.max_bytes)


@dataclass(frozen=True, slots=True)
class VaultUsage:
    """What a vault holds.

    Attributes:
        cubes: those that are not erased, deleted ones with them.
        bytes: of the present texts, and of blobs.
        cold_cubes: archived and expired ones.
        deleted_cubes: those that can be undeleted, or wait to be erased.
    """

    cubes: int = 0
    bytes: int = 0
    cold_cubes: int = 0
    deleted_cubes: int = 0
