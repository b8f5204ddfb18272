"""Reads cubes by name, and lists them. Every read is noted in the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memos_interface.domain import audit
from memos_interface.domain.search import CubeFilter
from memos_interface.ports import AuditTrail, CubePage, MemoryStore, Spans
from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_kernel.errors import LimitExceeded, MemosError, MissingField
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMemories:
    """Get, batch get and list."""

    store: MemoryStore
    audit_trail: AuditTrail
    spans: Spans

    async def get(self, name: CubeName, *, full: bool, as_of: datetime | None = None, caller: Principal) -> MemCube:
        """Return one cube, as it was `as_of` then.

        Raises:
            CubeNotFound: it is not there for this caller, or was not then.
            InvalidField: the moment has not come.
        """
        (result,) = await self.batch_get([name], full=full, as_of=as_of, caller=caller)
        if isinstance(result, MemosError):
            raise result
        return result

    async def batch_get(
        self, names: Sequence[CubeName | MemosError], *, full: bool, as_of: datetime | None = None, caller: Principal
    ) -> tuple[MemCube | MemosError, ...]:
        """Return cubes, or why one could not be read, in the order asked for. A name that is an error stays one.

        Raises:
            MissingField, LimitExceeded: no name, or more than `limits.BATCH_GET_NAMES`.
        """
        if not names:
            raise MissingField("names is required.", field="names")
        if len(names) > limits.BATCH_GET_NAMES:
            raise LimitExceeded(
                f"names has {len(names)} entries; the limit is {limits.BATCH_GET_NAMES}.",
                field="names",
                limit=str(limits.BATCH_GET_NAMES),
                unit="names",
            )
        good = [name for name in names if isinstance(name, CubeName)]
        found = iter(await self.store.get(good, full=full, as_of=as_of) if good else ())
        results = tuple(next(found) if isinstance(name, CubeName) else name for name in names)
        cubes = [result for result in results if not isinstance(result, MemosError)]
        self.spans.link((cube.origin_trace for cube in cubes), used_for="read")
        self.audit_trail.note(caller.name, audit.READ, (str(cube.name) for cube in cubes))
        return results

    async def list(
        self,
        vault: VaultName,
        *,
        filter: CubeFilter | None,
        page_size: int,
        page_token: str,
        as_of: datetime | None = None,
        caller: Principal,
    ) -> CubePage:
        """Return a page of headers, newest first; storage checks size and token of the page."""
        page = await self.store.list(vault, filter=filter, page_size=page_size, page_token=page_token, as_of=as_of)
        self.audit_trail.note(caller.name, audit.LIST, (str(vault),))
        return page
