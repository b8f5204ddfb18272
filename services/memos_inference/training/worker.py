"""One training, in a process of its own: `python -m memos_inference.training.worker`.

What is asked for comes on standard input as JSON; how far it is goes out as one JSON object a line, and the last line
has the outcome. Whoever wants to stop it ends the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
import warnings
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError

from memos_inference.adapters.checkpoint import FileDigests
from memos_inference.adapters.loading import checkpoint_of, load_model
from memos_inference.config import InferenceConfig
from memos_inference.training.job import TrainingJob, TrainingOutcome
from memos_kernel.errors import AdapterRejected, DependencyUnavailable, FormUnsupported, InternalError, MemosError
from memos_kernel.identity import differing_fields

_SAID = os.fdopen(os.dup(1), "w")
"""Where it tells how far it is. Whatever a library prints goes to standard error."""

_END_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux."""

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
    from memos_inference.training.checkpoints import Checkpoint
    from memos_inference.training.exam import PassMarks, examine
    from memos_inference.training.packing import Packer
    from memos_inference.training.probes import probes_of
    from memos_inference.training.reader import newest, read_facts
    from memos_inference.training.trainer import Trainer, TrainingPlan

    begun = time.perf_counter()
    config = InferenceConfig(model=job.model, device=job.device, dtype=_dtype(job.identity.dtype), threads=job.threads)
    model = load_model(config, FileDigests(folder / "digests.json"))
    if differing := differing_fields(job.identity, model.description.identity):
        raise DependencyUnavailable(
            f"The files of the model are others than those that run ({', '.join(differing)}); restart inference.",
            dependency="model",
        )
    end = model.tokenizer.end_id
    if model.decoder.geometry is None or end is None:
        name = model.description.model
        raise FormUnsupported(f"{name} takes no adapters.", form="lora", model=name)
    asker = Asker(model)
    told = read_facts(asker, job.memories, tell=lambda: _tell(progress=0.0))
    facts = newest(told)
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
    trainer.run(partial(_learning, begun + job.seconds), Checkpoint(Path(job.checkpoint)))
    tensors = trainer.tensors()
    adapter = lora_file.adapter_of(tensors, job.shape, digest="")
    marks = examine(asker, facts, adapter, seed=plan.seed, questions=_QUESTIONS, tell=lambda: _tell(progress=1.0))
    if failures := PassMarks().failures(marks):
        raise AdapterRejected(
            f"The adapter did not pass its exam: {'; '.join(failures)}.",
            facts=str(len(facts)),
            recall=f"{marks.recall:.2f}",
        )
    lora_file.write(
        Path(job.path), tensors, shape=job.shape, identity=job.identity, sources=job.sources, probes=probes_of(facts)
    )
    report = {
        "facts": str(len(facts)),
        "unread": str(sum(not some for some in told)),
        "seconds": f"{time.perf_counter() - begun:.0f}",
        **{name: f"{share:.3f}" for name, share in asdict(marks).items()},
    }
    return TrainingOutcome(report=report, learned=[index for index, some in enumerate(told) if some])


def main() -> None:
    """Run what standard input asks for."""
    os.dup2(2, 1)
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
    os.nice(_NICENESS)
    with contextlib.suppress(OSError, AttributeError):  # not on Linux: then it ends when it next tells how far it is
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    job = TrainingJob.model_validate_json(sys.stdin.read())
    try:
        outcome = run(job, Path(job.path).parent)
    except (OSError, SafetensorError) as error:
        outcome = TrainingOutcome(reason=InternalError.reason, message=f"The adapter cannot be written: {error}")
    except MemosError as error:
        outcome = TrainingOutcome(reason=error.reason, message=error.message, metadata=dict(error.metadata))
    _tell(outcome=json.loads(outcome.model_dump_json()))


def _learning(until: float, share: float) -> None:
    """Tell how far the training is; end it once it has taken too long.

    Raises:
        AdapterRejected: it has.
    """
    if time.perf_counter() > until:
        raise AdapterRejected(
            "The training takes longer than inference.lora_seconds; give it fewer memories, or more time.",
            done=f"{share:.2f}",
        )
    _tell(progress=round(share, 4))


def _dtype(name: str) -> Literal["float32", "bfloat16", "float16"]:
    """Return the element type that the adapter will serve in, so that it is examined in it."""
    return "bfloat16" if name == "bfloat16" else "float16" if name == "float16" else "float32"


def _tell(**said: Any) -> None:
    _SAID.write(json.dumps(said) + "\n")
    _SAID.flush()


if __name__ == "__main__":
    main()
