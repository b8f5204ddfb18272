"""Grants, Tenants and SweptVaults over governance's gRPC service."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from memos_api.internal.v1 import policy_service_pb2 as pb
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_kernel.names import PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Grant
from memos_runtime.context import use_grant
from memos_scheduler.ports import VaultRule
from memos_wire.grants import GrantVerifier
from memos_wire.times import optional_duration

_PAGE = 1_000


class GovernanceGrants:
    """Asks governance, and believes only what its signature proves."""

    def __init__(self, stub: PolicyServiceStub, *, verifier: GrantVerifier) -> None:
        self._stub = stub
        self._verifier = verifier

    async def issue(
        self, principal: PrincipalName, *, actions: frozenset[Action], vaults: Sequence[VaultName] = ()
    ) -> Grant:
        """See the port."""
        response = await self._stub.IssueGrant(
            pb.IssueGrantRequest(
                principal=str(principal), actions=sorted(actions), vaults=[str(vault) for vault in vaults]
            )
        )
        return self._verifier.verify(response.grant.SerializeToString())

    def use(self, grant: Grant) -> AbstractContextManager[None]:
        """See the port."""
        return use_grant(grant)


class GovernanceTenants:
    """Asks governance."""

    def __init__(self, stub: PolicyServiceStub) -> None:
        self._stub = stub

    async def names(self) -> tuple[TenantName, ...]:
        """See the port."""
        response = await self._stub.ListTenants(pb.ListTenantsRequest())
        return tuple(TenantName.parse(name) for name in response.tenants)


class GovernanceVaults:
    """Asks governance."""

    def __init__(self, stub: PolicyServiceStub) -> None:
        self._stub = stub

    async def page(self, after: str) -> tuple[list[VaultRule], str | None]:
        """See the port."""
        response = await self._stub.ListSweptVaults(pb.ListSweptVaultsRequest(after=after, limit=_PAGE))
        rules = [
            VaultRule(
                vault=VaultName.parse(vault.name),
                cold_after=optional_duration(vault.policy, "cold_after"),
                delete_after=optional_duration(vault.policy, "delete_after"),
            )
            for vault in response.vaults
        ]
        return rules, rules[-1].vault.id if len(rules) == _PAGE else None
