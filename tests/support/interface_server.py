"""The interface on a real loopback server with the runtime's interceptors, its ports being twins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from interface_desk import Desk
from memos_api.internal.v1 import ledger_service_pb2, policy_service_pb2, scheduler_service_pb2
from memos_api.internal.v1 import purge_service_pb2 as internal_purges
from memos_api.internal.v1 import snapshot_service_pb2 as internal_snapshots
from memos_api.v1 import (
    governance_service_pb2,
    job_pb2,
    job_service_pb2,
    purge_service_pb2,
    snapshot_service_pb2,
    vault_pb2,
)
from memos_api.v1.chat_service_pb2_grpc import add_ChatServiceServicer_to_server
from memos_api.v1.conversion_service_pb2_grpc import add_ConversionServiceServicer_to_server
from memos_api.v1.governance_service_pb2_grpc import add_GovernanceServiceServicer_to_server
from memos_api.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from memos_api.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from memos_api.v1.purge_service_pb2_grpc import add_PurgeServiceServicer_to_server
from memos_api.v1.snapshot_service_pb2_grpc import add_SnapshotServiceServicer_to_server
from memos_interface.edge import Edge
from memos_interface.servicer.chat import ChatServicer
from memos_interface.servicer.conversions import ConversionServicer
from memos_interface.servicer.governance import GovernanceServicer
from memos_interface.servicer.jobs import JobServicer
from memos_interface.servicer.memory import MemoryServicer
from memos_interface.servicer.purges import PurgeServicer
from memos_interface.servicer.snapshots import SnapshotServicer
from memos_kernel.errors import ResourceNotFound
from memos_runtime.config import ServerConfig
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantVerifier

KEY = "mk_nora"


@dataclass
class Behind:
    """Stands in for the stubs of governance, scheduler, snapshots and purges; keeps what it was sent."""

    sent: list[object] = field(default_factory=list)
    snapshots: dict[str, snapshot_service_pb2.Snapshot] = field(default_factory=dict)
    purges: dict[str, purge_service_pb2.Purge] = field(default_factory=dict)

    async def CreateVault(self, message):
        self.sent.append(message)
        return policy_service_pb2.CreateVaultResponse(
            response=governance_service_pb2.CreateVaultResponse(vault=message.request.vault)
        )

    async def ListVaults(self, message):
        vaults = [vault_pb2.Vault(name=f"tenants/t/vaults/v{number}") for number in range(5)]
        start = int(message.request.page_token or 0)
        end = start + (message.request.page_size or 50)
        return policy_service_pb2.ListVaultsResponse(
            response=governance_service_pb2.ListVaultsResponse(
                vaults=vaults[start:end], next_page_token=str(end) if end < len(vaults) else ""
            )
        )

    async def QueryAudit(self, message):
        self.sent.append(message)
        return ledger_service_pb2.QueryAuditResponse()

    async def CreateSnapshot(self, message):
        self.sent.append(message)
        made = snapshot_service_pb2.Snapshot()
        made.CopyFrom(message.request.snapshot)
        made.name = made.name or "tenants/t/snapshots/made"
        self.snapshots[made.name] = made
        return internal_snapshots.CreateSnapshotResponse(
            response=snapshot_service_pb2.CreateSnapshotResponse(snapshot=made)
        )

    async def GetSnapshot(self, message):
        if message.request.name not in self.snapshots:
            raise ResourceNotFound(f"{message.request.name} is not there.", name=message.request.name)
        return internal_snapshots.GetSnapshotResponse(
            response=snapshot_service_pb2.GetSnapshotResponse(snapshot=self.snapshots[message.request.name])
        )

    async def ListSnapshots(self, message):
        return internal_snapshots.ListSnapshotsResponse(
            response=snapshot_service_pb2.ListSnapshotsResponse(snapshots=self.snapshots.values())
        )

    async def DeleteSnapshot(self, message):
        self.sent.append(message)
        del self.snapshots[message.request.name]
        return internal_snapshots.DeleteSnapshotResponse()

    async def PlanPurge(self, message):
        self.sent.append(message)
        asked = message.request
        answer = purge_service_pb2.PurgeMemoriesResponse(count=len(asked.names) or 3)
        if not asked.validate_only:
            answer.purge.name, answer.purge.vault = "tenants/t/purges/p1", asked.vault
            self.purges[answer.purge.name] = answer.purge
        return internal_purges.PlanPurgeResponse(response=answer)

    async def GetPurge(self, message):
        if message.request.name not in self.purges:
            raise ResourceNotFound(f"{message.request.name} is not there.", name=message.request.name)
        return internal_purges.GetPurgeResponse(
            response=purge_service_pb2.GetPurgeResponse(purge=self.purges[message.request.name])
        )

    async def ListPurges(self, message):
        return internal_purges.ListPurgesResponse(
            response=purge_service_pb2.ListPurgesResponse(purges=self.purges.values())
        )

    async def LiftPurge(self, message):
        self.sent.append(message)
        return internal_purges.LiftPurgeResponse(
            response=purge_service_pb2.LiftPurgeResponse(purge=self.purges[message.request.name])
        )

    async def EnqueueJob(self, message):
        self.sent.append(message)
        job = job_pb2.Job()
        job.CopyFrom(message.job)
        job.name = "tenants/t/jobs/j1"
        return scheduler_service_pb2.EnqueueJobResponse(job=job)

    async def GetJob(self, message):
        raise ResourceNotFound(f"{message.request.name} is not there.", name=message.request.name)

    async def CancelJob(self, message):
        self.sent.append(message)
        return scheduler_service_pb2.CancelJobResponse(
            response=job_service_pb2.CancelJobResponse(job=job_pb2.Job(name=message.request.name))
        )

    async def WatchJob(self, message):
        for progress in (0.0, 0.5, 1.0):
            await asyncio.sleep(0)
            yield scheduler_service_pb2.WatchJobResponse(
                response=job_service_pb2.WatchJobResponse(job=job_pb2.Job(name=message.request.name, progress=progress))
            )


@dataclass
class Running:
    """A server and what is behind it."""

    desk: Desk
    behind: Behind
    edge: Edge
    host: Host

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.host.ports['public']}"


@asynccontextmanager
async def serving() -> AsyncIterator[Running]:
    desk, behind = Desk(), Behind()
    edge = Edge(desk.authority, clock=desk.clock, auth_seconds=10, capacity=100)

    def register(server: grpc.aio.Server) -> None:
        add_MemoryServiceServicer_to_server(MemoryServicer(desk.do, new_id=desk.new_id), server)
        add_ChatServiceServicer_to_server(ChatServicer(desk.do.chat), server)
        add_ConversionServiceServicer_to_server(ConversionServicer(behind), server)
        add_JobServiceServicer_to_server(JobServicer(behind), server)
        add_SnapshotServiceServicer_to_server(SnapshotServicer(behind, behind), server)
        add_PurgeServiceServicer_to_server(PurgeServicer(behind, behind), server)
        add_GovernanceServiceServicer_to_server(GovernanceServicer(behind, behind, behind, forget=edge.forget), server)

    async def nothing() -> None:
        pass

    service = Service(name="interface", register=register, start=nothing, close=nothing, ready=lambda: True, edge=edge)
    host = Host(
        [service],
        config=ServerConfig(health_address=""),
        telemetry=Telemetry(),
        trust=Trust(verifier=GrantVerifier([], clock=desk.clock), clock=desk.clock, peer_token=None),
        public=Listener(address="127.0.0.1:0"),
    )
    await host.start()
    try:
        yield Running(desk, behind, edge, host)
    finally:
        await host.stop(grace=0)
