"""Gives a principal a role in a vault, or takes it."""

from dataclasses import dataclass

from memos_governance.domain.records import Permission, check_person, check_vaults, principal_not_found
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.errors import StateConflict
from memos_kernel.ids import Clock
from memos_kernel.permission import Role
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVaultPermission:
    """A vault keeps at least one owner, or nobody could share it any more."""

    store: PolicyStore
    scribe: Scribe
    clock: Clock

    async def __call__(self, wanted: Permission, *, caller: Caller, request: RequestKey) -> Permission:
        """Return the permission as it is now; the role NONE takes it.

        Raises:
            VaultNotFound: no such vault, or the caller has no role in it.
            PermissionDenied: the caller does not own the vault.
            ResourceNotFound: no such principal in the caller's tenant.
            InvalidField: the system's own principal.
            LimitExceeded: the principal has roles in as many vaults as one may.
            StateConflict: the vault would lose its last owner.
            RequestIdReused: the request id was used with another body.
        """

        def change(tx: PolicyTransaction) -> Permission:
            caller.require_owner(tx, wanted.vault)
            check_person(wanted.principal, tenant=caller.grant.tenant, field="permission.principal")
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: ("", self._set(tx, wanted, caller)),
                replay=lambda _: wanted,
            )

        return await self.store.write(caller.grant.tenant, change)

    def _set(self, tx: PolicyTransaction, wanted: Permission, caller: Caller) -> Permission:
        if tx.principal(wanted.principal) is None:
            raise principal_not_found(wanted.principal)
        present = tx.role(wanted.vault, wanted.principal)
        if present is wanted.role:
            return wanted
        if present is Role.NONE:
            check_vaults(tx.vaults_of(wanted.principal), principal=wanted.principal, field="permission.principal")
        if present is Role.OWNER and not tx.another_owner(wanted.vault, wanted.principal):
            raise StateConflict(
                f"{wanted.principal} is the last owner of {wanted.vault}; make somebody else an owner first.",
                name=str(wanted.vault),
                state="LAST_OWNER",
            )
        tx.set_role(wanted)
        change = f"{wanted.principal} {present.name} -> {wanted.role.name}"
        tx.append_audit(
            self.scribe.event(
                caller.principal, "permission.set", str(wanted.vault), reason=change, trace_id=caller.trace_id
            )
        )
        return wanted
