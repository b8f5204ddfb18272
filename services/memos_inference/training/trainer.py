# ruff: noqa: S311  (lessons need no secure randomness)
"""Trains a LoRA adapter on facts, by peft, on a copy of the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch.nn import functional

from memos_inference.adapters.lora_shape import LoraShape
from memos_inference.tiny_model.grammar import Fact
from memos_inference.training.checkpoints import Checkpoint
from memos_inference.training.lessons import Lesson, LessonPlan, Teacher
from memos_inference.training.packing import Packer, Row

_WARM_UP = 10
_REMEMBERED = ("exp_avg", "exp_avg_sq")
"""What AdamW of torch has for each of the weights, but for the number of steps."""

_KEPT_WEIGHT = 2.0
"""How much answers that are to stay as they are weigh against those that are learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How an adapter is trained.

    Attributes:
        shape: of the adapter.
        learning_rate: of AdamW at its highest; it warms up for 10 steps and falls to 0 in the second half.
        steps: lessons; 0 means as many as so many facts need.
        seed: of the first matrices and of the lessons.
        lessons: what each lesson has.
    """

    shape: LoraShape
    learning_rate: float = 2e-3
    steps: int = 0
    seed: int = 0
    lessons: LessonPlan = field(default_factory=LessonPlan)

    def steps_for(self, facts: int) -> int:
        """Return the number of lessons."""
        return self.steps or 60 + 8 * facts


class Trainer:
    """One training."""

    def __init__(self, model: Any, packer: Packer, facts: Sequence[Fact], plan: TrainingPlan) -> None:
        """Take a model of transformers, which is changed in place."""
        torch.manual_seed(plan.seed)
        self._plan, self._packer = plan, packer
        self._steps = plan.steps_for(len(facts))
        config = LoraConfig(
            r=plan.shape.rank,
            lora_alpha=plan.shape.alpha,
            target_modules="all-linear",
            bias="none",
            task_type="CAUSAL_LM",
        )
        self._model = get_peft_model(model, config)
        self._weights = [weights for weights in self._model.parameters() if weights.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, weight_decay=0.0, betas=(0.9, 0.99))
        self._adapted = torch.ones(1)
        if plan.shape.activated:
            for name, module in self._model.named_modules():
                if name.endswith(".lora_A.default"):
                    module.register_forward_hook(lambda _module, _given, output: output * self._adapted)
        rng = random.Random(plan.seed)
        self._lessons = Teacher(facts, heldout=False).lessons(rng, plan.lessons)

    def run(self, tell: Callable[[float], None], checkpoint: Checkpoint | None = None) -> None:
        """Train; `tell` is called after each lesson with the share that is done, and may raise to end it.

        With a checkpoint it goes on where that is, and gives what it would give in one go.
        """
        learned = 0
        if checkpoint is not None:
            learned, state = checkpoint.load()
            learned = learned if self._resume(learned, state) else 0
        for step in range(self._steps):
            lesson = next(self._lessons)
            if step < learned:
                continue
            self._learn(lesson, step)
            tell((step + 1) / self._steps)
            if checkpoint is not None:
                checkpoint.note(step + 1, self._state)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the adapter's matrices, float32, by the names that peft gives them."""
        return {name: weights.detach().clone() for name, weights in get_peft_model_state_dict(self._model).items()}

    def _state(self) -> dict[str, torch.Tensor]:
        """Return the weights, and what the optimizer remembers of their gradients."""
        state = {}
        for number, weights in enumerate(self._weights):
            state[f"weights.{number}"] = weights.detach()
            for name in _REMEMBERED:
                state[f"{name}.{number}"] = self._optimizer.state[weights][name]
        return state

    def _resume(self, step: int, state: Mapping[str, torch.Tensor]) -> bool:
        """Take up a state; False if it is of something else, and nothing was taken."""
        if not 0 < step <= self._steps or len(state) != len(self._weights) * (1 + len(_REMEMBERED)):
            return False
        for number, weights in enumerate(self._weights):
            names = [f"{name}.{number}" for name in ("weights", *_REMEMBERED)]
            if any(name not in state or state[name].shape != weights.shape for name in names):
                return False
        for number, weights in enumerate(self._weights):
            with torch.no_grad():
                weights.copy_(state[f"weights.{number}"])
            self._optimizer.state[weights] = {
                "step": torch.tensor(float(step)),
                **{name: state[f"{name}.{number}"].to(weights.device, copy=True) for name in _REMEMBERED},
            }
        return True

    def _learn(self, lesson: Lesson, step: int) -> None:
        rate = min(1.0, (step + 1) / _WARM_UP) * min(1.0, 2 * (self._steps - step) / self._steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * self._plan.learning_rate
        learned, kept = (
            [self._packer.pack(episode).to(self._model.device) for episode in episodes]
            for episodes in (lesson.learned, lesson.kept)
        )
        tokens, kept_tokens = (sum(len(packed.answers) for packed in some) for some in (learned, kept))
        for packed in learned:
            (self._missed(packed) / tokens).backward()  # type: ignore[no-untyped-call]
        for packed in kept:
            (_KEPT_WEIGHT * self._changed(packed) / kept_tokens).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _missed(self, packed: Row) -> torch.Tensor:
        """Return how unlikely the answers are: the sum of the cross-entropies of their tokens."""
        return functional.cross_entropy(self._logits(packed), packed.answers, reduction="sum")

    def _changed(self, packed: Row) -> torch.Tensor:
        """Return how far answers are from those without the adapter: the sum of the KL divergences of their tokens."""
        with torch.no_grad(), self._model.disable_adapter():
            before = functional.log_softmax(self._logits(packed), dim=-1)
        after = functional.log_softmax(self._logits(packed), dim=-1)
        return functional.kl_div(after, before, log_target=True, reduction="sum")

    def _logits(self, packed: Row) -> torch.Tensor:
        self._adapted = packed.adapted
        logits: torch.Tensor = self._model(
            input_ids=packed.ids,
            position_ids=packed.positions,
            attention_mask=packed.visible,
            logits_to_keep=packed.places,
            use_cache=False,
        ).logits[0]
        return logits.float()
