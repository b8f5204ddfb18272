"""Measure a million memories on PostgreSQL and a real Milvus server: import, memory, searches and what they miss.

    make bench-scale                              1,000,000 cubes; some hours on 2 cores
    make bench-scale ARGS="--cubes 20000"         fewer

Everything in one run: a system of six processes, and a PostgreSQL, a Milvus and an S3 server of its own. The baseline
of the import is pymilvus inserting the same vectors into the same Milvus server, without index. Vectors are those of
MiniLM over sentences, each with a little noise of its own; queries are questions, embedded by the system. What a search
should have found is computed exactly, over all vectors.
"""

import argparse
import asyncio
import json
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from corpus import queries, texts
from measure import memory_mib, summary

import s3
from deployment import Deployment
from memos_client import AsyncClient, Filter, NewMemory, SearchAnswer
from milvus_server import MilvusProcess
from postgres import PostgresProcess

Floats = npt.NDArray[np.float32]

CUBES = 1_000_000
POINTS = (1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the vault at which searches are measured."""

SMALL = 1_000
"""Memories of the tenant whose size stays the same."""

BASE = 4_000
NOISE = 0.5
BUCKETS = 100
RAW_ROWS = 200_000
RAW_BATCH = 1_000
QUERIES = 200
TOP_K = 10
DIMENSIONS = 384
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


@dataclass
class Corpus:
    """Vectors of all memories, on disk, and what makes their texts."""

    vectors: Floats
    base: Sequence[str]

    def items(self, start: int, end: int) -> Iterator[NewMemory]:
        """Yield memories; each has a text of its own, and one of `BUCKETS` values of a label."""
        for number in range(start, end):
            text = f"{self.base[number % BASE]}; copy {number}"
            yield NewMemory(text=text, vector=self.vectors[number], labels={"bucket": f"b{number % BUCKETS:02}"})

    def nearest(self, query: Floats, size: int, *, bucket: int | None = None) -> list[int]:
        """Return the numbers of the nearest of the first `size` memories, exactly."""
        rows = np.arange(size) if bucket is None else np.arange(bucket, size, BUCKETS)
        scores = np.concatenate([self.vectors[part] @ query for part in np.array_split(rows, max(1, size // 100_000))])
        best = np.argpartition(-scores, min(TOP_K, len(scores) - 1))[:TOP_K]
        return [int(rows[index]) for index in best]


@dataclass
class Measured:
    """Searches of one kind at one size."""

    seconds: list[float] = field(default_factory=list)
    dense_ms: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    degraded: int = 0

    def note(self, seconds: float, answer: SearchAnswer, expected: Sequence[int] | None) -> None:
        """Take down one search."""
        self.seconds.append(seconds)
        self.degraded += answer.degraded
        self.dense_ms += [leg.duration_ms for leg in answer.legs if leg.name == "dense" and leg.ran]
        if expected is not None:
            found = {int(hit.cube.text.rpartition(" ")[2]) for hit in answer.hits}
            self.recalls.append(len(found & set(expected)) / len(expected))

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        told: dict[str, Any] = {"search": summary(self.seconds), "degraded": self.degraded}
        if self.dense_ms:
            told["dense_leg"] = summary([value / 1e3 for value in self.dense_ms])
        if self.recalls:
            told["recall_at_10"] = round(float(np.mean(self.recalls)), 4)
        return told


def encoder() -> Any:
    """Return MiniLM, as inference runs it."""
    from memos_inference.adapters.checkpoint import FileDigests
    from memos_inference.adapters.loading import load_encoder
    from memos_inference.config import InferenceConfig

    with tempfile.TemporaryDirectory() as folder:
        return load_encoder("minilm", InferenceConfig(), FileDigests(Path(folder) / "digests.json"), setting="embedder")


def corpus(folder: Path, count: int, model: Any) -> Corpus:
    """Make the vectors, in parts, so that memory does not grow with their number."""
    base = texts(BASE)
    centres = np.array(model.encode(base, max_texts=32), dtype=np.float32)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", dtype=np.float32, shape=(count, DIMENSIONS))
    rng = np.random.default_rng(5)
    for start in range(0, count, 10_000):
        numbers = np.arange(start, min(count, start + 10_000))
        noise = rng.standard_normal((len(numbers), DIMENSIONS), dtype=np.float32) * (NOISE / DIMENSIONS**0.5)
        near = centres[numbers % BASE] + noise
        vectors[numbers] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return Corpus(vectors, base)


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
    client.flush("raw")
    seconds = time.perf_counter() - begin
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 200})
    begin = time.perf_counter()
    client.create_index("raw", index)
    built = time.perf_counter() - begin
    client.drop_collection("raw")
    client.close()
    return {
        "rows": len(vectors),
        "rows_per_second": round(len(vectors) / seconds, 1),
        "index_seconds": round(built, 1),
    }


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Deployment, MilvusProcess, PostgresProcess]]:
    """Yield a system on servers of its own."""
    (folder / "pg").mkdir()
    milvus, postgres = MilvusProcess(folder / "milvus"), PostgresProcess(folder / "pg")
    milvus.folder.mkdir()
    await asyncio.to_thread(milvus.start)
    env = {
        "MEMOS_STORAGE__DATABASE_URL": postgres.url,
        "MEMOS_STORAGE__MILVUS_URI": milvus.uri,
        "MEMOS_STORAGE__BLOBS_URL": s3.shared_server().bucket()[0],
        "MEMOS_STORAGE__BLOBS_ACCESS_KEY": s3.ACCESS_KEY,
        "MEMOS_STORAGE__BLOBS_SECRET_KEY": s3.SECRET_KEY,
    }
    try:
        with Deployment.six_processes(folder / "system", env=env) as system:
            yield system, milvus, postgres
    finally:
        await asyncio.to_thread(milvus.kill)
        await asyncio.to_thread(postgres.stop)


async def load(client: AsyncClient, items: Iterator[NewMemory], vault: str) -> float:
    """Import; return the seconds."""
    begin = time.perf_counter()
    (first,) = [answer async for answer in client.import_memories(vault, [])]
    async for answer in client.import_memories(vault, items, embedder=first.embedder):
        refused = [result for result in answer.results if result.error is not None]
        if refused:
            raise RuntimeError(f"not imported: {refused[0]}")
    return time.perf_counter() - begin


async def settled(system: Deployment) -> float:
    """Wait until the vector index has taken everything; return the seconds."""
    begin = time.perf_counter()
    async with system.caller() as caller:
        while True:
            try:
                await system.settled(caller)
                return time.perf_counter() - begin
            except (TimeoutError, AssertionError):
                continue


async def searches(client: AsyncClient, data: Corpus, size: int, model: Any) -> dict[str, Any]:
    """Measure searches of a vault of this size: all legs, vectors alone, and these under a filter that passes 1 %."""
    alone = [
        f"{FOREIGN_WORDS[n % 10]} {FOREIGN_WORDS[(n // 10) % 10]} {FOREIGN_WORDS[n * 7 % 10]}" for n in range(QUERIES)
    ]
    kinds: dict[str, tuple[Sequence[str], bool, bool]] = {
        "default_legs": (queries(QUERIES), False, False),
        "dense_alone": (alone, False, True),
        "filter_1_percent": (alone, True, True),
    }
    told: dict[str, Any] = {}
    for name, (asked, filtered, compared) in kinds.items():
        found = Measured()
        for number, question in enumerate(asked):
            bucket = number % BUCKETS if filtered else None
            filter = Filter(labels={"bucket": f"b{bucket:02}"}) if bucket is not None else None
            begin = time.perf_counter()
            answer = await client.search(question, vaults=[VAULT], top_k=TOP_K, filter=filter)
            seconds = time.perf_counter() - begin
            expected = None
            if compared:
                query = np.array(model.encode([question], max_texts=1)[0], dtype=np.float32)
                expected = data.nearest(query, size, bucket=bucket)
            found.note(seconds, answer, expected)
        told[name] = found.document()
    return told


async def small_tenant(client: AsyncClient, vault: str) -> dict[str, Any]:
    """Measure searches of the tenant whose size stays the same."""
    found = Measured()
    for question in queries(QUERIES, seed=13):
        begin = time.perf_counter()
        answer = await client.search(question, vaults=[vault], top_k=TOP_K)
        found.note(time.perf_counter() - begin, answer, None)
    return found.document()


async def measure(count: int, folder: Path) -> dict[str, Any]:
    """Run everything; return the report."""
    model = await asyncio.to_thread(encoder)
    data = await asyncio.to_thread(corpus, folder, count, model)
    async with running(folder) as (system, milvus, postgres):
        raw = await asyncio.to_thread(raw_insert, milvus.uri, data.vectors[: min(count, RAW_ROWS)])
        _, key = system.new_tenant("other")
        other = {**system.client_settings(), "api_key": key, "tenant": "other"}
        report: dict[str, Any] = {"cubes": count, "raw_pymilvus": raw, "sizes": []}
        seconds = 0.0
        async with system.client() as client, AsyncClient(**other) as small:
            await load(small, data.items(0, min(SMALL, count)), "main")
            done = 0
            for size in [*(point for point in POINTS if point < count), count]:
                seconds += await load(client, data.items(done, size), VAULT)
                done = size
                waited = await settled(system)
                report["sizes"].append(
                    {
                        "cubes": size,
                        "import_seconds": round(seconds, 1),
                        "import_per_second": round(size / seconds, 1),
                        "index_behind_seconds": round(waited, 1),
                        "searches": await searches(client, data, size, model),
                        "small_tenant": await small_tenant(small, "main"),
                    }
                )
        report["import_of_raw"] = round(report["sizes"][-1]["import_per_second"] / raw["rows_per_second"], 3)
        services = ("governance", "storage", "inference", "lifecycle", "scheduler", "interface")
        report["memory"] = {
            **{name: memory_mib(system.process_id(name)) for name in services},
            "milvus": memory_mib(milvus.process_id),
            "postgresql": memory_mib(postgres.process_id),
        }
    return report


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw latency over size, and what the vectors alone miss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    times, recall = figure.subplots(1, 2)
    sizes = [one["cubes"] for one in report["sizes"]]
    for name in ("default_legs", "dense_alone", "filter_1_percent"):
        for percentile, style in (("p50_ms", "-"), ("p95_ms", "--")):
            values = [one["searches"][name]["search"][percentile] for one in report["sizes"]]
            times.plot(sizes, values, style, marker=".", label=f"{name.replace('_', ' ')}, {percentile[:3]}")
        if name != "default_legs":
            values = [one["searches"][name]["recall_at_10"] for one in report["sizes"]]
            recall.plot(sizes, values, marker=".", label=name.replace("_", " "))
    times.plot(
        sizes, [one["small_tenant"]["search"]["p95_ms"] for one in report["sizes"]], ":", label="small tenant, p95"
    )
    times.set(xscale="log", xlabel="memories", ylabel="ms", title="A search, from the client")
    recall.set(xscale="log", xlabel="memories", ylim=(0.8, 1.01), title="Recall@10 against exact")
    for axes in (times, recall):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", type=int, default=CUBES)
    parser.add_argument("--plot", type=Path, help="picture to write, SVG or PNG")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-scale-") as folder:
        report = asyncio.run(measure(options.cubes, Path(folder)))
    report["machine"] = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    if options.plot is not None:
        plot(report, options.plot)
    print(json.dumps(report, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
