"""Puts the scheduler together."""

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc

from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_api.internal.v1.policy_service_pb2_grpc import PolicyServiceStub
from memos_api.internal.v1.purge_service_pb2_grpc import PurgeServiceStub
from memos_api.internal.v1.scheduler_service_pb2_grpc import add_SchedulerServiceServicer_to_server
from memos_api.internal.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.internal.v1.vector_service_pb2_grpc import VectorServiceStub
from memos_kernel.errors import Capacity
from memos_kernel.ids import uuid7
from memos_runtime.context import spawn
from memos_runtime.expiring import Remembered
from memos_runtime.paging import PageTokens
from memos_runtime.service import Service, ServiceContext
from memos_runtime.workers import Worker
from memos_scheduler.adapters.conversion_clients import (
    InferenceAdapters,
    InferenceCaches,
    InferenceRecovery,
    StorageMemories,
)
from memos_scheduler.adapters.governance_client import GovernanceGrants, GovernanceTenants, GovernanceVaults
from memos_scheduler.adapters.inference_client import CachingEngine, InferenceEngine, InferenceTexts
from memos_scheduler.adapters.lifecycle_client import LifecycleSweeper, LifecycleVaultSweeper
from memos_scheduler.adapters.storage_client import StoragePurger, StorageRestorer, StorageRetriever, StorageVectors
from memos_scheduler.adapters.telemetry import TelemetryJobObserver
from memos_scheduler.config import SchedulerConfig
from memos_scheduler.domain.forms import CacheRule
from memos_scheduler.domain.jobs import EMBED_SWEEP, EXPIRE_SWEEP, PURGE_SWEEP, VAULT_SWEEP, Backoff
from memos_scheduler.domain.plan import BudgetRule
from memos_scheduler.domain.policies import SimilarityPolicy, UsagePolicy
from memos_scheduler.ports import Grants, Handler, JobQueue, SelectionPolicy
from memos_scheduler.servicer.service import SchedulerServicer
from memos_scheduler.usecases.build_activation import BuildActivation
from memos_scheduler.usecases.dispatch_jobs import DispatchJobs
from memos_scheduler.usecases.embed_sweep import EmbedSweep, TriggerEmbedding
from memos_scheduler.usecases.enqueue_job import EnqueueJob
from memos_scheduler.usecases.expire_sweep import ExpireSweep, TriggerSweeps
from memos_scheduler.usecases.find_jobs import GetJob, ListJobs
from memos_scheduler.usecases.plan_injection import PlanInjection
from memos_scheduler.usecases.recover_text import RecoverText
from memos_scheduler.usecases.repeat import repeat
from memos_scheduler.usecases.restore_vault import RestoreVault
from memos_scheduler.usecases.run_job import RunJob
from memos_scheduler.usecases.run_purges import PurgeSweep, RunPurge
from memos_scheduler.usecases.steer_job import CancelJob, RetryJob
from memos_scheduler.usecases.train_adapter import TrainAdapter
from memos_scheduler.usecases.vault_sweep import VaultSweepJob
from memos_scheduler.usecases.watch_job import WatchJob
from memos_wire.methods import GOVERNANCE, INFERENCE, LIFECYCLE, STORAGE

POLICIES: Mapping[str, SelectionPolicy] = {"similarity": SimilarityPolicy(), "usage": UsagePolicy()}
"""Selection policies by the name that the configuration knows them under."""

_DATABASE_QUEUE = 256
_COUNT_SECONDS = 15.0


