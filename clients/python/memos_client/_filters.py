"""Conditions on cubes, as keyword arguments."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_client._checks import check_words, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Conditions that a cube must fulfil, all of those that are given.

    Attributes:
        labels: labels with these values.
        speakers, sessions: any of.
        states: any of, such as `ARCHIVED`; empty means GENERATED and ACTIVATED.
        semantic_types: any of, such as `PREFERENCE`.
        after, before: bounds of the event time, `before` exclusive; aware datetimes.
        valid_at: moment in the world at which the fact holds.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    speakers: Iterable[str] = ()
    sessions: Iterable[str] = ()
    states: Iterable[str] = ()
    semantic_types: Iterable[str] = ()
    after: datetime | None = None
    before: datetime | None = None
    valid_at: datetime | None = None

    def to_proto(self) -> memory_service_pb2.CubeFilter:
        """Return the message of the contract.

        Raises:
            ValueError: an unknown state or sort of content, or a time without zone.
            TypeError: a list is one string.
            RequestError: a string holds half a character.
        """
        check_words(labels=self.labels)
        return memory_service_pb2.CubeFilter(
            labels=self.labels,
            speakers=listed("speakers", self.speakers),
            sessions=listed("sessions", self.sessions),
            states=[memcube_pb2.CubeState.Value(f"CUBE_STATE_{state}") for state in listed("states", self.states)],
            semantic_types=[semantic_type(name) for name in listed("semantic_types", self.semantic_types)],
            after=timestamp(self.after),
            before=timestamp(self.before),
            valid_at=timestamp(self.valid_at),
        )


def semantic_type(name: str) -> memcube_pb2.SemanticType.ValueType:
    """Return the sort of content of a name such as `FACT`; empty leaves it to the server.

    Raises:
        ValueError: an unknown name.
    """
    return memcube_pb2.SemanticType.Value(f"SEMANTIC_TYPE_{name or 'UNSPECIFIED'}")


def timestamp(time: datetime | None) -> Timestamp | None:
    """Return the message of a time.

    Raises:
        ValueError: it has no zone.
    """
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError("a time needs a zone: use datetime(..., tzinfo=...)")
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC))
    return stamp
