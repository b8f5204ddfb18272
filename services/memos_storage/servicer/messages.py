"""Storage's own messages between the domain and the wire."""

from datetime import datetime

import numpy as np
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from memos_api.internal.v1 import inference_service_pb2 as inference
from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_api.v1 import memcube_pb2
from memos_api.v1 import memory_service_pb2 as public
from memos_kernel.cube import Kind, MemCube, SemanticType, State
from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.names import CubeName, VaultName
from memos_kernel.states import SEARCHED_BY_DEFAULT
from memos_kernel.token_codes import CODEBOOK, QueryTokens, query_tokens, to_bytes
from memos_storage.domain.anchors import EARLIEST, LATEST
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.paths import Topic
from memos_storage.domain.times import Span
from memos_storage.domain.turns import times_of
from memos_storage.domain.values import NewCube, Outcome, Vector
from memos_storage.domain.walks import Way
from memos_storage.usecases.legs import LegResult
from memos_storage.usecases.ranking.rank_candidates import StageResult
from memos_storage.usecases.search_cubes import Hit, Origin, QueryTime
from memos_wire.cubes import cube_from_proto, cube_to_proto, enums_from_proto
from memos_wire.embeddings import token_codes
from memos_wire.errors import status_of
from memos_wire.memory_links import link_to_proto
from memos_wire.times import from_timestamp, optional_time, to_timestamp


def new_cube(item: pb.NewMemCube, *, embedder: str, index: int) -> NewCube:
    """Return the cube to store.

    Raises:
        MalformedName, MissingField, InvalidField: the message cannot be read.
    """
    cube = cube_from_proto(item.cube, field=f"items[{index}].cube")
    return NewCube(cube, vector(item, embedder=embedder))


def named_cube(message: memcube_pb2.MemCube) -> MemCube:
    """Return the cube of an update, which is found by its name; its vault may be left out.

    Raises:
        MalformedName, MissingField, InvalidField: the message cannot be read.
    """
    name = CubeName.parse(message.name, field="cube.name")
    complete = memcube_pb2.MemCube()
    complete.CopyFrom(message)
    complete.vault = message.vault or str(VaultName(name.tenant, "any"))
    return cube_from_proto(complete)


def vector(request: Message, *, embedder: str) -> Vector | None:
    """Return the vector in the field `embedding`, or None if it is not set."""
    if not request.HasField("embedding"):
        return None
    return vector_of(request.embedding, embedder=embedder)  # type: ignore[attr-defined]


def vector_of(embedding: inference.Embedding, *, embedder: str, field: str = "embedding") -> Vector:
    """Return the vector of an embedding with the codes of its tokens, if it has them; others than ours are to be made.

    Raises:
        InvalidField: the codes do not fit the vector.
    """
    values = np.array(embedding.values, dtype=np.float32)
    codes = token_codes(embedding)
    if codes is None or codes.codebook != CODEBOOK:
        return Vector(embedder, values, None)
    try:
        return Vector(embedder, values, to_bytes(codes, len(values)))
    except ValueError as error:
        raise InvalidField(f"{field}.tokens cannot be read: {error}.", field=f"{field}.tokens") from error


def asked_vector(request: pb.SearchMemCubesRequest) -> tuple[Vector | None, QueryTokens | None]:
    """Return the vector of a query and those of its tokens, as far as they are set and known here."""
    if not request.HasField("embedding"):
        return None, None
    vector = Vector(request.embedder, np.array(request.embedding.values, dtype=np.float32))
    codes = token_codes(request.embedding)
    return vector, None if codes is None else query_tokens(codes, len(vector.values))


def cube_filter(message: public.CubeFilter) -> CubeFilter:
    """Return the filter; without states it has the default ones.

    Raises:
        InvalidField: an unknown enum value or an absurd time.
    """
    return CubeFilter(
        labels=dict(message.labels),
        kinds=enums_from_proto(Kind, message.kinds, field="filter.kinds"),
        states=enums_from_proto(State, message.states, field="filter.states") or SEARCHED_BY_DEFAULT,
        semantic_types=enums_from_proto(SemanticType, message.semantic_types, field="filter.semantic_types"),
        speakers=frozenset(message.speakers),
        sessions=frozenset(message.sessions),
        after=optional_time(message, "after", field="filter.after"),
        before=optional_time(message, "before", field="filter.before"),
        valid_at=optional_time(message, "valid_at", field="filter.valid_at"),
    )


def vault_names(values: list[str], *, field: str) -> tuple[VaultName, ...]:
    """Return names of vaults."""
    return tuple(VaultName.parse(value, field=f"{field}[{index}]") for index, value in enumerate(values))


