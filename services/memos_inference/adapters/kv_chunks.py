"""Keys and values of a few hundred tokens, as they are kept: in the dtype of the model, or in eight bits."""

from dataclasses import dataclass
from typing import Protocol

import torch

Pair = tuple[torch.Tensor, torch.Tensor]

_STEPS = 127


class KvChunk(Protocol):
    """Some tokens, one after another; keys are rotated by position already. Many requests share it; none writes."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        ...

    def layer(self, index: int, part: slice) -> Pair:
        """Return keys and values of one layer and some of the tokens, each `[1, kv_heads, tokens, head_dim]`."""
        ...

    def to(self, device: torch.device) -> "KvChunk":
        """Return it on a device."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NativeChunk:
    """Keys and values as they were computed: `[layer, key or value, kv_head, token, element]`."""

    data: torch.Tensor

    @property
    def tokens(self) -> int:
        """See `KvChunk`."""
        return int(self.data.shape[3])

    def layer(self, index: int, part: slice) -> Pair:
        """See `KvChunk`."""
        keys, values = self.data[index, :, None, :, part]
        return keys, values

    def to(self, device: torch.device) -> "NativeChunk":
        """See `KvChunk`."""
        return NativeChunk(self.data.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True, eq=False)
class Int8Chunk:
    """Keys and values in eight bits, symmetric: keys scaled a channel, since a few of these are large, values a token.

    After KIVI (arXiv 2402.02750), which does so in fewer bits.

    Attributes:
        data: int8, of the shape of `NativeChunk.data`.
        key_scale: float32 `[layer, kv_head, 1, element]`.
        value_scale: float32 `[layer, kv_head, token, 1]`.
        dtype: of the keys and values that come out.
    """

    data: torch.Tensor
    key_scale: torch.Tensor
    value_scale: torch.Tensor
    dtype: torch.dtype

    @classmethod
    def of(cls, data: torch.Tensor) -> "Int8Chunk":
        """Return a chunk of `NativeChunk.data` in eight bits."""
        keys, values = data.float().unbind(dim=1)
        key_scale, value_scale = _scale(keys, dim=2), _scale(values, dim=3)
        small = torch.stack((keys / key_scale, values / value_scale), dim=1).round().to(torch.int8)
        return cls(small, key_scale, value_scale, data.dtype)

    @property
    def tokens(self) -> int:
        """See `KvChunk`."""
        return int(self.data.shape[3])

    def layer(self, index: int, part: slice) -> Pair:
        """See `KvChunk`."""
        keys, values = self.data[index, :, None, :, part]
        return (
            (keys * self.key_scale[index]).to(self.dtype),
            (values * self.value_scale[index, :, part]).to(self.dtype),
        )

    def to(self, device: torch.device) -> "Int8Chunk":
        """See `KvChunk`."""
        data, key_scale, value_scale = (
            part.to(device, non_blocking=True) for part in (self.data, self.key_scale, self.value_scale)
        )
        return Int8Chunk(data, key_scale, value_scale, self.dtype)


def _scale(states: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Return what a step of eight bits stands for along a dimension; never 0."""
    return states.abs().amax(dim=dim, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny * _STEPS) / _STEPS
