"""Does a LoRA adapter know its memories, and does it spoil anything? Adapters are trained and examined.

    make lora-eval ARGS="--facts 1 5 20 --seeds 3 --json"

The facts are of the side of the split that the offline model never saw: names, words and phrasings. They are told as
people tell them in a chat, and read back as the service reads them. Each adapter is examined in phrasings that neither
the model nor the adapter was trained on, beside the same questions without it. Then four adapters and none answer in
one batch what they answer alone.
"""

import argparse
import copy
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import summary
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from transformers import AutoModelForCausalLM

from memos_inference.adapters import environment, lora_file
from memos_inference.adapters.checkpoint import FileDigests, bundled_tiny
from memos_inference.adapters.engine_work import LoadedModel
from memos_inference.adapters.loading import load_model
from memos_inference.adapters.lora import LoraAdapter
from memos_inference.adapters.lora_file import adapter_of
from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.config import InferenceConfig
from memos_inference.tiny_model.episodes import EpisodeMaker
from memos_inference.tiny_model.grammar import Fact
from memos_inference.training.answers import Asker, Item
from memos_inference.training.exam import PassMarks, examine
from memos_inference.training.lessons import Teacher
from memos_inference.training.packing import Packer
from memos_inference.training.trainer import Trainer, TrainingPlan
from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, Kind, MemCube, Parametric
from memos_kernel.names import CubeName, VaultName


def facts_of(count: int, rng: random.Random) -> list[Fact]:
    """Return unseen facts, several of which share their relation."""
    return EpisodeMaker(heldout=True).facts(rng, count)


def trained(
    library: Any, model: LoadedModel, facts: Sequence[Fact], plan: TrainingPlan, tell: Any
) -> Mapping[str, torch.Tensor]:
    """Return the matrices of the adapter."""
    (end,) = model.stop_ids
    trainer = Trainer(copy.deepcopy(library), Packer(model.tokenizer, end_id=end), facts, plan)
    trainer.run(tell)
    return trainer.tensors()


def loaded(model: LoadedModel, tensors: Mapping[str, torch.Tensor], shape: LoraShape) -> dict[str, float]:
    """Return the milliseconds in which the file of an adapter becomes one that answers, p50 and p95 of fifty times.

    That is all a swap is: adapters lie beside each other, and no module of the model changes.
    """
    identity = model.description.identity
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        lora_file.write(path, tensors, shape=shape, identity=identity, sources=())
        blob = BlobRef("b", path.stat().st_size, "0" * 64, SAFETENSORS)
        cube = MemCube(
            name=CubeName("local", "lora"),
            vault=VaultName("local", "eval"),
            kind=Kind.PARAMETRIC,
            payload=Parametric(blob, identity, shape.rank, activated=shape.activated),
        )
        for _ in range(50):
            begun = time.perf_counter()
            lora_file.read(path, cube, modules=model.decoder.modules).to(
                model.decoder.device, model.decoder.element_type
            )
            seconds.append(time.perf_counter() - begun)
    return {"file_bytes": blob.size_bytes, **summary(seconds)}


def side_by_side(asker: Asker, adapters: Sequence[LoraAdapter], facts: Sequence[Sequence[Fact]]) -> dict[str, Any]:
    """Ask every adapter, and the model without one, about everything: alone, and all in one batch."""
    rng = random.Random(0)
    items = [Item((), question) for some in facts for question in Teacher(some, heldout=True).recalls(rng, 4)]
    given = [*adapters, None]
    alone = [answer for adapter in given for answer in asker.answers(items, adapter=adapter)]
    mixed = asker.answers(items * len(given), adapters=[adapter for adapter in given for _ in items])
    return {"answers": len(mixed), "same_as_alone": sum(one == two for one, two in zip(alone, mixed, strict=True))}


def _tell(progress: Progress, task: TaskID, part: float) -> None:
    progress.update(task, completed=part)


def main() -> None:
    """Run from the command line; ends with 1 if an adapter of up to twenty facts failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, nargs="+", default=[1, 5, 20, 100])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 means one a core")
    parser.add_argument(
        "--activated",
        action=argparse.BooleanOptionalAction,
        default=InferenceConfig().lora_activated,
        help="activated LoRA, which works from the question on",
    )
    parser.add_argument("--rank", type=int, default=InferenceConfig().lora_rank)
    parser.add_argument("--questions", type=int, default=200, help="questions of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    asked = parser.parse_args()
    environment.prepare(asked.threads)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(InferenceConfig(), FileDigests(Path(folder) / "digests.json"))
    library = AutoModelForCausalLM.from_pretrained(bundled_tiny().folder, dtype=torch.float32)
    shape = LoraShape(rank=asked.rank, alpha=2 * asked.rank, activated=asked.activated)
    asker, rows, kept = Asker(model), [], []
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for count in asked.facts:
            for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
                facts = facts_of(count, random.Random(1_000 * count + seed))
                plan = TrainingPlan(shape=shape, seed=seed)
                task = progress.add_task(f"{count} facts, seed {seed}", total=1.0)
                begun = time.perf_counter()
                tensors = trained(library, model, facts, plan, partial(_tell, progress, task))
                adapter = adapter_of(tensors, plan.shape, digest=str(plan.seed))
                seconds = time.perf_counter() - begun
                marks = examine(asker, facts, adapter, seed=seed, questions=asked.questions)
                failures = PassMarks().failures(marks)
                rows.append(
                    {
                        "facts": count,
                        "seed": seed,
                        "seconds": round(seconds, 1),
                        "bytes": adapter.nbytes,
                        **{name: round(share, 3) for name, share in asdict(marks).items()},
                        "failures": failures,
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr)  # noqa: T201
                kept.append((adapter, facts))
    some = kept[-4:]
    batch = side_by_side(asker, [adapter for adapter, _ in some], [facts for _, facts in some])
    swap = loaded(model, tensors, shape)
    report = {"rank": asked.rank, "activated": asked.activated, "adapters": rows, "one_batch": batch, "swap": swap}
    if asked.json:
        print(json.dumps(report, indent=1))  # noqa: T201
    else:
        table = Table("facts", "recall", "before", "unknown", "in context", "before", "corrected", "before", "seconds")
        for count in asked.facts:
            of_count = [row for row in rows if row["facts"] == count]
            names = ("recall", "recall_before", "unknown", "in_context", "in_context_before", "corrected")
            shares = [statistics.mean(row[name] for row in of_count) for name in (*names, "corrected_before")]
            seconds = statistics.median(row["seconds"] for row in of_count)
            table.add_row(str(count), *(f"{share:.3f}" for share in shares), f"{seconds:.0f}")
        Console().print(table, batch, swap)
    failed = any(row["failures"] for row in rows if row["facts"] <= 20)
    sys.exit(1 if failed or batch["same_as_alone"] < batch["answers"] else 0)


if __name__ == "__main__":
    main()
