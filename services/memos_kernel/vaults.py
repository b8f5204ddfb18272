"""What a vault is for, and the rules that it keeps (MemVault, arXiv 2507.03724, section 5.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from memos_kernel.permission import Role
from memos_kernel.quotas import VaultQuota


class VaultType(IntEnum):
    """What a vault is for; the numbers are those of the contract."""

    USER_PRIVATE = 1
    EXPERT = 2
    INDUSTRY_SHARED = 3
    CONTEXTUAL_POOL = 4
    PIPELINE_CACHE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultPolicy:
    """The rules of a vault.

    Attributes:
        member_role: role of every principal of the tenant, unless its own is greater.
        cold_after: age at which cubes that were neither changed nor used leave the hot index; None is never.
        delete_after: age at which cubes are deleted; None is never.
    """

    member_role: Role = Role.NONE
    quota: VaultQuota = field(default_factory=VaultQuota)
    cold_after: timedelta | None = None
    delete_after: timedelta | None = None


DEFAULT_POLICIES: Mapping[VaultType, VaultPolicy] = {
    VaultType.USER_PRIVATE: VaultPolicy(),
    VaultType.EXPERT: VaultPolicy(member_role=Role.READER),
    VaultType.INDUSTRY_SHARED: VaultPolicy(member_role=Role.READER, cold_after=timedelta(days=90)),
    VaultType.CONTEXTUAL_POOL: VaultPolicy(member_role=Role.WRITER, cold_after=timedelta(days=30)),
    VaultType.PIPELINE_CACHE: VaultPolicy(delete_after=timedelta(days=1)),
}
"""The policy that a vault of a type is made with, as far as nothing else is asked for."""
