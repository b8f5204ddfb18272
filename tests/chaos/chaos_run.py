"""Kill parts of a running system again and again, and compare what is left with what was acknowledged.

    python tests/chaos/chaos_run.py --cycles 300 --seed 1

Each cycle has a vault of its own and users who add, update, delete, undelete, erase and look for memories at the same
time, at least `--operations` of them acknowledged. Meanwhile something fails: a process is killed at a random moment
or at a named point, the power goes, the disk is full or slow. Then the vault is compared with what was acknowledged:
what it lists, each text, the bytes of each adapter, a sample of searches, the index point by point. Every tier is
searched for everything that was erased since the start, and first for two memories that are planted, so that a tier
where nothing can be found is noticed. At the end all vaults are compared once more.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import chaos_child as child  # noqa: E402
from chaos_load import Fact, Ledger, User, Violation, insist, near, purge  # noqa: E402
from chaos_plant import PLANTS, Plant  # noqa: E402
from chaos_tiers import Tiers, tiers_of  # noqa: E402

from memos_api.v1 import purge_service_pb2 as purges  # noqa: E402
from memos_client import AsyncClient, NotFound  # noqa: E402

USERS = 8
SETTLE_SECONDS = 90.0
_SAMPLE = 10
_BATCH = 100
_DELETED = 3
_AFTER_FAILURE = 0.3
"""Part of the operations that has to be acknowledged once the system is whole again."""


@dataclass
class Report:
    """What was done and found."""

    plant: str
    seed: int
    cycles: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    changes_lost: int = 0
    retries: int = 0
    purged: int = 0
    tiers_before: Counter[str] = field(default_factory=Counter)
    tiers_after: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    found_after_purge: int = 0
    duplicates: int = 0
    left_to_comparison: int = 0
    drift: int = 0
    seconds: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        seconds = self.seconds or [0.0]
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            **told,
            "acknowledged": self.operations.total(),
            "seconds": {"median": round(statistics.median(seconds), 1), "total": round(sum(seconds), 1)},
        }


class Chaos:
    """Cycles over one system."""

    def __init__(self, plant: Plant, *, seed: int, operations: int) -> None:
        self._plant = plant
        self._operations = operations
        self._rng = random.Random(seed)
        self._tiers: Tiers = tiers_of(plant)
        self.report = Report(plant.kind, seed)
        self._old: list[Ledger] = []
        self._erased: set[bytes] = set()

    async def cycle(self, number: int, failure: str) -> None:
        """Do one; `failure` is one of the plant's, or a point."""
        started = time.monotonic()
        if failure in child.POINTS:
            often = failure.startswith(("commit", "outbox", "index", "blob"))
            await asyncio.to_thread(self._plant.arm, failure, self._rng.randint(1, 3 if often else 1))
        async with self._plant.system.client() as client:
            ledger = Ledger(f"tenants/local/vaults/cycle-{number}")
            await insist(ledger, "vault", lambda: _make_vault(client, ledger.vault))
            planted = await self._plant_facts(client, ledger, number)
            await self._run(client, ledger, number, failure, planted)
            await self._check(client, ledger)
            if self._old and number % 10 == 0:
                await self._check_listing(client, self._rng.choice(self._old))
            await self._check_planted(planted)
            await self._check_deleted(client, ledger)
        self._erased |= {token.encode() for fact in ledger.of("purged") for token in fact.tokens}
        await self._check_erased()
        self._old.append(ledger)
        self.report.cycles += 1
        self.report.operations += ledger.counts
        self.report.retries += ledger.retries
        self.report.seconds.append(round(time.monotonic() - started, 1))

    async def _run(self, client: AsyncClient, ledger: Ledger, number: int, failure: str, planted: list[Fact]) -> None:
        """Let users work until enough is acknowledged, and something fail on the way."""
        begun, mended = ledger.acknowledged, asyncio.Event()
        least_after = int(self._operations * _AFTER_FAILURE)
        at_mending = 0

        def done() -> bool:
            enough = ledger.acknowledged - begun >= self._operations
            return mended.is_set() and enough and ledger.acknowledged - at_mending >= least_after

        users = [
            User(client, ledger, f"c{number}-u{who}", f"{self.report.seed}/{number}/{who}") for who in range(USERS)
        ]
        work = asyncio.gather(*(user.work(done) for user in users))
        erasing = asyncio.gather(*(purge(client, ledger, fact) for fact in planted))
        after = self._rng.uniform(0.05, 1 - _AFTER_FAILURE) * self._operations
        while ledger.acknowledged - begun < after and not work.done():
            await asyncio.sleep(0.01)
        try:
            await self._fail(failure)
        except BaseException:  # of the harness itself: nobody has mended anything, so nobody is waited for
            work.cancel()
            erasing.cancel()
            raise
        at_mending = ledger.acknowledged
        mended.set()
        await work
        await erasing

    async def _fail(self, failure: str) -> None:
        if failure in child.POINTS:
            hit = await asyncio.to_thread(self._plant.fire, seconds=20.0)
            self.report.points[failure] += hit
            self.report.failures["kill at a point" if hit else "point not reached"] += 1
        else:
            told = await asyncio.to_thread(self._plant.fail, failure, self._rng)
            self.report.failures[failure] += 1
            self.report.changes_lost += int(told.removeprefix(f"{failure}, ").split()[0]) if told != failure else 0

    async def _plant_facts(self, client: AsyncClient, ledger: Ledger, number: int) -> list[Fact]:
        """Store a text and an adapter, and see them on every tier: what cannot be found there, cannot be missed."""
        user = User(client, ledger, f"c{number}-plant", f"{self.report.seed}/{number}/plant")
        await user._add()
        while not ledger.of("live")[-1].data:
            await user._add_adapter()
        spoken, adapter = ledger.of("live")[0], ledger.of("live")[-1]
        drift = await asyncio.to_thread(self._tiers.settle, seconds=SETTLE_SECONDS)
        if drift != (0, 0):
            raise Violation(f"before the cycle the index lacks {drift[0]} points and has {drift[1]} too many")
        self._needles: dict[str, tuple[bytes, ...]] = {}
        uid, vector = await asyncio.to_thread(self._tiers.vector, spoken.name)
        self._needles[spoken.name] = (spoken.token.encode(), vector)
        self._needles[adapter.name] = (adapter.token.encode(),)
        seen = await asyncio.to_thread(self._tiers.find, *self._needles[spoken.name], *self._needles[adapter.name])
        self.report.tiers_before.update(seen.keys())
        if not any(held[0] == uid for held in await asyncio.to_thread(self._tiers.points)):
            raise Violation(f"the index does not hold {uid}, which was planted")
        self.report.tiers_before["index points"] += 1
        needed = {"catalogue", "blobs"} | set(self._tiers.files())
        if missing := needed - seen.keys():
            raise Violation(f"what was planted is not found on {sorted(missing)}; the scanner is blind there")
        self._planted_uid = uid
        return [spoken, adapter]

    async def _check(self, client: AsyncClient, ledger: Ledger) -> None:
        """Compare what is there with what was acknowledged."""
        await self._check_listing(client, ledger)
        for fact in ledger.of("purged"):
            await self._check_purged(client, ledger, fact)
        self.report.purged += len(ledger.of("purged"))
        texts = [fact for fact in ledger.of("live") if fact.text]
        for fact in self._rng.sample(texts, min(_SAMPLE, len(texts))):
            answer = await self._whole_search(client, ledger, fact)
            names = [hit.cube.name for hit in answer.hits]
            if fact.name not in names:
                self.report.lost += 1
                self._violate(f"{fact.name} is not found by its meaning")
            if gone := [fact.name for fact in ledger.of("purged", "deleted") if fact.name in names]:
                self.report.found_after_purge += len(gone)
                self._violate(f"gone, and found: {gone}")
        adapters = [fact for fact in ledger.of("live") if fact.data]
        for fact in adapters:
            if await insist(ledger, "download", lambda fact=fact: _bytes(client, fact)) != fact.data:
                self.report.lost += 1
                self._violate(f"{fact.name} has other bytes")
        drift = await asyncio.to_thread(self._tiers.settle, seconds=SETTLE_SECONDS)
        if drift[0] == 0 and drift[1]:  # no search shows what is too many; the comparison has to remove it
            self.report.left_to_comparison += drift[1]
            await asyncio.to_thread(self._plant.compare)
            drift = await asyncio.to_thread(self._tiers.settle, seconds=SETTLE_SECONDS)
        if drift != (0, 0):
            self.report.drift += abs(drift[0]) + abs(drift[1])
            self._violate(f"the index lacks {drift[0]} points and has {drift[1]} too many")

    async def _whole_search(self, client: AsyncClient, ledger: Ledger, fact: Fact):  # type: ignore[no-untyped-def]
        """Search until no part is missing any more; one that stays away breaks the system's word too."""
        end = time.monotonic() + SETTLE_SECONDS
        while (answer := await insist(ledger, "search", partial(near, client, ledger.vault, fact))).degraded:
            if time.monotonic() > end:
                raise Violation(f"searches are degraded for {SETTLE_SECONDS:.0f} s: {answer.legs}")
            await asyncio.sleep(0.2)
        return answer

    async def check_all(self) -> None:
        """Compare every vault of the run once more."""
        async with self._plant.system.client() as client:
            for ledger in self._old:
                await self._check_listing(client, ledger)
                for fact in ledger.of("live"):
                    if fact.data and await insist(ledger, "download", partial(_bytes, client, fact)) != fact.data:
                        self.report.lost += 1
                        self._violate(f"{fact.name} has other bytes")

    async def _check_listing(self, client: AsyncClient, ledger: Ledger) -> None:
        listed = await insist(ledger, "list", lambda: _listed(client, ledger.vault))
        wanted = {fact.name: fact for fact in ledger.of("live")}
        names = [cube.name for cube in listed]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            self.report.duplicates += len(twice)
            self._violate(f"listed twice: {twice}")
        if missing := wanted.keys() - set(names):
            self.report.lost += len(missing)
            self._violate(f"acknowledged, and not there: {sorted(missing)}")
        if strange := set(names) - wanted.keys():
            self.report.duplicates += len(strange)
            self._violate(f"there, and never acknowledged or gone since: {sorted(strange)}")
        for start in range(0, len(names), _BATCH):
            part = names[start : start + _BATCH]
            read = await insist(ledger, "get", lambda part=part: client.batch_get(part))
            for name, cube in zip(part, read, strict=True):
                text = getattr(cube, "text", cube)
                if name in wanted and text != wanted[name].text:
                    self.report.lost += 1
                    self._violate(f"{name} holds {text!r}, and was told to hold {wanted[name].text!r}")

    async def _check_purged(self, client: AsyncClient, ledger: Ledger, fact: Fact) -> None:
        end = time.monotonic() + SETTLE_SECONDS
        while (
            await insist(ledger, "purge state", lambda: client.get_purge(fact.purge))
        ).state != purges.PURGE_STATE_DONE:
            if time.monotonic() > end:
                self._violate(f"{fact.purge} has no receipt after {SETTLE_SECONDS:.0f} s")
                return
            await asyncio.sleep(0.2)

        async def read() -> bool:
            try:
                await client.get(fact.name)
            except NotFound:
                return False
            return True

        if await insist(ledger, "get", read):
            self.report.found_after_purge += 1
            self._violate(f"{fact.name} was erased, and is read")

    async def _check_planted(self, planted: list[Fact]) -> None:
        """Look on every tier for what was planted there and erased."""
        for fact in planted:
            found = await asyncio.to_thread(self._tiers.find, *self._needles[fact.name])
            self.report.tiers_after.update(found.keys())
            if found:
                self.report.found_after_purge += 1
                self._violate(f"{fact.name} was erased, and its content is in {found}")
        if any(held[0] == self._planted_uid for held in await asyncio.to_thread(self._tiers.points)):
            self.report.found_after_purge += 1
            self._violate(f"{self._planted_uid} was erased, and the index holds it")

    async def _check_deleted(self, client: AsyncClient, ledger: Ledger) -> None:
        """Take some deletions back: what is deleted is hidden, and not lost."""
        deleted = ledger.of("deleted")
        for fact in self._rng.sample(deleted, min(_DELETED, len(deleted))):
            await insist(ledger, "undelete", partial(client.undelete, fact.name))
            fact.state = "live"
            cube = await insist(ledger, "get", partial(client.get, fact.name))
            if cube.text != fact.text:
                self.report.lost += 1
                self._violate(f"{fact.name} came back as {cube.text!r}, and was {fact.text!r}")

    async def _check_erased(self) -> None:
        """Look on every tier for everything that was erased in this run, in every version that it had."""
        for tier, tokens in (await asyncio.to_thread(self._tiers.tokens)).items():
            if found := tokens & self._erased:
                self.report.found_after_purge += len(found)
                self._violate(f"erased, and on the tier {tier}: {sorted(found)[:5]}")

    def _violate(self, what: str) -> None:
        self.report.violations.append(f"cycle {self.report.cycles}: {what}")


