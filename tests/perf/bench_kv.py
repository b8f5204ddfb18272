"""How soon does an answer begin when its memories are a KV cache, and how much of that is getting the cache?

    make bench-kv ARGS="--rounds 5 --json"

The model has random weights in the shape of Qwen2.5-0.5B. For each length of the memories and of the question, the time
to the first token is measured with the memories read as text (by the faster of inference itself and transformers), and
with their cache in the S3 store, on the disk (not in the system's page cache), and open in memory; and the floor: the
pass over the question alone, with keys and values where that pass wants them. All arms take turns in each round. A row
for composed caches reads four of them, moved and with a part read again.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from random_qwen import prompt_of, random_ids, random_qwen
from reading import pairs_of
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import s3
from memos_inference.adapters import environment, kv_file, range_reader
from memos_inference.adapters.batcher import Batcher
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.kv_cache import KvPrefix
from memos_inference.adapters.tiers import TieredCopies
from memos_inference.adapters.transformers_engine import TransformersEngine
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Ended, Sampling
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube
from memos_kernel.ids import SystemClock
from memos_kernel.names import CubeName, VaultName
from memos_storage.adapters.s3 import S3BlobStore

MEMORIES, QUESTIONS = (583, 2_773, 6_064), (167, 303, 953)
"""Tokens, those of the published measurement (MemOS, arXiv 2507.03724, table 5)."""

VAULT = VaultName("local", "bench")
PIECE = 8_192
COLD = ("text", "transformers")
"""Arms that read all memories, and take by far the longest."""

PARTS = 4
"""Caches that are composed."""

NEVER = threading.Event()


@dataclass(frozen=True)
class Direct:
    """The S3 store as inference reaches it, by an address."""

    store: S3BlobStore
    speeds: list[float] = field(default_factory=list)
    """Bytes a second of each fetch, hash included."""

    async def fetch(self, name: CubeName, path: Path) -> str:
        """See `ports.BlobSource`."""
        size, _, blob = name.id.partition("-")
        begun = time.perf_counter()
        address = await self.store.address(VAULT, BlobRef(blob, int(size), "", SAFETENSORS))
        digest = await asyncio.to_thread(range_reader.fetch, address, path, int(size), stop=NEVER)
        self.speeds.append(int(size) / (time.perf_counter() - begun))
        return digest


@dataclass
class Cell:
    """Times of one length of memories and question, in seconds by arm."""

    memory: int
    question: int
    nbytes: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    fetched: float = 0.0
    """Bytes a second, from the S3 store."""
    read: float = 0.0
    """Bytes a second, from the disk alone."""

    def median(self, arm: str) -> float:
        """Return the median of an arm."""
        return statistics.median(self.seconds[arm])

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        cold = min(self.median("text"), self.median("transformers"))
        floor = self.median("floor")
        arms = {
            arm: {
                "ms": round(1e3 * self.median(arm), 1),
                "over_floor": round(self.median(arm) / floor - 1, 4),
                "saved_of_cold": round(1 - self.median(arm) / cold, 4),
            }
            for arm in self.seconds
        }
        return {
            "memory_tokens": self.memory,
            "question_tokens": self.question,
            "cache_bytes": self.nbytes,
            "cold_ms": round(1e3 * cold, 1),
            "arms": arms,
            "s3_gb_per_s": round(self.fetched / 1e9, 3),
            "disk_gb_per_s": round(self.read / 1e9, 3),
            "break_even_mb_per_s": round(self.nbytes / 1e6 / max(cold - floor, 1e-9), 1),
        }


class Bench:
    """A model, an engine over it, and a place for caches on each tier."""

    def __init__(self, model: LoadedModel, library: Any, store: S3BlobStore, folder: Path) -> None:
        """Take the parts."""
        self.model = model
        self.library = library
        self.store = store
        self.direct = Direct(store)
        self.folder = folder
        batcher = Batcher(max_running=1, max_waiting=4, max_bytes=2**34, piece=PIECE)
        self.engine = TransformersEngine(lambda: model, batcher=batcher)

    async def cell(self, memory: int, question: int, asked: argparse.Namespace, tick: Callable[[], None]) -> Cell:
        """Measure one length of memories and question."""
        rng, rounds = random.Random(asked.seed), asked.rounds
        told, new = random_ids(rng, memory), random_ids(rng, question)
        cube, path = await self._cached(told)
        opened = await self.engine.open_cache(path, cube)
        alone = path.with_suffix(".disk")  # of what is mapped by anybody, the system would drop nothing
        shutil.copy(path, alone)
        cell = Cell(memory, question, path.stat().st_size)
        each = memory // PARTS
        parts = [
            await asyncio.to_thread(self._read, told[start : start + each]) for start in range(0, PARTS * each, each)
        ]
        arms: dict[str, Callable[[], Awaitable[float]]] = {
            "text": lambda: self._first_token([*told, *new]),
            "transformers": lambda: asyncio.to_thread(self._library, [*told, *new]),
            "s3": lambda: self._from_s3(cube, [*told, *new]),
            "disk": lambda: self._from_disk(cube, alone, [*told, *new]),
            "memory": lambda: self._first_token([*told, *new], opened),
            "floor": lambda: asyncio.to_thread(self._floor, opened, [*told, *new]),
            "composed": lambda: asyncio.to_thread(self._composed, parts, [*told, *new]),
        }
        for number in range(rounds + 1):  # the first warms up
            for arm, measure in arms.items():
                if arm not in COLD or number <= asked.cold_rounds:
                    cell.seconds.setdefault(arm, []).append(await measure())
            tick()
        cell.read = await asyncio.to_thread(_disk_speed, alone)
        cell.fetched = statistics.median(self.direct.speeds[-rounds:])
        cell.seconds = {arm: seconds[1:] for arm, seconds in cell.seconds.items()}
        print(json.dumps(cell.document()), file=sys.stderr, flush=True)  # noqa: T201  # what is lost if it is stopped
        return cell

    async def _first_token(self, ids: Sequence[int], *caches: KvPrefix) -> float:
        prompt, begun = prompt_of(ids), time.perf_counter()
        async for event in self.engine.generate(prompt, Sampling(max_tokens=1), caches=caches):
            if isinstance(event, Ended):
                return time.perf_counter() - begun
        raise AssertionError("no end")

    def _library(self, ids: Sequence[int]) -> float:
        given, begun = torch.tensor([list(ids)]), time.perf_counter()
        with torch.inference_mode():
            self.library(given, use_cache=True, logits_to_keep=1).logits.argmax()
        return time.perf_counter() - begun

    def _floor(self, opened: KvPrefix, ids: Sequence[int]) -> float:
        """Return the seconds of the pass over the question, but for its first token, with which all is copied."""
        decoder, first = self.model.decoder, len(opened.ids)
        state = decoder.begin(len(ids), reused=decoder.reuse(ids, [opened]))
        decoder.step([(state, ids[first : first + 1])])
        begun = time.perf_counter()
        decoder.choose(decoder.step([(state, ids[first + 1 :])]), [0.0])
        return time.perf_counter() - begun

    def _composed(self, parts: Sequence[KvPrefix], ids: Sequence[int]) -> float:
        decoder, begun = self.model.decoder, time.perf_counter()
        reused = decoder.reuse(ids, parts, recompute=InferenceConfig().kv_recompute)
        state = decoder.begin(len(ids), reused=reused)
        decoder.choose(decoder.step([(state, reused.left(ids))]), [0.0])
        return time.perf_counter() - begun

    async def _from_s3(self, cube: MemCube, ids: Sequence[int]) -> float:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            copies: TieredCopies[KvPrefix] = TieredCopies(
                Path(folder),
                self.direct,
                self.engine.open_cache,
                settings="kv",
                disk_bytes=2**40,
                memory_bytes=2**40,
                patience=600,
                clock=SystemClock(),
            )
            await copies.start()
            begun = time.perf_counter()
            async with copies.use(cube) as cache:
                await self._first_token(ids, cache)
            seconds = time.perf_counter() - begun
            await copies.close()
        return seconds

    async def _from_disk(self, cube: MemCube, path: Path, ids: Sequence[int]) -> float:
        await asyncio.to_thread(_forget, path)
        begun = time.perf_counter()
        await self._first_token(ids, await self.engine.open_cache(path, cube, checked=True))
        return time.perf_counter() - begun

    def _read(self, ids: Sequence[int]) -> KvPrefix:
        return kv_file.prefix_of(ids, pairs_of(self.model.decoder, ids))

    async def _cached(self, ids: Sequence[int]) -> tuple[MemCube, Path]:
        """Write the cache of some tokens to the disk and to the store."""
        path = self.folder / f"{len(ids)}-{time.monotonic_ns()}.safetensors"
        identity = replace(self.model.description.identity, token_ids_sha256=kv_file.digest_of(ids))
        pairs = await asyncio.to_thread(pairs_of, self.model.decoder, ids)
        await asyncio.to_thread(kv_file.write, path, pairs, ids=ids, identity=identity, sources=())
        blob = await self.store.put(VAULT, _bytes(path), media_type=SAFETENSORS)
        payload = Activation(blob, identity, len(ids))
        name = CubeName("local", f"{blob.size_bytes}-{blob.name}")
        return MemCube(name=name, vault=VAULT, uid=blob.name, kind=Kind.ACTIVATION, payload=payload), path


async def _bytes(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, 2**20):
            yield data


def _forget(path: Path) -> None:
    """Have the system drop what it holds of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _disk_speed(path: Path) -> float:
    """Return the bytes a second at which a file comes that the system has dropped."""
    _forget(path)
    begun = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(2**23):
            pass
    return path.stat().st_size / (time.perf_counter() - begun)


