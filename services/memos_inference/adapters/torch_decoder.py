"""A causal language model that reads tokens of several sequences in one pass, where its attention allows it."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from memos_inference.adapters.checkpoint import Checkpoint
from memos_inference.adapters.kv_cache import NOTHING, KvGeometry, KvPrefix, Reused, SequenceCache, geometry_of
from memos_inference.adapters.lora import LoraAdapter
from memos_inference.adapters.packed import ATTENTION, Packed, PackedPass, Part
from memos_inference.adapters.rotation import Rotation
from memos_inference.domain.composition import beginning, composed
from memos_kernel.errors import Overloaded

_CHANGING_ROPE = ("dynamic", "longrope")
"""Rotary positions that depend on how long a sequence is: keys of a short one are not those of a longer one."""

_ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How much of the largest logit rounding may make."""

_COLDEST = 1e-3
"""Below it the likeliest token is as good as certain, and the division would overflow."""

_NO_MEMORY = "can't allocate memory"
"""What torch says on a CPU, where it has no class of its own for it."""

_FURTHER = 11
"""Positions that keys are moved by, to see whether it can be done."""

_PAUSE = 1.0
"""Seconds."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Loose:
    """What a model that reads one sequence at a time knows of it."""

    cache: DynamicCache


State = Packed | Loose
"""What the model knows of a sequence so far."""


class TorchDecoder:
    """The model. Each of its calls is of one thread.

    Attributes:
        geometry: what keys and values of a token are like, if sequences can be read side by side and begin with keys
            and values that are given; None if the model reads one sequence at a time, from its first token on.
        rotation: moves keys from one position to another; None if keys of this model cannot be moved.
        modules: outputs and inputs of the linear modules that adapters may change, by name.
    """

    def __init__(self, model: Any, *, threads: int = 0) -> None:
        """Take a model of transformers.

        Args:
            model: the model, which from now on has another attention.
            threads: of one operation on a CPU; 0 means as many as pay for a model of its size.
        """
        self._model = model
        self._threads = threads or _threads_for(sum(weights.numel() for weights in model.parameters()))
        self._config = model.config.get_text_config()
        self._rows = model.get_input_embeddings().num_embeddings
        self._pass: PackedPass | None = None
        self.modules: dict[str, tuple[int, int]] = {}
        self.geometry = self._probe_geometry()
        self.rotation = self._probe_rotation() if self.geometry is not None else None
        if self.geometry is not None and not self._packs_alike():
            self.geometry = None
        if self.geometry is not None:
            self._let_adapt()

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
        return json.dumps(self._rope, sort_keys=True, separators=(",", ":"))

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
    def element_type(self) -> torch.dtype:
        """Element type of the weights."""
        found: torch.dtype = self._model.dtype
        return found

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer, by the checkpoint's generation settings."""
        ends = self._model.generation_config.eos_token_id
        return frozenset([ends] if isinstance(ends, int) else ends or ())

    def enter(self) -> None:
        """Let operations of the calling thread have the threads that are set: torch asks each of its callers anew."""
        torch.set_num_threads(self._threads)

    def reuse(self, prompt: Sequence[int], prefixes: Sequence[KvPrefix], *, recompute: float | None = None) -> Reused:
        """Return what of a prompt need not be read.

        Args:
            prompt: its tokens.
            prefixes: of files that this model can use.
            recompute: share of what is moved, or behind other words, that is read again nevertheless; None leaves it
                at the words that the prompt begins with.
        """
        caches = [prefix.ids for prefix in prefixes]
        if recompute is None or self.rotation is None:
            return Reused(tuple(prefixes), beginning(prompt, caches))
        return Reused(tuple(prefixes), composed(prompt, caches, recompute=recompute), self.rotation)

    def begin(
        self,
        capacity: int,
        *,
        reused: Reused = NOTHING,
        adapter: LoraAdapter | None = None,
        adapter_from: int = 0,
    ) -> State:
        """Return the state of a new sequence, of which some tokens need not be read.

        Args:
            capacity: tokens that it will have.
            reused: see `reuse`.
            adapter: of a file that this model can use.
            adapter_from: position of the first token that is read with the adapter.
        """
        if self.geometry is not None:
            return Packed(SequenceCache(self.geometry.layers, capacity, reused), adapter, adapter_from)
        return Loose(DynamicCache(config=self._config))

    def step(self, parts: Sequence[tuple[State, Sequence[int]]], *, again: bool = False) -> torch.Tensor:
        """Read the next tokens of sequences; return the logits after each part, float32 `[parts, vocabulary]`.

        They are those that follow on what is known: where keys and values were taken over, on what lies between.

        If it fails, a sequence that is read together with others is as it was before; it is then read `again`, alone.

        Raises:
            ValueError: a token is none of the model's.
            Overloaded: there is no memory for it now.
        """
        highest = max(max(ids) for _, ids in parts)
        if highest >= self._rows:
            raise ValueError(f"token {highest} of the tokenizer is not one of the model's {self._rows}")
        try:
            with torch.inference_mode():
                if self.geometry is None:
                    return torch.stack([self._read_alone(state, ids) for state, ids in parts])
                return self._read_packed(parts, again=again)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error):
                raise Overloaded(
                    "There is no memory for this prompt now; try again, or shorten it.", retry_after=_PAUSE
                ) from error
            raise

    def choose(self, logits: torch.Tensor, temperatures: Sequence[float]) -> list[int | None]:
        """Return the next token of each row: the likeliest, or one drawn by the probabilities at its temperature.

        It is None where there is no number to choose by.
        """
        highest = logits.max(dim=-1)  # not a number if one of them is none
        likeliest, broken = torch.stack((highest.indices, ~highest.values.isfinite())).tolist()
        return [
            None if lost else best if temperature < _COLDEST else _draw(row, temperature)
            for row, best, lost, temperature in zip(logits, likeliest, broken, temperatures, strict=True)
        ]

    @property
    def _rope(self) -> dict[str, Any]:
        return getattr(self._config, "rope_parameters", None) or {}

    def _read_packed(self, parts: Sequence[tuple[State, Sequence[int]]], *, again: bool) -> torch.Tensor:
        packed = PackedPass(
            [Part(state, ids) for state, ids in parts if isinstance(state, Packed)],
            again=again,
        )
        self._pass = packed
        try:
            logits: torch.Tensor = self._model(**packed.inputs(self.device)).logits
        finally:
            self._pass = None  # or the sequences would stay in memory until the next pass
        found = logits[0, : len(parts)].float()
        packed.done()
        return found

    def _let_adapt(self) -> None:
        head = self._model.get_output_embeddings()
        for name, module in self._model.named_modules():
            if isinstance(module, torch.nn.Linear) and module is not head:
                module.register_forward_hook(partial(self._adapt, name))
                self.modules[name] = (module.out_features, module.in_features)

    def _adapt(self, name: str, module: Any, given: tuple[torch.Tensor], output: torch.Tensor) -> None:
        """Add what adapters change, as a hook of a linear module."""
        if self._pass is not None:
            self._pass.adapt(name, given[0], output)

    def _read_alone(self, state: State, ids: Sequence[int]) -> torch.Tensor:
        assert isinstance(state, Loose)
        given = torch.tensor([list(ids)], device=self.device)
        output = self._model(input_ids=given, past_key_values=state.cache, use_cache=True, logits_to_keep=1)
        last: torch.Tensor = output.logits[0, -1].float()
        return last

    def _probe_geometry(self) -> KvGeometry | None:
        """Run the model once, and see what its cache is like."""
        loose = Loose(DynamicCache(config=self._config))
        with torch.inference_mode():
            self._read_alone(loose, [0])
        return geometry_of(loose.cache, self._model.dtype)

    def _packs_alike(self) -> bool:
        """Whether the model computes the same for sequences side by side as for one alone; it is made to, then."""
        if self._rope.get("rope_type") in _CHANGING_ROPE:
            return False
        own = self._config._attn_implementation
        first, second = ([(7 * index + start) % self._rows for index in range(6)] for start in (1, 2))
        with torch.inference_mode():
            alone = [self._read_alone(Loose(DynamicCache(config=self._config)), ids) for ids in (first, second)]
        try:
            self._model.set_attn_implementation(ATTENTION)
            states = self.begin(6), self.begin(6)
            self.step([(states[0], first[:4]), (states[1], second[:1])])
            found = self.step([(states[0], first[4:]), (states[1], second[1:])])
            wanted = torch.stack(alone)
            if torch.allclose(found, wanted, rtol=0, atol=_ROUNDING[self._model.dtype] * float(wanted.abs().max())):
                return True
            _log.warning("the model computes otherwise when sequences lie side by side, so it reads one at a time")
        except Exception as error:  # whatever a model's own code may raise
            _log.warning("the model reads one sequence at a time: %s", error)
        self._model.set_attn_implementation(own)
        return False

    def _probe_rotation(self) -> Rotation | None:
        """See whether keys that are moved are those that the model computes further on."""
        rotation = Rotation.of(self._model)
        if rotation is None:
            return None
        try:
            alike = all(
                torch.allclose(
                    rotation.moved(keys, _FURTHER).float(),
                    wanted.float(),
                    rtol=0,
                    atol=_ROUNDING[self._model.dtype] * float(wanted.abs().max()),
                )
                for keys, wanted in zip(self._keys_at(0), self._keys_at(_FURTHER), strict=True)
            )
        except Exception as error:  # whatever a model's own code may raise
            alike = False
            _log.debug("keys cannot be moved: %s", error)
        if not alike:
            _log.warning("keys of this model cannot be moved, so KV caches serve as beginnings of prompts alone")
        return rotation if alike else None

    def _keys_at(self, first: int) -> list[torch.Tensor]:
        """Return the keys of each layer for some tokens, alone, of which the first is at a position."""
        ids = torch.tensor([[(5 * index + 3) % self._rows for index in range(6)]], device=self.device)
        positions = torch.arange(first, first + ids.shape[1], device=self.device)[None]
        cache = DynamicCache(config=self._config)
        with torch.inference_mode():
            self._model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        layers: list[Any] = list(cache.layers)
        return [layer.keys for layer in layers]


_SMALL = 100_000_000
"""Weights of a model whose operations are so short that two threads cost more to bring together than they save."""


def _threads_for(weights: int) -> int:
    return 1 if weights < _SMALL else torch.get_num_threads()


def _draw(logits: torch.Tensor, temperature: float) -> int:
    weights = torch.softmax(logits / temperature, dim=-1)
    return int(torch.multinomial(weights, 1))


def load(checkpoint: Checkpoint, *, device: str, dtype: str, threads: int = 0) -> TorchDecoder:
    """Load a causal language model; its first pass is done. Code that comes with a checkpoint is never run."""
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    model: Any = AutoModelForCausalLM.from_pretrained(
        checkpoint.folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    return TorchDecoder(model.eval().to(device), threads=threads)
