"""Actions, roles, grants and the principal of a call. Everything is denied unless a role grants it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from memos_kernel.errors import GrantInvalid
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.quotas import VaultQuota


class Action(StrEnum):
    """What a call does. Vault actions come from a role; tenant actions from membership or admin."""

    CUBE_READ = "cube.read"
    CUBE_USE = "cube.use"
    CUBE_WRITE = "cube.write"
    CUBE_EXPIRE = "cube.expire"
    CUBE_EMBED = "cube.embed"
    CUBE_PURGE = "cube.purge"
    VAULT_READ = "vault.read"
    VAULT_ADMIN = "vault.admin"
    MODEL_USE = "model.use"
    LINEAGE_READ = "lineage.read"
    LINEAGE_WRITE = "lineage.write"
    JOB_READ = "job.read"
    JOB_WRITE = "job.write"
    TENANT_READ = "tenant.read"
    TENANT_ADMIN = "tenant.admin"


class Role(IntEnum):
    """A principal's role in a vault. Each includes those before it."""

    NONE = 0
    READER = 1
    WRITER = 2
    OWNER = 3


_READER = frozenset({Action.CUBE_READ, Action.CUBE_USE, Action.VAULT_READ})
_WRITER = _READER | {Action.CUBE_WRITE}

ROLE_ACTIONS: dict[Role, frozenset[Action]] = {
    Role.NONE: frozenset(),
    Role.READER: _READER,
    Role.WRITER: _WRITER,
    Role.OWNER: _WRITER | {Action.VAULT_ADMIN, Action.CUBE_PURGE},
}

VAULT_ACTIONS = ROLE_ACTIONS[Role.OWNER]
"""Actions that need a role in the vault."""

MEMBER_ACTIONS = frozenset(
    {
        Action.MODEL_USE,
        Action.LINEAGE_READ,
        Action.LINEAGE_WRITE,
        Action.JOB_READ,
        Action.JOB_WRITE,
        Action.TENANT_READ,
    }
)
"""Actions that every principal of a tenant has; what they touch is filtered by the principal's vaults."""

ADMIN_ACTIONS = frozenset({Action.TENANT_ADMIN})
"""Actions that only an admin of the tenant has. They open no vault by themselves, but an admin may make a key for any
principal of the tenant and act as that one with it; the audit log tells who made the key, and for whom."""

SYSTEM_ACTIONS = frozenset({Action.CUBE_EXPIRE, Action.CUBE_EMBED})
"""Actions of the system principal alone, over all vaults of a tenant."""

SYSTEM_ALSO = frozenset({Action.MODEL_USE})
"""Actions of others that the system principal has too."""

SYSTEM_PRINCIPAL_ID = "system"
"""Principal id that background jobs of the system run as; nobody can make a key for it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling."""

    name: PrincipalName
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What a principal may do for a short time, as verified from its signature.

    Attributes:
        issued_to: service that asked for the grant.
        quotas: limits of those of its vaults that have some, if it allows to write.
        token: the signed bytes, to be passed on to the next service.
    """

    id: str
    principal: PrincipalName
    issued_to: str
    vaults: frozenset[VaultName]
    all_vaults: bool
    actions: frozenset[Action]
    policy_epoch: int
    expire_time: datetime
    quotas: Mapping[VaultName, VaultQuota] = field(default_factory=dict)
    token: bytes = b""

    @property
    def tenant(self) -> TenantName:
        """The principal's tenant; the grant reaches nothing beyond it."""
        return self.principal.parent

    def require(self, action: Action) -> None:
        """Refuse unless the grant allows the action.

        Raises:
            GrantInvalid: it does not.
        """
        if action not in self.actions:
            raise GrantInvalid(f"The grant does not allow {action}.", cause="action", action=action)

    def covers(self, vault: VaultName) -> bool:
        """Return whether the grant covers the vault."""
        if vault.tenant != self.principal.tenant:
            return False
        return self.all_vaults or vault in self.vaults
