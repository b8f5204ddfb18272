"""Decides what a call may do and signs it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memos_governance.domain.decision import decide, decide_for_system, unknown_principal
from memos_governance.ports import GrantSeal, PolicyStore, Standings
from memos_governance.usecases.denials import Denials
from memos_kernel import limits
from memos_kernel.errors import AccessError, InvalidField, MissingField, NotFound
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID, Action, Grant
from memos_kernel.quotas import VaultQuota

SCHEDULER = "scheduler"
"""The one service that may act for the system's own principal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRequest:
    """What a calling service wants to do for a principal. No vaults asks for all that allow the actions."""

    principal: PrincipalName
    actions: frozenset[Action]
    vaults: tuple[VaultName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueGrant:
    """Denies by default; see `memos_governance.domain.decision` for the rules. Denials are audited."""

    standings: Standings
    store: PolicyStore
    denials: Denials
    seal: GrantSeal
    clock: Clock
    new_id: IdFactory

    async def __call__(self, request: GrantRequest, *, peer: str, trace_id: str = "") -> Grant:
        """Return the signed grant for the calling service.

        Raises:
            MissingField: no action.
            PermissionDenied: an action that the principal does not have.
            VaultNotFound: a vault in which the principal has no role, or that does not exist.
        """
        if not request.actions:
            raise MissingField("actions is empty; name what the call does.", field="actions")
        vaults: Sequence[VaultName] = ()
        quotas: Mapping[VaultName, VaultQuota] = {}
        try:
            if request.principal.id == SYSTEM_PRINCIPAL_ID:
                epoch = await self._for_system(request, peer=peer)
            else:
                vaults, epoch, quotas = await self._for_person(request)
        except (AccessError, NotFound) as error:
            await self._deny(request, error, trace_id=trace_id)
            raise
        return self.seal.seal(
            Grant(
                id=self.new_id(),
                principal=request.principal,
                issued_to=peer,
                vaults=frozenset(vaults),
                all_vaults=request.principal.id == SYSTEM_PRINCIPAL_ID,
                actions=request.actions,
                policy_epoch=epoch,
                expire_time=self.clock.now() + limits.GRANT_LIFETIME,
                quotas=quotas,
            )
        )

    async def _for_person(
        self, request: GrantRequest
    ) -> tuple[Sequence[VaultName], int, Mapping[VaultName, VaultQuota]]:
        standing = await self.standings.standing(request.principal)
        if standing is None:
            raise unknown_principal(request.principal)
        vaults = decide(standing, request.actions, request.vaults)
        writes = Action.CUBE_WRITE in request.actions
        quotas = {vault: standing.quotas[vault] for vault in vaults if vault in standing.quotas} if writes else {}
        return vaults, standing.epoch, quotas

    async def _for_system(self, request: GrantRequest, *, peer: str) -> int:
        if request.vaults:
            raise InvalidField("The system's own jobs cover all vaults; name none.", field="vaults")
        tenant = request.principal.parent
        decide_for_system(request.actions, tenant=str(tenant), by_scheduler=peer == SCHEDULER)
        epoch = await self.store.epoch(tenant)
        if epoch is None:
            raise unknown_principal(request.principal)
        return epoch

    async def _deny(self, request: GrantRequest, error: AccessError | NotFound, *, trace_id: str) -> None:
        resource = error.metadata.get("resource") or error.metadata.get("name", "")
        action = "+".join(sorted(request.actions))
        await self.denials.record(request.principal, action, resource, error, trace_id=trace_id)
