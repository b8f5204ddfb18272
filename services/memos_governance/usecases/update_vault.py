"""Changes title and policy of a vault."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_governance.domain.decision import vault_not_found
from memos_governance.domain.records import Membership, Vault
from memos_governance.domain.vaults import (
    WantedVault,
    check_mask,
    check_shared,
    check_wanted,
    differences,
    updated,
)
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.ids import Clock
from memos_kernel.permission import Role
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateVault:
    """Grants that are under way keep the policy of before, for 60 seconds at most."""

    store: PolicyStore
    scribe: Scribe
    clock: Clock

    async def __call__(
        self, wanted: WantedVault, *, paths: Sequence[str], caller: Caller, request: RequestKey
    ) -> Membership:
        """Return the vault as its owner sees it now.

        Raises:
            VaultNotFound: no such vault, or the caller has no role in it.
            PermissionDenied: the caller does not own the vault.
            MissingField, ImmutableField: the mask.
            InvalidField, LimitExceeded: a value, or as many vaults have a role for everybody as may.
            RequestIdReused: the request id was used with another body.
        """
        mask = check_mask(paths)
        check_wanted(wanted)

        def change(tx: PolicyTransaction) -> Membership:
            caller.require_owner(tx, wanted.name)
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: ("", Membership(self._update(tx, wanted, mask, caller), Role.OWNER)),
                replay=lambda _: Membership(_present(tx, wanted), Role.OWNER),
            )

        return await self.store.write(caller.grant.tenant, change)

    def _update(self, tx: PolicyTransaction, wanted: WantedVault, mask: frozenset[str], caller: Caller) -> Vault:
        before = _present(tx, wanted)
        after = updated(before, wanted, paths=mask)
        if after == before:
            return before
        if after.policy.member_role is not Role.NONE and before.policy.member_role is Role.NONE:
            check_shared(tx.shared_vaults())
        tx.replace_vault(after)
        tx.append_audit(
            self.scribe.event(
                caller.principal,
                "vault.update",
                str(wanted.name),
                reason="; ".join(differences(before, after)),
                trace_id=caller.trace_id,
            )
        )
        return after


def _present(tx: PolicyTransaction, wanted: WantedVault) -> Vault:
    vault = tx.vault(wanted.name)
    if vault is None:
        raise vault_not_found(wanted.name)
    return vault
