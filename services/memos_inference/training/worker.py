"""One training, in a process of its own: `python -m memos_inference.training.worker`.

What is asked for comes on standard input as JSON; how far it is goes out as one JSON object a line, and the last line
has the outcome. Whoever wants to stop it ends the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import checkpoint_of, load_model
from memos_inference.config import InferenceConfig
from memos_inference.training.job import TrainingJob, TrainingOutcome
from memos_kernel.errors import AdapterRejected, FormUnsupported, MemosError

_QUESTIONS = 100
"""Of each kind, in the exam."""

_NICENESS = 10
"""A training gives way to whoever asks questions."""


def run(job: TrainingJob, folder: Path) -> TrainingOutcome:
    """Read the memories, train, examine, and write the file.

    Raises:
        AdapterRejected: there was nothing to learn, or it was not learned.
        FormUnsupported: adapters of this model cannot be trained.
        DependencyUnavailable: the model cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from memos_inference.adapters import lora_file
    from memos_inference.training.answers import Asker
    from memos_inference.training.exam import PassMarks, examine
    from memos_inference.training.packing import Packer
    from memos_inference.training.reader import read_facts
    from memos_inference.training.trainer import Trainer, TrainingPlan

    begun = time.perf_counter()
    config = InferenceConfig(model=job.model, device=job.device, dtype="float32", threads=job.threads)
    model = load_model(config, FileDigests(folder / "digests.json"))
    end = model.tokenizer.end_id
    if model.decoder.geometry is None or end is None:
        name = model.description.model
        raise FormUnsupported(f"{name} takes no adapters.", form="lora", model=name)
    asker = Asker(model)
    told = read_facts(asker, job.memories)
    facts = [fact for some in told for fact in some]
    if not facts:
        raise AdapterRejected(
            "In none of the memories did the model find a fact that can be asked about; say them more plainly.",
            facts="0",
        )
    plan = TrainingPlan(shape=job.shape)
    library: Any = AutoModelForCausalLM.from_pretrained(
        checkpoint_of(config).folder, dtype=torch.float32, local_files_only=True, use_safetensors=True
    )
    trainer = Trainer(library.to(model.decoder.device), Packer(model.tokenizer, end_id=end), facts, plan)
    trainer.run(lambda share: _tell(progress=round(share, 4)))
    tensors = trainer.tensors()
    adapter = lora_file.adapter_of(tensors, job.shape, digest="")
    marks = examine(asker, facts, adapter, seed=plan.seed, questions=_QUESTIONS)
    if failures := PassMarks().failures(marks):
        raise AdapterRejected(
            f"The adapter did not pass its exam: {'; '.join(failures)}.",
            facts=str(len(facts)),
            recall=f"{marks.recall:.2f}",
        )
    lora_file.write(Path(job.path), tensors, shape=job.shape, identity=job.identity, sources=job.sources)
    report = {
        "facts": str(len(facts)),
        "unread": str(sum(not some for some in told)),
        "seconds": f"{time.perf_counter() - begun:.0f}",
        **{name: f"{share:.3f}" for name, share in asdict(marks).items()},
    }
    return TrainingOutcome(report=report)


def main() -> None:
    """Run what standard input asks for."""
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    os.nice(_NICENESS)
    job = TrainingJob.model_validate_json(sys.stdin.read())
    try:
        outcome = run(job, Path(job.path).parent)
    except MemosError as error:
        outcome = TrainingOutcome(reason=error.reason, message=error.message, metadata=dict(error.metadata))
    _tell(outcome=json.loads(outcome.model_dump_json()))


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
