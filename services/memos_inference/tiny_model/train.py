# ruff: noqa: S311, T201  (examples need no secure randomness; a command-line tool prints)
"""Trains the tiny model from scratch on generated episodes: `make tiny-model`.

The budget is wall-clock time, because that is what a laptop has: the learning rate and the curriculum follow
the share of it that is used up. `--state` names a file outside the repository from which a run goes on.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from memos_inference.tiny_model.batches import ALONE, Batch, RowMaker, batches, collate, stage_at
from memos_inference.tiny_model.episodes import EpisodeMaker
from memos_inference.tiny_model.evaluate import CHECKPOINT, Examiner, examine, report
from memos_inference.tiny_model.optimizer import Muon
from memos_inference.tiny_model.tokenizer import END, PAD, train_tokenizer, with_chat_template

RESULTS = Path(__file__).parent / "results.json"
MEMORIES_READ_WELL = 8
BATCH_TOKENS = 4096
MUON_LR, ADAM_LR = 4e-3, 3e-3
WARM_UP_STEPS = 100


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A model with random weights, 4.6 million parameters."""
    end, pad = (tokenizer.backend_tokenizer.token_to_id(token) for token in (END, PAD))
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        memos={"memories_read_well": MEMORIES_READ_WELL},  # type: ignore[call-arg]
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=end, pad_token_id=pad, max_new_tokens=32
    )
    return model


def save_checkpoint(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes what `from_pretrained` reads, with the weights in float16."""
    # The configuration keeps float32: a processor without float16 arithmetic should compute in it.
    halved = {name: value.to(torch.float16) for name, value in model.state_dict().items() if name != "lm_head.weight"}
    model.save_pretrained(folder, state_dict=halved)
    tokenizer.save_pretrained(folder)


def learning_rate(progress: float, step: int) -> float:
    """The factor on the learning rates: warm-up, constant for 45 % of the time, then linear to zero."""
    return min(1.0, step / WARM_UP_STEPS) * min(1.0, max(0.0, (1 - progress) / 0.55))


def predictions(model: Qwen3ForCausalLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets and weights of the answer tokens of a batch.

    The last layer and the head run on the positions that predict an answer token only, about a tenth of all:
    a sixth of the work is saved.
    """
    ids, positions, visible = (torch.from_numpy(array) for array in (batch.ids, batch.positions, batch.visible))
    weights = torch.from_numpy(batch.weights)
    asked = weights[:, 1:] > 0
    # Per row the positions to predict from, filled up with others to the same number.
    order = asked.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : int(asked.sum(1).max())]
    wanted = asked.gather(1, order)
    inner = model.model
    hidden = inner.embed_tokens(ids)
    rotary = inner.rotary_emb(hidden, positions)
    for layer in inner.layers[:-1]:
        hidden = layer(hidden, attention_mask=visible[:, None], position_embeddings=rotary)
    hidden = _layer_at(inner.layers[-1], hidden, order, visible, rotary)
    logits = model.lm_head(inner.norm(hidden[wanted]))
    return logits, ids.gather(1, order + 1)[wanted], weights.gather(1, order + 1)[wanted]


def _layer_at(
    layer: Any, hidden: torch.Tensor, order: torch.Tensor, visible: torch.Tensor, rotary: tuple[torch.Tensor, ...]
) -> Any:
    """The output of a decoder layer at the positions `order` (rows, n) alone: shape (rows, n, width)."""
    attention, (rows, count) = layer.self_attn, order.shape

    def at(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, order[..., None].expand(-1, -1, values.shape[-1]))

    def heads(values: Any) -> Any:
        return values.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

    normed, residual = layer.input_layernorm(hidden), at(hidden)
    query = attention.q_norm(heads(attention.q_proj(at(normed))))
    key, value = attention.k_norm(heads(attention.k_proj(normed))), heads(attention.v_proj(normed))
    cos, sin = rotary
    query, _ = apply_rotary_pos_emb(query, query, at(cos), at(sin))
    key, _ = apply_rotary_pos_emb(key, key, cos, sin)
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=at(visible)[:, None], scale=attention.scaling, enable_gqa=True
    )
    residual = residual + attention.o_proj(mixed.transpose(1, 2).reshape(rows, count, -1))
    return residual + layer.mlp(layer.post_attention_layernorm(residual))


@torch.no_grad()
def exact_match(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, memories: int, seed: int) -> float:
    """Share of held-out answers all of whose tokens are right, teacher-forced: a cheap look at the progress."""
    rng, maker, rows = random.Random(seed), EpisodeMaker(heldout=True), RowMaker(tokenizer)
    encoded = [rows.encode(maker.draw(rng, memories=memories, shared=True), ALONE) for _ in range(24)]
    batch = collate(encoded, tokenizer.pad_token_id)
    logits, targets, _ = predictions(model, batch)
    end = tokenizer.backend_tokenizer.token_to_id(END)
    answers, whole = [], True
    for token, right in zip(targets.tolist(), (logits.argmax(-1) == targets).tolist(), strict=True):
        whole &= right
        if token == end:
            answers.append(whole)
            whole = True
    return float(sum(answers)) / len(answers)


