"""Room in a vault for one cube among many, each of which is refused by itself."""

from memos_kernel.cube import MemCube
from memos_kernel.permission import Grant
from memos_storage.domain.quotas import check_quota, text_bytes
from memos_storage.ports import Transaction


def check_growth(tx: Transaction, cube: MemCube, grant: Grant, *, before: MemCube | None) -> None:
    """Refuse a new cube, or one with a longer text than before, for which its vault has no room.

    Raises:
        QuotaExceeded: as said. What others store meanwhile is met by the end of the transaction.
    """
    quota = grant.quotas.get(cube.vault)
    if quota is None:
        return
    tx.limit(cube.vault, quota)
    more = text_bytes(cube) - (text_bytes(before) if before is not None else 0)  # bytes of a blob counted when it came
    check_quota(cube.vault, tx.usage(cube.vault), quota, cubes=1 if before is None else 0, size=more)
