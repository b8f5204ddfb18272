"""PolicyService: who is calling, and what they may do."""

from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import grant_pb2, policy_service_pb2_grpc
from memos_api.internal.v1 import policy_service_pb2 as pb
from memos_api.v1 import governance_service_pb2 as public
from memos_governance.domain.records import Membership
from memos_governance.servicer import convert
from memos_governance.servicer.pages import Pages
from memos_governance.usecases.authenticate import Authenticate
from memos_governance.usecases.authority import Caller
from memos_governance.usecases.create_api_key import CreateApiKey, KeyRequest
from memos_governance.usecases.create_vault import CreateVault
from memos_governance.usecases.get_vault import GetVault
from memos_governance.usecases.issue_grant import GrantRequest, IssueGrant
from memos_governance.usecases.list_api_keys import ListApiKeys
from memos_governance.usecases.list_swept_vaults import ListSweptVaults
from memos_governance.usecases.list_tenants import ListTenants
from memos_governance.usecases.list_vault_permissions import ListVaultPermissions
from memos_governance.usecases.list_vaults import ListVaults
from memos_governance.usecases.revoke_api_key import RevokeApiKey
from memos_governance.usecases.set_vault_permission import SetVaultPermission
from memos_governance.usecases.update_vault import UpdateVault
from memos_kernel.names import KeyName, PrincipalName, VaultName
from memos_kernel.permission import Role
from memos_runtime.context import current_grant, current_peer, current_trace
from memos_wire.requests import request_key_from_proto
from memos_wire.times import to_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUseCases:
    """Everything that PolicyService can do."""

    authenticate: Authenticate
    issue_grant: IssueGrant
    list_tenants: ListTenants
    create_api_key: CreateApiKey
    list_api_keys: ListApiKeys
    revoke_api_key: RevokeApiKey
    create_vault: CreateVault
    get_vault: GetVault
    update_vault: UpdateVault
    list_swept_vaults: ListSweptVaults
    list_vaults: ListVaults
    set_vault_permission: SetVaultPermission
    list_vault_permissions: ListVaultPermissions


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """Serves PolicyService."""

    def __init__(self, use: PolicyUseCases, *, pages: Pages) -> None:
        self._use = use
        self._pages = pages

    async def Authenticate(self, request: pb.AuthenticateRequest, context: Any) -> pb.AuthenticateResponse:
        """Return the principal of a key."""
        principal = await self._use.authenticate(request.api_key, trace_id=_trace_id())
        return pb.AuthenticateResponse(principal=str(principal.name), admin=principal.admin)

    async def IssueGrant(self, request: pb.IssueGrantRequest, context: Any) -> pb.IssueGrantResponse:
        """Decide and sign."""
        wanted = GrantRequest(
            principal=PrincipalName.parse(request.principal, field="principal"),
            actions=convert.actions_from_proto(request.actions),
            vaults=convert.vaults_from_proto(request.vaults),
        )
        grant = await self._use.issue_grant(wanted, peer=current_peer(), trace_id=_trace_id())
        return pb.IssueGrantResponse(
            grant=grant_pb2.SignedGrant.FromString(grant.token),
            vaults=sorted(str(vault) for vault in grant.vaults),
            expire_time=to_timestamp(grant.expire_time),
        )

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Any) -> pb.ListTenantsResponse:
        """Return all tenants."""
        return pb.ListTenantsResponse(tenants=[str(tenant) for tenant in await self._use.list_tenants()])

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.CreateApiKeyResponse:
        """Make a key."""
        wanted = KeyRequest(
            principal=PrincipalName.parse(request.request.principal, field="principal"),
            display_name=request.request.display_name,
            admin=request.request.admin,
        )
        key, secret = await self._use.create_api_key(
            wanted, caller=_caller(), request=request_key_from_proto(request.request_key)
        )
        response = public.CreateApiKeyResponse(key=convert.key_to_proto(key), secret=secret)
        return pb.CreateApiKeyResponse(response=response)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Any) -> pb.ListApiKeysResponse:
        """Return a page of keys."""
        grant = current_grant()
        page = self._pages.of(request.request, principal=grant.principal)
        rows = await self._use.list_api_keys(grant=grant, after=page.after, limit=page.limit)
        keys, token = page.cut(rows, lambda key: key.name.id)
        return pb.ListApiKeysResponse(
            response=public.ListApiKeysResponse(keys=map(convert.key_to_proto, keys), next_page_token=token)
        )

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Any) -> pb.RevokeApiKeyResponse:
        """End a key."""
        key = await self._use.revoke_api_key(
            KeyName.parse(request.request.name),
            caller=_caller(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.RevokeApiKeyResponse(response=public.RevokeApiKeyResponse(key=convert.key_to_proto(key)))

    async def CreateVault(self, request: pb.CreateVaultRequest, context: Any) -> pb.CreateVaultResponse:
        """Make a vault."""
        membership = await self._use.create_vault(
            convert.new_vault_from_proto(request.request.vault),
            caller=_caller(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.CreateVaultResponse(response=public.CreateVaultResponse(vault=convert.vault_to_proto(membership)))

    async def GetVault(self, request: pb.GetVaultRequest, context: Any) -> pb.GetVaultResponse:
        """Return a vault."""
        membership = await self._use.get_vault(VaultName.parse(request.request.name), grant=current_grant())
        return pb.GetVaultResponse(response=public.GetVaultResponse(vault=convert.vault_to_proto(membership)))

    async def UpdateVault(self, request: pb.UpdateVaultRequest, context: Any) -> pb.UpdateVaultResponse:
        """Change a vault."""
        membership = await self._use.update_vault(
            convert.wanted_vault_from_proto(request.request.vault),
            paths=list(request.request.update_mask.paths),
            caller=_caller(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.UpdateVaultResponse(response=public.UpdateVaultResponse(vault=convert.vault_to_proto(membership)))

    async def ListSweptVaults(self, request: pb.ListSweptVaultsRequest, context: Any) -> pb.ListSweptVaultsResponse:
        """Return vaults that have to be swept."""
        vaults = await self._use.list_swept_vaults(grant=current_grant(), after=request.after, limit=request.limit)
        return pb.ListSweptVaultsResponse(
            vaults=[convert.vault_to_proto(Membership(vault, Role.NONE)) for vault in vaults]
        )

    async def ListVaults(self, request: pb.ListVaultsRequest, context: Any) -> pb.ListVaultsResponse:
        """Return a page of vaults."""
        grant = current_grant()
        page = self._pages.of(request.request, principal=grant.principal)
        rows = await self._use.list_vaults(grant=grant, after=page.after, limit=page.limit)
        vaults, token = page.cut(rows, lambda membership: membership.vault.name.id)
        return pb.ListVaultsResponse(
            response=public.ListVaultsResponse(vaults=map(convert.vault_to_proto, vaults), next_page_token=token)
        )

    async def SetVaultPermission(
        self, request: pb.SetVaultPermissionRequest, context: Any
    ) -> pb.SetVaultPermissionResponse:
        """Give or take a role."""
        permission = await self._use.set_vault_permission(
            convert.permission_from_proto(request.request.permission),
            caller=_caller(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.SetVaultPermissionResponse(
            response=public.SetVaultPermissionResponse(permission=convert.permission_to_proto(permission))
        )

    async def ListVaultPermissions(
        self, request: pb.ListVaultPermissionsRequest, context: Any
    ) -> pb.ListVaultPermissionsResponse:
        """Return a page of roles."""
        grant = current_grant()
        page = self._pages.of(request.request, principal=grant.principal)
        vault = VaultName.parse(request.request.vault, field="vault")
        rows = await self._use.list_vault_permissions(vault, grant=grant, after=page.after, limit=page.limit)
        permissions, token = page.cut(rows, lambda permission: permission.principal.id)
        return pb.ListVaultPermissionsResponse(
            response=public.ListVaultPermissionsResponse(
                permissions=map(convert.permission_to_proto, permissions), next_page_token=token
            )
        )


def _caller() -> Caller:
    return Caller(current_grant(), _trace_id())


def _trace_id() -> str:
    trace = current_trace()
    return trace.trace_id if trace is not None else ""
