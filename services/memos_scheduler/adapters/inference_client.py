"""Engine over inference's gRPC service."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from memos_api.internal.v1 import inference_service_pb2 as pb
from memos_api.internal.v1.inference_service_pb2_grpc import InferenceServiceStub
from memos_kernel.embedding import Embedding
from memos_kernel.errors import DependencyUnavailable
from memos_kernel.ids import Clock
from memos_kernel.speed import Speed
from memos_scheduler.domain.plan import ASSUMED_FETCHING, EngineFacts
from memos_scheduler.ports import Engine, QueryVector
from memos_wire.cubes import identity_from_proto
from memos_wire.embeddings import embedding_from_proto


class InferenceEngine:
    """Asks inference. Each call gets a few seconds only, so that a slow model leaves time for a poorer plan."""

    def __init__(
        self, stub: InferenceServiceStub, *, patience: timedelta, current: Callable[[], Awaitable[str]]
    ) -> None:
        """Take the stub, the seconds, and what says which embedder searches go by."""
        self._stub = stub
        self._seconds = patience.total_seconds()
        self._current = current

    async def describe(self) -> EngineFacts:
        """See the port."""
        response = await self._stub.DescribeEngine(pb.DescribeEngineRequest(), timeout=self._seconds)
        return EngineFacts(
            model=response.model,
            context_length=response.context_length,
            memories_read_well=response.memories_read_well,
            composes=response.composes,
            reading=_speed(response.reading) if response.HasField("reading") else None,
            fetching=_speed(response.fetching) if response.HasField("fetching") else ASSUMED_FETCHING,
            identity=identity_from_proto(response.identity),
        )

    async def embed_query(self, text: str) -> QueryVector:
        """See the port."""
        return await self._embed(text, pb.TOKEN_USE_QUERY)

    async def embed(self, text: str) -> QueryVector:
        """See the port."""
        return await self._embed(text, pb.TOKEN_USE_STORE)

    async def _embed(self, text: str, use: pb.TokenUse.ValueType) -> QueryVector:
        request = pb.EmbedRequest(texts=[text], embedder=await self._current(), tokens=use)
        response = await self._stub.Embed(request, timeout=self._seconds)
        return QueryVector(embedding_from_proto(response.embeddings[0]), response.embedder)

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        """See the port."""
        response = await self._stub.CountTokens(pb.CountTokensRequest(texts=texts), timeout=self._seconds)
        return tuple(response.counts)


class InferenceTexts:
    """Implements `ports.TextEmbedder`."""

    def __init__(self, stub: InferenceServiceStub) -> None:
        self._stub = stub

    async def target(self) -> str:
        """See the port."""
        return str((await self._stub.DescribeEmbedder(pb.DescribeEmbedderRequest())).target)

    async def embed(self, texts: Sequence[str], *, embedder: str) -> Sequence[Embedding]:
        """See the port."""
        answer = await self._stub.Embed(pb.EmbedRequest(texts=texts, embedder=embedder, tokens=pb.TOKEN_USE_STORE))
        if answer.embedder != embedder:
            raise DependencyUnavailable(
                f"{answer.embedder} answers in the place of {embedder}; the embedder is being changed.",
                dependency="inference",
            )
        return list(map(embedding_from_proto, answer.embeddings))


class CachingEngine:
    """Another engine whose description is remembered for some time; a model seldom changes under way."""

    def __init__(self, engine: Engine, *, clock: Clock, keep: timedelta) -> None:
        self._engine = engine
        self._clock = clock
        self._keep = keep
        self._facts: EngineFacts | None = None
        self._fresh_until: datetime | None = None

    async def describe(self) -> EngineFacts:
        """See the port."""
        now = self._clock.now()
        if self._facts is None or self._fresh_until is None or now >= self._fresh_until:
            self._facts = await self._engine.describe()
            self._fresh_until = now + self._keep
        return self._facts

    async def embed_query(self, text: str) -> QueryVector:
        """See the port."""
        return await self._engine.embed_query(text)

    async def embed(self, text: str) -> QueryVector:
        """See the port."""
        return await self._engine.embed(text)

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        """See the port."""
        return await self._engine.count_tokens(texts)


def _speed(message: pb.Speed) -> Speed:
    return Speed(message.seconds, message.seconds_per_unit)
