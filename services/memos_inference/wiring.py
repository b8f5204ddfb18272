"""The inference service, put together."""

import asyncio
import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc

from memos_api.internal.v1.blob_service_pb2_grpc import BlobServiceStub
from memos_api.internal.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from memos_inference.adapters.batcher import Batcher
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import load_encoder, load_model
from memos_inference.adapters.old_files import OldFiles
from memos_inference.adapters.openai_engine import OpenAICompatibleEngine
from memos_inference.adapters.storage_client import StorageBlobs
from memos_inference.adapters.tiers import TieredCopies
from memos_inference.adapters.tracing import EngineMeasures, TelemetryTracer
from memos_inference.adapters.training_process import ProcessTraining
from memos_inference.adapters.transformers_embedder import TransformersEmbedder
from memos_inference.adapters.transformers_engine import Compose, TransformersEngine
from memos_inference.config import LORA_SECONDS, InferenceConfig
from memos_inference.domain.seals import Seals
from memos_inference.ports import Adapter, AdapterTraining, Cache
from memos_inference.servicer import InferenceServicer
from memos_inference.usecases.build_activation import BuildActivation
from memos_inference.usecases.choose_embedder import ServedEmbedders
from memos_inference.usecases.count_tokens import CountTokens
from memos_inference.usecases.describe_models import DescribeEmbedder, DescribeModels
from memos_inference.usecases.embed_texts import EmbedTexts
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_inference.usecases.recover_text import RecoverText
from memos_inference.usecases.train_adapter import TrainAdapter
from memos_kernel import limits
from memos_runtime.secret_file import secret_in
from memos_runtime.service import Service, ServiceContext
from memos_wire.methods import STORAGE

_TRAININGS = "trainings"
"""Folder of the checkpoints of adapters that are being trained."""

_CHECKPOINT_KEPT = limits.KV_COPY_RETENTION - timedelta(seconds=LORA_SECONDS)
"""What a training holds of a memory that is purged meanwhile has to go as soon as any copy, the training included."""


def build(config: InferenceConfig, context: ServiceContext) -> Service:
    """Return the service. It is ready once the embedder is loaded; without its model it serves all but generation."""
    digests = FileDigests(context.state_dir / "digests.json")
    embedders = [
        TransformersEmbedder(
            partial(load_encoder, name, config, digests, setting=setting),
            max_batch_texts=config.max_batch_texts,
            max_queue_tokens=config.max_queue_tokens,
        )
        for setting, name in (("embedder", config.embedder), ("next_embedder", config.next_embedder))
        if name
    ]
    served = ServedEmbedders(embedders[0], embedders[1] if len(embedders) > 1 else None)
    engine, training = _engine(config, context, digests)
    measures = EngineMeasures(context.telemetry, load=lambda: engine.load)
    blobs = StorageBlobs(context.channels.stub(BlobServiceStub, STORAGE))
    caches: TieredCopies[Cache] = TieredCopies(
        context.state_dir / "kv",
        blobs,
        engine.open_cache,
        settings="kv",
        disk_bytes=config.kv_disk_bytes,
        memory_bytes=config.kv_memory_bytes,
        patience=config.kv_patience_seconds,
        clock=context.clock,
        used=measures.used("kv"),
    )
    adapters: TieredCopies[Adapter] = TieredCopies(
        context.state_dir / "lora",
        blobs,
        engine.open_adapter,
        settings="lora",
        disk_bytes=config.lora_disk_bytes,
        memory_bytes=config.lora_memory_bytes,
        patience=config.kv_patience_seconds,
        clock=context.clock,
        used=measures.used("lora"),
    )
    trainings = OldFiles(context.state_dir / _TRAININGS, keep=_CHECKPOINT_KEPT, clock=context.clock)
    builds = context.state_dir / "builds"
    shared = config.seal_key.get_secret_value()
    seals = Seals(shared.encode() if shared else secret_in(context.state_dir / "seal.key"))
    servicer = InferenceServicer(
        embed_texts=EmbedTexts(served, with_tokens=config.token_vectors),
        count_tokens=CountTokens(engine),
        generate_answer=GenerateAnswer(
            engine, caches, adapters, TelemetryTracer(context.telemetry), context.clock, seals
        ),
        build_activation=BuildActivation(engine=engine, clock=context.clock, seals=seals, folder=builds),
        train_adapter=TrainAdapter(engine=engine, training=training, clock=context.clock, seals=seals, folder=builds),
        recover_text=RecoverText(engine=engine, caches=caches, adapters=adapters, clock=context.clock, seals=seals),
        describe_models=DescribeModels(engine, embedders[0], caches),
        describe_embedder=DescribeEmbedder(served),
    )

    def register(server: grpc.aio.Server) -> None:
        add_InferenceServiceServicer_to_server(servicer, server)

    async def start() -> None:
        await asyncio.to_thread(_empty, builds)
        await caches.start()
        await adapters.start()
        await trainings.start()
        for embedder in embedders:
            await embedder.start()
        engine.start()  # goes on in the background: memory works before the model does

    async def close() -> None:
        await caches.close()
        await adapters.close()
        await trainings.close()
        await blobs.close()
        await engine.close()
        for embedder in embedders:
            await embedder.close()

    return Service(
        name=context.name,
        register=register,
        start=start,
        close=close,
        ready=lambda: embedders[0].healthy,
        parts={
            "embedder": lambda: embedders[0].healthy,
            "model": lambda: engine.healthy,
            **({"next_embedder": lambda: embedders[1].healthy} if len(embedders) > 1 else {}),
        },
    )


def _engine(
    config: InferenceConfig, context: ServiceContext, digests: FileDigests
) -> tuple[TransformersEngine | OpenAICompatibleEngine, AdapterTraining]:
    """Return what generates, and what trains adapters of its model."""
    if config.engine == "openai":
        away = OpenAICompatibleEngine(
            url=config.openai_url,
            key=config.openai_key.get_secret_value(),
            model=config.model,
            context_length=config.openai_context_tokens,
            memories_read_well=config.memories_read_well,
            seconds=config.openai_timeout_seconds,
            max_running=config.max_running,
            max_waiting=config.max_queue,
        )
        return away, away
    batcher = Batcher(
        max_running=config.max_running,
        max_waiting=config.max_queue,
        max_bytes=config.kv_running_bytes,
        piece=config.prefill_tokens,
    )
    compose = Compose(config.kv_recompute, context.state_dir / "composed.json") if config.kv_compose else None
    engine = TransformersEngine(
        partial(load_model, config, digests),
        batcher=batcher,
        kv_encoding=config.kv_encoding,
        compose=compose,
        calibrate=True,
    )
    return engine, ProcessTraining(config, context.state_dir / _TRAININGS)


def _empty(folder: Path) -> None:
    """Make a folder anew: what a killed process left in it is of no use."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