def schedule(plant: type[Plant], cycles: int, rng: random.Random) -> list[str]:
    """Return what fails in each cycle: every point and failure in turn, in an order of chance."""
    points = [name for name in child.POINTS if plant.kind == "embedded" or name not in child.LITE_ONLY]
    planned: list[str] = []
    while len(planned) < cycles:
        turn = [*points, *plant.failures, *plant.failures]
        rng.shuffle(turn)
        planned += turn
    return planned[:cycles]


async def chaos(
    kind: str, planned: Sequence[str], *, seed: int, operations: int, folder: Path, without: str = "", tell: bool = True
) -> Report:
    """Let one thing after the other fail in a new system, and return what was found.

    With a part taken out it ends at the first violation.
    """
    env = {"CHAOS_WITHOUT": without} if without in ("outbox", "pending") else {}
    plant = await asyncio.to_thread(PLANTS[kind], folder, env)
    run = Chaos(plant, seed=seed, operations=operations)
    if without == "fsync":
        plant.disk.switch("nosync", on=True)  # type: ignore[attr-defined]
    try:
        for number, failure in enumerate(planned, 1):
            try:
                await run.cycle(number, failure)
            except Violation as violation:
                run.report.violations.append(f"cycle {number}, {failure}: {violation}")
                break
            finally:
                if tell:
                    _tell(run.report, number, len(planned), failure)
            if without and run.report.violations:
                break
        if not run.report.violations:
            await run.check_all()
        if missed := {name for name in planned if name in child.POINTS and not run.report.points[name]}:
            run.report.violations.append(f"points that were never reached: {sorted(missed)}")
    finally:
        if run.report.violations and not without:
            logs = Path(tempfile.mkdtemp(prefix="memos-chaos-logs-"))
            for log in folder.glob("state/**/*.log"):
                shutil.copy(log, logs)
            print(f"logs: {logs}", file=sys.stderr)  # noqa: T201
        await asyncio.to_thread(plant.stop)
    return run.report


