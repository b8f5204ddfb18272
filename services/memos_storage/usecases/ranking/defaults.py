"""The stages that a search runs unless its query leaves some out."""

from memos_storage.ports import Catalog, MemoryLinks, Spans, TermGraph, TurnReader
from memos_storage.usecases.ranking.forms import FormStage
from memos_storage.usecases.ranking.hops import HopStage
from memos_storage.usecases.ranking.late_interaction import LateInteractionStage
from memos_storage.usecases.ranking.neighbours import NeighbourStage
from memos_storage.usecases.ranking.rank_candidates import RankCandidates
from memos_storage.usecases.ranking.sessions import SessionStage
from memos_storage.usecases.ranking.speakers import SpeakerStage
from memos_storage.usecases.ranking.times import TimeStage
from memos_storage.usecases.ranking.updates import UpdatesStage


def default_ranking(
    *, reader: TurnReader, graph: TermGraph, links: MemoryLinks, catalog: Catalog, spans: Spans
) -> RankCandidates:
    """Return the ranking with every stage."""
    by_itself = (SpeakerStage(), TimeStage(), FormStage())
    late = LateInteractionStage(reader)
    scorers = (NeighbourStage(catalog, seeds=0), *by_itself, late)
    return RankCandidates(
        early=(NeighbourStage(catalog), *by_itself),
        late=(late, HopStage(graph, reader, catalog, scorers), SessionStage()),
        updates=UpdatesStage(links, catalog),
        reader=reader,
        catalog=catalog,
        spans=spans,
    )
