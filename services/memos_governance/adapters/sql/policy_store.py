"""Tenants, principals, keys, vaults and roles in SQL."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, select

from memos_governance.adapters.sql.database import Database
from memos_governance.adapters.sql.policy_transaction import KEYS, SqlPolicyTransaction, key_of, vault_of
from memos_governance.adapters.sql.schema import api_keys, permissions, principals, tenants, vaults
from memos_governance.domain.records import ApiKey, Membership, Permission, Standing
from memos_governance.ports import PolicyTransaction
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role

T = TypeVar("T")


class SqlPolicyStore:
    """PolicyStore on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, tenant: TenantName, change: Callable[[PolicyTransaction], T]) -> T:
        """See the port."""
        return await self._database.write(lambda connection: change(SqlPolicyTransaction(connection, tenant)))

    async def tenants(self) -> tuple[TenantName, ...]:
        """See the port."""
        query = select(tenants.c.tenant).order_by(tenants.c.tenant)
        names = await self._database.read(lambda connection: connection.scalars(query).all())
        return tuple(TenantName(name) for name in names)

    async def epoch(self, tenant: TenantName) -> int | None:
        """See the port."""
        query = select(tenants.c.policy_epoch).where(tenants.c.tenant == tenant.tenant)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def standing(self, principal: PrincipalName) -> Standing | None:
        """See the port."""
        return await self._database.read(lambda connection: _standing(connection, principal))

    async def key_by_digest(self, digest: str) -> ApiKey | None:
        """See the port."""
        query = KEYS.where(api_keys.c.digest == digest)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else key_of(row)

    async def keys(self, tenant: TenantName, *, after: str, limit: int) -> tuple[ApiKey, ...]:
        """See the port."""
        query = KEYS.where(api_keys.c.tenant == tenant.tenant, api_keys.c.key > after)
        query = query.order_by(api_keys.c.key).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(key_of(row) for row in rows)

    async def membership(self, vault: VaultName, principal: PrincipalName) -> Membership | None:
        """See the port."""
        if vault.tenant != principal.tenant:
            return None
        query = _memberships(principal).where(vaults.c.vault == vault.id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else Membership(vault_of(row), Role(row.role))

    async def memberships(self, principal: PrincipalName, *, after: str, limit: int) -> tuple[Membership, ...]:
        """See the port."""
        query = _memberships(principal).where(permissions.c.vault > after).order_by(permissions.c.vault).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(Membership(vault_of(row), Role(row.role)) for row in rows)

    async def permissions(self, vault: VaultName, *, after: str, limit: int) -> tuple[Permission, ...]:
        """See the port."""
        query = (
            select(permissions.c.principal, permissions.c.role)
            .where(
                permissions.c.tenant == vault.tenant,
                permissions.c.vault == vault.id,
                permissions.c.principal > after,
            )
            .order_by(permissions.c.principal)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(Permission(vault, PrincipalName(vault.tenant, row.principal), Role(row.role)) for row in rows)


def _memberships(principal: PrincipalName) -> Select[Any]:
    return (
        select(vaults, permissions.c.role)
        .join(permissions)
        .where(permissions.c.tenant == principal.tenant, permissions.c.principal == principal.id)
    )


def _standing(connection: Connection, principal: PrincipalName) -> Standing | None:
    """Read everything from one view of the database, so that roles and epoch fit each other."""
    query = (
        select(principals.c.admin, tenants.c.policy_epoch)
        .join(tenants)
        .where(principals.c.tenant == principal.tenant, principals.c.principal == principal.id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    roles = select(permissions.c.vault, permissions.c.role).where(
        permissions.c.tenant == principal.tenant, permissions.c.principal == principal.id
    )
    return Standing(
        principal=principal,
        admin=row.admin,
        roles={VaultName(principal.tenant, vault): Role(role) for vault, role in connection.execute(roles)},
        epoch=row.policy_epoch,
    )
