"""The models, over the channel of inference."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, cast

from memos_api.internal.v1 import inference_service_pb2 as pb
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_interface.domain.chat import CacheRefusal, Delta, GenerationEnd, PlannedMemory
from memos_interface.domain.extraction import Engine
from memos_interface.domain.question import Turn
from memos_interface.ports import EmbedderFacts, Vectors
from memos_runtime.context import affine, current_grant
from memos_wire.cubes import cube_to_proto
from memos_wire.embeddings import embedding_from_proto

_TEXT, _LORA = "text", "lora"


class InferenceClient:
    """The ports Embedder and Generator."""

    def __init__(self, stub: InferenceServiceStub, *, current: Callable[[], Awaitable[str]]) -> None:
        """Take the stub, and what says which embedder searches go by."""
        self._stub = stub
        self._current = current

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See the port."""
        return await self._embed(texts, pb.TOKEN_USE_STORE)

    async def embed_query(self, text: str) -> Vectors:
        """See the port."""
        return await self._embed([text], pb.TOKEN_USE_QUERY)

    async def _embed(self, texts: Sequence[str], use: pb.TokenUse.ValueType) -> Vectors:
        request = pb.EmbedRequest(texts=texts, embedder=await self._current(), tokens=use)
        answer = await self._stub.Embed(request)
        return Vectors(tuple(map(embedding_from_proto, answer.embeddings)), answer.embedder)

    async def describe_embedder(self) -> EmbedderFacts:
        """See the port."""
        answer = await self._stub.DescribeEmbedder(pb.DescribeEmbedderRequest(embedder=await self._current()))
        return EmbedderFacts(answer.embedder, answer.dimensions)

    async def generate(
        self,
        turns: Sequence[Turn],
        memories: Sequence[PlannedMemory],
        *,
        max_tokens: int,
        temperature: float,
        caches: Sequence[PlannedMemory] = (),
        adapter: PlannedMemory | None = None,
        conversation: str = "",
    ) -> AsyncGenerator[Delta | GenerationEnd, None]:
        """See the port."""
        request = pb.GenerateRequest(
            turns=[pb.PromptTurn(role=turn.role, text=turn.text) for turn in turns],
            injections=[pb.Injection(cube=cube_to_proto(memory.cube), form=_form(memory)) for memory in memories],
            max_tokens=max_tokens,
            temperature=temperature,
            caches=[cube_to_proto(cache.cube) for cache in caches],
            adapter=cube_to_proto(adapter.cube) if adapter is not None else None,
        )
        # a stream of memos_runtime.channels is an async generator; closing it cancels the call
        async with aclosing(cast(AsyncGenerator[pb.GenerateResponse, Any], self._stub.Generate(request))) as events:
            with _where_copies_are(request, conversation):
                first = await anext(events, None)  # the call begins here
            if first is not None:
                yield _event(first)
            async for event in events:
                yield _event(event)

    async def describe(self) -> Engine:
        """See the port."""
        answer = await self._stub.DescribeEngine(pb.DescribeEngineRequest())
        return Engine(model=answer.model, context_length=answer.context_length)


def _where_copies_are(request: pb.GenerateRequest, conversation: str) -> AbstractContextManager[None]:
    """Have a call with KV caches or an adapter reach the replica that has them from the turn before.

    Conversations of the same caches are spread all the same, by their name or else by who talks.
    """
    kept = [cache.name for cache in request.caches]
    if request.HasField("adapter"):
        kept.append(request.adapter.name)
    return affine(str(current_grant().principal), conversation, *kept) if kept else nullcontext()


def _form(memory: PlannedMemory) -> str:
    """Return how a memory reaches the model; the words of those in a KV cache are in the prompt, too."""
    return _LORA if memory.form == _LORA else _TEXT


def _event(message: pb.GenerateResponse) -> Delta | GenerationEnd:
    if message.WhichOneof("event") == "delta":
        return Delta(message.delta)
    end = message.end
    return GenerationEnd(
        finish_reason=end.finish_reason,
        prompt_tokens=end.prompt_tokens,
        completion_tokens=end.completion_tokens,
        model=end.model,
        first_token_ms=end.first_token_ms,
        cached_tokens=end.cached_tokens,
        approximate_tokens=end.approximate_tokens,
        refusals=tuple(CacheRefusal(one.cube, one.reason, one.message) for one in end.refusals),
    )
