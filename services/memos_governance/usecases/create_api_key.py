"""Makes an API key, and the principal that it speaks for if that is new."""

from collections.abc import Callable
from dataclasses import dataclass

from memos_governance.domain.credentials import digest_of
from memos_governance.domain.records import ApiKey, PrincipalRecord, check_person
from memos_governance.ports import PolicyStore, PolicyTransaction
from memos_governance.usecases.authority import Caller, Scribe
from memos_governance.usecases.request_ids import once
from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import KeyName, PrincipalName
from memos_kernel.requests import RequestKey
from memos_kernel.text import check_line


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """The key that is wanted. `admin` makes the principal an admin; without it an admin stays one."""

    principal: PrincipalName
    display_name: str = ""
    admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """The secret is in the first answer and nowhere else, so a replay returns the key without it."""

    store: PolicyStore
    scribe: Scribe
    clock: Clock
    new_id: IdFactory
    new_secret: Callable[[], str]

    async def __call__(self, wanted: KeyRequest, *, caller: Caller, request: RequestKey) -> tuple[ApiKey, str]:
        """Return the key and its secret; the secret is empty on a replay.

        Raises:
            PermissionDenied: the caller is no admin.
            ResourceNotFound: a principal of another tenant; whether that exists stays secret.
            InvalidField: the system's own principal, or control characters in the title.
            LimitExceeded: a title that is too long.
            RequestIdReused: the request id was used with another body.
        """
        check_person(wanted.principal, tenant=caller.grant.tenant, field="principal")
        check_line(wanted.display_name, field="display_name")
        name, secret = KeyName(wanted.principal.tenant, self.new_id()), self.new_secret()

        def change(tx: PolicyTransaction) -> tuple[ApiKey, str]:
            caller.require_admin(tx)
            return once(
                tx,
                caller.principal,
                request,
                now=self.clock.now(),
                mutate=lambda: (name.id, (self._create(tx, wanted, name, secret, caller), secret)),
                replay=lambda key: (_existing(tx, KeyName(name.tenant, key)), ""),
            )

        return await self.store.write(caller.grant.tenant, change)

    def _create(self, tx: PolicyTransaction, wanted: KeyRequest, name: KeyName, secret: str, caller: Caller) -> ApiKey:
        now = self.clock.now()
        known = tx.principal(wanted.principal)
        principal = PrincipalRecord(name=wanted.principal, admin=wanted.admin or (known is not None and known.admin))
        if principal != known:
            tx.put_principal(principal, create_time=now)
            action = "principal.create" if known is None else "principal.promote"
            self._audit(tx, caller, action, str(principal.name), "admin" if principal.admin else "")
        key = ApiKey(
            name=name,
            principal=wanted.principal,
            admin=principal.admin,
            display_name=wanted.display_name,
            create_time=now,
        )
        tx.add_key(key, digest=digest_of(secret))
        self._audit(tx, caller, "key.create", str(name), str(wanted.principal))
        return key

    def _audit(self, tx: PolicyTransaction, caller: Caller, action: str, resource: str, reason: str) -> None:
        tx.append_audit(self.scribe.event(caller.principal, action, resource, reason=reason, trace_id=caller.trace_id))


def _existing(tx: PolicyTransaction, name: KeyName) -> ApiKey:
    key = tx.key(name)
    assert key is not None, "a key is never removed"
    return key
