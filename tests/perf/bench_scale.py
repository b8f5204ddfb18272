"""Measure a million memories on PostgreSQL and a real Milvus server: import, memory, searches and what they miss.

    make bench-scale                              1,000,000 cubes; some hours on 2 cores
    make bench-scale ARGS="--cubes 20000"         fewer

Everything in one run: a system of six processes, and a PostgreSQL, a Milvus and an S3 server of its own. The baseline
of the import is pymilvus inserting the same vectors into the same Milvus server; in both, the index that Milvus builds
afterwards is apart. Queries are questions, embedded by the system; what vectors alone should have found is computed
exactly, over all of them. The report is written anew after each size, so what is cut off has still told the sizes
before; progress goes to stderr.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import scale_corpus
from corpus import queries
from measure import memory_mib, summary
from scale_corpus import BUCKETS, DIMENSIONS, Corpus, Floats, bucket, embedded, encoder

import s3
from deployment import SERVICES, Deployment
from memos_client import AsyncClient, Filter, NewMemory, SearchAnswer
from milvus_server import MilvusProcess
from postgres import PostgresProcess

CUBES = 1_000_000
POINTS = (1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the vault at which searches are measured."""

SMALL = 1_000
"""Memories of the tenant whose size stays the same."""

RAW_ROWS = 200_000
RAW_BATCH = 1_000
QUERIES = 200
WARM = 5
TOP_K = 10
TELL_SECONDS = 5.0
INDEX_SECONDS = 4 * 3600.0
LOAD_SECONDS = 10.0
"""In which a node of Milvus takes an index that was built."""

GROWING_ROWS = 4_999
"""Rows at most that Milvus searches without an index."""

VAULT = "tenants/local/vaults/main"

FOREIGN_WORDS = (
    "quasar",
    "glacier",
    "sonnet",
    "isotope",
    "falcon",
    "cathedral",
    "monsoon",
    "algorithm",
    "orchid",
    "reef",
)
"""Words that no memory has: a query of these has no lexical candidates, so its answer is that of the vectors alone."""


