"""InferenceService on the wire: convert, call, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import inference_service_pb2 as pb
from memos_api.internal.v1 import inference_service_pb2_grpc as pb_grpc
from memos_api.v1 import blob_service_pb2, chat_service_pb2
from memos_inference.domain.generation import Delta, GenerationEvent, Turn, parse_role, sampling
from memos_inference.domain.injection import Injection
from memos_inference.domain.models import TokenUse
from memos_inference.usecases.build_activation import BuildActivation
from memos_inference.usecases.count_tokens import CountTokens
from memos_inference.usecases.describe_models import DescribeEmbedder, DescribeModels
from memos_inference.usecases.embed_texts import EmbedTexts
from memos_inference.usecases.generate_answer import GenerateAnswer
from memos_inference.usecases.recover_text import RecoverText
from memos_inference.usecases.train_adapter import Adapted, TrainAdapter
from memos_kernel.names import VaultName
from memos_kernel.speed import Speed
from memos_runtime.context import current_grant
from memos_wire.cubes import activation_to_proto, cube_from_proto, identity_to_proto, parametric_to_proto
from memos_wire.embeddings import embedding_to_proto, fit

_TOKEN_USES = {pb.TOKEN_USE_STORE: TokenUse.STORE, pb.TOKEN_USE_QUERY: TokenUse.QUERY}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceServicer(pb_grpc.InferenceServiceServicer):
    """The models."""

    embed_texts: EmbedTexts
    count_tokens: CountTokens
    generate_answer: GenerateAnswer
    build_activation: BuildActivation
    train_adapter: TrainAdapter
    recover_text: RecoverText
    describe_models: DescribeModels
    describe_embedder: DescribeEmbedder

    async def Embed(self, request: pb.EmbedRequest, context: Any) -> pb.EmbedResponse:
        """Embed texts."""
        use = _TOKEN_USES.get(request.tokens, TokenUse.NONE)
        result = await self.embed_texts(request.texts, embedder=request.embedder, tokens=use)
        response = pb.EmbedResponse(embeddings=map(embedding_to_proto, result.texts), embedder=result.embedder)
        fit(response.embeddings, size=response.ByteSize())
        return response

    async def CountTokens(self, request: pb.CountTokensRequest, context: Any) -> pb.CountTokensResponse:
        """Count tokens of texts."""
        return pb.CountTokensResponse(counts=await self.count_tokens(request.texts))

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> AsyncIterator[pb.GenerateResponse]:
        """Generate an answer; each injection is checked against the grant of the call."""
        turns = [
            Turn(parse_role(turn.role, field=f"turns[{index}].role"), turn.text)
            for index, turn in enumerate(request.turns)
        ]
        injections = [
            Injection(cube_from_proto(item.cube, field=f"injections[{index}].cube"), item.form)
            for index, item in enumerate(request.injections)
        ]
        caches = [cube_from_proto(cube, field=f"caches[{index}]") for index, cube in enumerate(request.caches)]
        adapter = cube_from_proto(request.adapter, field="adapter") if request.HasField("adapter") else None
        how = sampling(request.max_tokens, request.temperature)
        answer = self.generate_answer(turns, injections, how, caches=caches, adapter=adapter, grant=current_grant())
        async with aclosing(answer) as events:
            async for event in events:
                yield _event_to_proto(event)

    async def BuildActivation(
        self, request: pb.BuildActivationRequest, context: Any
    ) -> AsyncIterator[pb.BuildActivationResponse]:
        """Make a KV cache of memories."""
        vault = VaultName.parse(request.vault, field="vault")
        cubes = [cube_from_proto(cube, field=f"cubes[{index}]") for index, cube in enumerate(request.cubes)]
        async with aclosing(self.build_activation(cubes, vault=vault, grant=current_grant())) as parts:
            offset = 0
            async for part in parts:
                if isinstance(part, bytes):
                    yield pb.BuildActivationResponse(chunk=blob_service_pb2.BlobChunk(offset=offset, data=part))
                    offset += len(part)
                else:
                    yield pb.BuildActivationResponse(payload=activation_to_proto(part))

    async def TrainAdapter(
        self, request: pb.TrainAdapterRequest, context: Any
    ) -> AsyncIterator[pb.TrainAdapterResponse]:
        """Train an adapter on memories."""
        vault = VaultName.parse(request.vault, field="vault")
        cubes = [cube_from_proto(cube, field=f"cubes[{index}]") for index, cube in enumerate(request.cubes)]
        async with aclosing(self.train_adapter(cubes, vault=vault, grant=current_grant())) as parts:
            offset = 0
            async for part in parts:
                if isinstance(part, bytes):
                    yield pb.TrainAdapterResponse(chunk=blob_service_pb2.BlobChunk(offset=offset, data=part))
                    offset += len(part)
                elif isinstance(part, Adapted):
                    payload = parametric_to_proto(part.payload)
                    made = pb.TrainedAdapter(payload=payload, learned=part.learned, report=part.report)
                    yield pb.TrainAdapterResponse(adapter=made)
                else:
                    yield pb.TrainAdapterResponse(progress=part)

    async def RecoverText(self, request: pb.RecoverTextRequest, context: Any) -> pb.RecoverTextResponse:
        """Write down what a cache or adapter holds."""
        found = await self.recover_text(cube_from_proto(request.cube, field="cube"), grant=current_grant())
        return pb.RecoverTextResponse(
            texts=[pb.RecoveredText(text=one.text, confidence=one.confidence) for one in found]
        )

    async def DescribeEmbedder(self, request: pb.DescribeEmbedderRequest, context: Any) -> pb.DescribeEmbedderResponse:
        """Describe an embedder."""
        found, target = await self.describe_embedder(request.embedder)
        return pb.DescribeEmbedderResponse(embedder=found.id, dimensions=found.dimensions, target=target)

    async def DescribeEngine(self, request: pb.DescribeEngineRequest, context: Any) -> pb.DescribeEngineResponse:
        """Describe the models."""
        engine, embedder, fetching = await self.describe_models()
        return pb.DescribeEngineResponse(
            model=engine.model,
            context_length=engine.context_length,
            memories_read_well=engine.memories_read_well,
            identity=identity_to_proto(engine.identity),
            embedder=embedder.id,
            embedding_dimensions=embedder.dimensions,
            composes=engine.composes,
            reading=_speed_to_proto(engine.reading),
            fetching=_speed_to_proto(fetching),
        )


def _speed_to_proto(speed: Speed | None) -> pb.Speed | None:
    if speed is None:
        return None
    return pb.Speed(seconds=speed.seconds, seconds_per_unit=speed.seconds_per_unit)


def _event_to_proto(event: GenerationEvent) -> pb.GenerateResponse:
    if isinstance(event, Delta):
        return pb.GenerateResponse(delta=event.text)
    return pb.GenerateResponse(
        end=pb.GenerateEnd(
            finish_reason=event.finish_reason,
            prompt_tokens=event.prompt_tokens,
            completion_tokens=event.completion_tokens,
            first_token_ms=event.first_token_ms,
            queue_ms=event.queue_ms,
            model=event.model,
            cached_tokens=event.cached_tokens,
            approximate_tokens=event.approximate_tokens,
            refusals=[
                chat_service_pb2.CacheRefusal(cube=str(one.name), reason=one.reason, message=one.message)
                for one in event.refusals
            ],
        )
    )
