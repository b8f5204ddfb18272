"""GovernanceService: handed on to governance as it is, so it has no use case.

What changes a key, a vault or a role makes the edge ask governance again, whether the change was confirmed or
not, so that the caller's next call sees it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from memos_api.internal.v1 import grant_pb2, ledger_service_pb2, storage_service_pb2
from memos_api.internal.v1 import policy_service_pb2 as internal
from memos_api.internal.v1.ledger_service_pb2_grpc import LedgerServiceStub
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.v1 import governance_service_pb2 as pb
from memos_api.v1 import governance_service_pb2_grpc as pb_grpc
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class GovernanceServicer(pb_grpc.GovernanceServiceServicer):
    """Manages who may do what, and shows who did."""

    def __init__(
        self,
        policy: PolicyServiceStub,
        ledger: LedgerServiceStub,
        storage: StorageServiceStub,
        *,
        forget: Callable[[], None],
    ) -> None:
        """Take governance and storage; `forget` makes the edge forget what it knows of keys and grants."""
        self._policy = policy
        self._ledger = ledger
        self._storage = storage
        self._forget = forget

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: object) -> pb.CreateApiKeyResponse:
        """Make a key."""
        with self._changing():
            message = internal.CreateApiKeyRequest(request=request, request_key=_key())
            answer: internal.CreateApiKeyResponse = await self._policy.CreateApiKey(message)
            return answer.response

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: object) -> pb.ListApiKeysResponse:
        """List keys."""
        answer: internal.ListApiKeysResponse = await self._policy.ListApiKeys(
            internal.ListApiKeysRequest(request=request)
        )
        return answer.response

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: object) -> pb.RevokeApiKeyResponse:
        """End a key."""
        with self._changing():
            message = internal.RevokeApiKeyRequest(request=request, request_key=_key())
            answer: internal.RevokeApiKeyResponse = await self._policy.RevokeApiKey(message)
            return answer.response

    async def CreateVault(self, request: pb.CreateVaultRequest, context: object) -> pb.CreateVaultResponse:
        """Make a vault."""
        with self._changing():
            message = internal.CreateVaultRequest(request=request, request_key=_key())
            answer: internal.CreateVaultResponse = await self._policy.CreateVault(message)
            return answer.response

    async def GetVault(self, request: pb.GetVaultRequest, context: object) -> pb.GetVaultResponse:
        """Return a vault."""
        answer: internal.GetVaultResponse = await self._policy.GetVault(internal.GetVaultRequest(request=request))
        return answer.response

    async def UpdateVault(self, request: pb.UpdateVaultRequest, context: object) -> pb.UpdateVaultResponse:
        """Change a vault."""
        with self._changing():
            message = internal.UpdateVaultRequest(request=request, request_key=_key())
            answer: internal.UpdateVaultResponse = await self._policy.UpdateVault(message)
            return answer.response

    async def GetVaultUsage(self, request: pb.GetVaultUsageRequest, context: object) -> pb.GetVaultUsageResponse:
        """Return what a vault holds, which storage knows."""
        answer: storage_service_pb2.GetVaultUsageResponse = await self._storage.GetVaultUsage(
            storage_service_pb2.GetVaultUsageRequest(request=request)
        )
        return answer.response

    async def ListVaults(self, request: pb.ListVaultsRequest, context: object) -> pb.ListVaultsResponse:
        """List vaults."""
        answer: internal.ListVaultsResponse = await self._policy.ListVaults(internal.ListVaultsRequest(request=request))
        return answer.response

    async def SetVaultPermission(
        self, request: pb.SetVaultPermissionRequest, context: object
    ) -> pb.SetVaultPermissionResponse:
        """Give or take a role."""
        with self._changing():
            message = internal.SetVaultPermissionRequest(request=request, request_key=_key())
            answer: internal.SetVaultPermissionResponse = await self._policy.SetVaultPermission(message)
            return answer.response

    async def ListVaultPermissions(
        self, request: pb.ListVaultPermissionsRequest, context: object
    ) -> pb.ListVaultPermissionsResponse:
        """List roles."""
        message = internal.ListVaultPermissionsRequest(request=request)
        answer: internal.ListVaultPermissionsResponse = await self._policy.ListVaultPermissions(message)
        return answer.response

    async def QueryAudit(self, request: pb.QueryAuditRequest, context: object) -> pb.QueryAuditResponse:
        """Query the audit log."""
        answer: ledger_service_pb2.QueryAuditResponse = await self._ledger.QueryAudit(
            ledger_service_pb2.QueryAuditRequest(request=request)
        )
        return answer.response

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._forget()


def _key() -> grant_pb2.RequestKey:
    return request_key_to_proto(current_request_key())
