"""Keys and values of the tokens that a model has read: those of one sequence, which grow, and those that many share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from memos_inference.adapters.kv_chunks import KvChunk, Pair
from memos_inference.adapters.rotation import Rotation
from memos_inference.domain.composition import Run


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
    """Keys and values of some tokens that prompts have. Requests share it, and none writes to it.

    Attributes:
        ids: the tokens.
        chunks: their keys and values, in the order of the tokens.
    """

    ids: tuple[int, ...]
    chunks: tuple[KvChunk, ...]

    def layer(self, index: int, start: int, end: int) -> Iterator[Pair]:
        """Yield keys and values of one layer and some of the tokens, in pieces of `[1, kv_heads, tokens, head_dim]`."""
        at = 0
        for chunk in self.chunks:
            part = slice(max(start - at, 0), min(end - at, chunk.tokens))
            if part.start < part.stop:
                yield chunk.layer(index, part)
            at += chunk.tokens

    def to(self, device: torch.device) -> "KvPrefix":
        """Return it on a device."""
        return KvPrefix(self.ids, tuple(chunk.to(device) for chunk in self.chunks))


@dataclass(frozen=True, slots=True, eq=False)
class Reused:
    """Keys and values that a sequence takes over, instead of reading the tokens.

    Attributes:
        prefixes: where they are.
        runs: which they are, in the order of the sequence; none overlaps another.
        rotation: moves keys; not needed while all runs are where they were computed.
    """

    prefixes: tuple[KvPrefix, ...] = ()
    runs: tuple[Run, ...] = ()
    rotation: Rotation | None = None

    @property
    def tokens(self) -> int:
        """Tokens that need not be read."""
        return sum(run.tokens for run in self.runs)

    @property
    def approximate_tokens(self) -> int:
        """Those of the tokens that were computed behind other ones than those of the sequence."""
        return sum(run.tokens for run in self.runs if not run.exact)

    def gaps(self, capacity: int) -> list[range]:
        """Return the positions that are left, of a sequence of at most so many tokens."""
        starts = [0, *(run.end for run in self.runs)]
        ends = [*(run.at for run in self.runs), capacity]
        return [range(start, end) for start, end in zip(starts, ends, strict=True) if start < end]

    def left(self, prompt: Sequence[int]) -> list[int]:
        """Return the tokens of a prompt that have to be read."""
        return [token for gap in self.gaps(len(prompt)) for token in prompt[gap.start : gap.stop]]

    def layer(self, index: int) -> Iterator[tuple[int, Pair]]:
        """Yield keys and values of one layer, `[1, kv_heads, tokens, head_dim]`, and where each piece begins."""
        for run in self.runs:
            at, moved = run.at, run.at - run.start
            for keys, values in self.prefixes[run.cache].layer(index, run.start, run.start + run.tokens):
                if moved:
                    assert self.rotation is not None
                    keys = self.rotation.moved(keys, moved)
                yield at, (keys, values)
                at += keys.shape[-2]


NOTHING = Reused()


class SequenceCache:
    """Keys and values of one sequence, in two pieces of memory a layer that are asked for once.

    What is shared is copied when a layer is first reached, so that reading it from a file goes along with the work of
    the layers before.
    """

    def __init__(self, layers: int, capacity: int, reused: Reused = NOTHING) -> None:
        """Take the number of tokens there will be, and what need not be read of them."""
        self._capacity = capacity
        self._reused = reused
        self._gaps = reused.gaps(capacity)
        self._layers: list[Pair | None] = [None] * layers

    def upcoming(self, tokens: int) -> Sequence[int]:
        """Return the positions of the tokens that are read next."""
        first = self._gaps[0]
        return first[:tokens] if len(first) >= tokens else list(islice(chain(*self._gaps), tokens))

    def extend(self, layer: int, positions: Sequence[int], keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """Write those of new tokens, `[1, kv_heads, tokens, head_dim]`; return those of all up to the last of them.

        Until `advance` the new ones count as not there: a pass that fails can be made again.
        """
        rooms = self._layers[layer] or self._first(layer, keys, values)
        where: slice | Sequence[int] = positions
        if isinstance(positions, range):
            where = slice(positions.start, positions.stop)
        for room, states in zip(rooms, (keys, values), strict=True):
            room[..., where, :] = states
        all_keys, all_values = (room[..., : positions[-1] + 1, :] for room in rooms)
        return all_keys, all_values

    def advance(self, tokens: int) -> None:
        """Let as many of the new tokens be there in all layers."""
        while tokens:
            read = self._gaps[0][:tokens]
            tokens -= len(read)
            self._gaps[0] = self._gaps[0][len(read) :]
            if not self._gaps[0]:
                self._gaps.pop(0)
        self._reused = NOTHING

    def pairs(self) -> list[Pair]:
        """Return keys and values of each layer over all tokens up to the next, `[1, kv_heads, tokens, head_dim]`."""
        end = self._gaps[0].start if self._gaps else self._capacity
        return [
            (keys[..., :end, :], values[..., :end, :])
            for keys, values in (pair for pair in self._layers if pair is not None)
        ]

    def _first(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> Pair:
        """Ask for the memory of a layer, and copy what is shared."""
        rooms = tuple(
            states.new_empty((*states.shape[:-2], self._capacity, states.shape[-1])) for states in (keys, values)
        )
        for at, pieces in self._reused.layer(layer):
            for room, piece in zip(rooms, pieces, strict=True):
                room[..., at : at + piece.shape[-2], :] = piece
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
