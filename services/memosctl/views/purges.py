"""Purges as a table, and a receipt as people read it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import paged, table
from memosctl.views.text import enum_word, second

if TYPE_CHECKING:
    from memos_api.v1.purge_service_pb2 import Purge, PurgeMemoriesResponse

_STYLES = {"done": "green", "erased": "yellow", "erasing": "yellow"}
_NAMES = 20
"""Names of a receipt that are shown; `--json` has all."""


def overview(purges: "Iterable[Purge]", next_page_token: str) -> RenderableType:
    """Return purges, the newest first."""
    rows = [
        (
            short(one.name),
            _state(one),
            str(one.cube_count),
            second(one.create_time),
            short(one.principal),
            Text(one.reason),
        )
        for one in purges
    ]
    return paged(table("purge state cubes asked by reason", rows), next_page_token)


def counted(answer: "PurgeMemoriesResponse") -> RenderableType:
    """Return what would be erased."""
    derived = f", {answer.derived_count} of them derived from others" if answer.derived_count else ""
    lines = [Text(f"This erases memories for good: {answer.count}{derived}")]
    lines += [Text(f"  {short(name)}") for name in answer.sample]
    if answer.count > len(answer.sample):
        lines.append(Text(f"  and {answer.count - len(answer.sample)} more", style="dim"))
    return Group(*lines)


def receipt(said: Mapping[str, Any], key: str) -> RenderableType:
    """Return what a receipt states, whose signature was checked."""
    cubes = said["cubes"]
    rows = [(tier["tier"], Text(_told(tier))) for tier in said["tiers"]]
    lines: list[RenderableType] = [
        Text.assemble(("signed ", "green"), f"by key {key} at {said['completed']}"),
        Text(f"{said['purge']}, asked for by {said['principal']}"),
        Text(f"memories erased from {said['vault']}: {len(cubes)}"),
        Text(f"reason: {said['reason']}" if said["reason"] else "no reason was given"),
        *(Text(f"  {short(cube['name'])}, revisions: {cube['revisions']}") for cube in cubes[:_NAMES]),
    ]
    if len(cubes) > _NAMES:
        lines.append(Text(f"  and {len(cubes) - _NAMES} more", style="dim"))
    if said["derived_made_stale"]:
        lines.append(Text(f"derived from these, kept and not used any more: {said['derived_made_stale']}"))
    if said["derived_left"]:
        lines.append(Text(f"derived from these, kept and still in use: {said['derived_left']}", style="yellow"))
    lines.append(table("tier what", rows))
    lines.append(Text("Out of reach:"))
    lines += [Text(f"  {line}") for line in said["out_of_reach"]]
    return Group(*lines)


def _state(purge: "Purge") -> Text:
    from memos_api.v1.purge_service_pb2 import PurgeState

    word = enum_word(PurgeState, purge.state)
    lifted = ", lifted" if purge.HasField("lift_time") else ""
    return Text(word + lifted, style=_STYLES.get(word, ""))


def _told(tier: Mapping[str, str]) -> str:
    told = tier["done"]
    if tier.get("remains"):
        until = f" (until {tier['until']})" if tier.get("until") else ""
        told += f" Remains: {tier['remains']}{until}"
    return told
