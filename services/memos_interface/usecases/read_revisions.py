"""Reads what a cube was. Every read is noted in the audit trail."""

from dataclasses import dataclass

from memos_interface.domain import audit
from memos_interface.domain.revisions import Difference
from memos_interface.ports import AuditTrail, CubePage, MemoryStore
from memos_kernel.errors import InvalidField
from memos_kernel.names import CubeName
from memos_kernel.permission import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRevisions:
    """Lists the revisions of a cube, and compares two of them."""

    store: MemoryStore
    audit_trail: AuditTrail

    async def list(self, name: CubeName, *, page_size: int, page_token: str, caller: Principal) -> CubePage:
        """Return a page of headers, newest first; storage checks size and token of the page.

        Raises:
            CubeNotFound: it is not there for this caller.
        """
        page = await self.store.revisions(name, page_size=page_size, page_token=page_token)
        self.audit_trail.note(caller.name, audit.LIST, (str(name),))
        return page

    async def diff(self, name: CubeName, *, before: int, after: int, caller: Principal) -> Difference:
        """Return two revisions; `after` 0 is the newest, `before` 0 the one in front of `after`.

        Raises:
            InvalidField: a negative number.
            CubeNotFound, RevisionNotFound: from storage.
        """
        for field, number in (("from_revision", before), ("to_revision", after)):
            if number < 0:
                raise InvalidField(f"{field} is {number}; give 0 or more.", field=field)
        found = await self.store.diff(name, before=before, after=after)
        self.audit_trail.note(caller.name, audit.READ, (str(name),))
        return found
