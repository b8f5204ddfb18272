"""Who asks, checked against the policy of this moment: a grant may be up to 60 seconds old."""

from dataclasses import dataclass

from memos_governance.domain.audit import OK, AuditEvent
from memos_governance.domain.decision import denied, vault_not_found
from memos_governance.ports import PolicyTransaction
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant, Role

SERVICE = "governance"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a change, and the trace in which it asks."""

    grant: Grant
    trace_id: str = ""

    @property
    def principal(self) -> PrincipalName:
        """Who asks."""
        return self.grant.principal

    def require_admin(self, tx: PolicyTransaction) -> None:
        """Refuse unless the caller is an admin of its tenant now.

        Raises:
            PermissionDenied: it is not.
        """
        record = tx.principal(self.principal)
        if record is None or not record.admin:
            raise denied(Action.TENANT_ADMIN, resource=str(self.grant.tenant))

    def require_owner(self, tx: PolicyTransaction, vault: VaultName) -> None:
        """Refuse unless the caller owns the vault now and its grant covers it.

        Raises:
            VaultNotFound: it has no role in it, or there is none.
            PermissionDenied: its role is too small.
        """
        if not self.grant.covers(vault):
            raise vault_not_found(vault)
        found, role = tx.vault(vault), tx.role(vault, self.principal)
        if found is None or found.role_of(role) is Role.NONE:
            raise vault_not_found(vault)
        if role is not Role.OWNER:
            raise denied(Action.VAULT_ADMIN, resource=str(vault))


@dataclass(frozen=True, slots=True)
class Scribe:
    """Makes governance's own audit events."""

    clock: Clock
    new_id: IdFactory

    def event(
        self,
        principal: PrincipalName,
        action: str,
        resource: str,
        *,
        outcome: str = OK,
        reason: str = "",
        trace_id: str = "",
    ) -> AuditEvent:
        """Return an event of now."""
        return AuditEvent(
            event_id=self.new_id(),
            time=self.clock.now(),
            principal=str(principal),
            service=SERVICE,
            action=action,
            resource=resource,
            outcome=outcome,
            reason=reason,
            trace_id=trace_id,
        )
