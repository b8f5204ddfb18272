"""Keys and values of the tokens that a model has read: those of one request, which grow, and those that many share."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

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


class GrowingLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer of a cache in one piece of memory that is asked for once.

    The library's `DynamicLayer` copies everything at each token. Here what is shared is copied once, when the layer is
    first reached, so that reading it from a file goes along with the work of the layers before.
    """

    is_sliding = False

    def __init__(self, capacity: int, shared: int = 0, pieces: Callable[[], Iterable[Pair]] = tuple) -> None:
        """Take the number of tokens there will be; it grows if there are more.

        Args:
            capacity: tokens to ask memory for.
            shared: tokens that are there already.
            pieces: returns their keys and values; called once, when the layer is reached.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._pieces = pieces
        self._length = shared

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Ask for the memory, and copy what is there already."""
        self._capacity = max(self._capacity, self._length + key_states.shape[-2])
        self.keys = _room_like(key_states, self._capacity)
        self.values = _room_like(value_states, self._capacity)
        at = 0
        for keys, values in self._pieces():
            end = at + keys.shape[-2]
            self.keys[..., at:end, :] = keys
            self.values[..., at:end, :] = values
            at = end
        self._pieces = tuple
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens, `[batch, kv_heads, tokens, head_dim]`; return those of all tokens so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        end = self._length + key_states.shape[-2]
        if end > self._capacity:
            self._capacity = max(end, 2 * self._capacity)
            self.keys, self.values = (
                torch.cat((kept[..., : self._length, :], _room_like(kept, self._capacity - self._length)), dim=-2)
                for kept in (self.keys, self.values)
            )
        self.keys[..., self._length : end, :] = key_states
        self.values[..., self._length : end, :] = value_states
        self._length = end
        return self.keys[..., :end, :], self.values[..., :end, :]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of tokens once so many are added, and the first one that is seen."""
        return self._length + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of tokens."""
        return self._length

    def get_max_length(self) -> int:
        """Return that there is no end to it."""
        return -1


def geometry_of(cache: Cache, dtype: torch.dtype) -> KvGeometry | None:
    """Return the geometry by a cache that holds some tokens; None unless all layers keep all tokens, in one shape."""
    layers: list[Any] = list(cache.layers)
    if not layers or any(type(layer) is not DynamicLayer or layer.keys is None for layer in layers):
        return None
    shapes = {(*layer.keys.shape, *layer.values.shape, layer.keys.dtype, layer.values.dtype) for layer in layers}
    _, kv_heads, _, head_dim = layers[0].keys.shape
    wanted = (*layers[0].keys.shape, *layers[0].keys.shape, dtype, dtype)
    return KvGeometry(len(layers), kv_heads, head_dim, dtype) if shapes == {wanted} else None


def new_cache(
    config: Any, geometry: KvGeometry | None, *, capacity: int, prefix: KvPrefix | None = None, shared: int = 0
) -> Cache:
    """Return the cache of one request that begins with the first `shared` tokens of a prefix."""
    if geometry is None:
        return DynamicCache(config=config)
    if prefix is None:
        return Cache(layers=[GrowingLayer(capacity) for _ in range(geometry.layers)])
    pieces = [partial(prefix.layer, index, shared) for index in range(geometry.layers)]
    return Cache(layers=[GrowingLayer(capacity, shared, piece) for piece in pieces])


def _room_like(states: torch.Tensor, tokens: int) -> torch.Tensor:
    batch, heads, _, width = states.shape
    return states.new_empty((batch, heads, tokens, width))
