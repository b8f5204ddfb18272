"""What a search found, as a table or as a tree."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from memosctl.names import short
from memosctl.views import named_times
from memosctl.views.tables import table
from memosctl.views.text import content, degraded, excerpt, milliseconds, said

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import (
        SearchHit,
        SearchLeg,
        SearchMemoriesResponse,
        SearchOrigin,
        SearchStage,
    )

_WAYS = {1: "beside", 2: "by {words} from", 3: "supersedes"}


def hits(response: "SearchMemoriesResponse", *, time_zone: str) -> RenderableType:
    """Return search hits, best first, with the legs and the stages of the ranking.

    Args:
        response: the answer.
        time_zone: of the query's times.
    """
    rows = [(f"{hit.score:.3f}", short(hit.cube.name), said(hit.cube), _shown(hit)) for hit in response.hits]
    view = table("score cube said text", rows) if rows else _nothing()
    return Group(view, *_told(response, time_zone))


def tree(response: "SearchMemoriesResponse", *, time_zone: str) -> RenderableType:
    """Return search hits by topic and concept, each with its place among the hits and where it was reached from.

    Args:
        response: the answer.
        time_zone: of the query's times.
    """
    places = {hit.cube.name: (number, hit) for number, hit in enumerate(response.hits, 1)}
    views: list[RenderableType] = []
    for topic in response.topics:
        view = Tree(Text(topic.topic or "-", style="bold"))
        for concept in topic.concepts:
            branch = view.add(Text(concept.concept or "-", style="cyan"))
            for number, hit in (places[name] for name in concept.facts):
                branch.add(_fact(number, hit))
        views.append(view)
    return Group(*(views or [_nothing()]), *_told(response, time_zone))


def _fact(number: int, hit: "SearchHit") -> Text:
    text = Text(f"{number} ", style="dim")
    text.append(short(hit.cube.name), style="green")
    text.append(f"  {excerpt(content(hit.cube))}", style="strike" if hit.superseded_by else "default")
    if hit.HasField("origin"):
        text.append(f"  {_reached(hit.origin)}", style="yellow")
    return text


def _reached(origin: "SearchOrigin") -> str:
    way = _WAYS.get(origin.way, "from").format(words=", ".join(origin.words) or "rare words")
    return f"{way} {short(origin.source) if origin.source else 'another memory'}"


def _shown(hit: "SearchHit") -> Text:
    text = Text(content(hit.cube))
    if hit.superseded_by:
        text.stylize("dim strike")
        text.append(f"  superseded by {short(hit.superseded_by)}", style="yellow")
    if hit.times:
        text.append(f"  {named_times.of_text(hit.times, hit.cube)}", style="dim")
    return text


def _nothing() -> Text:
    return Text("nothing found", style="yellow")


def _told(response: "SearchMemoriesResponse", time_zone: str) -> list[Text]:
    times = [Text(named_times.of_query(response.times, time_zone), style="cyan")] if response.times else []
    told = [Text("  ".join(map(_leg, parts)), style="dim") for parts in (response.legs, response.stages) if parts]
    return [*times, *told, *degraded(response.degraded)]


def _leg(leg: "SearchLeg | SearchStage") -> str:
    if not leg.ran:
        return f"{leg.name}: not run ({leg.reason})"
    doubt = f" ({leg.reason})" if leg.reason else ""
    return f"{leg.name}: {leg.candidates} in {milliseconds(leg.duration_ms)}{doubt}"
