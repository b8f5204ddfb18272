"""One pass of a model over tokens of several sequences, laid one after another, without any padding.

What costs most, the weights, is read once for all of them. Attention differs: each sequence looks at its own keys and
values, wherever they came from and however many they are. So nothing of one sequence, not even what is not a number,
can reach another. And each sequence has an adapter of its own, or none. transformers' continuous batching hands its
state to attention in the same way, by an argument of the model's call; it takes neither keys and values that were
computed before nor an adapter a sequence.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from memos_inference.adapters.kv_cache import SequenceCache
from memos_inference.adapters.lora import LoraAdapter

ATTENTION = "memos_packed"
"""The name under which transformers finds the attention below. It has no mask function: none is made."""

ROWS = 4
"""The rows of a pass are a multiple of it: processors round what is left over in another way, and who comes or goes
would change the last bits of the others' answers. One token alone is read as it is, in half of the time."""


@dataclass(slots=True, eq=False)
class Packed:
    """What the model knows of a sequence that it reads beside others.

    Attributes:
        adapter: changes the weights for it, from the token at `adapter_from` on.
    """

    cache: SequenceCache
    adapter: LoraAdapter | None = None
    adapter_from: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """The next tokens of a sequence, to be read where the model does not know it yet."""

    state: Packed
    ids: Sequence[int]
    positions: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        """Ask the cache where they are."""
        object.__setattr__(self, "positions", self.state.cache.upcoming(len(self.ids)))

    def mask(self, device: torch.device) -> torch.Tensor | None:
        """Return which token each of them looks at, `[new tokens, tokens]`; None if the usual rule says it."""
        tokens = self.positions[-1] + 1
        if len(self.ids) in (1, tokens):
            return None
        positions = torch.tensor(self.positions, device=device)
        return torch.arange(tokens, device=device) <= positions[:, None]


class PackedPass:
    """The parts of one pass, and where each lies in it."""

    def __init__(self, parts: Sequence[Part], *, again: bool = False) -> None:
        """Take the parts; `again` if one of them failed in company, so that the others go on as they would have."""
        self._parts = parts
        ends = list(accumulate(len(part.ids) for part in parts))
        self._spans = list(zip([0, *ends], ends, strict=False))
        self._alone = ends[-1] == 1 and not again
        self._spare = self._filling(ends[-1])
        self._adapted: list[tuple[LoraAdapter, torch.Tensor, int]] = []
        self._masks: list[torch.Tensor | None] = []

    def inputs(self, device: torch.device) -> dict[str, Any]:
        """Return the arguments of the model; its logits are those after each part, and maybe more."""
        ids = [token for part in self._parts for token in part.ids]
        positions = [position for part in self._parts for position in part.positions]
        self._masks = [part.mask(device) for part in self._parts]
        last = [end - 1 for _, end in self._spans]
        last += last[-1:] * self._filling(len(last))
        given = torch.tensor([ids + [0] * self._spare, positions + [0] * self._spare], device=device)
        self._adapted = [
            (
                adapter,
                torch.tensor(rows + rows[-1:] * self._filling(len(rows)), device=device),
                len(rows),
            )
            for adapter, rows in self._rows_by_adapter().items()
        ]
        return {
            "input_ids": given[:1],
            "position_ids": given[1:],
            "logits_to_keep": torch.tensor(last, device=device),
            "use_cache": False,
            "memos_packed": self,
        }

    def attend(
        self, layer: int, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Return what each token reads from its own sequence, `[1, tokens, heads, head_dim]`."""
        seen = torch.zeros_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
        for part, mask, (start, end) in zip(self._parts, self._masks, self._spans, strict=True):
            new = slice(start, end)
            cache = part.state.cache
            all_keys, all_values = cache.extend(layer, part.positions, keys[:, :, new], values[:, :, new])
            seen[:, new] = _attention(query[:, :, new], all_keys, all_values, mask, scaling).transpose(1, 2)
        return seen

    def adapt(self, module: str, given: torch.Tensor, output: torch.Tensor) -> None:
        """Add what adapters change of a linear module's output, `[1, tokens, width]`, in place."""
        for adapter, rows, count in self._adapted:
            if (delta := adapter.delta(module, given[0, rows])) is not None:
                output[0].index_add_(0, rows[:count], delta[:count])

    def _filling(self, rows: int) -> int:
        """Return how many rows are to be added."""
        return 0 if self._alone else -rows % ROWS

    def _rows_by_adapter(self) -> dict[LoraAdapter, list[int]]:
        rows: dict[LoraAdapter, list[int]] = {}
        for part, (start, end) in zip(self._parts, self._spans, strict=True):
            first = start + bisect_left(part.positions, part.state.adapter_from)
            if part.state.adapter is not None and first < end:
                rows.setdefault(part.state.adapter, []).extend(range(first, end))
        return rows

    def done(self) -> None:
        """Count the tokens of the parts as read."""
        for part in self._parts:
            part.state.cache.advance(len(part.ids))


def _attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scaling: float | None
) -> torch.Tensor:
    """Return what some tokens read from those up to the last of them, `[1, heads, tokens, head_dim]`."""
    _, heads, new, width = query.shape
    kv_heads = keys.shape[1]
    if new == 1:  # heads that share keys are like tokens that see the same: no copy of the keys for each
        grouped = query.reshape(1, kv_heads, heads // kv_heads, width)
        return scaled_dot_product_attention(grouped, keys, values, scale=scaling).reshape(1, heads, 1, width)
    if mask is None:
        return scaled_dot_product_attention(query, keys, values, is_causal=True, scale=scaling, enable_gqa=True)
    return scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scaling, enable_gqa=True)


_OTHER_ATTENTION = ("sliding_window", "softcap", "s_aux", "position_bias")


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,  # noqa: ARG001  # this attention has no mask function
    *,
    memos_packed: PackedPass,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it.

    Raises:
        NotImplementedError: the model's attention is another one; such a model reads one sequence at a time.
    """
    if unknown := [name for name in _OTHER_ATTENTION if others.get(name) is not None]:
        raise NotImplementedError(f"attention with {', '.join(unknown)}")
    return memos_packed.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(ATTENTION, _attend)
