"""Governance behind a real server on loopback, as other services reach it."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hosting import hosted
from memos_api.internal.v1 import grant_pb2, ledger_service_pb2_grpc, policy_service_pb2_grpc
from memos_api.internal.v1 import ledger_service_pb2 as ledger_pb
from memos_api.internal.v1 import policy_service_pb2 as policy_pb
from memos_api.v1 import governance_service_pb2 as public
from memos_api.v1 import vault_pb2
from memos_governance.config import GovernanceConfig
from memos_governance.wiring import bootstrap_local, build
from memos_kernel.ids import SystemClock
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.context import use_grant
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantVerifier

TOKEN = "a shared secret"
LOCAL = "tenants/local"
ADMIN, BEN, SYSTEM = (f"{LOCAL}/principals/{id}" for id in ("admin", "ben", "system"))
MAIN, NOTES = f"{LOCAL}/vaults/main", f"{LOCAL}/vaults/notes"


@dataclass
class Peer:
    """Governance as one other service reaches it."""

    policy: policy_service_pb2_grpc.PolicyServiceStub
    ledger: ledger_service_pb2_grpc.LedgerServiceStub
    verifier: GrantVerifier

    async def grant(self, principal, *actions, vaults=()):
        answer = await self.policy.IssueGrant(
            policy_pb.IssueGrantRequest(principal=principal, actions=actions, vaults=vaults)
        )
        return self.verifier.verify(answer.grant.SerializeToString())

    @asynccontextmanager
    async def acting(self, principal, *actions, vaults=()):
        """Make the calls inside with a fresh grant."""
        with use_grant(await self.grant(principal, *actions, vaults=vaults)):
            yield

    async def create_key(self, principal, *, request_id="", body="aa", **fields):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.policy.CreateApiKey(
                policy_pb.CreateApiKeyRequest(
                    request=public.CreateApiKeyRequest(principal=principal, **fields),
                    request_key=_request_key("CreateApiKey", request_id, body),
                )
            )
        return answer.response

    async def create_vault(self, *, request_id="", body="aa", **fields):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.policy.CreateVault(
                policy_pb.CreateVaultRequest(
                    request=public.CreateVaultRequest(vault=vault_pb2.Vault(**fields)),
                    request_key=_request_key("CreateVault", request_id, body),
                )
            )
        return answer.response.vault

    async def set_role(self, vault, principal, role, *, by=ADMIN):
        permission = vault_pb2.VaultPermission(vault=vault, principal=principal, role=role)
        async with self.acting(by, "vault.admin", vaults=[vault]):
            answer = await self.policy.SetVaultPermission(
                policy_pb.SetVaultPermissionRequest(request=public.SetVaultPermissionRequest(permission=permission))
            )
        return answer.response.permission

    async def audit(self, **wanted):
        async with self.acting(ADMIN, "tenant.admin"):
            answer = await self.ledger.QueryAudit(
                ledger_pb.QueryAuditRequest(request=public.QueryAuditRequest(**wanted))
            )
        return answer.response


def _request_key(method, request_id, body):
    if not request_id:
        return None
    name = f"/memos.v1.GovernanceService/{method}"
    return grant_pb2.RequestKey(request_id=request_id, method=name, body_sha256=body)


@dataclass
class Served:
    """A running governance and what it stands on."""

    state_dir: Path
    secret: str
    interface: Peer
    scheduler: Peer
    storage: Peer
    inference: Peer


@asynccontextmanager
async def governing(tmp_path):
    """Run governance in a directory."""
    state_dir, clock = tmp_path / "governance", SystemClock()
    (tmp_path / "keys").mkdir()
    state_dir.mkdir()
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "keys" / "grant_ed25519.pem").write_bytes(pem)
    secret = await bootstrap_local(GovernanceConfig(), state_dir, clock)
    verifier, telemetry = GrantVerifier([key.public_key()], clock=clock), Telemetry()
    channels = Channels(service="governance", pool=ChannelPool({}), telemetry=telemetry, peer_token=TOKEN)
    service = build(
        GovernanceConfig(),
        ServiceContext(
            name="governance",
            state_dir=state_dir,
            channels=channels,
            clock=clock,
            telemetry=telemetry,
            verifier=verifier,
        ),
    )
    async with hosted(service, verifier=verifier, clock=clock, token=TOKEN, telemetry=telemetry) as channels_of:

        def peer(name):
            calls = channels_of(name)
            return Peer(
                calls.stub(policy_service_pb2_grpc.PolicyServiceStub, "governance"),
                calls.stub(ledger_service_pb2_grpc.LedgerServiceStub, "governance"),
                verifier,
            )

        names = ("interface", "scheduler", "storage", "inference")
        yield Served(state_dir, secret, **{name: peer(name) for name in names})
