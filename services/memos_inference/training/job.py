"""What passes between inference and a training, which is a process of its own."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field

from memos_inference.adapters.lora_shape import LoraShape
from memos_kernel.cube import RevisionRef
from memos_kernel.identity import CompatibilityIdentity


@dataclass(frozen=True, slots=True)
class Told:
    """A memory: its words, who said them, and the line that a prompt has of it."""

    text: str
    speaker: str
    line: str


class TrainingJob(BaseModel):
    """What is asked for.

    Attributes:
        path: of the file that is to be written.
        checkpoint: of the file in which it stands how far the training is; it may be there from an earlier attempt.
        memories: what the adapter is to know.
        shape: of the adapter.
        model, device, threads: see `InferenceConfig`.
        seconds: the most that the training may take.
        identity: of the model that runs.
        sources: the memories.
    """

    path: str
    checkpoint: str
    memories: list[Told]
    shape: LoraShape
    model: str
    device: str
    threads: int
    seconds: float
    identity: CompatibilityIdentity
    sources: list[RevisionRef]


class TrainingOutcome(BaseModel):
    """How it ended: with a report and the memories that were learned, by index, or with an error."""

    learned: list[int] = Field(default_factory=list)
    report: dict[str, str] = Field(default_factory=dict)
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
