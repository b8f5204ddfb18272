"""Follows the changes of a vault for as long as the caller may read it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from memos_interface.domain import audit
from memos_interface.ports import AuditTrail, ChangePage, Delegation, MemoryStore
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Principal

_READ = frozenset({Action.CUBE_READ})
_WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchMemories:
    """Asks storage again and again, each time under a fresh grant, so that it ends when the permission does."""

    store: MemoryStore
    delegation: Delegation
    audit_trail: AuditTrail

    async def __call__(
        self, vault: VaultName, *, resume_token: str, full: bool, caller: Principal
    ) -> AsyncIterator[ChangePage]:
        """Yield changes as they come, and now and then an answer without any; the first without a token at once.

        Raises:
            VaultNotFound: it is not there for the caller (any more).
            PageTokenMismatch, ResumeTokenExpired: the token.
        """
        token, seconds = resume_token, 0.0
        while True:
            async with self.delegation.acting(caller, _READ, (vault,)):
                page = await self.store.changes(vault, resume_token=token, full=full, wait_seconds=seconds)
            shown = [str(change.name) for change in page.changes if change.cube is not None]
            self.audit_trail.note(caller.name, audit.READ, shown)
            yield page
            token, seconds = page.resume_token, _WAIT_SECONDS
