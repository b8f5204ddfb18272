"""Do answers from KV caches agree with answers from text? The offline model is asked both ways about unseen facts.

    make kv-eval ARGS="--questions 500 --json"

Each question has memories of its own, some of which share their relation. They are encoded, written to files as
inference writes them, read back, and the question is answered from that: from one cache of all memories, from a cache
of each (moved to where it belongs, a part of it read again), and from the same caches laid one after another as they
are; then once more from the text alone, and without memories.
"""

import argparse
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from reading import pairs_of
from rich.console import Console
from rich.progress import track
from rich.table import Table

from memos_inference.adapters import kv_file
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.kv_cache import NOTHING, KvPrefix, Reused
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.rotation import Rotation
from memos_inference.config import InferenceConfig
from memos_inference.domain.composition import composed
from memos_inference.domain.generation import Prompt
from memos_inference.tiny_model.evaluate import TOLD, Item, draw_items
from memos_inference.training.packing import prompt_of
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, RevisionRef
from memos_kernel.names import CubeName, VaultName

TOKENS = 24
VAULT = VaultName("local", "eval")
NATIVE, INT8 = kv_file.KvEncoding.NATIVE, kv_file.KvEncoding.INT8


class Still(Rotation):
    """Leaves keys as they are: what to lay caches one after another would be."""

    def __init__(self) -> None:
        """Take nothing."""

    def moved(self, keys: torch.Tensor, positions: int) -> torch.Tensor:
        """See `Rotation`."""
        return keys


@dataclass
class Cell:
    """One row of the table: answers of one form."""

    name: str
    right: int = 0
    agree: int = 0
    asked: int = 0
    prompt: int = 0
    read: int = 0
    seconds: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "form": self.name,
            "questions": self.asked,
            "right": round(self.right / self.asked, 4),
            "same_tokens_as_text": round(self.agree / self.asked, 4),
            "tokens_read": round(self.read / self.prompt, 4),
            "prompt_ms_median": round(1e3 * statistics.median(self.seconds), 2),
        }


def cached(
    model: LoadedModel, memories: tuple[MemCube, ...], path: Path, encoding: kv_file.KvEncoding = NATIVE
) -> KvPrefix:
    """Return the cache of memories, by way of its file."""
    ids = model.tokenizer.prefix_ids(memories)
    assert model.decoder.geometry is not None
    pairs = pairs_of(model.decoder, ids)
    identity = replace(model.description.identity, token_ids_sha256=kv_file.digest_of(ids))
    sources = tuple(RevisionRef(memory.name, 1) for memory in memories)
    kv_file.write(path, pairs, ids=ids, identity=identity, sources=sources, encoding=encoding)
    cube = MemCube(
        name=CubeName("local", "kv"),
        vault=VAULT,
        kind=Kind.ACTIVATION,
        payload=Activation(BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS), identity, len(ids)),
        derived_from=sources,
    )
    return kv_file.read(path, cube, geometry=model.decoder.geometry, vocabulary=model.decoder.vocabulary)


