"""What governance remembers about tenants: principals, keys, vaults and roles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, ResourceNotFound
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID, Role
from memos_kernel.quotas import VaultQuota
from memos_kernel.vaults import VaultPolicy, VaultType


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalRecord:
    """Somebody who may call. `admin` may make vaults and keys, and is itself shown no vault without a role.

    A key may be for anybody of the tenant, as somebody's may be lost; whoever holds it acts as that principal. The
    audit log names both: the admin made the key, and the principal does what is done with it.
    """

    name: PrincipalName
    admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its secret; `admin` is the principal's standing now, not that of the day it was made."""

    name: KeyName
    principal: PrincipalName
    admin: bool
    display_name: str
    create_time: datetime
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A namespace of memory; `owner` is the principal that made it, whoever owns it now."""

    name: VaultName
    display_name: str
    create_time: datetime
    owner: PrincipalName
    type: VaultType = VaultType.USER_PRIVATE
    policy: VaultPolicy = field(default_factory=VaultPolicy)

    def role_of(self, own: Role) -> Role:
        """Return the role of a principal of the tenant that has a role of its own, or none."""
        return max(own, self.policy.member_role)


@dataclass(frozen=True, slots=True)
class Membership:
    """A vault as one principal sees it."""

    vault: Vault
    role: Role


@dataclass(frozen=True, slots=True)
class Permission:
    """One principal's role in one vault."""

    vault: VaultName
    principal: PrincipalName
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that decides what a principal may do, as of one version of its tenant's policy.

    Attributes:
        roles: its own, or those that a vault gives to everybody where these are greater.
        quotas: limits of those of these vaults that have some.
    """

    principal: PrincipalName
    admin: bool
    roles: Mapping[VaultName, Role]
    epoch: int
    quotas: Mapping[VaultName, VaultQuota] = field(default_factory=dict)


def check_person(principal: PrincipalName, *, tenant: TenantName, field: str) -> None:
    """Refuse a principal that nobody of the tenant may hand keys or roles to.

    A principal of another tenant is answered as if it did not exist, whether it does or not.

    Raises:
        ResourceNotFound: of another tenant.
        InvalidField: the system's own principal.
    """
    if principal.parent != tenant:
        raise principal_not_found(principal)
    if principal.id == SYSTEM_PRINCIPAL_ID:
        raise InvalidField(f"{field} names the principal of the system's own jobs; choose another id.", field=field)


def check_vaults(held: int, *, principal: PrincipalName, field: str) -> None:
    """Refuse a role in one more vault to a principal that has one in `held` vaults, if a grant could not hold them all.

    Raises:
        LimitExceeded: `held` is `limits.PRINCIPAL_VAULTS` or more.
    """
    if held >= limits.PRINCIPAL_VAULTS:
        raise LimitExceeded(
            f"{principal} has a role in {held} vaults; the limit is {limits.PRINCIPAL_VAULTS}."
            " Take away one that it does not need.",
            field=field,
            limit=str(limits.PRINCIPAL_VAULTS),
            unit="vaults",
        )


def principal_not_found(principal: PrincipalName) -> ResourceNotFound:
    """Return the one answer for a principal that is absent and one that is secret."""
    return ResourceNotFound(f"There is no principal {principal}; make a key for it first.", name=str(principal))
