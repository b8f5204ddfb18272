"""The graph of where things came from and went."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class NodeKind(IntEnum):
    """Kind of node; the numbers are those of the contract."""

    MESSAGE = 1
    CUBE = 2
    PLAN = 3
    ANSWER = 4
    JOB = 5


class Relation(IntEnum):
    """How the target depends on the source; the numbers are those of the contract."""

    READ_FROM = 1
    DERIVED_FROM = 2
    PLANNED = 3
    GENERATED = 4
    RECORDED = 5


@dataclass(frozen=True, slots=True)
class Node:
    """A thing with a history."""

    name: str
    kind: NodeKind
    revision: int = 0
    summary: str = ""
    time: datetime | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From a source to what was made of it."""

    source: str
    target: str
    relation: Relation
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes and edges; `truncated` if a limit cut it."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    truncated: bool = False
