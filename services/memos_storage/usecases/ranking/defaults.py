"""The stages that a search runs unless its query leaves some out."""

from memos_storage.ports import Catalog, MemoryLinks, Ranker, Spans, TermGraph, TurnReader
from memos_storage.usecases.ranking.forms import FormStage
from memos_storage.usecases.ranking.hops import HopStage
from memos_storage.usecases.ranking.identifiers import IdentifierStage
from memos_storage.usecases.ranking.late_interaction import LateInteractionStage
from memos_storage.usecases.ranking.neighbours import NeighbourStage
from memos_storage.usecases.ranking.rank_candidates import RankCandidates
from memos_storage.usecases.ranking.sessions import SessionStage
from memos_storage.usecases.ranking.speakers import SpeakerStage
from memos_storage.usecases.ranking.times import TimeStage
from memos_storage.usecases.ranking.updates import UpdatesStage
from memos_storage.usecases.ranking.validity import ValidityStage


def default_ranking(
    *,
    reader: TurnReader,
    graph: TermGraph,
    links: MemoryLinks,
    catalog: Catalog,
    spans: Spans,
    ranker: Ranker | None = None,
) -> RankCandidates:
    """Return the ranking with every stage; `ranker` was trained, and comes after the sum of the features."""
    by_itself = (SpeakerStage(), FormStage())
    by_tokens = (LateInteractionStage(reader), TimeStage(catalog), ValidityStage())
    scorers = (NeighbourStage(catalog, seeds=0), *by_itself, *by_tokens)
    return RankCandidates(
        early=(NeighbourStage(catalog), *by_itself),
        late=(*by_tokens, HopStage(graph, reader, catalog, scorers), SessionStage()),
        identifiers=IdentifierStage(),
        updates=UpdatesStage(links, catalog),
        ranker=ranker,
        reader=reader,
        catalog=catalog,
        spans=spans,
    )
