"""Puts the interface together."""

from datetime import timedelta
from functools import partial

import grpc

from memos_api.internal.v1.archive_service_pb2_grpc import ArchiveServiceStub
from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_api.internal.v1.ledger_service_pb2_grpc import LedgerServiceStub
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_api.internal.v1.purge_service_pb2_grpc import PurgeServiceStub
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.internal.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.internal.v1.vector_service_pb2_grpc import VectorServiceStub
from memos_api.v1.archive_service_pb2_grpc import add_ArchiveServiceServicer_to_server
from memos_api.v1.blob_service_pb2_grpc import add_BlobServiceServicer_to_server
from memos_api.v1.chat_service_pb2_grpc import add_ChatServiceServicer_to_server
from memos_api.v1.conversion_service_pb2_grpc import add_ConversionServiceServicer_to_server
from memos_api.v1.governance_service_pb2_grpc import add_GovernanceServiceServicer_to_server
from memos_api.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from memos_api.v1.memory_service_pb2_grpc import add_MemoryServiceServicer_to_server
from memos_api.v1.purge_service_pb2_grpc import add_PurgeServiceServicer_to_server
from memos_api.v1.snapshot_service_pb2_grpc import add_SnapshotServiceServicer_to_server
from memos_interface.adapters.archive_client import ArchiveClient, BlobUploader
from memos_interface.adapters.audit_buffer import AuditBuffer
from memos_interface.adapters.blob_client import BlobClient
from memos_interface.adapters.delegation import EdgeDelegation
from memos_interface.adapters.governance_client import LedgerClient, PolicyClient, VaultClient
from memos_interface.adapters.inference_client import InferenceClient
from memos_interface.adapters.lifecycle_client import LifecycleClient
from memos_interface.adapters.parquet_archive import ParquetTables
from memos_interface.adapters.scheduler_client import SchedulerClient
from memos_interface.adapters.storage_client import StorageClient, VectorClient
from memos_interface.adapters.telemetry_spans import RunningSpan
from memos_interface.config import InterfaceConfig
from memos_interface.edge import Edge
from memos_interface.servicer.archives import ArchiveServicer
from memos_interface.servicer.blobs import BlobServicer
from memos_interface.servicer.chat import ChatServicer
from memos_interface.servicer.conversions import ConversionServicer
from memos_interface.servicer.governance import GovernanceServicer
from memos_interface.servicer.jobs import JobServicer
from memos_interface.servicer.memory import MemoryServicer
from memos_interface.servicer.purges import PurgeServicer
from memos_interface.servicer.snapshots import SnapshotServicer
from memos_interface.usecases.assembly import Ports, assemble
from memos_kernel.errors import Capacity
from memos_kernel.ids import uuid7
from memos_runtime.context import allow
from memos_runtime.expiring import Remembered
from memos_runtime.service import Service, ServiceContext
from memos_wire.methods import GOVERNANCE, INFERENCE, LIFECYCLE, SCHEDULER, STORAGE


def build(config: InterfaceConfig, context: ServiceContext) -> Service:
    """Return the service. It is ready once it has started: what it calls says for itself when it is away."""
    stub = context.channels.stub
    policy, ledger = stub(PolicyServiceStub, GOVERNANCE), stub(LedgerServiceStub, GOVERNANCE)
    storage = stub(StorageServiceStub, STORAGE)
    scheduler, blobs = stub(SchedulerServiceStub, SCHEDULER), stub(BlobServiceStub, STORAGE)
    vectors = VectorClient(stub(VectorServiceStub, STORAGE))
    current = Remembered(
        vectors.embedder, clock=context.clock, keep=timedelta(seconds=config.embedder_seconds), failures=Capacity
    )
    models = InferenceClient(stub(InferenceServiceStub, INFERENCE), current=partial(current.get, otherwise=""))
    archives = ArchiveClient(stub(ArchiveServiceStub, STORAGE))
    records = LedgerClient(ledger, service=context.name)
    spans = RunningSpan()
    edge = Edge(
        PolicyClient(policy, context.verifier),
        clock=context.clock,
        auth_seconds=config.auth_cache_seconds,
        capacity=config.edge_cache_entries,
    )
    lost = context.telemetry.counter("audit_lost", "audit events of reads that could not be written")
    audit = AuditBuffer(
        records,
        clock=context.clock,
        new_id=uuid7,
        trace_id=spans.trace_id,
        count_lost=lost.inc,
        interval=config.audit_interval_seconds,
        capacity=config.audit_buffer_events,
    )
    ports = Ports(
        embedder=models,
        generator=models,
        store=StorageClient(storage),
        blobs=BlobClient(blobs),
        blob_writer=BlobUploader(blobs),
        histories=archives,
        notary=archives,
        tables=ParquetTables(),
        vaults=VaultClient(policy),
        planner=SchedulerClient(scheduler),
        lifecycle=LifecycleClient(stub(LifecycleServiceStub, LIFECYCLE)),
        lineage=records,
        audit_trail=audit,
        delegation=EdgeDelegation(edge),
        spans=spans,
        clock=context.clock,
        new_id=uuid7,
        allow=allow,
    )
    use_cases = assemble(ports, embed_timeout=config.embed_timeout_seconds)

    def register(server: grpc.aio.Server) -> None:
        add_MemoryServiceServicer_to_server(MemoryServicer(use_cases, new_id=uuid7), server)
        add_BlobServiceServicer_to_server(BlobServicer(blobs, use_cases.download_blob), server)
        add_ArchiveServiceServicer_to_server(ArchiveServicer(use_cases.export, use_cases.import_vault), server)
        add_ChatServiceServicer_to_server(ChatServicer(use_cases.chat), server)
        add_ConversionServiceServicer_to_server(ConversionServicer(scheduler), server)
        add_JobServiceServicer_to_server(JobServicer(scheduler), server)
        add_SnapshotServiceServicer_to_server(SnapshotServicer(stub(SnapshotServiceStub, STORAGE), scheduler), server)
        add_PurgeServiceServicer_to_server(PurgeServicer(stub(PurgeServiceStub, STORAGE), scheduler), server)
        add_GovernanceServiceServicer_to_server(GovernanceServicer(policy, ledger, storage, forget=edge.forget), server)

    async def close() -> None:
        await use_cases.finishing.drain()
        await audit.close()

    return Service(
        name=context.name,
        register=register,
        start=audit.start,
        close=close,
        ready=lambda: True,
        parts={"audit": lambda: audit.healthy},
        edge=edge,
    )
