"""What calls take and return. A cube keeps its message, for the fields that have no property here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from memos_api.v1 import chat_service_pb2, memcube_pb2, memory_service_pb2


def enum_word(kind: Any, number: int) -> str:
    """Return an enum value by its own name; one that only a newer system knows is `UNSPECIFIED`."""
    prefix = kind.Name(0).removesuffix("UNSPECIFIED")
    name: str = kind.Name(number if number in kind.values() else 0)
    return name.removeprefix(prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation.

    `time` is when it was said: an aware datetime, or RFC 3339 with offset; None means now.
    """

    text: str
    speaker: str = ""
    session: str = ""
    time: datetime | str | None = None
    id: str = ""
    role: str = ""

    def to_proto(self) -> memory_service_pb2.Message:
        """Return the message of the contract.

        Raises:
            ValueError: `time` is a datetime without zone.
        """
        return memory_service_pb2.Message(
            id=self.id,
            role=self.role,
            speaker=self.speaker,
            session=self.session,
            time=_rfc3339(self.time),
            text=self.text,
        )


@dataclass(frozen=True, slots=True)
class Cube:
    """A memory. `message` is the whole MemCube of the contract."""

    message: memcube_pb2.MemCube

    @property
    def name(self) -> str:
        """Resource name."""
        return self.message.name

    @property
    def vault(self) -> str:
        """Name of the vault that holds it."""
        return self.message.vault

    @property
    def text(self) -> str:
        """Text of a plaintext cube; empty in a header."""
        return self.message.plaintext.text

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels."""
        return dict(self.message.labels)

    @property
    def state(self) -> str:
        """Place in the life cycle, such as `GENERATED`."""
        return enum_word(memcube_pb2.CubeState, self.message.state)

    @property
    def revision(self) -> int:
        """Number of the newest revision, from 1."""
        return self.message.revision

    @property
    def etag(self) -> str:
        """Version tag; give it to `update` and `delete` to guard against a lost update."""
        return self.message.etag

    @property
    def speaker(self) -> str:
        """Who said it; empty if nobody did."""
        return self.message.sources[0].speaker if self.message.sources else ""

    @property
    def session(self) -> str:
        """Conversation that it was said in."""
        return self.message.sources[0].session if self.message.sources else ""

    @property
    def time(self) -> datetime | None:
        """When it was said, on the speaker's clock."""
        if not self.message.sources or not self.message.sources[0].HasField("event_time"):
            return None
        source = self.message.sources[0]
        return source.event_time.ToDatetime(tzinfo=UTC).astimezone(_zone(source.utc_offset))

    def __str__(self) -> str:
        return self.text or self.name


@dataclass(frozen=True, slots=True)
class Link:
    """What one cube does to an earlier one: `SUPERSEDES`, `MAY_SUPERSEDE`, `RESTATES`, or `UNRELATED` if it was said.

    Attributes:
        newer: name of the cube that was told later.
        older: name of the other one.
        evidence: probability that the older one is untrue, from 0 to 1, or how well the newer one says the same.
        time: when it was judged or decided.
        decided_by: principal that decided; empty if it was judged.
    """

    newer: str
    older: str
    kind: str
    evidence: float
    time: datetime
    decided_by: str

    @classmethod
    def from_proto(cls, message: memory_service_pb2.MemoryLink) -> "Link":
        """Return the value of a message."""
        return cls(
            newer=message.newer,
            older=message.older,
            kind=enum_word(memory_service_pb2.LinkKind, message.kind),
            evidence=message.evidence,
            time=message.link_time.ToDatetime(tzinfo=UTC),
            decided_by=message.decided_by,
        )


