"""Two replicas of each service under fire, on a cluster of one machine; JSON and a picture of what happened.

    python tests/soak/soak_run.py --minutes 10 --seed 1        (root; `make soak`)

The rendered overlay for trials runs with two pods a service. Users write, change, erase, look for and ask about
memories all the time, in Python, and in Go, TypeScript and Java where these can be built. Every half minute something
happens to one pod: its process is killed; it is drained and replaced; it is cut off from everybody for some seconds; or
all pods of its service are replaced one after the other, as in an upgrade. At the end everything that was acknowledged
is looked for.

It fails if an acknowledged write is lost, an answer is wrong, an error is not one that callers may repeat, or the 95th
percentile of all calls is not back to normal 30 s after the pod was ready again.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parent / "chaos")]

from chaos_load import Ledger, Violation  # noqa: E402
from soak_load import Record, Sample, SoakUser, run_program, talk  # noqa: E402

from deployment import SERVICES, Deployment  # noqa: E402
from kube.cluster import Cluster  # noqa: E402
from kube.trial import trial  # noqa: E402
from memos_client import AsyncClient, NotFound  # noqa: E402

READY_SECONDS = 300.0
CALM_SECONDS = 45.0
"""Before the first fault, and after the last one: what is normal."""
EVERY_SECONDS = 30.0
CUT_SECONDS = 8.0
NORMAL_FACTOR, NORMAL_MORE = 2.0, 0.1
"""Back to normal is a 95th percentile of at most so many times that of the calm, and so many seconds more."""
WINDOW_SECONDS = 5.0
BACK_SECONDS = 30.0
PROGRAMS = {"go": ["go/smoke"], "typescript": ["node", "typescript/dist/smoke.js"], "java": ["java/smoke"]}


@dataclass
class Fault:
    """What happened to a pod: when it began, when the pod was ready again, when calls were as before (seconds)."""

    kind: str
    pod: str
    at: float
    ready: float = 0.0
    normal: float | None = None


def kill(cluster: Cluster, pod: str) -> None:
    """End the process."""
    cluster.kill(pod)
    cluster.wait_ready(READY_SECONDS, only=[pod])


def drain(cluster: Cluster, pod: str) -> None:
    """Replace the pod."""
    cluster.replace_pod(pod, seconds=READY_SECONDS)


def cut(cluster: Cluster, pod: str) -> None:
    """Take the network away for a while."""
    cluster.network.cut(pod)
    time.sleep(CUT_SECONDS)
    cluster.network.mend(pod)
    cluster.wait_ready(READY_SECONDS, only=[pod])


def roll(cluster: Cluster, pod: str) -> None:
    """Replace all pods of the service, one after the other."""
    for each in cluster.of(cluster.pods[pod].workload.name):
        cluster.replace_pod(each.name, seconds=READY_SECONDS)


KINDS = {"kill": kill, "drain": drain, "cut": cut, "roll": roll}


async def fire(cluster: Cluster, record: Record, *, seed: int, seconds: float) -> list[Fault]:
    """Let things happen until the time is over; every kind comes to every service in turn."""
    rng = random.Random(seed)
    order = [(kind, service) for kind in KINDS for service in SERVICES]
    rng.shuffle(order)
    faults: list[Fault] = []
    end = record.now() + seconds
    while record.now() < end:
        kind, service = order[len(faults) % len(order)]
        pod = rng.choice([each.name for each in cluster.of(service)])
        fault = Fault(kind, pod, record.now())
        faults.append(fault)
        await asyncio.to_thread(KINDS[kind], cluster, pod)
        fault.ready = record.now()
        sys.stderr.write(f"{fault.at:6.0f} s  {kind:5} {pod}: ready after {fault.ready - fault.at:.0f} s\n")
        await asyncio.sleep(max(0.0, min(fault.ready + EVERY_SECONDS, end) - record.now()))
    return faults


def percentile(samples: Sequence[Sample], share: float) -> float:
    ordered = sorted(sample.seconds for sample in samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def judge(record: Record, faults: Sequence[Fault]) -> float:
    """Find when calls were normal again after each fault; return the 95th percentile of the calm."""
    calls = [sample for sample in record.samples if sample.what not in PROGRAMS]
    calm = percentile([sample for sample in calls if sample.at < CALM_SECONDS], 0.95)
    for fault in faults:
        for start in range(int(BACK_SECONDS) + 1):
            begin = fault.ready + start
            window = [sample for sample in calls if begin <= sample.at < begin + WINDOW_SECONDS]
            if window and percentile(window, 0.95) <= calm * NORMAL_FACTOR + NORMAL_MORE:
                fault.normal = begin
                break
    return calm


async def compare(client: AsyncClient, ledger: Ledger) -> Counter[str]:
    """Look for everything that was acknowledged, and for nothing that was taken back."""
    lost: Counter[str] = Counter()
    for fact in ledger.facts.values():
        try:
            cube = await client.get(fact.name)
        except NotFound:
            lost["lost"] += fact.state == "live"
            continue
        lost["read though deleted"] += fact.state != "live"
        lost["wrong text"] += fact.state == "live" and cube.text != fact.text
    listed = {cube.name async for cube in client.list(ledger.vault)}
    known = {fact.name for fact in ledger.of("live")}
    lost["listed and not written"] = len(listed - known)
    lost["written and not listed"] = len(known - listed)
    return +lost


async def under_fire(
    cluster: Cluster, system: Deployment, clients: Path | None, *, users: int, seed: int, seconds: float
) -> dict[str, object]:
    """Run load and faults, and sum up."""
    over, vault = asyncio.Event(), "tenants/local/vaults/soak"
    env = {**os.environ, **system.client_environment(), "MEMOS_API_KEY": system.key}
    async with system.client() as client:
        await client.create_vault("soak")
        await client.create_vault("talk")
        record, ledger = Record(), Ledger(vault)
        load = [
            asyncio.create_task(SoakUser(client, ledger, f"u{number}", f"{seed}-{number}", record).work(over.is_set))
            for number in range(users)
        ]
        load.append(asyncio.create_task(talk(client, "talk", record, over.is_set)))
        if clients is not None:
            programs = (run_program(command, clients, env, record, over.is_set) for command in PROGRAMS.values())
            load += map(asyncio.create_task, programs)
        await asyncio.sleep(CALM_SECONDS)
        watching = asyncio.gather(*load)
        firing = asyncio.create_task(fire(cluster, record, seed=seed, seconds=seconds))
        done, _ = await asyncio.wait({watching, firing}, return_when=asyncio.FIRST_COMPLETED)
        if watching in done:
            firing.cancel()
            await watching  # raises what went wrong
        faults = firing.result()
        await asyncio.sleep(CALM_SECONDS)
        over.set()
        await watching
        wrong = await compare(client, ledger)
    calm = judge(record, faults)
    late = [fault for fault in faults if fault.normal is None]
    return {
        "seconds": round(record.now(), 1),
        "acknowledged": dict(ledger.counts),
        "facts": len(ledger.facts),
        "attempts": len(record.samples),
        "errors_seen": dict(record.errors),
        "programs": dict(record.programs),
        "lost_or_wrong": dict(wrong),
        "calm_p95_ms": round(calm * 1e3, 1),
        "faults": [asdict(fault) for fault in faults],
        "not_normal_in_time": [f"{fault.kind} {fault.pod}" for fault in late],
        "passed": not wrong and not late,
        "samples": [(round(each.at, 2), round(each.seconds, 4), each.what, each.code) for each in record.samples],
    }


def draw(report: dict[str, object], file: Path) -> None:
    """Draw the latency of calls, their errors, and the faults, over time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    samples = [Sample(*each) for each in report["samples"]]  # type: ignore[attr-defined]
    calls = [each for each in samples if each.what not in PROGRAMS]
    figure, (top, bottom) = pyplot.subplots(2, 1, sharex=True, figsize=(14, 7), height_ratios=[3, 1])
    seconds = range(0, int(calls[-1].at) + 1)
    by_second: dict[int, list[Sample]] = {second: [] for second in seconds}
    for each in calls:
        by_second[int(each.at)].append(each)
    for share, label in ((0.5, "median"), (0.95, "95th percentile")):
        top.plot(seconds, [percentile(by_second[second], share) * 1e3 for second in seconds], label=label, linewidth=1)
    top.axhline(report["calm_p95_ms"], linestyle=":", color="grey", label="95th percentile of the calm")
    top.set_ylabel("ms a call")
    top.set_yscale("log")
    for fault in report["faults"]:  # type: ignore[attr-defined]
        top.axvspan(fault["at"], fault["ready"], alpha=0.15, color="red")
        top.text(fault["at"], top.get_ylim()[1], f"{fault['kind']} {fault['pod']}", rotation=60, fontsize=7)
    top.legend(loc="lower right")
    failed = [sum(each.code != "OK" for each in by_second[second]) for second in seconds]
    bottom.bar(seconds, failed, width=1.0, color="firebrick")
    bottom.set_ylabel("attempts refused")
    bottom.set_xlabel("seconds")
    figure.savefig(file, dpi=110, bbox_inches="tight")
    pyplot.close(figure)


