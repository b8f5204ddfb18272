"""Keys and values of the tokens that a model has read: those of one sequence, which grow, and those that many share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from memos_inference.adapters.kv_chunks import KvChunk, Pair
from memos_inference.domain.activation import shared_length


@dataclass(frozen=True, slots=True)
class KvGeometry:
    """What the keys and values of a model are like: equal in all of its layers."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    def chunk_shape(self, tokens: int) -> tuple[int, ...]:
        """Return the shape of a chunk: layer, key or value, head, token, element."""
        return (self.layers, 2, self.kv_heads, tokens, self.head_dim)

    @property
    def token_bytes(self) -> int:
        """Bytes that the keys and values of one token take."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class KvPrefix:
    """Keys and values of the first tokens of prompts. Requests share it, and none writes to it.

    Attributes:
        ids: the tokens.
        chunks: their keys and values, in the order of the tokens.
    """

    ids: tuple[int, ...]
    chunks: tuple[KvChunk, ...]

    def shared_with(self, prompt: Sequence[int]) -> int:
        """Return how many tokens of a prompt need not be read; of the prompt one at least does."""
        return shared_length(self.ids, prompt[:-1])

    def layer(self, index: int, tokens: int) -> Iterator[Pair]:
        """Yield keys and values of one layer and the first tokens, in pieces of `[1, kv_heads, tokens, head_dim]`."""
        left = tokens
        for chunk in self.chunks:
            if left <= 0:
                return
            yield chunk.layer(index, min(left, chunk.tokens))
            left -= chunk.tokens

    def to(self, device: torch.device) -> "KvPrefix":
        """Return it on a device."""
        return KvPrefix(self.ids, tuple(chunk.to(device) for chunk in self.chunks))

    @property
    def nbytes(self) -> int:
        """Bytes that keys and values take."""
        return sum(chunk.nbytes for chunk in self.chunks)


class SequenceCache:
    """Keys and values of one sequence, in two pieces of memory a layer that are asked for once.

    What is shared is copied when a layer is first reached, so that reading it from a file goes along with the work of
    the layers before.

    Attributes:
        length: number of tokens whose keys and values are there.
    """

    def __init__(self, layers: int, capacity: int, *, prefix: KvPrefix | None = None, shared: int = 0) -> None:
        """Take the number of tokens there will be, and the prefix that the first `shared` of them are of."""
        self.length = shared
        self._capacity = capacity
        self._prefix = prefix
        self._shared = shared
        self._layers: list[Pair | None] = [None] * layers

    def extend(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """Write those of new tokens, `[1, kv_heads, tokens, head_dim]`; return those of all tokens, the new ones last.

        Until `advance` the new ones count as not there: a pass that fails can be made again.
        """
        rooms = self._layers[layer] or self._first(layer, keys, values)
        end = self.length + keys.shape[-2]
        for room, states in zip(rooms, (keys, values), strict=True):
            room[..., self.length : end, :] = states
        all_keys, all_values = (room[..., :end, :] for room in rooms)
        return all_keys, all_values

    def advance(self, tokens: int) -> None:
        """Let as many of the new tokens be there in all layers."""
        self.length += tokens
        self._prefix = None

    def pairs(self) -> list[Pair]:
        """Return keys and values of each layer over all tokens, `[1, kv_heads, tokens, head_dim]`."""
        return [
            (keys[..., : self.length, :], values[..., : self.length, :])
            for keys, values in (pair for pair in self._layers if pair is not None)
        ]

    def _first(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """Ask for the memory of a layer, and copy what is shared."""
        rooms = tuple(
            states.new_empty((*states.shape[:-2], self._capacity, states.shape[-1])) for states in (keys, values)
        )
        at = 0
        for pieces in self._prefix.layer(layer, self._shared) if self._prefix is not None else ():
            end = at + pieces[0].shape[-2]
            for room, piece in zip(rooms, pieces, strict=True):
                room[..., at:end, :] = piece
            at = end
        self._layers[layer] = made = (rooms[0], rooms[1])
        return made


def geometry_of(cache: Cache, dtype: torch.dtype) -> KvGeometry | None:
    """Return the geometry by a cache that holds some tokens; None unless all layers keep all tokens, in one shape."""
    layers: list[Any] = list(cache.layers)
    if not layers or any(type(layer) is not DynamicLayer or layer.keys is None for layer in layers):
        return None
    shapes = {(*layer.keys.shape, *layer.values.shape, layer.keys.dtype, layer.values.dtype) for layer in layers}
    _, kv_heads, _, head_dim = layers[0].keys.shape
    wanted = (*layers[0].keys.shape, *layers[0].keys.shape, dtype, dtype)
    return KvGeometry(len(layers), kv_heads, head_dim, dtype) if shapes == {wanted} else None