def build(config: SchedulerConfig, context: ServiceContext) -> Service:
    """Return the service. It is ready while the queue is open and its worker runs; planning needs no disk.

    Raises:
        ValueError: the configuration names an unknown policy.
    """
    from memos_runtime.sql.engine import open_engine
    from memos_scheduler.adapters.sql import migrations
    from memos_scheduler.adapters.sql.queue import SqlJobQueue

    url = _database_url(config, context.state_dir)
    database = open_engine(url)
    threads = Worker("scheduler.queue", queue=_DATABASE_QUEUE)
    queue = SqlJobQueue(database, threads, clock=context.clock, queued_limit=config.queued_limit)
    policy_stub = context.channels.stub(PolicyServiceStub, GOVERNANCE)
    grants = GovernanceGrants(policy_stub, verifier=context.verifier)
    memories, engine = _memories(context), _engine(config, context)
    observer = TelemetryJobObserver(context.telemetry)
    dispatch = _dispatcher(
        config, context, queue=queue, grants=grants, memories=memories, engine=engine, observer=observer
    )

    async def count() -> None:
        observer.counted(await queue.count())

    trigger = partial(
        TriggerSweeps,
        tenants=GovernanceTenants(policy_stub),
        queue=queue,
        clock=context.clock,
        new_id=uuid7,
        attempts=config.max_attempts,
        keep_quiet=timedelta(seconds=config.quiet_retention_seconds),
        keep_ended=timedelta(days=config.ended_retention_days),
        wake=dispatch.wake,
    )
    embedding = TriggerEmbedding(
        trigger=trigger(kind=EMBED_SWEEP),
        embedder=InferenceTexts(context.channels.stub(InferenceServiceStub, INFERENCE)),
        vectors=StorageVectors(context.channels.stub(VectorServiceStub, STORAGE)),
        clock=context.clock,
        now_and_then=timedelta(seconds=config.embed_sweep_seconds),
    )
    sweeps: tuple[tuple[str, Callable[[], Awaitable[None]], float], ...] = (
        (EXPIRE_SWEEP.name, trigger(kind=EXPIRE_SWEEP), config.sweep_seconds),
        (VAULT_SWEEP.name, trigger(kind=VAULT_SWEEP), config.vault_sweep_seconds),
        (PURGE_SWEEP.name, trigger(kind=PURGE_SWEEP), config.purge_sweep_seconds),
        (EMBED_SWEEP.name, embedding, config.sweep_seconds),
        ("count", count, _COUNT_SECONDS),
    )
    plan = _planner(config, context, memories=memories, engine=engine)
    servicer = _servicer(config, context, queue=queue, grants=grants, dispatch=dispatch, plan=plan)
    background: list[asyncio.Task[None]] = []

    def register(server: grpc.aio.Server) -> None:
        add_SchedulerServiceServicer_to_server(servicer, server)

    async def start() -> None:
        await threads.run(migrations.migrate, url)
        background.append(spawn(dispatch(), name="scheduler.dispatch"))
        for name, work, seconds in sweeps:
            again = repeat(work, every=timedelta(seconds=seconds), name=name)
            background.append(spawn(again, name=f"scheduler.{name}"))

    async def close() -> None:
        while background:
            task = background.pop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await threads.close()
        database.dispose()

    return Service(
        name=context.name,
        register=register,
        start=start,
        close=close,
        ready=lambda: bool(background) and not any(task.done() for task in background),
    )


def migrate(config: SchedulerConfig, state_dir: Path) -> None:
    """Bring the queue's schema to the newest version. Blocks."""
    from memos_scheduler.adapters.sql import migrations

    migrations.migrate(_database_url(config, state_dir))


def _database_url(config: SchedulerConfig, state_dir: Path) -> str:
    from memos_runtime.sql.engine import sqlite_url

    return config.database_url.get_secret_value() or sqlite_url(state_dir / "jobs.db")


