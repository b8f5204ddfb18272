"""One tenant's policy inside one SQL transaction."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, delete, exists, func, select, update

from memos_governance.adapters.sql import chains
from memos_governance.adapters.sql.schema import api_keys, permissions, principals, request_ids, tenants, vaults
from memos_governance.domain.audit import AuditEvent
from memos_governance.domain.records import ApiKey, Permission, PrincipalRecord, Vault
from memos_governance.ports import StoredRequest
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role
from memos_kernel.quotas import VaultQuota
from memos_kernel.requests import RequestKey
from memos_kernel.vaults import VaultPolicy, VaultType

KEYS = select(api_keys, principals.c.admin).join(principals)
"""Keys with the present standing of their principals."""


class SqlPolicyTransaction:
    """Holds the lock of the tenant's row, so that changes of one tenant's policy follow one another."""

    def __init__(self, connection: Connection, tenant: TenantName) -> None:
        self._connection = connection
        self._tenant = tenant
        lock = select(tenants.c.tenant).where(tenants.c.tenant == tenant.tenant).with_for_update()
        self._exists = connection.execute(lock).one_or_none() is not None

    def tenant_exists(self) -> bool:
        """See the port."""
        return self._exists

    def add_tenant(self, *, create_time: datetime) -> None:
        """See the port."""
        values = {"tenant": self._tenant.tenant, "policy_epoch": 1, "create_time": create_time}
        self._connection.execute(tenants.insert(), values)
        self._exists = True

    def principal(self, name: PrincipalName) -> PrincipalRecord | None:
        """See the port."""
        query = select(principals.c.admin).where(*self._at(principals, principal=name.id))
        row = self._connection.execute(query).one_or_none()
        return None if row is None else PrincipalRecord(name=name, admin=row.admin)

    def put_principal(self, principal: PrincipalRecord, *, create_time: datetime) -> None:
        """See the port."""
        where = self._at(principals, principal=principal.name.id)
        changed = self._connection.execute(update(principals).where(*where).values(admin=principal.admin))
        if not changed.rowcount:
            values = {"principal": principal.name.id, "admin": principal.admin, "create_time": create_time}
            self._insert(principals, values)
        self._advance()

    def key(self, name: KeyName) -> ApiKey | None:
        """See the port."""
        row = self._connection.execute(KEYS.where(*self._at(api_keys, key=name.id))).one_or_none()
        return None if row is None else key_of(row)

    def add_key(self, key: ApiKey, *, digest: str) -> None:
        """See the port."""
        values = {
            "key": key.name.id,
            "digest": digest,
            "principal": key.principal.id,
            "display_name": key.display_name,
            "create_time": key.create_time,
            "revoke_time": key.revoke_time,
        }
        self._insert(api_keys, values)

    def revoke_key(self, name: KeyName, *, revoke_time: datetime) -> None:
        """See the port."""
        where = self._at(api_keys, key=name.id)
        self._connection.execute(update(api_keys).where(*where).values(revoke_time=revoke_time))

    def another_admin_key(self, name: KeyName) -> bool:
        """See the port."""
        live = KEYS.where(
            api_keys.c.tenant == self._tenant.tenant,
            api_keys.c.key != name.id,
            api_keys.c.revoke_time.is_(None),
            principals.c.admin,
        )
        return self._any(live)

    def vault(self, name: VaultName) -> Vault | None:
        """See the port."""
        row = self._connection.execute(select(vaults).where(*self._at(vaults, vault=name.id))).one_or_none()
        return None if row is None else vault_of(row)

    def add_vault(self, vault: Vault) -> None:
        """See the port."""
        values = {
            "vault": vault.name.id,
            "create_time": vault.create_time,
            "owner": vault.owner.id,
            "type": int(vault.type),
            **_changeable(vault),
        }
        self._insert(vaults, values)

    def replace_vault(self, vault: Vault) -> None:
        """See the port."""
        where = self._at(vaults, vault=vault.name.id)
        self._connection.execute(update(vaults).where(*where).values(_changeable(vault)))
        self._advance()

    def shared_vaults(self) -> int:
        """See the port."""
        query = select(func.count()).select_from(vaults).where(*self._at(vaults), vaults.c.member_role > 0)
        return self._connection.execute(query).scalar_one()

    def role(self, vault: VaultName, principal: PrincipalName) -> Role:
        """See the port."""
        where = self._at(permissions, vault=vault.id, principal=principal.id)
        return Role(self._connection.scalar(select(permissions.c.role).where(*where)) or Role.NONE)

    def set_role(self, permission: Permission) -> None:
        """See the port."""
        where = self._at(permissions, vault=permission.vault.id, principal=permission.principal.id)
        self._connection.execute(delete(permissions).where(*where))
        if permission.role is not Role.NONE:
            values = {
                "vault": permission.vault.id,
                "principal": permission.principal.id,
                "role": int(permission.role),
            }
            self._insert(permissions, values)
        self._advance()

    def vaults_of(self, principal: PrincipalName) -> int:
        """See the port."""
        query = select(func.count()).select_from(permissions).where(*self._at(permissions, principal=principal.id))
        return self._connection.execute(query).scalar_one()

    def another_owner(self, vault: VaultName, principal: PrincipalName) -> bool:
        """See the port."""
        owners = select(permissions).where(
            *self._at(permissions, vault=vault.id),
            permissions.c.role == int(Role.OWNER),
            permissions.c.principal != principal.id,
        )
        return self._any(owners)

    def find_request(self, principal: PrincipalName, request: RequestKey, *, since: datetime) -> StoredRequest | None:
        """See the port."""
        query = select(request_ids.c.body_sha256, request_ids.c.result).where(
            *self._at(request_ids, principal=principal.id, method=request.method, request_id=request.request_id),
            request_ids.c.create_time >= since,
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None else StoredRequest(row.body_sha256, row.result)

    def remember_request(
        self, principal: PrincipalName, request: RequestKey, *, result: str, create_time: datetime, forget: datetime
    ) -> None:
        """See the port."""
        old = delete(request_ids).where(*self._at(request_ids), request_ids.c.create_time < forget)
        self._connection.execute(old)
        values = {
            "principal": principal.id,
            "method": request.method,
            "request_id": request.request_id,
            "body_sha256": request.body_sha256,
            "result": result,
            "create_time": create_time,
        }
        self._insert(request_ids, values)

    def append_audit(self, event: AuditEvent) -> None:
        """See the port."""
        chains.append(self._connection, self._tenant, [event])

    def _at(self, table: Table, **values: str) -> list[ColumnElement[bool]]:
        """Return the condition for rows of this tenant with these values."""
        return [table.c.tenant == self._tenant.tenant, *(table.c[name] == value for name, value in values.items())]

    def _insert(self, table: Table, values: dict[str, Any]) -> None:
        self._connection.execute(table.insert(), {"tenant": self._tenant.tenant, **values})

    def _any(self, query: Any) -> bool:
        return bool(self._connection.scalar(select(exists(query))))

    def _advance(self) -> None:
        row = tenants.c.tenant == self._tenant.tenant
        self._connection.execute(update(tenants).where(row).values(policy_epoch=tenants.c.policy_epoch + 1))


def key_of(row: Row[Any]) -> ApiKey:
    """Return the key of a row of KEYS."""
    return ApiKey(
        name=KeyName(row.tenant, row.key),
        principal=PrincipalName(row.tenant, row.principal),
        admin=row.admin,
        display_name=row.display_name,
        create_time=row.create_time,
        revoke_time=row.revoke_time,
    )


def _changeable(vault: Vault) -> dict[str, Any]:
    policy = vault.policy
    return {
        "display_name": vault.display_name,
        "member_role": int(policy.member_role),
        "max_cubes": policy.quota.max_cubes,
        "max_bytes": policy.quota.max_bytes,
        "cold_after": _seconds(policy.cold_after),
        "delete_after": _seconds(policy.delete_after),
    }


def _seconds(age: timedelta | None) -> int | None:
    return None if age is None else int(age.total_seconds())


def _age(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def vault_of(row: Row[Any]) -> Vault:
    """Return the vault of a row that has the columns of the table."""
    return Vault(
        name=VaultName(row.tenant, row.vault),
        display_name=row.display_name,
        create_time=row.create_time,
        owner=PrincipalName(row.tenant, row.owner),
        type=VaultType(row.type),
        policy=VaultPolicy(
            member_role=Role(row.member_role),
            quota=VaultQuota(row.max_cubes, row.max_bytes),
            cold_after=_age(row.cold_after),
            delete_after=_age(row.delete_after),
        ),
    )
