"""Tables without lines. Names are never cut, for a person copies them; everything else folds."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_WHOLE = frozenset({"cube", "job", "key", "kind", "state", "principal", "made", "purge"})
"""Columns that keep their width."""

_NUMBERS = frozenset({"no", "score", "uses"})


def table(columns: str, rows: Iterable[Iterable[RenderableType]]) -> Table:
    """Return a table.

    Args:
        columns: titles, separated by spaces; `-` is a column without title.
        rows: cells in the order of the columns.
    """
    view = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for title in columns.split():
        view.add_column(
            "" if title == "-" else title,
            no_wrap=title in _WHOLE,
            overflow="fold",
            justify="right" if title in _NUMBERS else "left",
        )
    for row in rows:
        view.add_row(*row)
    return view


def paged(view: RenderableType, next_page_token: str) -> RenderableType:
    """Return a view with the way to the next page, if there is one."""
    if not next_page_token:
        return view
    return Group(view, Text(f"more: --page-token {next_page_token}", style="dim"))
