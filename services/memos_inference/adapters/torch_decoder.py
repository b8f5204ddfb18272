"""The decode loop: prefill in pieces, then one token at a time. Lives in one thread."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.cache_utils import Cache

from memos_inference.adapters.checkpoint import Checkpoint
from memos_inference.adapters.kv_cache import KvGeometry, KvPrefix, geometry_of, new_cache
from memos_inference.domain.generation import Sampling

_PREFILL_TOKENS = 512
"""Prompt tokens of one pass: bounds the memory of a pass, and how long a cancelled prompt goes on."""


class TorchDecoder:
    """A causal language model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._config = model.config.get_text_config()
        self._rows = model.get_input_embeddings().num_embeddings
        self.geometry = self._probe()

    @property
    def context_length(self) -> int:
        """Tokens that the model holds, prompt and answer together."""
        return int(self._config.max_position_embeddings)

    @property
    def dtype(self) -> str:
        """Element type of the weights, such as `float32`."""
        return str(self._model.dtype).removeprefix("torch.")

    @property
    def rope_config(self) -> str:
        """Rotary position configuration as canonical JSON; `{}` for a model without."""
        rope = getattr(self._config, "rope_parameters", None) or {}
        return json.dumps(rope, sort_keys=True, separators=(",", ":"))

    @property
    def quantization(self) -> str:
        """Quantization scheme of the weights, or `none`."""
        scheme = getattr(self._model.config, "quantization_config", None)
        return "none" if scheme is None else json.dumps(scheme, sort_keys=True, separators=(",", ":"), default=str)

    @property
    def vocabulary(self) -> int:
        """Number of tokens that the model knows."""
        return int(self._rows)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self._model.device
        return device

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer, by the checkpoint's generation settings."""
        ends = self._model.generation_config.eos_token_id
        return frozenset([ends] if isinstance(ends, int) else ends or ())

    def tokens(
        self,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        cancelled: Callable[[], bool],
        prefix: KvPrefix | None = None,
    ) -> Iterator[int]:
        """Yield tokens after the prompt until `sampling.max_tokens`, a full context, or a cancellation.

        Whoever consumes them stops at one of `stop_ids`. Each call has a cache of its own; what its prompt has in
        common with `prefix` is not read again.
        """
        self._check(prompt)
        most = min(sampling.max_tokens, self.context_length - len(prompt))
        shared = prefix.shared_with(prompt) if prefix is not None else 0
        cache = new_cache(self._config, self.geometry, capacity=len(prompt) + most, prefix=prefix, shared=shared)
        logits = self._prefill(prompt[shared:], cache, cancelled)
        token: int | None = None
        for _ in range(most):
            if logits is None or cancelled():
                return
            if token is not None:
                logits = self._step([token], cache)
            token = _choose(logits, sampling.temperature)
            yield token

    def reading(self, ids: Sequence[int]) -> "Reading":
        """Return what reads some tokens, piece by piece. The model has to keep keys and values of all tokens."""
        self._check(ids)
        assert self.geometry is not None
        return Reading(self, ids, new_cache(self._config, self.geometry, capacity=len(ids)))

    def read(self, ids: Sequence[int], cache: Cache) -> torch.Tensor:
        """Read tokens into a cache; return the logits after the last one, float32 of shape [vocabulary]."""
        return self._step(ids, cache)

    def _check(self, ids: Sequence[int]) -> None:
        if max(ids) >= self._rows:
            raise ValueError(f"token {max(ids)} of the tokenizer is not one of the model's {self._rows}")

    def _probe(self) -> KvGeometry | None:
        """Run the model once, and see what its cache is like."""
        cache = DynamicCache(config=self._config)
        self._step([0], cache)
        return geometry_of(cache, self._model.dtype)

    def _prefill(self, prompt: Sequence[int], cache: Cache, cancelled: Callable[[], bool]) -> torch.Tensor | None:
        """Return the logits after the prompt, or None if cancelled."""
        logits = None
        for start in range(0, len(prompt), _PREFILL_TOKENS):
            if cancelled():
                return None
            logits = self._step(prompt[start : start + _PREFILL_TOKENS], cache)
        return logits

    def _step(self, ids: Sequence[int], cache: Cache) -> torch.Tensor:
        """Read tokens into the cache; return the logits after the last one, float32 of shape [vocabulary]."""
        with torch.inference_mode():
            given = torch.tensor([list(ids)], device=self._model.device)
            output = self._model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
            last: torch.Tensor = output.logits[0, -1].float()
            return last


class Reading:
    """Tokens that are being read, in pieces that others can come between."""

    def __init__(self, decoder: TorchDecoder, ids: Sequence[int], cache: Cache) -> None:
        self._decoder = decoder
        self._ids = ids
        self._cache = cache
        self._at = 0

    def go_on(self) -> bool:
        """Read the next piece; return whether there are more."""
        self._decoder.read(self._ids[self._at : self._at + _PREFILL_TOKENS], self._cache)
        self._at += _PREFILL_TOKENS
        return self._at < len(self._ids)

    def layers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return keys and values of each layer over all tokens, `[1, kv_heads, tokens, head_dim]`."""
        layers: list[Any] = list(self._cache.layers)
        return [(layer.keys, layer.values) for layer in layers]


_COLDEST = 1e-3
"""Below it the likeliest token is as good as certain, and the division would overflow."""


def _choose(logits: torch.Tensor, temperature: float) -> int:
    """Return the likeliest token, or one drawn by the probabilities at this temperature."""
    if temperature < _COLDEST:
        return int(logits.argmax())
    weights = torch.softmax(logits / temperature, dim=-1)
    return int(torch.multinomial(weights, 1))


def load(checkpoint: Checkpoint, *, device: str, dtype: str) -> TorchDecoder:
    """Load a causal language model; its first pass is done. Code that comes with a checkpoint is never run."""
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    model: Any = AutoModelForCausalLM.from_pretrained(
        checkpoint.folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return TorchDecoder(model.eval().to(device))
