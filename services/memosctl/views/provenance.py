"""A provenance graph as a tree: from the messages, over cubes and plans, to the answers."""

from collections import defaultdict
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from memosctl.names import short
from memosctl.views.text import enum_word, excerpt, moment

if TYPE_CHECKING:
    from memos_api.v1.provenance_pb2 import Provenance, ProvenanceEdge, ProvenanceNode

_STYLES = {"message": "cyan", "cube": "green", "plan": "yellow", "answer": "magenta", "job": "blue"}


def tree(graph: "Provenance") -> Tree:
    """Return the graph as a tree that is read downwards: a node's branches are what was made from it.

    A node that is reached on several ways is drawn whole the first time and named afterwards.
    """
    nodes = {node.name: node for node in graph.nodes}
    made_from: dict[str, list[ProvenanceEdge]] = defaultdict(list)
    for edge in graph.edges:
        made_from[edge.source].append(edge)
    targets = {edge.target for edge in graph.edges}
    drawing = Tree(Text(graph.root, style="bold"), guide_style="dim")
    drawn: set[str] = set()
    starts = [name for name in nodes if name not in targets] or [graph.root]
    for name in starts:
        _draw(drawing, name, "", nodes, made_from, drawn, graph.root)
    for name in nodes:  # what only a circle reaches
        if name not in drawn:
            _draw(drawing, name, "", nodes, made_from, drawn, graph.root)
    if graph.truncated:
        drawing.add(Text("cut here; ask for more with --depth", style="yellow"))
    return drawing


def _draw(
    parent: Tree,
    name: str,
    how: str,
    nodes: "dict[str, ProvenanceNode]",
    made_from: "dict[str, list[ProvenanceEdge]]",
    drawn: set[str],
    root: str,
) -> None:
    again = name in drawn
    drawn.add(name)
    branch = parent.add(_label(name, how, nodes.get(name), is_root=name == root, again=again))
    if again:
        return
    for edge in made_from.get(name, ()):
        _draw(branch, edge.target, _how(edge), nodes, made_from, drawn, root)


def _label(name: str, how: str, node: "ProvenanceNode | None", *, is_root: bool, again: bool) -> Text:
    from memos_api.v1.provenance_pb2 import ProvenanceNodeKind

    kind = enum_word(ProvenanceNodeKind.Name(node.kind), "PROVENANCE_NODE_KIND_") if node else ""
    label = Text()
    if how:
        label.append(f"{how} → ", style="dim")
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

    relation = enum_word(ProvenanceRelation.Name(edge.relation), "PROVENANCE_RELATION_").replace("_", " ")
    return f"{relation} ({edge.detail})" if edge.detail else relation
