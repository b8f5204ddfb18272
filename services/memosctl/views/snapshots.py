"""Snapshots as a table."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import paged, table
from memosctl.views.text import second

if TYPE_CHECKING:
    from memos_api.v1.snapshot_service_pb2 import Snapshot


def overview(snapshots: "Iterable[Snapshot]", next_page_token: str) -> RenderableType:
    """Return snapshots, the latest moment first."""
    rows = [
        (short(one.name), short(one.vault), second(one.as_of), short(one.creator), Text(one.display_name))
        for one in snapshots
    ]
    view = table("snapshot vault moment by title", rows)
    return paged(view, next_page_token)
