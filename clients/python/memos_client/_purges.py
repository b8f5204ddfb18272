"""Erasing memories for good."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import AsyncGenerator, Iterable

from memos_api.v1 import purge_service_pb2
from memos_api.v1 import purge_service_pb2 as pb
from memos_client._base import Calls, pages
from memos_client._filters import Filter


class PurgeCalls(Calls):
    """PurgeService. Purges, cubes and vaults are named in full, or by their last part."""

    async def purge(
        self,
        vault: str,
        names: Iterable[str] = (),
        *,
        filter: Filter | None = None,
        expected_count: int = 0,
        validate_only: bool = False,
        reason: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> purge_service_pb2.PurgeMemoriesResponse:
        """Erase cubes for good, by name or filter, with what is derived from them; or only count them.

        Nobody sees them from then on; the job in the answer erases them on every tier, and then `get_purge` has the
        signed receipt. `expected_count` is what the same call counts with `validate_only`.

        Raises:
            TypeError: `names` is one string.
            MemosError: NotFound, RequestError, PreconditionFailed (another count, a frozen cube), PermissionDenied.
        """
        request = pb.PurgeMemoriesRequest(
            vault=self._name("vaults", vault),
            names=self._cubes(names),
            filter=filter.to_proto() if filter is not None else None,
            expected_count=expected_count,
            validate_only=validate_only,
            reason=reason,
            request_id=request_id,
        )
        answer: pb.PurgeMemoriesResponse = await self.call(request, timeout=timeout)
        return answer

    async def get_purge(self, name: str, *, timeout: float | None = None) -> purge_service_pb2.Purge:
        """Return one purge, with its receipt once it is done.

        Raises:
            MemosError: NotFound.
        """
        request = pb.GetPurgeRequest(name=self._name("purges", name))
        answer: pb.GetPurgeResponse = await self.call(request, timeout=timeout)
        return answer.purge

    async def list_purges(self, vault: str, *, page_size: int = 0) -> AsyncGenerator[purge_service_pb2.Purge, None]:
        """Yield the purges of a vault, the newest first, without receipts.

        Raises:
            MemosError: NotFound (the vault).
        """
        request = pb.ListPurgesRequest(vault=self._name("vaults", vault), page_size=page_size)
        async for purge in pages(self, request, "purges"):
            yield purge

    async def lift_purge(
        self, name: str, *, request_id: str = "", timeout: float | None = None
    ) -> purge_service_pb2.Purge:
        """Let what a purge erased be stored again when it is told again.

        Raises:
            MemosError: NotFound, PreconditionFailed (it was lifted before).
        """
        request = pb.LiftPurgeRequest(name=self._name("purges", name), request_id=request_id)
        answer: pb.LiftPurgeResponse = await self.call(request, timeout=timeout)
        return answer.purge