def _dispatcher(
    config: SchedulerConfig,
    context: ServiceContext,
    *,
    queue: JobQueue,
    grants: Grants,
    memories: StorageMemories,
    engine: InferenceEngine,
    observer: TelemetryJobObserver,
) -> DispatchJobs:
    lifecycle = context.channels.stub(LifecycleServiceStub, LIFECYCLE)
    inference = context.channels.stub(InferenceServiceStub, INFERENCE)
    restorer = StorageRestorer(context.channels.stub(SnapshotServiceStub, STORAGE))
    purger = StoragePurger(context.channels.stub(PurgeServiceStub, STORAGE))
    handlers: list[Handler] = [
        ExpireSweep(sweeper=LifecycleSweeper(lifecycle), batch=config.sweep_batch),
        VaultSweepJob(
            vaults=GovernanceVaults(context.channels.stub(PolicyServiceStub, GOVERNANCE)),
            sweeper=LifecycleVaultSweeper(lifecycle),
            batch=config.sweep_batch,
        ),
        BuildActivation(memories=memories, builder=InferenceCaches(inference)),
        TrainAdapter(memories=memories, trainer=InferenceAdapters(inference)),
        RecoverText(memories=memories, recoverer=InferenceRecovery(inference), engine=engine, new_id=uuid7),
        RestoreVault(restorer=restorer, batch=config.restore_batch),
        RunPurge(purger=purger),
        PurgeSweep(purger=purger),
        EmbedSweep(
            embedder=InferenceTexts(inference),
            vectors=StorageVectors(context.channels.stub(VectorServiceStub, STORAGE)),
            batch=config.embed_batch,
        ),
    ]
    ttl = timedelta(seconds=config.lease_seconds)
    return DispatchJobs(
        queue=queue,
        run_job=RunJob(
            queue=queue,
            grants=grants,
            handlers={handler.kind.name: handler for handler in handlers},
            clock=context.clock,
            new_id=uuid7,
            backoff=Backoff(
                base=timedelta(seconds=config.backoff_seconds), cap=timedelta(seconds=config.backoff_cap_seconds)
            ),
            chance=random.SystemRandom().random,
            ttl=ttl,
            observer=observer,
        ),
        worker=f"{socket.gethostname()}-{os.getpid()}",
        at_once=config.jobs_at_once,
        poll=timedelta(seconds=config.poll_seconds),
        ttl=ttl,
    )


def _servicer(
    config: SchedulerConfig,
    context: ServiceContext,
    *,
    queue: JobQueue,
    grants: Grants,
    dispatch: DispatchJobs,
    plan: PlanInjection,
) -> SchedulerServicer:
    find = GetJob(queue=queue)
    return SchedulerServicer(
        plan=plan,
        enqueue=EnqueueJob(
            queue=queue,
            kinds=dispatch.kinds,
            default_attempts=config.max_attempts,
            new_id=uuid7,
            wake=dispatch.wake,
        ),
        get=find,
        page=ListJobs(queue=queue),
        cancel=CancelJob(queue=queue, find=find),
        retry=RetryJob(queue=queue, find=find, wake=dispatch.wake),
        watch=WatchJob(find=find, grants=grants, clock=context.clock, every=timedelta(seconds=config.watch_seconds)),
        tokens=_page_tokens(config, context),
    )


def _engine(config: SchedulerConfig, context: ServiceContext) -> InferenceEngine:
    current = Remembered(
        StorageVectors(context.channels.stub(VectorServiceStub, STORAGE)).current,
        clock=context.clock,
        keep=timedelta(seconds=config.embedder_seconds),
        failures=Capacity,
    )
    return InferenceEngine(
        context.channels.stub(InferenceServiceStub, INFERENCE),
        patience=timedelta(seconds=config.engine_patience_seconds),
        current=partial(current.get, otherwise=""),
    )


def _planner(
    config: SchedulerConfig, context: ServiceContext, *, memories: StorageMemories, engine: InferenceEngine
) -> PlanInjection:
    if config.policy not in POLICIES:
        raise ValueError(f"scheduler.policy is {config.policy!r}; known policies are {', '.join(sorted(POLICIES))}.")
    keep = timedelta(seconds=config.engine_cache_seconds)
    return PlanInjection(
        engine=CachingEngine(engine, clock=context.clock, keep=keep),
        retriever=StorageRetriever(context.channels.stub(StorageServiceStub, STORAGE)),
        policy=POLICIES[config.policy],
        memories=memories,
        caches=CacheRule(least_tokens=config.kv_least_tokens),
        budget=BudgetRule(share=config.budget_share, cap=config.budget_cap, requested_share=config.requested_share),
        candidates=config.candidates,
        clock=context.clock,
        new_id=uuid7,
    )


def _memories(context: ServiceContext) -> StorageMemories:
    stub = context.channels.stub
    return StorageMemories(stub(StorageServiceStub, STORAGE), stub(BlobServiceStub, STORAGE))


def _page_tokens(config: SchedulerConfig, context: ServiceContext) -> PageTokens:
    shared = config.page_token_key.get_secret_value()
    return PageTokens(shared.encode()) if shared else PageTokens.from_file(context.state_dir / "page_tokens.key")
