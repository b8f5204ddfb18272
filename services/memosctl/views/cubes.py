"""Cubes as tables and cards."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from memosctl.names import short
from memosctl.views.memory_links import sentence
from memosctl.views.tables import paged, table
from memosctl.views.text import content, day, degraded, enum_word, excerpt, moment, said

if TYPE_CHECKING:
    from memos_api.v1.memcube_pb2 import MemCube
    from memos_api.v1.memory_service_pb2 import AddMemoriesResponse


def added(response: "AddMemoriesResponse") -> RenderableType:
    """Return what AddMemories stored and left out."""
    rows = [
        (
            short(item.cube.name),
            Text("new", style="green") if item.created else Text("known", style="dim"),
            Text(excerpt(content(item.cube))),
        )
        for item in response.added
    ]
    linked = [
        Text(f"{short(link.newer)} {sentence(link)} {short(link.older)}", style="cyan")
        for item in response.added
        for link in item.links
    ]
    left_out = [Text(f"left out: input {item.index} ({item.reason})", style="yellow") for item in response.skipped]
    return Group(*([table("cube - text", rows)] if rows else []), *linked, *left_out, *degraded(response.degraded))


def headers(cubes: Iterable["MemCube"], next_page_token: str) -> RenderableType:
    """Return the headers of cubes."""
    rows = [
        (short(cube.name), state_word(cube), said(cube), str(cube.usage.hits), day(cube.create_time)) for cube in cubes
    ]
    view = table("cube state said uses made", rows)
    return paged(view, next_page_token)


def card(cube: "MemCube") -> RenderableType:
    """Return everything a person wants to know of one cube."""
    view = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    view.add_column(style="dim", no_wrap=True)
    view.add_column(overflow="fold")
    source = cube.sources[0] if cube.sources else None
    rows = {
        "name": cube.name,
        "vault": cube.vault,
        "state": state_word(cube) + (", frozen" if cube.frozen else ""),
        "type": _sort(cube),
        "holds": _holds(cube),
        "labels": label_list(cube),
        "said": said(cube),
        "source": f"{source.session or '-'}/{source.message_id}" if source and source.message_id else "",
        "created": moment(cube.create_time),
        "updated": moment(cube.update_time) if cube.revision > 1 else "",
        "expires": moment(cube.expire_time),
        "deleted": moment(cube.delete_time),
        "purge due": moment(cube.purge_time),
        "revision": str(cube.revision),
        "used": f"{cube.usage.hits} times, last {moment(cube.usage.last_used_time)}" if cube.usage.hits else "never",
        "owner": cube.access.owner,
        "provenance": cube.provenance_id,
        "trace": cube.origin_trace.trace_id,
        "etag": cube.etag,
    }
    for name, value in rows.items():
        if value:
            view.add_row(name, Text(value))
    text = Text(cube.plaintext.text, style="bold") if cube.WhichOneof("payload") == "plaintext" else Text("")
    return Group(text, view)


def label_list(cube: "MemCube") -> str:
    """Return the labels in one line."""
    return ", ".join(f"{key}={value}" for key, value in sorted(cube.labels.items()))


def state_word(cube: "MemCube") -> str:
    """Return the state as a word."""
    from memos_api.v1.memcube_pb2 import CubeState

    return enum_word(CubeState, cube.state)


def _holds(cube: "MemCube") -> str:
    if cube.HasField("parametric"):
        made = cube.parametric
        kind = "an activated LoRA adapter" if made.activated else "a LoRA adapter"
        return f"{kind} of rank {made.rank} for {made.identity.model}, {made.blob.size_bytes} bytes"
    if cube.HasField("activation"):
        cache = cube.activation
        return f"a KV cache of {cache.token_count} tokens for {cache.identity.model}, {cache.blob.size_bytes} bytes"
    return ""


def _sort(cube: "MemCube") -> str:
    from memos_api.v1.memcube_pb2 import SemanticType

    word = enum_word(SemanticType, cube.semantic_type)
    return "" if word == "unspecified" else word
