"""Measure how much of the evidence a search brings back; print JSON.

    make bench-retrieval                                generated chats of a user with an assistant
    MEMOS_EVAL_DATA=locomo.json make bench-retrieval    conversations of a file in the format of LoCoMo or LongMemEval
    make bench-retrieval ARGS="--ablations --budgets"   and every stage left out, and recall within a token budget

A fresh `memosctl up` with default settings. Each conversation gets a vault, each turn is a message of AddMemories, each
question a SearchMemories in the vault of its conversation. In the same run: BM25 alone, pooled vectors alone, and both
legs fused, all through the same call.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant_chats import assistant_chats
from eval_data import Conversation, Question, load
from measure import summary
from rich.console import Console
from rich.progress import Progress

from deployment import Caller, Deployment
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import vault_pb2 as vaults

TOP_K = 50
CUTS = (5, 10, 20, 50)
BUDGETS = (500, 1_000, 2_000)
BATCH = 100
STAGES = ("neighbours", "speaker", "time", "form", "late_interaction", "session")
BASELINES = {
    "bm25": (*STAGES, "dense"),
    "pooled_vectors": (*STAGES, "lexical"),
    "both_legs": STAGES,
}
"""What is left out for each."""


@dataclass(frozen=True, slots=True)
class Found:
    """A question with the ids and sessions of the turns that came back, best first."""

    question: Question
    ids: Sequence[str]
    sessions: Sequence[str]
    wanted_sessions: frozenset[str]

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
        found.append(Found(question, ids, [session_of[id] for id in ids], wanted))
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


async def run(talks: Sequence[Conversation], *, ablations: bool, budgets: bool, progress: Progress) -> dict:
    """Ingest the conversations and ask everything of them."""
    asked = {"default": (), **BASELINES}
    if ablations:
        asked |= {f"without_{stage}": (stage,) for stage in STAGES}
    steps = len(talks) * (1 + len(asked) + budgets * len(BUDGETS))
    task = progress.add_task("conversations", total=steps)
    found: dict[str, list[Found]] = {}
    seconds: dict[str, list[float]] = {}
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Deployment.one_process(Path(folder)) as system:
        async with system.caller() as caller:
            for number, talk in enumerate(talks, 1):
                vault = f"tenants/local/vaults/talk-{number}"
                await caller.governance.CreateVault(governance.CreateVaultRequest(vault=vaults.Vault(name=vault)))
                seconds.setdefault("add_batch", []).extend(await ingest(caller, talk, vault))
                progress.advance(task)
                for name, without in asked.items():
                    answers, durations, took = await ask(caller, talk, vault, without=without)
                    found.setdefault(name, []).extend(answers)
                    seconds.setdefault(f"search_{name}", []).extend(durations)
                    for part, values in took.items() if name == "default" else ():
                        parts.setdefault(part, []).extend(values)
                    progress.advance(task)
                for budget in BUDGETS if budgets else ():
                    answers, _, _ = await ask(caller, talk, vault, budget=budget)
                    found.setdefault(f"budget_{budget}", []).extend(answers)
                    progress.advance(task)
            await system.settled(caller)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "results": {name: by_category(answers) for name, answers in found.items() if not name.startswith("budget")},
        "recall_within_tokens": {
            name.removeprefix("budget_"): _within(answers)
            for name, answers in found.items()
            if name.startswith("budget")
        },
        "time": {name: summary(values) for name, values in seconds.items()},
        "time_in_storage": {name: summary(values) for name, values in parts.items()},
        "bytes_a_turn": round(size / sum(len(talk.turns) for talk in talks)),
    }


def _within(found: Sequence[Found]) -> float:
    return _percent(len(one.ranks) / len(one.question.evidence) for one in found)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="file of conversations; MEMOS_EVAL_DATA by default")
    parser.add_argument("--chats", type=int, default=5, help="generated chats, if there is no file")
    parser.add_argument("--first", type=int, help="only so many conversations of the file")
    parser.add_argument("--ablations", action="store_true", help="leave out each stage in turn")
    parser.add_argument("--budgets", action="store_true", help="recall within 500, 1,000 and 2,000 tokens")
    options = parser.parse_args()
    given = options.data or os.environ.get("MEMOS_EVAL_DATA")
    talks = load(Path(given)) if given else assistant_chats(chats=options.chats)
    talks = [talk for talk in talks if talk.questions][: options.first]
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        result = asyncio.run(run(talks, ablations=options.ablations, budgets=options.budgets, progress=progress))
    told = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "data": Path(given).name if given else f"{options.chats} generated chats of user and assistant",
        "turns": sum(len(talk.turns) for talk in talks),
    }
    json.dump({**told, **result}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