class Training:
    """A run that can be stopped and continued."""

    def __init__(self, *, seed: int, minutes: float, state: Path | None) -> None:
        self._budget, self._state = minutes * 60, state
        self._elapsed, self._step, self._tokens = 0.0, 0, 0
        self._seed = seed
        torch.manual_seed(seed)
        saved = torch.load(state) if state is not None and state.exists() else None
        # A state keeps its tokenizer: the grammar may have grown since.
        self.tokenizer = train_tokenizer(seed=seed) if saved is None else _tokenizer_of(saved)
        self.model: Any = new_model(self.tokenizer)
        matrices = [param for param in self.model.model.layers.parameters() if param.ndim == 2]
        chosen = {id(param) for param in matrices}
        rest = [param for param in self.model.parameters() if id(param) not in chosen]
        self._optimizers = {
            MUON_LR: Muon(matrices, MUON_LR),
            ADAM_LR: torch.optim.AdamW(rest, ADAM_LR, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        }
        if saved is not None:
            self._restore(saved)
        self._rng = random.Random(seed + self._step)

    def run(self, out: Path, *, report_seconds: float = 300) -> None:
        """Trains until the budget is spent; writes a loadable checkpoint into `out` at each report."""
        rows = RowMaker(self.tokenizer)
        begun, reported, losses = time.monotonic() - self._elapsed, time.monotonic(), []
        while self._elapsed < self._budget:
            progress = self._elapsed / self._budget
            for batch in batches(
                rows, self._rng, stage_at(progress), pad=self.tokenizer.pad_token_id, tokens=BATCH_TOKENS
            ):
                losses.append(self._update(batch))
                self._elapsed = time.monotonic() - begun
            if time.monotonic() - reported > report_seconds or self._elapsed >= self._budget:
                self._report(losses)
                self._save(out)
                reported, losses = time.monotonic(), []

    def summary(self) -> dict[str, float | int]:
        """Numbers for the model card."""
        return {
            "seed": self._seed,
            "parameters": sum(param.numel() for param in self.model.parameters()),
            "steps": self._step,
            "million_tokens": round(self._tokens / 1e6, 2),
            "minutes": round(self._elapsed / 60, 1),
        }

    def _update(self, batch: Batch) -> float:
        factor = learning_rate(self._elapsed / self._budget, self._step)
        logits, targets, weights = predictions(self.model, batch)
        loss = (functional.cross_entropy(logits, targets, reduction="none") * weights).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for rate, optimizer in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad()
        self._step += 1
        self._tokens += int((batch.ids != self.tokenizer.pad_token_id).sum())
        return loss.item()

    def _report(self, losses: list[float]) -> None:
        self.model.eval()
        scores = {count: exact_match(self.model, self.tokenizer, count, self._step) for count in (1, 2, 4, 8)}
        self.model.train()
        matches = " ".join(f"{count}:{score:.2f}" for count, score in scores.items())
        print(
            f"{self._elapsed / 60:6.1f} min  step {self._step:5d}  {self._tokens / 1e6:6.2f} M tokens  "
            f"loss {sum(losses) / len(losses):.3f}  exact match {matches}",
            flush=True,
        )

    def _save(self, out: Path) -> None:
        save_checkpoint(self.model, self.tokenizer, out)
        if self._state is None:
            return
        content = {
            "tokenizer": self.tokenizer.backend_tokenizer.to_str(),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers.values()],
            "elapsed": self._elapsed,
            "step": self._step,
            "tokens": self._tokens,
        }
        new = self._state.with_suffix(".new")
        torch.save(content, new)
        new.replace(self._state)

    def _restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self._optimizers.values(), saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self._elapsed, self._step, self._tokens = saved["elapsed"], saved["step"], saved["tokens"]


def _tokenizer_of(saved: dict[str, Any]) -> PreTrainedTokenizerFast:
    return with_chat_template(Tokenizer.from_str(saved["tokenizer"]))


def main() -> None:
    """Parses the command line, trains, evaluates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=95, help="wall-clock budget (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="file to continue from and to save to, outside the repository")
    parser.add_argument("--out", type=Path, default=CHECKPOINT, help="folder of the checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    training = Training(seed=arguments.seed, minutes=arguments.minutes, state=arguments.state)
    training.run(arguments.out)
    scores = examine(Examiner(arguments.out), seed=arguments.seed, questions=200)
    results = {"training": training.summary(), "evaluation": report(arguments.seed, scores)}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
