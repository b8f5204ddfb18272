"""Finds out who holds an API key."""

from dataclasses import dataclass

from memos_governance.domain.credentials import digest_of, well_formed
from memos_governance.ports import PolicyStore
from memos_governance.usecases.denials import Denials
from memos_kernel.errors import CredentialInvalid
from memos_kernel.permission import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticate:
    """Looks the digest of the secret up. The secret itself is neither stored nor logged."""

    store: PolicyStore
    denials: Denials

    async def __call__(self, secret: str, *, trace_id: str = "") -> Principal:
        """Return the principal of a key.

        Raises:
            CredentialInvalid: unknown or revoked; the answer does not tell which.
        """
        if not well_formed(secret):
            raise _invalid()
        digest = digest_of(secret)
        key = await self.store.key_by_digest(digest)
        if key is None:
            raise _invalid()
        if key.revoke_time is not None:
            error = _invalid()
            await self.denials.record(key.principal, "key.use", str(key.name), error, trace_id=trace_id)
            raise error
        return Principal(key.principal, key.admin)


def _invalid() -> CredentialInvalid:
    return CredentialInvalid("The API key is unknown or revoked; check the key file, or make a new key.")
