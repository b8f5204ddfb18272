"""Archives for people."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

if TYPE_CHECKING:
    from memosctl.archives import Taken

_SHOWN = 20


def taken(report: "Taken") -> RenderableType:
    """Return what became of an archive."""
    counts = f"{report.created} new, {report.extended} with newer revisions, {report.unchanged} as they were"
    lines = [Text(f"{report.vault}: {counts}", style="green")]
    if report.embedded:
        lines.append(Text(f"{report.embedded} vectors were computed"))
    if report.roles:
        lines.append(Text(f"{report.roles} roles were given"))
    if report.lineage_left_out:
        lines.append(Text(f"{report.lineage_left_out} edges of the lineage were left out", style="yellow"))
    if report.unknown_principals:
        unknown = ", ".join(report.unknown_principals)
        lines.append(Text(f"without a key here, and so without a role: {unknown}", style="yellow"))
    lines += [Text(f"{one.name}: {one.error}", style="red") for one in report.failures[:_SHOWN]]
    if len(report.failures) > _SHOWN:
        lines.append(Text(f"and {len(report.failures) - _SHOWN} more; --json lists all", style="red"))
    if report.degraded:
        lines.append(Text("degraded: an optional part was missing; run memosctl doctor", style="yellow"))
    return Group(*lines)
