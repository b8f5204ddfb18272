"""Searches on the wire; the public and the internal answer are made of the same messages."""

from collections.abc import Iterable

from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_interface.domain.search import (
    CubeFilter,
    MemoryConcept,
    MemoryTopic,
    NamedTime,
    SearchHit,
    SearchLeg,
    SearchOrigin,
    SearchWay,
)
from memos_kernel.cube import Kind, SemanticType, State
from memos_kernel.names import CubeName
from memos_wire.cubes import cube_from_proto, cube_to_proto, enums_from_proto
from memos_wire.times import optional_time, to_timestamp


def filter_from_proto(message: memory_service_pb2.CubeFilter, *, field: str = "filter") -> CubeFilter:
    """Return the conditions of a message.

    Raises:
        InvalidField: an unknown enum value, or a time out of range.
    """
    return CubeFilter(
        labels=dict(message.labels),
        kinds=enums_from_proto(Kind, message.kinds, field=f"{field}.kinds"),
        states=enums_from_proto(State, message.states, field=f"{field}.states"),
        semantic_types=enums_from_proto(SemanticType, message.semantic_types, field=f"{field}.semantic_types"),
        speakers=tuple(message.speakers),
        sessions=tuple(message.sessions),
        after=optional_time(message, "after", field=f"{field}.after"),
        before=optional_time(message, "before", field=f"{field}.before"),
        valid_at=optional_time(message, "valid_at", field=f"{field}.valid_at"),
    )


def filter_to_proto(value: CubeFilter | None) -> memory_service_pb2.CubeFilter | None:
    """Return the message of conditions, or None."""
    if value is None:
        return None
    return memory_service_pb2.CubeFilter(
        labels=value.labels,
        kinds=[memcube_pb2.CubeKind.ValueType(kind) for kind in sorted(value.kinds)],
        states=[memcube_pb2.CubeState.ValueType(state) for state in sorted(value.states)],
        semantic_types=[memcube_pb2.SemanticType.ValueType(kind) for kind in sorted(value.semantic_types)],
        speakers=value.speakers,
        sessions=value.sessions,
        after=to_timestamp(value.after),
        before=to_timestamp(value.before),
        valid_at=to_timestamp(value.valid_at),
    )


def hits_from_proto(messages: Iterable[memory_service_pb2.SearchHit]) -> tuple[SearchHit, ...]:
    """Return the hits of messages."""
    return tuple(
        SearchHit(
            cube=cube_from_proto(hit.cube),
            score=hit.score,
            leg_scores=dict(hit.leg_scores),
            features=dict(hit.features),
            superseded_by=CubeName.parse(hit.superseded_by, field="superseded_by") if hit.superseded_by else None,
            origin=_origin_from_proto(hit.origin) if hit.HasField("origin") else None,
            times=times_from_proto(hit.times),
        )
        for hit in messages
    )


def hit_to_proto(hit: SearchHit) -> memory_service_pb2.SearchHit:
    """Return the message of a hit."""
    return memory_service_pb2.SearchHit(
        cube=cube_to_proto(hit.cube),
        score=hit.score,
        leg_scores=hit.leg_scores,
        features=hit.features,
        superseded_by="" if hit.superseded_by is None else str(hit.superseded_by),
        origin=None if hit.origin is None else _origin_to_proto(hit.origin),
        times=map(time_to_proto, hit.times),
    )


def times_from_proto(messages: Iterable[memory_service_pb2.NamedTime]) -> tuple[NamedTime, ...]:
    """Return the named times of messages."""
    return tuple(
        NamedTime(
            text=message.text,
            start=optional_time(message, "start_time"),
            end=optional_time(message, "end_time"),
            yearly=message.yearly,
            counted_from=CubeName.parse(message.counted_from, field="counted_from") if message.counted_from else None,
        )
        for message in messages
    )


def time_to_proto(time: NamedTime) -> memory_service_pb2.NamedTime:
    """Return the message of a named time."""
    return memory_service_pb2.NamedTime(
        text=time.text,
        start_time=to_timestamp(time.start),
        end_time=to_timestamp(time.end),
        yearly=time.yearly,
        counted_from=str(time.counted_from or ""),
    )


_WAYS = {int(way): way for way in SearchWay}
"""Without those that a newer storage may know."""


def _origin_from_proto(message: memory_service_pb2.SearchOrigin) -> SearchOrigin:
    source = CubeName.parse(message.source, field="origin.source") if message.source else None
    return SearchOrigin(way=_WAYS.get(message.way, SearchWay.UNSPECIFIED), source=source, words=tuple(message.words))


def _origin_to_proto(origin: SearchOrigin) -> memory_service_pb2.SearchOrigin:
    way = memory_service_pb2.SearchWay.ValueType(origin.way)
    return memory_service_pb2.SearchOrigin(way=way, source=str(origin.source or ""), words=origin.words)


def topics_from_proto(messages: Iterable[memory_service_pb2.MemoryTopic]) -> tuple[MemoryTopic, ...]:
    """Return the topics of messages."""
    return tuple(
        MemoryTopic(
            message.topic,
            tuple(
                MemoryConcept(one.concept, tuple(CubeName.parse(name, field="facts") for name in one.facts))
                for one in message.concepts
            ),
        )
        for message in messages
    )


def topic_to_proto(topic: MemoryTopic) -> memory_service_pb2.MemoryTopic:
    """Return the message of a topic."""
    concepts = [
        memory_service_pb2.MemoryConcept(concept=one.concept, facts=map(str, one.facts)) for one in topic.concepts
    ]
    return memory_service_pb2.MemoryTopic(topic=topic.topic, concepts=concepts)


def legs_from_proto(
    messages: Iterable[memory_service_pb2.SearchLeg | memory_service_pb2.SearchStage],
) -> tuple[SearchLeg, ...]:
    """Return the legs, or the stages, of messages."""
    return tuple(
        SearchLeg(name=leg.name, ran=leg.ran, reason=leg.reason, candidates=leg.candidates, duration_ms=leg.duration_ms)
        for leg in messages
    )


def leg_to_proto(leg: SearchLeg) -> memory_service_pb2.SearchLeg:
    """Return the message of a leg."""
    return memory_service_pb2.SearchLeg(
        name=leg.name, ran=leg.ran, reason=leg.reason, candidates=leg.candidates, duration_ms=leg.duration_ms
    )


def stage_to_proto(stage: SearchLeg) -> memory_service_pb2.SearchStage:
    """Return the message of a stage of the ranking."""
    return memory_service_pb2.SearchStage(
        name=stage.name,
        ran=stage.ran,
        reason=stage.reason,
        candidates=stage.candidates,
        duration_ms=stage.duration_ms,
    )
