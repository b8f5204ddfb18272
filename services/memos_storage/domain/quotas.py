"""Whether a vault may hold more."""

from memos_kernel.cube import MemCube
from memos_kernel.errors import QuotaExceeded
from memos_kernel.names import VaultName
from memos_kernel.quotas import VaultQuota, VaultUsage

NONE = VaultQuota()


def text_bytes(cube: MemCube) -> int:
    """Return the bytes of a cube that count beside those of its blob: its text in UTF-8."""
    return len(cube.text.encode())


def check_quota(vault: VaultName, usage: VaultUsage, quota: VaultQuota, *, cubes: int = 0, size: int = 0) -> None:
    """Refuse to let a vault grow by so many cubes and bytes; what does not grow may stay over a lowered limit.

    Raises:
        QuotaExceeded: it would hold more than it may.
    """
    for unit, used, more, limit in (
        ("cubes", usage.cubes, cubes, quota.max_cubes),
        ("bytes", usage.bytes, size, quota.max_bytes),
    ):
        if limit and more > 0 and used + more > limit:
            raise QuotaExceeded(
                f"{vault} holds {used:,} {unit}, and may hold {limit:,}; {more:,} more do not fit. Deleted cubes count"
                " until they are erased: purge what is not needed, or ask the vault's owner for a larger limit.",
                vault=str(vault),
                unit=unit,
                limit=str(limit),
                used=str(used),
            )
