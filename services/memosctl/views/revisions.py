"""Revisions of a cube as a table, and the difference of two."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from memosctl.views.cubes import label_list, state_word
from memosctl.views.tables import paged, table
from memosctl.views.text import moment, second

if TYPE_CHECKING:
    from memos_api.v1.memcube_pb2 import MemCube
    from memos_api.v1.memory_service_pb2 import DiffMemoryRevisionsResponse

TEXT = "plaintext.text"
_WORD = re.compile(r"\S+\s*")


def history(revisions: Sequence["MemCube"], next_page_token: str) -> RenderableType:
    """Return the headers of revisions, newest first."""
    rows = [(str(cube.revision), second(cube.update_time), _came_from(cube), _standing(cube)) for cube in revisions]
    view = table("revision recorded from state", rows)
    return paged(view, next_page_token)


def difference(response: "DiffMemoryRevisionsResponse") -> RenderableType:
    """Return the fields that differ, and the words of a text that went and came."""
    before, after = response.before, response.after
    head = Text(f"revision {before.revision} -> {after.revision}", style="dim")
    paths = [path for path in response.changed.paths if path != TEXT]
    fields = table("field before after", [(path, _value(before, path), _value(after, path)) for path in paths])
    words = _words(before.plaintext.text, after.plaintext.text) if TEXT in response.changed.paths else None
    if not response.changed.paths:
        return Group(head, Text("nothing differs", style="yellow"))
    return Group(head, *([words] if words else []), *([fields] if paths else []))


def _words(before: str, after: str) -> Text:
    """Return the words of both texts; those that went in `[-...-]`, those that came in `{+...+}`, as without colour."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    shown = Text()
    for what, start, end, new_start, new_end in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        went, came = "".join(old[start:end]).strip(), "".join(new[new_start:new_end]).strip()
        if what == "equal":
            shown.append(f"{went} ")
            continue
        if went:
            shown.append(f"[-{went}-] ", style="red")
        if came:
            shown.append(f"{{+{came}+}} ", style="green")
    return shown


def _value(cube: "MemCube", path: str) -> str:
    if path == "state":
        return state_word(cube)
    if path == "labels":
        return label_list(cube)
    found: Any = cube
    for name in path.split("."):
        found = getattr(found, name)
    if path.endswith("_time") or path.startswith("valid_"):
        return moment(found)
    return ", ".join(found) if isinstance(found, Iterable) and not isinstance(found, str) else str(found)


def _came_from(cube: "MemCube") -> str:
    return " and ".join(str(parent) for parent in cube.parent_revisions)


def _standing(cube: "MemCube") -> str:
    if cube.HasField("delete_time"):
        return "deleted"
    return state_word(cube) + (", frozen" if cube.frozen else "")
