"""How much of the evidence for questions a search brings back, through the public API."""

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deployment import Caller
from eval_data import Conversation, Question
from memos_api.v1 import memory_service_pb2 as memory

TOP_K = 50
CUTS = (5, 10, 20, 50)
BATCH = 100
STAGES = (
    *("neighbours", "speaker", "form", "late_interaction", "time", "validity", "hops", "sessions"),
    *("identifiers", "updates"),
)
BASELINES = {
    "bm25": (*STAGES, "dense"),
    "pooled_vectors": (*STAGES, "lexical"),
    "both_legs": STAGES,
}
"""What is left out for each."""


@dataclass(frozen=True, slots=True)
class Found:
    """A question with the ids, sessions and features of the turns that came back, best first."""

    question: Question
    ids: Sequence[str]
    sessions: Sequence[str]
    wanted_sessions: frozenset[str]
    features: Sequence[Mapping[str, float]] = ()

    @property
    def ranks(self) -> list[int]:
        """Places of the evidence that came back, from 1."""
        return [place for place, id in enumerate(self.ids, 1) if id in self.question.evidence]


async def ingest(caller: Caller, talk: Conversation, vault: str) -> list[float]:
    """Store the turns as a user would; return the seconds of each call."""
    durations = []
    for start in range(0, len(talk.turns), BATCH):
        messages = [
            memory.Message(
                id=turn.id,
                role=turn.role,
                speaker=turn.speaker,
                session=turn.session,
                time=turn.time.isoformat(),
                text=turn.text,
            )
            for turn in talk.turns[start : start + BATCH]
        ]
        begin = time.perf_counter()
        answer = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=vault, messages=messages))
        durations.append(time.perf_counter() - begin)
        if answer.skipped:
            raise RuntimeError(f"turns were left out: {answer.skipped}")
    return durations


async def ask(
    caller: Caller, talk: Conversation, vault: str, *, without: Sequence[str] = (), budget: int = 0
) -> tuple[list[Found], list[float], dict[str, list[float]]]:
    """Return what came back for each question, the seconds of each search, and those of each leg and stage."""
    session_of = {turn.id: turn.session for turn in talk.turns}
    found, durations, parts = [], [], {}
    for question in talk.questions:
        request = memory.SearchMemoriesRequest(
            vaults=[vault],
            query=question.text,
            top_k=100 if budget else TOP_K,
            ranking=memory.Ranking(without=without, token_budget=budget),
        )
        begin = time.perf_counter()
        answer = await caller.memory.SearchMemories(request)
        durations.append(time.perf_counter() - begin)
        if answer.degraded:
            raise RuntimeError(f"the search did not run whole: {answer.legs}")
        for part in (*answer.legs, *answer.stages):
            parts.setdefault(part.name, []).append(part.duration_ms / 1e3)
        ids = [hit.cube.sources[0].message_id for hit in answer.hits]
        wanted = frozenset(session_of[id] for id in question.evidence)
        features = [{"score": hit.score, **hit.features} for hit in answer.hits]
        found.append(Found(question, ids, [session_of[id] for id in ids], wanted, features))
    return found, durations, parts


def measures(found: Sequence[Found]) -> dict[str, float | int]:
    """Return the measures over some questions, in per cent but for MRR and nDCG."""
    row: dict[str, float | int] = {"questions": len(found)}
    for cut in CUTS:
        shares = [sum(rank <= cut for rank in one.ranks) / len(one.question.evidence) for one in found]
        row[f"recall@{cut}"] = _percent(shares)
        row[f"any@{cut}"] = _percent(share > 0 for share in shares)
        row[f"all@{cut}"] = _percent(share == 1 for share in shares)
    row["mrr"] = round(statistics.fmean(1 / min(one.ranks, default=math.inf) for one in found), 4)
    row["ndcg@10"] = round(statistics.fmean(map(_ndcg, found)), 4)
    row["session_hit@1"] = _percent(bool(one.sessions) and one.sessions[0] in one.wanted_sessions for one in found)
    row["session_recall@5"] = _percent(map(_session_recall, found))
    return row


def _ndcg(one: Found, cut: int = 10) -> float:
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(cut, len(one.question.evidence)) + 1))
    return sum(1 / math.log2(rank + 1) for rank in one.ranks if rank <= cut) / ideal


def _session_recall(one: Found, cut: int = 5) -> float:
    first = list(dict.fromkeys(one.sessions))[:cut]
    return len(one.wanted_sessions & set(first)) / len(one.wanted_sessions)


def _percent(values: Iterable[float]) -> float:
    return round(100 * statistics.fmean(values), 2)


def by_category(found: Sequence[Found]) -> dict[str, dict[str, float | int]]:
    """Return the measures of all questions and of each sort."""
    sorts = sorted({one.question.category for one in found})
    rows = {sort: measures([one for one in found if one.question.category == sort]) for sort in sorts}
    return {"all": measures(found), **(rows if len(rows) > 1 else {})}
