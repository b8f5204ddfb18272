"""A provenance graph as a tree: from an answer or a cube back to its sources, then on to what was made of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from memosctl.names import short
from memosctl.views.text import enum_word, excerpt, moment

if TYPE_CHECKING:
    from memos_api.v1.provenance_pb2 import Provenance, ProvenanceEdge, ProvenanceNode

_STYLES = {"message": "cyan", "cube": "green", "plan": "yellow", "answer": "magenta", "job": "blue"}

Steps = Mapping[str, Sequence[tuple[str, "ProvenanceEdge"]]]
"""A name -> the names one step further, each with the edge that leads there."""


def tree(graph: "Provenance") -> Tree:
    """Return a tree whose root is the name that was asked for.

    A node that is reached on several ways is drawn whole the first time and named afterwards.
    """
    sources: dict[str, list[tuple[str, ProvenanceEdge]]] = defaultdict(list)
    made: dict[str, list[tuple[str, ProvenanceEdge]]] = defaultdict(list)
    for edge in graph.edges:
        sources[edge.target].append((edge.source, edge))
        made[edge.source].append((edge.target, edge))
    drawing = _Drawing({node.name: node for node in graph.nodes})
    top = Tree(drawing.label(graph.root, "", is_root=True), guide_style="dim")
    drawing.grow(top, graph.root, sources, "←")
    if made[graph.root]:
        drawing.grow(top.add(Text("made of it", style="dim")), graph.root, made, "→")
    if graph.truncated:
        top.add(Text("cut here; ask for more with --depth", style="yellow"))
    return top


@dataclass(slots=True)
class _Drawing:
    nodes: "Mapping[str, ProvenanceNode]"
    drawn: set[str] = field(default_factory=set)

    def grow(self, parent: Tree, name: str, steps: Steps, arrow: str) -> None:
        """Add what is one step further, and everything beyond."""
        for further, edge in steps.get(name, ()):
            branch = parent.add(self.label(further, f"{arrow} {_how(edge)} "))
            if further not in self.drawn:
                self.drawn.add(further)
                self.grow(branch, further, steps, arrow)

    def label(self, name: str, how: str, *, is_root: bool = False) -> Text:
        """Return the line of a node."""
        if is_root:
            self.drawn.add(name)
        return _label(name, how, self.nodes.get(name), is_root=is_root, again=not is_root and name in self.drawn)


def _label(name: str, how: str, node: "ProvenanceNode | None", *, is_root: bool, again: bool) -> Text:
    from memos_api.v1.provenance_pb2 import ProvenanceNodeKind

    kind = enum_word(ProvenanceNodeKind, node.kind) if node else ""
    label = Text()
    label.append(how, style="dim")
    label.append(kind or name, style=f"{_STYLES.get(kind, '')} bold".strip() if is_root else _STYLES.get(kind, ""))
    label.append(f" {name.removeprefix('messages/') if kind == 'message' else short(name)}", style="dim")
    if again:
        label.append(" (see above)", style="dim")
    elif node:
        if when := moment(node.time):
            label.append(f" {when}", style="dim")
        if node.summary:
            label.append(f" {excerpt(node.summary, width=160)}")
    return label


def _how(edge: "ProvenanceEdge") -> str:
    from memos_api.v1.provenance_pb2 import ProvenanceRelation

    relation = enum_word(ProvenanceRelation, edge.relation).replace("-", " ")
    return f"{relation} ({edge.detail})" if edge.detail else relation