async def measured(asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all cells."""
    device = environment.pick_device(asked.device)
    environment.prepare(asked.threads)
    model, library = random_qwen(asked.dtype, str(device))
    url, _ = (await asyncio.to_thread(s3.shared_server)).bucket()
    store = S3BlobStore(url, access_key=s3.ACCESS_KEY, secret_key=s3.SECRET_KEY, installation=lambda: "bench")
    with tempfile.TemporaryDirectory() as folder, Progress(console=console, disable=not console.is_terminal) as bar:
        bench = Bench(model, library, store, Path(folder))
        bench.engine.start()
        task = bar.add_task("cells", total=len(asked.memories) * len(asked.questions) * (asked.rounds + 1))
        cells = [
            await bench.cell(memory, question, asked, lambda: bar.advance(task))
            for memory in asked.memories
            for question in asked.questions
        ]
        await bench.engine.close()
    await store.close()
    return {
        "model": "qwen2.5-0.5b, random weights",
        "dtype": asked.dtype,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "rounds": asked.rounds,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "cells": [cell.document() for cell in cells],
    }


def table(report: dict[str, Any]) -> Table:
    """Return the medians."""
    shown = Table("memory x question", "cold", "S3", "disk", "memory", "floor", "cut of cold from disk", "composed")
    for cell in report["cells"]:
        arms = cell["arms"]
        over = {arm: f"{arms[arm]['ms']:,.0f} ms (+{arms[arm]['over_floor']:.1%})" for arm in ("s3", "disk", "memory")}
        shown.add_row(
            f"{cell['memory_tokens']} x {cell['question_tokens']}",
            f"{cell['cold_ms']:,.0f} ms",
            *over.values(),
            f"{arms['floor']['ms']:,.0f} ms",
            f"{arms['disk']['saved_of_cold']:.1%}",
            f"{arms['composed']['ms']:,.0f} ms",
        )
    return shown


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=1, help="rounds in which the memories are read as text")
    parser.add_argument("--memories", type=int, nargs="+", default=MEMORIES)
    parser.add_argument("--questions", type=int, nargs="+", default=QUESTIONS)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    asked = parser.parse_args()
    report = asyncio.run(measured(asked, Console(stderr=True)))
    if asked.json:
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        Console().print(table(report))
    sys.exit(0)


if __name__ == "__main__":
    main()
