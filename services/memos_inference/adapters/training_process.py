"""Trainings in processes of their own: they leave the serving alone, and end when nobody wants them any more."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.config import InferenceConfig
from memos_inference.ports import Trained
from memos_inference.training.job import Told, TrainingJob, TrainingOutcome
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.errors import (
    AdapterRejected,
    DependencyUnavailable,
    FormUnsupported,
    InternalError,
    MemosError,
    Overloaded,
)
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.prompt import memory_words, speaker_of

_MODULE = "memos_inference.training.worker"
_NEEDED = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "XDG_CACHE_HOME")
_NEEDED_KINDS = ("HF_HUB_", "LC_", "OMP_", "GOMP_", "MKL_", "CUDA_", "NVIDIA_")
"""Variables, and kinds of them, that a training gets; others may be secrets of other parts."""

_PAUSE = 10.0
"""Seconds after which to ask again while another training runs."""

_LINE_BYTES = 1 << 20
_ERRORS: dict[str, type[MemosError]] = {
    error.reason: error for error in (AdapterRejected, FormUnsupported, DependencyUnavailable)
}

_log = logging.getLogger(__name__)


class ProcessTraining:
    """Implements `ports.AdapterTraining`, one training at a time.

    One that was broken off goes on where it was when the same is asked for again, as long as its checkpoint is kept.
    """

    def __init__(self, config: InferenceConfig, checkpoints: Path) -> None:
        """Take the settings, and the folder of the checkpoints."""
        self._config = config
        self._checkpoints = checkpoints
        self._turn = asyncio.Lock()

    async def train(
        self, memories: Sequence[MemCube], folder: Path, *, identity: CompatibilityIdentity
    ) -> AsyncGenerator[float | Trained]:
        """See `AdapterTraining`."""
        config = self._config
        if self._turn.locked():  # to wait here would keep a place among the jobs from all others
            raise Overloaded("Another adapter is being trained.", retry_after=_PAUSE, queue="training")
        shape = LoraShape(rank=config.lora_rank, alpha=2 * config.lora_rank, activated=config.lora_activated)
        path = folder / "adapter.safetensors"
        job = TrainingJob(
            path=str(path),
            checkpoint="",
            memories=[Told(cube.text, speaker_of(cube), memory_words(cube)) for cube in memories],
            shape=shape,
            model=config.model,
            device=config.device,
            threads=config.lora_threads,
            seconds=config.lora_seconds,
            identity=identity,
            sources=[RevisionRef(cube.name, cube.revision) for cube in memories],
        )
        checkpoint = self._checkpoints / f"{_digest(job)}.safetensors"
        job.checkpoint = str(checkpoint)
        async with self._turn:
            process = await _started()
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(job.model_dump_json().encode())
                process.stdin.close()
                outcome = None
                async for line in process.stdout:
                    said = json.loads(line)
                    if "outcome" in said:
                        outcome = TrainingOutcome.model_validate(said["outcome"])
                        break
                    yield float(said["progress"])
                if outcome is None:
                    raise InternalError("The training broke off; the log of inference says why.")
                await asyncio.to_thread(checkpoint.unlink, missing_ok=True)
                if outcome.reason:
                    raise _error(outcome)
                yield Trained(path, shape.rank, shape.activated, outcome.learned, outcome.report)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _digest(job: TrainingJob) -> str:
    """Return what tells a training from others: what it is to learn, in which shape, and of which model."""
    said = job.model_dump_json(include={"memories", "shape", "identity", "sources"})
    return hashlib.sha256(said.encode()).hexdigest()


def _error(outcome: TrainingOutcome) -> MemosError:
    error = _ERRORS.get(outcome.reason, InternalError)(outcome.message)
    error.metadata = {**error.metadata, **outcome.metadata}
    return error


async def _started() -> asyncio.subprocess.Process:
    """Start a process that gives way to others; what it says on standard error stands in the log."""
    kept = {name: value for name, value in os.environ.items() if name in _NEEDED or name.startswith(_NEEDED_KINDS)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _MODULE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        limit=_LINE_BYTES,
    )