class Subject:
    """A model, and what it answers in each form."""

    def __init__(self, model: LoadedModel, dtype: str, recompute: float) -> None:
        """Take the share of the tokens of a composed cache that is read again."""
        self._model = model
        self._dtype = dtype
        self._recompute = recompute
        self.cells: dict[str, Cell] = {}

    def ask(self, item: Item, folder: Path) -> None:
        """Ask one question in every form."""
        prompt = prompt_of(item.memories, item.question.text)
        decoder, memories = self._model.decoder, prompt.memories
        whole, small = (cached(self._model, memories, folder / encoding, encoding) for encoding in (NATIVE, INT8))
        apart = [cached(self._model, (one,), folder / str(number)) for number, one in enumerate(memories)]
        share = f"{self._recompute:.0%}"
        forms: dict[str, Callable[[list[int]], Reused]] = {
            "text": lambda _: NOTHING,
            "KV cache": lambda ids: decoder.reuse(ids, [whole]),
            "KV cache in int8": lambda ids: decoder.reuse(ids, [small]),
            f"a cache a memory, moved, {share} read again": lambda ids: decoder.reuse(
                ids, apart, recompute=self._recompute
            ),
            "a cache a memory, moved": lambda ids: decoder.reuse(ids, apart, recompute=0),
            "a cache a memory, as they are": partial(_naive, apart),
        }
        answers: dict[str, list[int]] = {}
        for name, reuse in forms.items():
            answers[name] = self._note(name, item, prompt, reuse, answers.get("text"))
        self._note("no memories", item, Prompt(prompt.turns), forms["text"], answers["text"])
        for path in folder.iterdir():
            path.unlink()

    def _note(
        self,
        name: str,
        item: Item,
        prompt: Prompt,
        reuse: Callable[[list[int]], Reused],
        expected: Sequence[int] | None,
    ) -> list[int]:
        """Answer, and count; return the tokens of the answer."""
        model, decoder = self._model, self._model.decoder
        cell = self.cells.setdefault(name, Cell(f"{name}, {self._dtype}"))
        given = model.tokenizer.prompt_ids(prompt)
        reused = reuse(given)
        unread = reused.left(given)
        started = time.perf_counter()
        state = decoder.begin(len(given) + TOKENS, reused=reused)
        logits = decoder.step([(state, unread)])
        cell.seconds.append(time.perf_counter() - started)
        ids: list[int] = []
        while len(ids) < TOKENS:
            (token,) = decoder.choose(logits, [0.0])
            assert token is not None
            if token in model.stop_ids:
                break
            ids.append(token)
            logits = decoder.step([(state, [token])])
        cell.asked += 1
        cell.prompt += len(given)
        cell.read += len(unread)
        cell.right += model.tokenizer.decode(ids).strip() == item.question.answer
        cell.agree += expected is None or ids == expected
        return ids


def _naive(caches: Sequence[KvPrefix], prompt: list[int]) -> Reused:
    """Return the caches one after another, with the keys as they were computed."""
    return Reused(tuple(caches), composed(prompt, [cache.ids for cache in caches], recompute=0), Still())


def main() -> None:
    """Run from the command line; ends with 1 if a cache changed an answer in float32."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--memories", type=int, default=4)
    parser.add_argument("--recompute", type=float, default=InferenceConfig().kv_recompute)
    parser.add_argument("--seed", type=int, help="repeat a run (default: a fresh random seed)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    asked = parser.parse_args()
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    rng, console = random.Random(seed), Console(stderr=True)
    half = asked.questions // 2
    items = [
        item
        for shared, count in ((False, half), (True, asked.questions - half))
        for item in draw_items(rng, memories=asked.memories, shared=shared, kinds=TOLD, count=count)
    ]
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "bfloat16"):
            model = load_model(InferenceConfig(dtype=dtype), FileDigests(Path(folder) / "digests.json"))
            subject, files = Subject(model, dtype, asked.recompute), Path(folder) / dtype
            files.mkdir()
            for item in track(items, description=dtype, console=console, disable=not console.is_terminal):
                subject.ask(item, files)
            cells += subject.cells.values()
    rows = [cell.document() for cell in cells]
    if asked.json:
        report = {"seed": seed, "memories": asked.memories, "threads": torch.get_num_threads(), "forms": rows}
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        table = Table("form", "questions", "right", "same tokens as text", "tokens read", "prompt, ms")
        for row in rows:
            table.add_row(
                row["form"],
                str(row["questions"]),
                f"{row['right']:.3f}",
                f"{row['same_tokens_as_text']:.4f}",
                f"{row['tokens_read']:.2f}",
                f"{row['prompt_ms_median']:.1f}",
            )
        Console().print(f"seed {seed}, {asked.memories} memories", table)
    sys.exit(0 if cells[1].agree == cells[1].asked else 1)


if __name__ == "__main__":
    main()
