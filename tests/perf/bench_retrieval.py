"""Measure how much of the evidence a search brings back; print JSON.

    make bench-retrieval                                generated chats of a user with an assistant
    MEMOS_EVAL_DATA=locomo.json make bench-retrieval    conversations of a file in the format of LoCoMo or LongMemEval
    make bench-retrieval ARGS=--bridges                 generated notes of which two together answer a question
    make bench-retrieval ARGS=--dates                   generated diaries, asked by date and by what else happened
    make bench-retrieval ARGS="--ablations --budgets"   and every stage left out, and recall within a token budget
    make bench-retrieval ARGS=--ranker                  and a ranker trained on the other conversations, an experiment
    make bench-retrieval ARGS="--train-ranker FILE"     train one on all of them, for storage.ranker_file
    make bench-retrieval ARGS="--with-ranker FILE"      a system that has one

A fresh `memosctl up` with default settings. Each conversation gets a vault, each turn is a message of AddMemories, each
question a SearchMemories in the vault of its conversation. In the same run: BM25 alone, pooled vectors alone, and both
legs fused, all through the same call.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from learned_ranker import leave_one_out, trained
from measure import summary
from rich.console import Console
from rich.progress import Progress

from assistant_chats import assistant_chats
from bridge_facts import bridge_facts
from dated_notes import dated_notes
from deployment import Deployment
from eval_data import Conversation, load
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import vault_pb2 as vaults
from memos_storage.adapters.ranker_file import write_ranker
from retrieval import BASELINES, STAGES, Found, ask, by_category, ingest

BUDGETS = (500, 1_000, 2_000)
BEFORE_RANKER = "before_ranker"
"""Searches without the stages behind a ranker, whose scores and order it does not see; they are what it learns from."""

CHOICES = ("ablations", "budgets", "ranker", "train_ranker", "with_ranker")


async def run(
    talks: Sequence[Conversation],
    *,
    ablations: bool,
    budgets: bool,
    ranker: bool,
    train_ranker: Path | None,
    with_ranker: Path | None,
    progress: Progress,
) -> dict:
    """Ingest the conversations and ask everything of them."""
    settings = {"MEMOS_STORAGE__RANKER_FILE": str(with_ranker.resolve())} if with_ranker is not None else {}
    trained_too = ("ranker",) if with_ranker is not None else ()
    asked = {"default": (), **{name: (*without, *trained_too) for name, without in BASELINES.items()}}
    if ablations:
        asked |= {f"without_{stage}": (stage,) for stage in STAGES}
    if ranker or train_ranker is not None:
        asked[BEFORE_RANKER] = ("identifiers", "updates")
    steps = len(talks) * (1 + len(asked) + budgets * len(BUDGETS))
    task = progress.add_task("conversations", total=steps)
    found: dict[str, list[Found]] = {}
    by_talk: list[list[Found]] = []
    seconds: dict[str, list[float]] = {}
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Deployment.one_process(Path(folder), env=settings) as system:
        async with system.caller() as caller:
            for number, talk in enumerate(talks, 1):
                vault = f"tenants/local/vaults/talk-{number}"
                await caller.governance.CreateVault(governance.CreateVaultRequest(vault=vaults.Vault(name=vault)))
                seconds.setdefault("add_batch", []).extend(await ingest(caller, talk, vault))
                progress.advance(task)
                for name, without in asked.items():
                    answers, durations, took = await ask(caller, talk, vault, without=without)
                    found.setdefault(name, []).extend(answers)
                    if name == BEFORE_RANKER:
                        by_talk.append(answers)
                    seconds.setdefault(f"search_{name}", []).extend(durations)
                    for part, values in took.items() if name == "default" else ():
                        parts.setdefault(part, []).extend(values)
                    progress.advance(task)
                for budget in BUDGETS if budgets else ():
                    answers, _, _ = await ask(caller, talk, vault, budget=budget)
                    found.setdefault(f"budget_{budget}", []).extend(answers)
                    progress.advance(task)
            await system.settled(caller)
        if ranker:
            found["ranker_of_the_other_conversations"] = await asyncio.to_thread(leave_one_out, by_talk)
        if train_ranker is not None:
            write_ranker(await asyncio.to_thread(trained, found[BEFORE_RANKER]), train_ranker)
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
    """Return the share of the evidence that came back, in per cent."""
    return round(100 * statistics.fmean(len(one.ranks) / len(one.question.evidence) for one in found), 2)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="file of conversations; MEMOS_EVAL_DATA by default")
    parser.add_argument("--chats", type=int, default=5, help="generated chats or vaults of notes, if there is no file")
    parser.add_argument("--bridges", action="store_true", help="generated notes instead of chats, if there is no file")
    parser.add_argument("--first", type=int, help="only so many conversations of the file")
    parser.add_argument("--dates", action="store_true", help="generated diaries instead of chats, if there is no file")
    parser.add_argument("--ablations", action="store_true", help="leave out each stage in turn")
    parser.add_argument("--budgets", action="store_true", help="recall within 500, 1,000 and 2,000 tokens")
    parser.add_argument("--ranker", action="store_true", help="train a ranker on the other conversations")
    parser.add_argument("--train-ranker", type=Path, metavar="FILE", help="train a ranker on all, and write it here")
    parser.add_argument("--with-ranker", type=Path, metavar="FILE", help="give the system this trained ranker")
    options = parser.parse_args()
    given = options.data or os.environ.get("MEMOS_EVAL_DATA")
    if given:
        talks, told_as = load(Path(given)), Path(given).name
    elif options.bridges:
        talks, told_as = (
            [bridge_facts(seed) for seed in range(options.chats)],
            f"{options.chats} vaults of generated notes",
        )
    elif options.dates:
        talks, told_as = [dated_notes(seed) for seed in range(options.chats)], f"{options.chats} generated diaries"
    else:
        talks, told_as = assistant_chats(chats=options.chats), f"{options.chats} generated chats of user and assistant"
    talks = [talk for talk in talks if talk.questions][: options.first]
    if options.ranker and len(talks) < 2:
        parser.error("--ranker needs two conversations at least.")
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        chosen = {name: getattr(options, name) for name in CHOICES}
        result = asyncio.run(run(talks, **chosen, progress=progress))
    told = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "data": told_as,
        "turns": sum(len(talk.turns) for talk in talks),
    }
    json.dump({**told, **result}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
