"""Keys, vaults, permissions and the audit log."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.v1 import governance_service_pb2 as pb
from memos_api.v1 import vault_pb2
from memos_client._base import Calls, pages
from memos_client._filters import timestamp
from memos_client._vaults import VaultPolicy


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key and its secret, which is shown this once; empty if the call was a replay."""

    key: pb.ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"NewApiKey(key={self.key.name!r}, secret=***)"


class GovernanceCalls(Calls):
    """GovernanceService. Vaults, keys and principals are named in full, or by their last part."""

    async def create_key(
        self, principal: str, *, display_name: str = "", admin: bool = False, request_id: str = ""
    ) -> NewApiKey:
        """Make an API key for a principal, who is made if he is new. Never repeated on its own.

        Raises:
            MemosError: PermissionDenied, RequestError.
        """
        request = pb.CreateApiKeyRequest(
            principal=self._name("principals", principal), display_name=display_name, admin=admin, request_id=request_id
        )
        answer: pb.CreateApiKeyResponse = await self.call(request)
        return NewApiKey(answer.key, answer.secret)

    async def list_keys(self, *, page_size: int = 0) -> AsyncGenerator[pb.ApiKey, None]:
        """Yield the tenant's keys without their secrets.

        Raises:
            MemosError: PermissionDenied.
        """
        async for key in pages(self, pb.ListApiKeysRequest(page_size=page_size), "keys"):
            yield key

    async def revoke_key(self, name: str, *, request_id: str = "") -> pb.ApiKey:
        """End a key.

        Raises:
            MemosError: NotFound, PermissionDenied.
        """
        request = pb.RevokeApiKeyRequest(name=self._name("keys", name), request_id=request_id)
        answer: pb.RevokeApiKeyResponse = await self.call(request)
        return answer.key

    async def create_vault(
        self,
        name: str,
        *,
        display_name: str = "",
        type: str = "",
        policy: VaultPolicy | None = None,
        request_id: str = "",
    ) -> vault_pb2.Vault:
        """Make a vault; the caller becomes its owner.

        Args:
            name: name of the vault.
            display_name: title for people.
            type: `USER_PRIVATE` (if empty), `EXPERT`, `INDUSTRY_SHARED`, `CONTEXTUAL_POOL` or `PIPELINE_CACHE`.
            policy: rules that differ from those of the type.
            request_id: makes the call idempotent.

        Raises:
            MemosError: AlreadyExists, PermissionDenied, RequestError.
            ValueError: an unknown type or role.
        """
        vault = vault_pb2.Vault(
            name=self._name("vaults", name),
            display_name=display_name,
            type=vault_pb2.VaultType.Value(f"VAULT_TYPE_{type or 'UNSPECIFIED'}"),
            policy=policy.to_proto() if policy is not None else None,
        )
        answer: pb.CreateVaultResponse = await self.call(pb.CreateVaultRequest(vault=vault, request_id=request_id))
        return answer.vault

    async def get_vault(self, name: str) -> vault_pb2.Vault:
        """Return a vault.

        Raises:
            MemosError: NotFound.
        """
        answer: pb.GetVaultResponse = await self.call(pb.GetVaultRequest(name=self._name("vaults", name)))
        return answer.vault

    async def update_vault(
        self,
        name: str,
        *,
        display_name: str | None = None,
        policy: VaultPolicy | None = None,
        request_id: str = "",
    ) -> vault_pb2.Vault:
        """Change the title of a vault, or the rules that are set in `policy`; what is None stays.

        Raises:
            MemosError: NotFound, PermissionDenied, RequestError.
            ValueError: an unknown role.
        """
        rules = policy or VaultPolicy()
        vault = vault_pb2.Vault(
            name=self._name("vaults", name), display_name=display_name or "", policy=rules.to_proto()
        )
        paths = [*rules.paths(), *(["display_name"] if display_name is not None else [])]
        request = pb.UpdateVaultRequest(vault=vault, update_mask=FieldMask(paths=paths), request_id=request_id)
        answer: pb.UpdateVaultResponse = await self.call(request)
        return answer.vault

    async def vault_usage(self, name: str) -> vault_pb2.VaultUsage:
        """Return what a vault holds.

        Raises:
            MemosError: NotFound.
        """
        answer: pb.GetVaultUsageResponse = await self.call(pb.GetVaultUsageRequest(name=self._name("vaults", name)))
        return answer.usage

    async def list_vaults(self, *, page_size: int = 0) -> AsyncGenerator[vault_pb2.Vault, None]:
        """Yield the vaults in which the caller has a role."""
        async for vault in pages(self, pb.ListVaultsRequest(page_size=page_size), "vaults"):
            yield vault

    async def set_permission(
        self, vault: str, principal: str, role: str, *, request_id: str = ""
    ) -> vault_pb2.VaultPermission:
        """Give a principal a role in a vault: `READER`, `WRITER` or `OWNER`; an empty role takes it.

        Raises:
            MemosError: NotFound, PermissionDenied.
            ValueError: an unknown role.
        """
        permission = vault_pb2.VaultPermission(
            vault=self._name("vaults", vault),
            principal=self._name("principals", principal),
            role=vault_pb2.VaultRole.Value(f"VAULT_ROLE_{role or 'UNSPECIFIED'}"),
        )
        request = pb.SetVaultPermissionRequest(permission=permission, request_id=request_id)
        answer: pb.SetVaultPermissionResponse = await self.call(request)
        return answer.permission

    async def list_permissions(
        self, vault: str, *, page_size: int = 0
    ) -> AsyncGenerator[vault_pb2.VaultPermission, None]:
        """Yield the roles in a vault.

        Raises:
            MemosError: NotFound, PermissionDenied.
        """
        request = pb.ListVaultPermissionsRequest(vault=self._name("vaults", vault), page_size=page_size)
        async for permission in pages(self, request, "permissions"):
            yield permission

    async def audit(
        self,
        *,
        principal: str = "",
        action: str = "",
        resource: str = "",
        after: datetime | None = None,
        before: datetime | None = None,
        page_size: int = 0,
    ) -> AsyncGenerator[pb.AuditEvent, None]:
        """Yield events of the tenant's audit log, newest first; what is given narrows them.

        Raises:
            MemosError: PermissionDenied, RequestError.
        """
        request = pb.QueryAuditRequest(
            principal=self._name("principals", principal),
            action=action,
            resource=resource,
            after=timestamp(after),
            before=timestamp(before),
            page_size=page_size,
        )
        async for event in pages(self, request, "events"):
            yield event
