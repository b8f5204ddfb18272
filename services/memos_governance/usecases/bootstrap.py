"""The first tenant of an installation, and a way back in for whoever owns its machine."""

from collections.abc import Callable
from dataclasses import dataclass

from memos_governance.domain.credentials import digest_of
from memos_governance.domain.records import ApiKey, Permission, PrincipalRecord, Vault
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Scribe
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import KeyName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Makes a tenant with an admin, a vault that the admin owns, and a key for it.

    It needs no grant: it runs where the database is, not behind an rpc.
    """

    store: PolicyStore
    scribe: Scribe
    clock: Clock
    new_id: IdFactory
    new_secret: Callable[[], str]

    async def __call__(self, tenant: TenantName, *, admin: str, vault: str, secret: str | None = None) -> str | None:
        """Return the secret of the admin's key, a new one if none is given; None if the tenant was there already."""
        secret = secret or self.new_secret()
        principal = PrincipalName(tenant.tenant, admin)
        name = VaultName(tenant.tenant, vault)

        def change(tx: PolicyTransaction) -> bool:
            if tx.tenant_exists():
                return False
            now = self.clock.now()
            tx.add_tenant(create_time=now)
            tx.put_principal(PrincipalRecord(name=principal, admin=True), create_time=now)
            tx.add_vault(Vault(name=name, display_name="", create_time=now, owner=principal))
            tx.set_role(Permission(name, principal, Role.OWNER))
            for action, resource in (("tenant.create", str(tenant)), ("vault.create", str(name))):
                tx.append_audit(self.scribe.event(principal, action, resource, reason="bootstrap"))
            self._add_key(tx, principal, secret)
            return True

        return secret if await self.store.write(tenant, change) else None

    async def recover(self, principal: PrincipalName) -> str:
        """Return the secret of a new key for an admin whose key was lost.

        Raises:
            LookupError: there is no such admin.
        """
        secret = self.new_secret()

        def change(tx: PolicyTransaction) -> None:
            record = tx.principal(principal)
            if record is None or not record.admin:
                raise LookupError(f"{principal} is no admin of its tenant")
            self._add_key(tx, principal, secret)

        await self.store.write(principal.parent, change)
        return secret

    def _add_key(self, tx: PolicyTransaction, principal: PrincipalName, secret: str) -> None:
        name = KeyName(principal.tenant, self.new_id())
        key = ApiKey(name=name, principal=principal, admin=True, display_name="local", create_time=self.clock.now())
        tx.add_key(key, digest=digest_of(secret))
        tx.append_audit(self.scribe.event(principal, "key.create", str(name), reason="bootstrap"))
