"""Makes a vault."""

from dataclasses import dataclass

from memos_governance.domain.records import Membership, Permission, Vault, check_vaults
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.errors import ResourceExists, ResourceNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Role
from memos_kernel.requests import RequestKey
from memos_kernel.text import check_line


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVault:
    """The caller becomes its owner."""

    store: PolicyStore
    scribe: Scribe
    clock: Clock

    async def __call__(self, name: VaultName, *, display_name: str, caller: Caller, request: RequestKey) -> Membership:
        """Return the vault as its maker sees it.

        Raises:
            PermissionDenied: the caller is no admin.
            ResourceNotFound: a name in another tenant, whether that exists or not.
            ResourceExists: the name is taken.
            LimitExceeded: a title that is too long, or the caller has roles in as many vaults as one may.
            InvalidField: control characters in the title.
            RequestIdReused: the request id was used with another body.
        """
        check_line(display_name, field="vault.display_name")
        if name.parent != caller.grant.tenant:
            raise ResourceNotFound(f"There is no {name.parent} to make a vault in.", name=str(name.parent))

        def change(tx: PolicyTransaction) -> Membership:
            caller.require_admin(tx)
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: ("", self._create(tx, name, display_name, caller)),
                replay=lambda _: _existing(tx, name, caller),
            )

        return await self.store.write(caller.grant.tenant, change)

    def _create(self, tx: PolicyTransaction, name: VaultName, display_name: str, caller: Caller) -> Membership:
        if tx.vault(name) is not None:
            raise ResourceExists(f"There is a vault {name} already; choose another name.", name=str(name))
        check_vaults(tx.vaults_of(caller.principal), principal=caller.principal, field="vault")
        vault = Vault(name=name, display_name=display_name, create_time=self.clock.now(), owner=caller.principal)
        tx.add_vault(vault)
        tx.set_role(Permission(name, caller.principal, Role.OWNER))
        tx.append_audit(self.scribe.event(caller.principal, "vault.create", str(name), trace_id=caller.trace_id))
        return Membership(vault, Role.OWNER)


def _existing(tx: PolicyTransaction, name: VaultName, caller: Caller) -> Membership:
    vault = tx.vault(name)
    assert vault is not None, "a vault is never removed"
    return Membership(vault, tx.role(name, caller.principal))
