"""Moments of a vault that have names."""

from dataclasses import dataclass
from datetime import datetime

from memos_kernel.names import PrincipalName, SnapshotName, VaultName


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A moment of record time of a vault. It keeps nothing by itself: every past is kept until it is purged."""

    name: SnapshotName
    vault: VaultName
    as_of: datetime
    display_name: str
    creator: PrincipalName
    create_time: datetime