def tell(text: str) -> None:
    """Say what goes on."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)  # noqa: T201


@dataclass
class Measured:
    """Searches of one kind at one size."""

    seconds: list[float] = field(default_factory=list)
    dense: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    degraded: int = 0

    def note(self, seconds: float, answer: SearchAnswer, expected: set[int] | None) -> None:
        """Take down one search."""
        self.seconds.append(seconds)
        self.degraded += answer.degraded
        self.dense += [leg.duration_ms / 1e3 for leg in answer.legs if leg.name == "dense" and leg.ran]
        if expected:
            found = {int(hit.cube.text.rpartition(" ")[2]) for hit in answer.hits}
            self.recalls.append(len(found & expected) / len(expected))

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        told: dict[str, Any] = {"search": summary(self.seconds), "degraded": self.degraded}
        if self.dense:
            told["dense_leg"] = summary(self.dense)
        if self.recalls:
            told["recall_at_10"] = round(float(np.mean(self.recalls)), 4)
        return told


@dataclass
class Plant:
    """The servers, and the system on them."""

    milvus: MilvusProcess
    postgres: PostgresProcess
    system: Deployment

    def memory(self) -> dict[str, dict[str, float]]:
        """Return what each process holds now, and held at most."""
        pids = {service: self.system.process_id(service) for service in SERVICES}
        pids |= {"milvus": self.milvus.process_id, "postgresql": self.postgres.process_id}
        return {name: memory_mib(pid) for name, pid in pids.items()}


@contextmanager
def running(folder: Path) -> Iterator[Plant]:
    """Yield a system on servers of its own, all of which end with it, whatever ends it."""
    for name in ("pg", "milvus"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        milvus = MilvusProcess(folder / "milvus")
        stack.callback(milvus.kill)
        milvus.start()
        postgres = PostgresProcess(folder / "pg")
        stack.callback(postgres.kill)
        env = {
            "MEMOS_STORAGE__DATABASE_URL": postgres.url,
            "MEMOS_STORAGE__MILVUS_URI": milvus.uri,
            "MEMOS_STORAGE__BLOBS_URL": s3.shared_server().bucket()[0],
            "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
            "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
        }
        system = Deployment.six_processes(folder / "system", env=env)
        stack.callback(system.kill)
        yield Plant(milvus, postgres, system)


def raw_insert(uri: str, vectors: Floats) -> dict[str, float]:
    """Insert with pymilvus alone; return rows a second, and the seconds of the index that is built afterwards."""
    from pymilvus import DataType, MilvusClient

    client = MilvusClient(uri)
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("tenant", DataType.VARCHAR, max_length=63)
    schema.add_field("vault", DataType.VARCHAR, max_length=160)
    schema.add_field("recorded", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSIONS)
    client.create_collection("raw", schema=schema)
    begin = time.perf_counter()
    for start in range(0, len(vectors), RAW_BATCH):
        rows = [
            {"id": f"{number:064d}", "tenant": "local", "vault": VAULT, "recorded": number, "vector": vectors[number]}
            for number in range(start, min(len(vectors), start + RAW_BATCH))
        ]
        client.insert("raw", rows)
    seconds = time.perf_counter() - begin
    client.flush("raw")
    flushed = time.perf_counter() - begin
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 32, "efConstruction": 360})
    client.create_index("raw", index)
    built = time.perf_counter() - begin - flushed
    client.drop_collection("raw")
    client.close()
    return {
        "rows": len(vectors),
        "rows_per_second": round(len(vectors) / flushed, 1),
        "rows_per_second_before_they_are_flushed": round(len(vectors) / seconds, 1),
        "index_seconds": round(built, 1),
    }


async def load(client: AsyncClient, data: Corpus, start: int, end: int, vault: str) -> float:
    """Import memories, and tell how it goes on; return the seconds."""
    begin = told = time.perf_counter()
    done = told_done = start
    answers = client.import_memories(vault, _none())
    (first,) = [answer async for answer in answers]
    async for answer in client.import_memories(vault, data.items(start, end), embedder=first.embedder):
        refused = [result for result in answer.results if result.error is not None]
        if refused:
            raise RuntimeError(f"not imported: {refused[0]}")
        done, now = done + len(answer.results), time.perf_counter()
        if now - told >= TELL_SECONDS or done == end:
            tell(f"import: {done:,} of {end:,}, {(done - told_done) / (now - told):,.0f}/s")
            told, told_done = now, done
    return time.perf_counter() - begin


def _none() -> list[NewMemory]:
    return []


async def settled(system: Deployment) -> float:
    """Wait until the vector index has taken everything; return the seconds."""
    begin = time.perf_counter()
    async with system.caller() as caller:
        while time.perf_counter() - begin < INDEX_SECONDS:
            try:
                await system.settled(caller)
                return time.perf_counter() - begin
            except AssertionError:  # it waits only for some minutes
                tell("rows still wait for the vector index")
    raise RuntimeError("rows wait for the vector index for ever")


def indexed(uri: str, rows: int) -> float:
    """Wait until Milvus has built its indexes and searches by them; return the seconds.

    The last few rows of `rows` stay in a segment that grows, which is searched row by row.
    """
    from pymilvus import MilvusClient

    client, begin, told = MilvusClient(uri), time.perf_counter(), 0.0
    try:
        while time.perf_counter() - begin < INDEX_SECONDS:
            said = [
                client.describe_index(name, index)
                for name in client.list_collections()
                for index in client.list_indexes(name)
            ]
            left = rows - sum(int(one["indexed_rows"]) for one in said)
            if left <= GROWING_ROWS and not any(int(one["pending_index_rows"]) for one in said):
                time.sleep(LOAD_SECONDS)
                return time.perf_counter() - begin
            if time.perf_counter() - told >= TELL_SECONDS:
                tell(f"index: {left:,} rows to build")
                told = time.perf_counter()
            time.sleep(0.5)
    finally:
        client.close()
    raise RuntimeError("the index is not built")


@dataclass(frozen=True)
class Kind:
    """A kind of search: its questions, and the vectors of these if what was missed is to be counted."""

    questions: Sequence[str]
    vectors: Floats | None = None
    filtered: bool = False

    async def run(self, client: AsyncClient, data: Corpus, size: int, vault: str) -> dict[str, Any]:
        """Search, one after the other, and return what was measured."""
        expected: list[set[int]] | None = None
        if self.vectors is not None:
            expected = await asyncio.to_thread(data.nearest, self.vectors, size, TOP_K, filtered=self.filtered)
        found = Measured()
        for number, question in enumerate([*self.questions[:WARM], *self.questions], -WARM):
            filter = Filter(labels={"bucket": bucket(number % BUCKETS)}) if self.filtered else None
            begin = time.perf_counter()
            answer = await client.search(question, vaults=[vault], top_k=TOP_K, filter=filter)
            seconds = time.perf_counter() - begin
            if number >= 0:
                found.note(seconds, answer, expected[number] if expected is not None else None)
        return found.document()


def kinds(model: Any) -> dict[str, Kind]:
    """Return the kinds of searches."""
    words = FOREIGN_WORDS
    foreign = [f"{words[n % 10]} {words[n // 10 % 10]} {words[n * 7 % 10]} {words[n // 20]}" for n in range(QUERIES)]
    vectors = embedded(model, foreign)
    return {
        "default_legs": Kind(queries(QUERIES)),
        "default_legs_1_percent": Kind(queries(QUERIES), filtered=True),
        "dense_alone": Kind(foreign, vectors),
        "dense_alone_1_percent": Kind(foreign, vectors, filtered=True),
    }


async def searches(client: AsyncClient, data: Corpus, size: int, vault: str, wanted: dict[str, Kind]) -> dict[str, Any]:
    """Measure all kinds of searches of a vault of this size."""
    told = {}
    for name, kind in wanted.items():
        told[name] = await kind.run(client, data, size, vault)
        tell(f"{vault.rpartition('/')[2]} at {size:,}, {name}: {json.dumps(told[name])}")
    return told


async def measure(count: int, plant: Plant, data: Corpus, wanted: dict[str, Kind], report: "Report") -> None:
    """Import and search, size by size."""
    _, key = await asyncio.to_thread(plant.system.new_tenant, "other")
    other = {**plant.system.client_settings(), "api_key": key, "tenant": "other"}
    unfiltered = {name: kind for name, kind in wanted.items() if not kind.filtered}
    seconds, done = 0.0, 0
    async with plant.system.client() as client, AsyncClient(**other) as small:
        await load(small, data, 0, min(SMALL, count), "main")
        for size in [*(point for point in POINTS if point < count), count]:
            took = await load(client, data, done, size, VAULT)
            seconds += took
            waited = await settled(plant.system)
            built = await asyncio.to_thread(indexed, plant.milvus.uri, size + min(SMALL, count))
            row = {
                "cubes": size,
                "import_seconds": round(seconds, 1),
                "import_per_second": round(size / seconds, 1),
                "import_per_second_since_the_size_before": round((size - done) / took, 1),
                "outbox_behind_seconds": round(waited, 1),
                "index_behind_seconds": round(built, 1),
            }
            done = size
            row["searches"] = await searches(client, data, size, VAULT, wanted)
            row["small_tenant"] = await searches(small, data, min(SMALL, count), "main", unfiltered)
            report.add(row, plant.memory())


@dataclass
class Report:
    """What was measured so far, written to files whenever something is added."""

    folder: Path
    told: dict[str, Any]

    def add(self, size: dict[str, Any], memory: dict[str, Any]) -> None:
        """Add what was measured at a size."""
        self.told["sizes"].append(size)
        self.told["memory"] = memory
        self.told["import_of_raw"] = round(size["import_per_second"] / self.told["raw_pymilvus"]["rows_per_second"], 3)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "bench-scale.json").write_text(json.dumps(self.told, indent=2) + "\n")
        plot(self.told["sizes"], self.folder / "bench-scale.svg")


def plot(sizes: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw latency over size, and what the vectors alone miss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    times, recall = figure.subplots(1, 2)
    cubes = [one["cubes"] for one in sizes]
    rows = {name.replace("_", " "): [one["searches"][name] for one in sizes] for name in sizes[0]["searches"]}
    rows |= {
        f"small tenant, {name.replace('_', ' ')}": [one["small_tenant"][name] for one in sizes]
        for name in sizes[0]["small_tenant"]
    }
    for number, (name, found) in enumerate(rows.items()):
        for percentile, style in (("p50_ms", ":"), ("p95_ms", "-")):
            label = name if style == "-" else None
            values = [one["search"][percentile] for one in found]
            times.plot(cubes, values, style, color=f"C{number}", marker=".", label=label)
        if "recall_at_10" in found[0]:
            recall.plot(cubes, [one["recall_at_10"] for one in found], color=f"C{number}", marker=".", label=name)
    times.set(xscale="log", yscale="log", xlabel="memories", ylabel="ms", title="A search: p95, and dotted p50")
    recall.set(xscale="log", xlabel="memories", title="Recall@10 against exact")
    recall.set_ylim(top=1.01)
    for axes in (times, recall):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path)


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", type=int, default=CUBES)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of bench-scale.json and bench-scale.svg")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)  # as an interrupt does, so that everything that was started is ended
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    report = Report(options.out, {"cubes": options.cubes, "machine": machine, "sizes": []})
    with tempfile.TemporaryDirectory(prefix="memos-scale-") as folder, suppress(KeyboardInterrupt):
        tell("making vectors")
        model = encoder()
        data = scale_corpus.made(Path(folder), options.cubes, model)
        wanted = kinds(model)
        tell("starting the servers")
        with running(Path(folder)) as plant:
            tell("inserting with pymilvus alone")
            report.told["raw_pymilvus"] = raw_insert(plant.milvus.uri, data.vectors[: min(options.cubes, RAW_ROWS)])
            tell(json.dumps(report.told["raw_pymilvus"]))
            asyncio.run(measure(options.cubes, plant, data, wanted, report))
    print(json.dumps(report.told, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
