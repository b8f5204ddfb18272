"""Makes a vault."""

from dataclasses import dataclass

from memos_governance.domain.records import Membership, Permission, Vault, check_vaults
from memos_governance.domain.vaults import WantedVault, check_shared, check_wanted, differences
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.errors import ResourceExists, ResourceNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Role
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVault:
    """The caller becomes its owner."""

    store: PolicyStore
    scribe: Scribe
    clock: Clock

    async def __call__(self, wanted: WantedVault, *, caller: Caller, request: RequestKey) -> Membership:
        """Return the vault as its maker sees it.

        Raises:
            PermissionDenied: the caller is no admin.
            ResourceNotFound: a name in another tenant, whether that exists or not.
            ResourceExists: the name is taken.
            LimitExceeded: a title that is too long, the caller has roles in as many vaults as one may, or as many
                vaults have a role for everybody.
            InvalidField: control characters in the title, or a policy that there cannot be.
            RequestIdReused: the request id was used with another body.
        """
        check_wanted(wanted)
        name = wanted.name
        if name.parent != caller.grant.tenant:
            raise ResourceNotFound(f"There is no {name.parent} to make a vault in.", name=str(name.parent))

        def change(tx: PolicyTransaction) -> Membership:
            caller.require_admin(tx)
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: ("", self._create(tx, wanted, caller)),
                replay=lambda _: _existing(tx, name, caller),
            )

        return await self.store.write(caller.grant.tenant, change)

    def _create(self, tx: PolicyTransaction, wanted: WantedVault, caller: Caller) -> Membership:
        name, policy = wanted.name, wanted.policy
        if tx.vault(name) is not None:
            raise ResourceExists(f"There is a vault {name} already; choose another name.", name=str(name))
        check_vaults(tx.vaults_of(caller.principal), principal=caller.principal, field="vault")
        if policy.member_role is not Role.NONE:
            check_shared(tx.shared_vaults())
        vault = Vault(
            name=name,
            display_name=wanted.display_name,
            create_time=self.clock.now(),
            owner=caller.principal,
            type=wanted.type,
            policy=policy,
        )
        tx.add_vault(vault)
        tx.set_role(Permission(name, caller.principal, Role.OWNER))
        rules = "; ".join([vault.type.name, *differences(None, vault)])
        event = self.scribe.event(caller.principal, "vault.create", str(name), reason=rules, trace_id=caller.trace_id)
        tx.append_audit(event)
        return Membership(vault, Role.OWNER)


def _existing(tx: PolicyTransaction, name: VaultName, caller: Caller) -> Membership:
    vault = tx.vault(name)
    assert vault is not None, "a vault is never removed"
    return Membership(vault, vault.role_of(tx.role(name, caller.principal)))
