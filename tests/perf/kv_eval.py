"""Do answers from a KV cache agree with answers from text? The offline model is asked both ways about unseen facts.

    make kv-eval ARGS="--questions 500 --json"

Each question has memories of its own, some of which share their relation. They are encoded, written to a file as
inference writes it, read back, and the question is answered from that; then once more from the text alone, and without
memories.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from memos_inference.adapters import kv_file
from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.kv_cache import KvPrefix
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.packed import Packed
from memos_inference.config import InferenceConfig
from memos_inference.domain.generation import Prompt, Role, Turn
from memos_inference.tiny_model.evaluate import TOLD, Item, draw_items
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, Plaintext, RevisionRef
from memos_kernel.names import CubeName, VaultName

TOKENS = 24
VAULT = VaultName("local", "eval")


@dataclass
class Cell:
    """One row of the table: answers of one form."""

    name: str
    right: int = 0
    agree: int = 0
    asked: int = 0

    def note(self, ids: Sequence[int], expected: Sequence[int], *, right: bool) -> None:
        """Count an answer; `expected` is the one from the text."""
        self.asked += 1
        self.right += right
        self.agree += list(ids) == list(expected)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "form": self.name,
            "questions": self.asked,
            "right": round(self.right / self.asked, 4),
            "same_tokens_as_text": round(self.agree / self.asked, 4),
        }


def cubes(memories: Sequence[str]) -> tuple[MemCube, ...]:
    """Return the memories of an episode as cubes."""
    return tuple(
        MemCube(name=CubeName("local", f"m{number}"), vault=VAULT, kind=Kind.PLAINTEXT, payload=Plaintext(text))
        for number, text in enumerate(memories)
    )


def answered(model: LoadedModel, prompt: Prompt, prefix: KvPrefix | None = None) -> tuple[list[int], str]:
    """Return the tokens of an answer, and its text."""
    ids: list[int] = []
    given = model.tokenizer.prompt_ids(prompt)
    shared = prefix.shared_with(given) if prefix is not None else 0
    state = model.decoder.begin(len(given) + TOKENS, prefix=prefix, shared=shared)
    unread = given[shared:]
    while len(ids) < TOKENS:
        (token,) = model.decoder.choose(model.decoder.step([(state, unread)]), [0.0])
        assert token is not None
        if token in model.stop_ids:
            break
        ids.append(token)
        unread = [token]
    return ids, model.tokenizer.decode(ids).strip()


def cached(model: LoadedModel, memories: tuple[MemCube, ...], path: Path, encoding: kv_file.KvEncoding) -> KvPrefix:
    """Return the cache of memories, by way of its file."""
    ids = model.tokenizer.prefix_ids(memories)
    assert model.decoder.geometry is not None
    state = model.decoder.begin(len(ids))
    assert isinstance(state, Packed)
    model.decoder.step([(state, ids)])
    identity = replace(model.description.identity, token_ids_sha256=kv_file.digest_of(ids))
    sources = tuple(RevisionRef(memory.name, 1) for memory in memories)
    kv_file.write(path, state.cache.pairs(), ids=ids, identity=identity, sources=sources, encoding=encoding)
    cube = MemCube(
        name=CubeName("local", "kv"),
        vault=VAULT,
        kind=Kind.ACTIVATION,
        payload=Activation(BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS), identity, len(ids)),
        derived_from=sources,
    )
    return kv_file.read(path, cube, geometry=model.decoder.geometry, vocabulary=model.decoder.vocabulary)


def ask(model: LoadedModel, items: Sequence[Item], dtype: str, console: Console) -> list[Cell]:
    """Ask every question in every form."""
    text, kv, small, none = (
        Cell(f"{name}, {dtype}") for name in ("text", "KV cache", "KV cache in int8", "no memories")
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kv.safetensors"
        for item in track(items, description=dtype, console=console, disable=not console.is_terminal):
            memories = cubes(item.memories)
            turns = (Turn(Role.USER, item.question.text),)
            expected, said = answered(model, Prompt(turns, memories))
            text.note(expected, expected, right=said == item.question.answer)
            for cell, encoding in ((kv, kv_file.KvEncoding.NATIVE), (small, kv_file.KvEncoding.INT8)):
                prefix = cached(model, memories, path, encoding)
                ids, said = answered(model, Prompt(turns, memories), prefix)
                cell.note(ids, expected, right=said == item.question.answer)
                path.unlink()
            ids, said = answered(model, Prompt(turns))
            none.note(ids, expected, right=said == item.question.answer)
    return [text, kv, small, none]


def main() -> None:
    """Run from the command line; ends with 1 if a cache changed an answer in float32."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--memories", type=int, default=4)
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
            cells += ask(model, items, dtype, console)
    rows = [cell.document() for cell in cells]
    if asked.json:
        report = {"seed": seed, "memories": asked.memories, "threads": torch.get_num_threads(), "forms": rows}
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        table = Table("form", "questions", "right", "same tokens as text")
        for row in rows:
            table.add_row(
                row["form"], str(row["questions"]), f"{row['right']:.3f}", f"{row['same_tokens_as_text']:.4f}"
            )
        Console().print(f"seed {seed}, {asked.memories} memories", table)
    sys.exit(0 if cells[1].agree == cells[1].asked else 1)


if __name__ == "__main__":
    main()