def build_clients(folder: Path) -> Path | None:
    """Build the clients of the other languages in a copy; None if that cannot be done here."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    shutil.copytree(ROOT / "clients", folder / "clients", ignore=shutil.ignore_patterns("python", "node_modules"))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language in PROGRAMS:
        made = subprocess.run(["make", language], cwd=folder / "clients", env=env, capture_output=True, text=True)
        if made.returncode:
            sys.stderr.write(f"without the clients of other languages: {made.stderr[-300:]}\n")
            return None
    return folder / "clients"


def main() -> None:
    """Run from the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--users", type=int, default=4)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--python-only", action="store_true", help="leave out the clients of other languages")
    options.add_argument("--out", type=Path, default=ROOT / "dist")
    given = options.parse_args()
    given.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        clients = None if given.python_only else build_clients(Path(folder))
        cluster = trial(replicas=dict.fromkeys(SERVICES, 2))
        with cluster:
            cluster.wait_ready(READY_SECONDS)
            system = Deployment.outside(Path(folder) / "outside", cluster)
            system.wait()
            try:
                report = asyncio.run(
                    under_fire(cluster, system, clients, users=given.users, seed=given.seed, seconds=given.minutes * 60)
                )
            except Violation as error:
                sys.stderr.write(f"{error}\n{cluster.log()[-20_000:]}\n")
                raise SystemExit(1) from error
    (given.out / "soak.json").write_text(json.dumps(report))
    with suppress(ImportError):
        draw(report, given.out / "soak.png")
    samples = report.pop("samples")
    sys.stdout.write(json.dumps({**report, "samples": len(samples)}, indent=2) + "\n")
    sys.exit(0 if report["passed"] else 1)


if __name__ == "__main__":
    main()
