"""Two replicas of each service under fire, on a cluster of one machine; JSON and a picture of what happened.

    python tests/soak/soak_run.py --minutes 10 --seed 1        (root; `make soak`)

The rendered overlay for trials runs with two pods a service. Users write, change, erase, look for and ask about
memories all the time, in Python, and in Go, TypeScript and Java where these can be built. Every half minute something
happens to one pod: its process is killed; it is drained and replaced; it is cut off from everybody for some seconds; or
all pods of its service are replaced one after the other. It begins with an earlier release, whose manifests and code
are read from git; after a fifth of the time one pod of each service is upgraded to this tree, and after three quarters
the other one. At the end everything that was acknowledged is looked for.

It fails if an acknowledged write is lost, an answer is wrong, an error is not one that callers may repeat, a pod is not
upgraded, or the 95th percentile of all calls is not back to normal 30 s after the pod was ready again.
"""

import argparse
import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parent / "chaos")]

from chaos_load import Ledger, Violation  # noqa: E402
from soak_faults import KINDS, READY_SECONDS, Fire  # noqa: E402
from soak_load import LANGUAGES, Record, SoakUser, run_program, talk  # noqa: E402
from soak_report import CALM_SECONDS, by_kind, draw, judge  # noqa: E402

from deployment import SERVICES, Deployment  # noqa: E402
from kube.cluster import Cluster  # noqa: E402
from kube.trial import trial  # noqa: E402
from memos_client import AsyncClient, NotFound  # noqa: E402

REPLICAS = 2


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
    cluster: Cluster, system: Deployment, clients: Path | None, *, given: argparse.Namespace, new: Path | None
) -> dict[str, object]:
    """Run load and faults, and sum up."""
    over, vault = asyncio.Event(), "tenants/local/vaults/soak"
    env = {**os.environ, **system.client_environment(), "MEMOS_API_KEY": system.key}
    async with system.client() as client:
        await client.create_vault("soak")
        await client.create_vault("talk")
        record, ledger = Record(), Ledger(vault)
        users = [SoakUser(client, ledger, f"u{each}", f"{given.seed}-{each}", record) for each in range(given.users)]
        load = [user.work(over.is_set) for user in users]
        load.append(talk(client, "talk", record, over.is_set))
        if clients is not None:
            load += [run_program(name, clients, env, record, over.is_set) for name in LANGUAGES]
        watching = asyncio.gather(*load)
        fire = Fire(cluster, record.now, seed=given.seed, kinds=given.kinds, new=new)
        firing = asyncio.create_task(_calm_fire_calm(fire, given.minutes * 60))
        await asyncio.wait({watching, firing}, return_when=asyncio.FIRST_COMPLETED)
        over.set()
        if not firing.done():
            firing.cancel()
        await watching  # raises what went wrong
        await firing
        wrong = await compare(client, ledger)
    calm = judge(record.samples, fire.faults)
    late = [f"{fault.kind} {fault.pod}" for fault in fire.faults if fault.normal is None]
    upgraded = new is None or fire.upgraded() == REPLICAS * len(SERVICES)
    return {
        "seconds": round(record.now(), 1),
        "from": given.replaced if new is not None else None,
        "upgraded_pods": fire.upgraded(),
        "acknowledged": dict(ledger.counts),
        "facts": len(ledger.facts),
        "attempts": len(record.samples),
        "errors_seen": dict(record.errors),
        "programs": dict(record.programs),
        "lost_or_wrong": dict(wrong),
        "calm_p95_ms": round(calm * 1e3, 1),
        "by_kind": by_kind(record.samples, fire.faults),
        "faults": [asdict(fault) for fault in fire.faults],
        "not_normal_in_time": late,
        "passed": upgraded and not wrong and not late,
        "samples": [(round(each.at, 2), round(each.seconds, 4), each.what, each.code) for each in record.samples],
    }


async def _calm_fire_calm(fire: Fire, seconds: float) -> None:
    await asyncio.sleep(CALM_SECONDS)
    await fire.burn(seconds)
    await asyncio.sleep(CALM_SECONDS)


def release(reference: str, folder: Path) -> Path:
    """Write the tree of a commit of this repository into a folder that every user may read; return it."""
    packed = subprocess.run(["git", "archive", reference], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def last_release() -> str:
    """Return the last tag, or without any the commit before this one."""
    told = subprocess.run(["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "HEAD~1"


def build_clients(folder: Path) -> Path | None:
    """Build the clients of the other languages in a copy; None if that cannot be done here."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    shutil.copytree(ROOT / "clients", folder / "clients", ignore=shutil.ignore_patterns("python", "node_modules"))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for language in LANGUAGES:
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
    options.add_argument("--from", dest="replaced", default=last_release(), help="release to begin with [%(default)s]")
    options.add_argument("--no-upgrade", action="store_true", help="run this tree from the beginning")
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="faults, beside upgrades")
    options.add_argument("--out", type=Path, default=ROOT / "dist")
    given = options.parse_args()
    given.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)  # containers run as nobody, and read the old release in it
        clients = None if given.python_only else build_clients(folder)
        old = ROOT if given.no_upgrade else release(given.replaced, folder / "old")
        with trial(replicas=dict.fromkeys(SERVICES, REPLICAS), tree=old) as cluster:
            cluster.wait_ready(READY_SECONDS)
            system = Deployment.outside(folder / "outside", cluster)
            system.wait()
            new = None if given.no_upgrade else ROOT
            try:
                report = asyncio.run(under_fire(cluster, system, clients, given=given, new=new))
            except Violation as error:
                (given.out / "soak.log").write_text(cluster.log(most=None))
                sys.stderr.write(f"{error}\nWhat the pods wrote is in {given.out / 'soak.log'}.\n")
                raise SystemExit(1) from error
    (given.out / "soak.json").write_text(json.dumps(report))
    draw(report, given.out / "soak.png")
    samples = report.pop("samples")
    sys.stdout.write(json.dumps({**report, "samples": len(samples)}, indent=2) + "\n")
    sys.exit(0 if report["passed"] else 1)


if __name__ == "__main__":
    main()
