"""Changes as lines."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.text import enum_word, excerpt, second

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import MemoryChange

_STYLES = {"created": "green", "updated": "cyan", "undeleted": "green", "deleted": "yellow", "purged": "red"}


def line(change: "MemoryChange") -> RenderableType:
    """Return one change on one line."""
    from memos_api.v1.memory_service_pb2 import ChangeKind

    word = enum_word(ChangeKind, change.kind)
    return Text.assemble(
        f"{second(change.record_time)} ",
        (f"{word:9} ", _STYLES.get(word, "")),
        (short(change.name), "bold"),
        f" r{change.revision} ",
        excerpt(change.cube.plaintext.text),
    )