def required_time(message: Message, name: str, *, field: str) -> datetime:
    """Return a time that has to be set.

    Raises:
        MissingField: it is not.
        InvalidField: it is out of range.
    """
    if not message.HasField(name):
        raise MissingField(f"{field} is required.", field=field)
    stamp: Timestamp = getattr(message, name)
    return from_timestamp(stamp, field=field)


def wants_payload(view: int) -> bool:
    """Return whether a view of a method with the default FULL has payloads.

    Raises:
        InvalidField: an unknown view.
    """
    if view not in memcube_pb2.CubeView.values():
        raise InvalidField(f"view is {view}; give 1 (BASIC) or 2 (FULL).", field="view")
    return view != memcube_pb2.CUBE_VIEW_BASIC


def header(cube: MemCube) -> memcube_pb2.MemCube:
    """Return a cube without its payload."""
    return cube_to_proto(cube, payload=False)


def create_result(outcome: Outcome, *, names_only: bool) -> pb.CreateResult:
    """Return what became of one new cube."""
    if outcome.error is not None:
        return pb.CreateResult(error=status_of(outcome.error))
    assert outcome.cube is not None
    cube = memcube_pb2.MemCube(name=str(outcome.cube.name)) if names_only else cube_to_proto(outcome.cube)
    return pb.CreateResult(cube=cube, created=outcome.created, links=map(link_to_proto, outcome.links))


def cube_result(name: str, outcome: Outcome, *, payload: bool) -> public.CubeResult:
    """Return a cube that was asked for by name, or why not."""
    if outcome.error is not None:
        return public.CubeResult(name=name, error=status_of(outcome.error))
    assert outcome.cube is not None
    return public.CubeResult(name=name, cube=cube_to_proto(outcome.cube, payload=payload))


def search_hit(hit: Hit, *, payload: bool) -> public.SearchHit:
    """Return a hit."""
    return public.SearchHit(
        cube=cube_to_proto(hit.cube, payload=payload),
        score=hit.fused.score,
        leg_scores=hit.fused.legs,
        features=hit.fused.features,
        superseded_by="" if hit.fused.superseded_by is None else str(hit.fused.superseded_by),
        origin=None if hit.origin is None else _origin(hit.origin),
        times=_told_times(hit) if payload else (),
    )


def _told_times(hit: Hit) -> list[public.NamedTime]:
    text, named = hit.cube.text, hit.fused.named
    if named is None or any(one.end > len(text) for one in named):  # the text is another one since it was ranked
        named = times_of(hit.cube)
    return [_named(text[one.start : one.end], one.span) for one in named]


def query_time(time: QueryTime) -> public.NamedTime:
    """Return a time that a query names."""
    return _named(time.text, time.span, "" if time.source is None else str(time.source))


def _named(text: str, span: Span, counted_from: str = "") -> public.NamedTime:
    return public.NamedTime(
        text=text,
        start_time=None if span.yearly or span.start == EARLIEST else to_timestamp(span.start),
        end_time=None if span.yearly or span.end == LATEST else to_timestamp(span.end),
        yearly=span.yearly,
        counted_from=counted_from,
    )


_WAYS = {
    Way.NEIGHBOUR: public.SEARCH_WAY_NEIGHBOUR,
    Way.SHARED_WORDS: public.SEARCH_WAY_SHARED_WORDS,
    Way.UPDATE: public.SEARCH_WAY_UPDATE,
}


def _origin(origin: Origin) -> public.SearchOrigin:
    source = "" if origin.source is None else str(origin.source)
    return public.SearchOrigin(way=_WAYS[origin.way], source=source, words=origin.words)


def memory_topic(path: Topic) -> public.MemoryTopic:
    """Return a topic with its concepts."""
    concepts = [
        public.MemoryConcept(concept=concept.word, facts=[str(fact.name) for fact in concept.facts])
        for concept in path.concepts
    ]
    return public.MemoryTopic(topic=path.about, concepts=concepts)


def search_stage(stage: StageResult) -> public.SearchStage:
    """Return what a stage of the ranking did."""
    return public.SearchStage(
        name=stage.name,
        ran=stage.ran,
        reason=stage.reason,
        candidates=stage.candidates,
        duration_ms=stage.duration_ms,
    )


def search_leg(leg: LegResult) -> public.SearchLeg:
    """Return what a leg did."""
    return public.SearchLeg(
        name=leg.name, ran=leg.ran, reason=leg.reason, candidates=len(leg.scores), duration_ms=leg.duration_ms
    )