@dataclass(frozen=True, slots=True)
class Added:
    """A cube that an input led to; `created` is False if the vault held the same content already.

    `links`: what it does to earlier cubes, or later ones to it.
    """

    cube: Cube
    created: bool
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A message that is not remembered; `index` is its place among the messages of the call."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class AddAnswer:
    """What became of an add. `degraded`: an optional part of the system was missing."""

    added: tuple[Added, ...]
    skipped: tuple[Skipped, ...]
    provenance_id: str
    degraded: bool

    @classmethod
    def from_proto(cls, message: memory_service_pb2.AddMemoriesResponse) -> "AddAnswer":
        """Return the value of a message."""
        return cls(
            added=tuple(
                Added(Cube(item.cube), item.created, tuple(map(Link.from_proto, item.links))) for item in message.added
            ),
            skipped=tuple(Skipped(item.index, item.reason) for item in message.skipped),
            provenance_id=message.provenance_id,
            degraded=message.degraded,
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a search came to a cube from.

    `way` is `neighbour` (it stands beside it), `shared_words` (both have `words`) or `update` (it supersedes it);
    `source` is the name of that cube, empty if the caller may not see it.
    """

    way: str
    source: str
    words: tuple[str, ...]

    @classmethod
    def from_proto(cls, message: memory_service_pb2.SearchOrigin) -> "Origin":
        """Return the value of a message."""
        way = enum_word(memory_service_pb2.SearchWay, message.way).lower()
        return cls(way, message.source, tuple(message.words))


@dataclass(frozen=True, slots=True)
class Topic:
    """Hits that tell of the same person or thing: `concepts` are words with the names of the cubes that share them."""

    topic: str
    concepts: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class NamedTime:
    """A phrase that names a time, and what it means.

    `start` and `end` are None where it is open, and if it is of every year (`yearly`); `counted_from` is the name of
    the memory whose time it counts from, empty if there is none.
    """

    text: str
    start: datetime | None
    end: datetime | None
    yearly: bool
    counted_from: str

    @classmethod
    def from_proto(cls, message: memory_service_pb2.NamedTime) -> "NamedTime":
        """Return the value of a message."""
        start = message.start_time.ToDatetime(tzinfo=UTC) if message.HasField("start_time") else None
        end = message.end_time.ToDatetime(tzinfo=UTC) if message.HasField("end_time") else None
        return cls(message.text, start, end, message.yearly, message.counted_from)


@dataclass(frozen=True, slots=True)
class Hit:
    """A cube that fits a query. Only the order of scores within one answer has a meaning.

    `features` are what the stages of the ranking found of it, by name; `superseded_by` is the name of the cube that
    supersedes it, empty if none does; `origin` tells where the search came to it from, if no leg found it; `times` are
    those that the text tells of.
    """

    cube: Cube
    score: float
    leg_scores: Mapping[str, float]
    features: Mapping[str, float]
    superseded_by: str = ""
    origin: Origin | None = None
    times: tuple[NamedTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """What one leg of a search did, or one stage of its ranking; `reason` tells why it did not run."""

    name: str
    ran: bool
    reason: str
    candidates: int
    duration_ms: float


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Hits, best first. `degraded`: a leg was missing. `topics` is the tree of the hits, if it was asked for.

    `times` are those that the query names, as they were understood.
    """

    hits: tuple[Hit, ...]
    legs: tuple[Leg, ...]
    degraded: bool
    stages: tuple[Leg, ...]
    topics: tuple[Topic, ...] = ()
    times: tuple[NamedTime, ...] = ()

    @classmethod
    def from_proto(cls, message: memory_service_pb2.SearchMemoriesResponse) -> "SearchAnswer":
        """Return the value of a message."""
        return cls(
            hits=tuple(map(_hit, message.hits)),
            legs=_legs(message.legs),
            degraded=message.degraded,
            stages=_legs(message.stages),
            topics=tuple(
                Topic(topic.topic, tuple((one.concept, tuple(one.facts)) for one in topic.concepts))
                for topic in message.topics
            ),
            times=tuple(map(NamedTime.from_proto, message.times)),
        )


def _hit(message: memory_service_pb2.SearchHit) -> Hit:
    origin = Origin.from_proto(message.origin) if message.HasField("origin") else None
    scores, features = dict(message.leg_scores), dict(message.features)
    times = tuple(map(NamedTime.from_proto, message.times))
    return Hit(Cube(message.cube), message.score, scores, features, message.superseded_by, origin, times)


def _legs(
    messages: Iterable[memory_service_pb2.SearchLeg] | Iterable[memory_service_pb2.SearchStage],
) -> tuple[Leg, ...]:
    return tuple(Leg(one.name, one.ran, one.reason, one.candidates, one.duration_ms) for one in messages)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two revisions of a cube, and the paths of the fields that differ."""

    before: Cube
    after: Cube
    changed: tuple[str, ...]

    @classmethod
    def from_proto(cls, message: memory_service_pb2.DiffMemoryRevisionsResponse) -> "Difference":
        """Return the value of a message."""
        return cls(Cube(message.before), Cube(message.after), tuple(message.changed.paths))


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """A memory and what was decided about it.

    Its form is `text`, `kv` if a KV cache has it, or `lora` if an adapter knows it. `estimated_ms` is what it is
    expected to add to the time until the first token.
    """

    cube: Cube
    form: str
    reason: str
    score: float
    tokens: int
    estimated_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class CacheRefusal:
    """A KV cache or adapter that was not used; its memories were read as text."""

    cube: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """First event of a chat: what was understood, and which memories enter the prompt.

    `estimated_ms` is what the model is expected to take until the first token; 0 if it is not known how fast it reads.
    """

    name: str
    query: str
    chosen: tuple[PlannedMemory, ...]
    rejected: tuple[PlannedMemory, ...]
    degraded: bool
    caches: tuple[PlannedMemory, ...] = ()
    adapter: PlannedMemory | None = None
    estimated_ms: float = 0.0

    def __str__(self) -> str:
        lines = (f"- {memory.cube} ({memory.reason})" for memory in self.chosen)
        return "\n".join((f"{len(self.chosen)} of {len(self.chosen) + len(self.rejected)} memories", *lines))


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of the answer."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class ChatEnd:
    """Last event of a chat. `answer` is a name for `provenance`.

    `timings_ms` has the milliseconds of the stages `plan`, `generate` and `record`, and from the beginning to the
    `first_token` and to the end (`total`). `cached_tokens` of the prompt were not read, for a KV cache has what reading
    them gives; `approximate_tokens` of these a cache had read behind other words, so that the answer may be another one
    than from the text; `refusals` tells of caches that were not used.
    """

    answer: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    recorded: tuple[str, ...]
    timings_ms: Mapping[str, float]
    model: str
    cached_tokens: int = 0
    approximate_tokens: int = 0
    refusals: tuple[CacheRefusal, ...] = ()

    def __str__(self) -> str:
        return self.text


ChatEvent = ChatPlan | ChatDelta | ChatEnd


def chat_event(message: chat_service_pb2.ChatResponse) -> ChatEvent:
    """Return the event that a message of the stream holds."""
    match message.WhichOneof("event"):
        case "plan":
            plan = message.plan
            return ChatPlan(
                name=plan.name,
                query=plan.call.query,
                chosen=_planned(plan.chosen),
                rejected=_planned(plan.rejected),
                degraded=plan.degraded,
                caches=_planned(plan.caches),
                adapter=_planned([plan.adapter])[0] if plan.HasField("adapter") else None,
                estimated_ms=plan.estimated_ms,
            )
        case "delta":
            return ChatDelta(message.delta.text)
        case _:
            end = message.end
            return ChatEnd(
                answer=end.answer,
                text=end.text,
                finish_reason=end.finish_reason,
                prompt_tokens=end.prompt_tokens,
                completion_tokens=end.completion_tokens,
                recorded=tuple(end.recorded),
                timings_ms=dict(end.timings_ms),
                model=end.model,
                cached_tokens=end.cached_tokens,
                approximate_tokens=end.approximate_tokens,
                refusals=tuple(CacheRefusal(one.cube, one.reason, one.message) for one in end.refusals),
            )


def _planned(messages: Iterable[chat_service_pb2.PlannedMemory]) -> tuple[PlannedMemory, ...]:
    return tuple(
        PlannedMemory(Cube(item.cube), item.form, item.reason, item.score, item.tokens, item.estimated_ms)
        for item in messages
    )


_FORMS = {
    "auto": chat_service_pb2.MEMORY_FORM_UNSPECIFIED,
    "text": chat_service_pb2.MEMORY_FORM_TEXT,
    "kv": chat_service_pb2.MEMORY_FORM_KV,
    "lora": chat_service_pb2.MEMORY_FORM_LORA,
}


def memory_form(name: str) -> chat_service_pb2.MemoryForm.ValueType:
    """Return the form of a name.

    Raises:
        ValueError: it is not known.
    """
    if name not in _FORMS:
        raise ValueError(f"{name!r} is no form of memories; write one of {', '.join(_FORMS)}")
    return _FORMS[name]


def _rfc3339(time: datetime | str | None) -> str:
    if time is None or isinstance(time, str):
        return time or ""
    if time.tzinfo is None:
        raise ValueError("the time of a message needs a zone: use datetime(..., tzinfo=...)")
    return time.isoformat()


def _zone(offset: str) -> timezone:
    if len(offset) != len("+00:00"):
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[4:6])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
