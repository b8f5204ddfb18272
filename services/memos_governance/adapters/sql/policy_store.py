"""Tenants, principals, keys, vaults and roles in SQL."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, bindparam, select

from memos_governance.adapters.sql.database import Database
from memos_governance.adapters.sql.policy_transaction import KEYS, SqlPolicyTransaction, key_of, vault_of
from memos_governance.adapters.sql.schema import api_keys, permissions, principals, tenants, vaults
from memos_governance.domain.records import ApiKey, Membership, Permission, Standing, Vault
from memos_governance.ports import PolicyTransaction
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role

T = TypeVar("T")

_MEMBERSHIP = (  # built once: to build it takes as long as to run it
    select(vaults, permissions.c.role)
    .outerjoin(
        permissions,
        (permissions.c.tenant == vaults.c.tenant)
        & (permissions.c.vault == vaults.c.vault)
        & (permissions.c.principal == bindparam("principal")),
    )
    .where(vaults.c.tenant == bindparam("tenant"), vaults.c.vault == bindparam("vault"))
)


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
        names = {"tenant": vault.tenant, "vault": vault.id, "principal": principal.id}
        row = await self._database.read(lambda connection: connection.execute(_MEMBERSHIP, names).one_or_none())
        if row is None:
            return None
        found = vault_of(row)
        role = found.role_of(Role(row.role or Role.NONE))
        return Membership(found, role) if role is not Role.NONE else None

    async def memberships(self, principal: PrincipalName, *, after: str, limit: int) -> tuple[Membership, ...]:
        """See the port."""
        later = vaults.c.vault > after
        found = await self._database.read(lambda connection: _memberships(connection, principal, later, limit=limit))
        return tuple(found[:limit])

    async def swept_vaults(self, tenant: TenantName, *, after: str, limit: int) -> tuple[Vault, ...]:
        """See the port."""
        swept = vaults.c.cold_after.is_not(None) | vaults.c.delete_after.is_not(None)
        query = select(vaults).where(vaults.c.tenant == tenant.tenant, vaults.c.vault > after, swept)
        query = query.order_by(vaults.c.vault).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(vault_of(row) for row in rows)

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


def _memberships(
    connection: Connection, principal: PrincipalName, *conditions: ColumnElement[bool], limit: int | None = None
) -> list[Membership]:
    """Return by id the vaults in which a principal has a role: its own, at most `limit`, and everybody's, as many."""
    own = (
        select(vaults, permissions.c.role)
        .join(permissions)
        .where(permissions.c.tenant == principal.tenant, permissions.c.principal == principal.id)
    )
    shared = select(vaults).where(vaults.c.tenant == principal.tenant, vaults.c.member_role > 0)
    found: dict[str, Membership] = {}
    for query in (shared, own):  # in this order, for its own role is never below everybody's
        for row in connection.execute(query.where(*conditions).order_by(vaults.c.vault).limit(limit)):
            vault = vault_of(row)
            found[vault.name.id] = Membership(vault, vault.role_of(Role(row.role) if query is own else Role.NONE))
    return [found[id] for id in sorted(found)]


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
    held = _memberships(connection, principal)
    return Standing(
        principal=principal,
        admin=row.admin,
        roles={one.vault.name: one.role for one in held},
        epoch=row.policy_epoch,
        quotas={one.vault.name: one.vault.policy.quota for one in held if one.vault.policy.quota},
    )
