"""Ends an API key."""

from dataclasses import dataclass, replace

from memos_governance.domain.records import ApiKey
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.errors import ResourceNotFound, StateConflict
from memos_kernel.ids import Clock
from memos_kernel.names import KeyName
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeApiKey:
    """The key stops working at once here, and within the life of a grant everywhere.

    The principal keeps its roles, so that its other keys and its jobs go on. The last live key of
    the last admin stays, or nobody could manage the tenant any more.
    """

    store: PolicyStore
    scribe: Scribe
    clock: Clock

    async def __call__(self, name: KeyName, *, caller: Caller, request: RequestKey) -> ApiKey:
        """Return the key as it is now; a key that was revoked before stays as it was.

        Raises:
            PermissionDenied: the caller is no admin.
            ResourceNotFound: no such key in the caller's tenant.
            StateConflict: it is the last live key of an admin.
            RequestIdReused: the request id was used with another body.
        """

        def change(tx: PolicyTransaction) -> ApiKey:
            caller.require_admin(tx)
            key = tx.key(name) if name.parent == caller.grant.tenant else None
            if key is None:
                raise ResourceNotFound(f"There is no key {name}; list the keys to see them.", name=str(name))
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: ("", self._revoke(tx, key, caller)),
                replay=lambda _: key,
            )

        return await self.store.write(caller.grant.tenant, change)

    def _revoke(self, tx: PolicyTransaction, key: ApiKey, caller: Caller) -> ApiKey:
        if key.revoke_time is not None:
            return key
        if key.admin and not tx.another_admin_key(key.name):
            raise StateConflict(
                "This is the last key of an admin; make another admin's key first.", name=str(key.name), state="LAST"
            )
        now = self.clock.now()
        tx.revoke_key(key.name, revoke_time=now)
        tx.append_audit(
            self.scribe.event(
                caller.principal, "key.revoke", str(key.name), reason=str(key.principal), trace_id=caller.trace_id
            )
        )
        return replace(key, revoke_time=now)
