"""Has a model read tokens."""

from collections.abc import Sequence

from memos_inference.adapters.kv_chunks import Pair
from memos_inference.adapters.packed import Packed
from memos_inference.adapters.torch_decoder import TorchDecoder


def pairs_of(decoder: TorchDecoder, ids: Sequence[int], *, piece: int = 0) -> list[Pair]:
    """Return keys and values of each layer; the tokens are read in pieces, or with 0 at once."""
    state = decoder.begin(len(ids))
    assert isinstance(state, Packed)
    for at in range(0, len(ids), piece or len(ids)):
        decoder.step([(state, ids[at : at + (piece or len(ids))])])
    return state.cache.pairs()
