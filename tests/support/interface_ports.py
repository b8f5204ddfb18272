"""The ports of the interface twice: as twins, and as clients of real governance, storage and lifecycle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from interface_desk import Desk
from memos_api.internal.v1.ledger_service_pb2_grpc import LedgerServiceStub
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_governance import wiring as governance
from memos_governance.config import GovernanceConfig
from memos_interface.adapters.delegation import EdgeDelegation
from memos_interface.adapters.governance_client import LedgerClient, PolicyClient
from memos_interface.adapters.lifecycle_client import LifecycleClient
from memos_interface.adapters.storage_client import StorageClient
from memos_interface.edge import Edge
from memos_interface.ports import AuditLog, Authority, Delegation, Lifecycle, Lineage, MemoryStore
from memos_kernel.ids import SystemClock
from memos_kernel.names import VaultName
from memos_kernel.permission import Principal
from memos_lifecycle import wiring as lifecycle
from memos_lifecycle.config import LifecycleConfig
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_storage import wiring as storage
from memos_storage.config import StorageConfig
from memos_wire.grants import GrantVerifier
from memos_wire.methods import GOVERNANCE, LIFECYCLE, STORAGE

TOKEN = "a shared secret"


@dataclass(frozen=True, kw_only=True)
class PortSet:
    """The ports, a caller with a key, and a vault of his. `later` lets a moment pass on the clock behind them."""

    store: MemoryStore
    lifecycle: Lifecycle
    lineage: Lineage
    audit_log: AuditLog
    authority: Authority
    delegation: Delegation
    caller: Principal
    vault: VaultName
    api_key: str
    later: Callable[[], Awaitable[None]]


def twins() -> PortSet:
    desk = Desk()
    return PortSet(
        store=desk.storage,
        lifecycle=desk.lifecycle,
        lineage=desk.lineage,
        audit_log=desk.audit,
        authority=desk.authority,
        delegation=desk.delegation,
        caller=desk.caller,
        vault=desk.vault,
        api_key="mk_nora",
        later=_turned(desk),
    )


def _turned(desk: Desk) -> Callable[[], Awaitable[None]]:
    async def later() -> None:
        desk.clock.pass_(1)

    return later


@asynccontextmanager
async def clients(directory: Path) -> AsyncIterator[PortSet]:
    """Host the three services below the interface, the vector server being away."""
    clock, telemetry, key = SystemClock(), Telemetry(), Ed25519PrivateKey.generate()
    verifier = GrantVerifier([key.public_key()], clock=clock)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name in ("keys", GOVERNANCE, STORAGE, LIFECYCLE):
        (directory / name).mkdir(mode=0o700)
    (directory / "keys" / "grant_ed25519.pem").write_bytes(pem)
    socket = f"unix:{directory}/s"
    pool = ChannelPool(dict.fromkeys((GOVERNANCE, STORAGE, LIFECYCLE), socket))

    def context(name: str) -> ServiceContext:
        return ServiceContext(
            name=name,
            state_dir=directory / name,
            channels=Channels(service=name, pool=pool, telemetry=telemetry, peer_token=TOKEN),
            clock=clock,
            telemetry=telemetry,
            verifier=verifier,
        )

    secret = await governance.bootstrap_local(GovernanceConfig(), directory / GOVERNANCE, clock)
    assert secret is not None
    away = StorageConfig(milvus_uri=f"unix:{directory}/nobody", milvus_timeout_seconds=0.5)
    host = Host(
        [
            governance.build(GovernanceConfig(), context(GOVERNANCE)),
            storage.build(away, context(STORAGE)),
            lifecycle.build(LifecycleConfig(), context(LIFECYCLE)),
        ],
        config=ServerConfig(health_address=""),
        telemetry=telemetry,
        trust=Trust(verifier=verifier, clock=clock, peer_token=TOKEN),
        internal=Listener(address=socket),
    )
    await host.start()
    stub = Channels(service="interface", pool=pool, telemetry=telemetry, peer_token=TOKEN).stub
    authority = PolicyClient(stub(PolicyServiceStub, GOVERNANCE), verifier)
    ledger = LedgerClient(stub(LedgerServiceStub, GOVERNANCE), service="interface")
    try:
        yield PortSet(
            store=StorageClient(stub(StorageServiceStub, STORAGE)),
            lifecycle=LifecycleClient(stub(LifecycleServiceStub, LIFECYCLE)),
            lineage=ledger,
            audit_log=ledger,
            authority=authority,
            delegation=EdgeDelegation(Edge(authority, clock=clock, auth_seconds=10, capacity=10)),
            caller=await authority.authenticate(secret),
            vault=VaultName("local", "main"),
            api_key=secret,
            later=lambda: asyncio.sleep(0.001),
        )
    finally:
        await host.stop(grace=0)
        await pool.close()