def _tell(report: Report, number: int, cycles: int, failure: str) -> None:
    last = report.seconds[-1] if report.seconds else 0
    print(  # noqa: T201
        f"{report.plant} {number}/{cycles} {failure}: {last:.0f} s, {report.operations.total()} acknowledged,"
        f" {len(report.violations)} violations",
        file=sys.stderr,
        flush=True,
    )
    for violation in report.violations:
        print(f"  {violation}", file=sys.stderr, flush=True)  # noqa: T201


async def _make_vault(client: AsyncClient, name: str) -> None:
    try:
        await client.create_vault(name)
    except Exception as error:
        if getattr(error, "code", "") != "ALREADY_EXISTS":
            raise


async def _listed(client: AsyncClient, vault: str):  # type: ignore[no-untyped-def]
    return [cube async for cube in client.list(vault, page_size=200)]


async def _bytes(client: AsyncClient, fact: Fact) -> bytes:
    return b"".join([data async for data in client.download_blob(fact.name)])


def main() -> None:
    """Run from the command line; prints JSON, and ends with 1 if the system broke its word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=300, help="cycles, shared between the systems")
    parser.add_argument("--operations", type=int, default=200, help="acknowledged operations in each")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 10**6))
    parser.add_argument("--plant", choices=[*PLANTS, "both"], default="both", help="storage on files or on servers")
    parser.add_argument("--without", choices=["outbox", "pending", "fsync"], default="", help="has to end with 1")
    asked = parser.parse_args()
    kinds = list(PLANTS) if asked.plant == "both" else [asked.plant]
    one = partial(_one, cycles=asked.cycles // len(kinds), seed=asked.seed, operations=asked.operations)
    with ProcessPoolExecutor(len(kinds), multiprocessing.get_context("spawn")) as both:
        reports = list(both.map(partial(one, without=asked.without), kinds))
    print(json.dumps({"seed": asked.seed, "systems": reports}, indent=1))  # noqa: T201
    raise SystemExit(1 if any(report["violations"] for report in reports) else 0)


def _one(kind: str, *, cycles: int, seed: int, operations: int, without: str) -> dict[str, object]:
    """Run the cycles of one system, in a process of its own: a cycle waits for restarts more than it computes."""
    folder = Path(tempfile.mkdtemp(prefix="memos-chaos-")) / "system"
    planned = schedule(PLANTS[kind], cycles, random.Random(seed))
    if without == "fsync":
        planned = ["lose power"] * len(planned)
    work = chaos(kind, planned, seed=seed, operations=operations, folder=folder, without=without)
    report = asyncio.run(work).document()
    shutil.rmtree(folder.parent, ignore_errors=True)
    return report


if __name__ == "__main__":
    main()
