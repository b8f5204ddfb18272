"""Links between memories as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import table
from memosctl.views.text import enum_word, second

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import MemoryLink


def listed(links: Sequence["MemoryLink"]) -> RenderableType:
    """Return links, the latest first."""
    rows = [
        (short(link.newer), sentence(link), short(link.older), _evidence(link), second(link.link_time))
        for link in links
    ]
    return table("newer - older evidence time", rows) if rows else Text("no links", style="yellow")


def sentence(link: "MemoryLink") -> str:
    """Return what the newer memory does to the older one, in words."""
    from memos_api.v1.memory_service_pb2 import LinkKind

    word = enum_word(LinkKind, link.kind).replace("-", " ")
    return "is unrelated to" if word == "unrelated" else word


def _evidence(link: "MemoryLink") -> str:
    return f"said by {short(link.decided_by)}" if link.decided_by else f"{link.evidence:.2f}"
