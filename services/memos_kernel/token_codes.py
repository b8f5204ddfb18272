"""Vectors of tokens in 2 bits a dimension, and of a query's tokens in 8: how they are rotated, quantized and packed.

A unit vector is turned by a fixed rotation, after which each element is nearly normal with variance 1/d, whatever the
model. So one set of levels, those of Lloyd and Max for the normal distribution, fits every element, and nothing has to
be learned from data. The rotation keeps inner products: a query is turned likewise and compared with the levels.

The rotation is made of random signs and Hadamard matrices of the largest power of two that divides d, twice, with the
blocks interleaved between: exact and the same on every machine. `CODEBOOK` names rotation, levels and packing together.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from memos_kernel import limits

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

CODEBOOK = 1
"""The codebook of this version."""

MAX_TOKENS = limits.TEXT_TOKENS
"""Most tokens of a text whose vectors are kept, the first; the others are found by words and by the pooled vector."""

_LEVELS = np.array([-1.5104, -0.4528, 0.4528, 1.5104], dtype=np.float32)
"""Lloyd-Max levels of the standard normal distribution for 2 bits (Max 1960)."""
_BOUNDS = (-0.9816, 0.0, 0.9816)
_RMS = 0.93938
"""Root mean square of the levels under that distribution: what a vector of codes has as its length."""
_PER_BYTE = 4
_REACH = 4.0
"""Standard deviations that 8 bits of a query's element span to either side."""
_STEPS = 255


@dataclass(frozen=True, slots=True)
class TokenCodes:
    """Packed codes of the tokens of one text, with the codebook that they are of; none if no vectors are made of it.

    Attributes:
        codes: 64-bit words, the bytes of all tokens in order, little endian, filled up with zeros.
        words: of a query, the word of each token.
    """

    codebook: int
    codes: Sequence[int]
    words: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class QueryTokens:
    """A query as late interaction takes it: rotated vectors, float32, shape (tokens, d), and the word of each token."""

    vectors: Floats
    words: Sequence[str]


@cache
def rotation(dimensions: int) -> Floats:
    """Return the matrix that vectors are multiplied with from the right, float32, shape (d, d), orthogonal."""
    block = dimensions & -dimensions
    hadamard = np.ones((1, 1), dtype=np.float64)
    while len(hadamard) < block:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    mixed = np.kron(np.eye(dimensions // block), hadamard / np.sqrt(block))
    order = np.arange(dimensions).reshape(dimensions // block, block).T.ravel()
    first, second = _signs(dimensions, "first"), _signs(dimensions, "second")
    turned = (first[:, None] * mixed)[:, order]
    return ((turned * second[None, :]) @ mixed).astype(np.float32)


def _signs(dimensions: int, which: str) -> npt.NDArray[np.float64]:
    drawn = hashlib.shake_128(f"memos token codes {CODEBOOK} {which}".encode()).digest(dimensions)
    signs: npt.NDArray[np.float64] = 1.0 - 2.0 * (np.frombuffer(drawn, dtype=np.uint8) & 1).astype(np.float64)
    return signs


def no_tokens() -> TokenCodes:
    """Return what stands for a text of which no vectors of tokens are made."""
    return TokenCodes(CODEBOOK, ())


def pack_tokens(rotated: Floats) -> TokenCodes:
    """Return the codes of a stored text.

    Args:
        rotated: unit vectors times `rotation`, float32, shape (tokens, d); d is a multiple of 4.
    """
    scaled = rotated[:MAX_TOKENS] * np.sqrt(rotated.shape[1])
    levels = np.zeros(scaled.shape, dtype=np.uint8)
    for bound in _BOUNDS:
        levels += scaled > bound
    parts = levels.reshape(-1, _PER_BYTE)
    packed = parts[:, 0] | parts[:, 1] << 2 | parts[:, 2] << 4 | parts[:, 3] << 6
    return TokenCodes(CODEBOOK, _words64(packed.astype(np.uint8)))


def pack_query(rotated: Floats, words: Sequence[str]) -> TokenCodes:
    """Return the codes of a query.

    Args:
        rotated: unit vectors times `rotation`, float32, shape (tokens, d).
        words: the word of each token.
    """
    span = 2 * _REACH / np.sqrt(rotated.shape[1])
    steps = np.clip(np.rint((rotated / span + 0.5) * _STEPS), 0, _STEPS).astype(np.uint8)
    return TokenCodes(CODEBOOK, _words64(steps.ravel()), words)


def query_tokens(codes: TokenCodes, dimensions: int) -> QueryTokens | None:
    """Return what a query's codes stand for; None if they are of another codebook, or do not fit the dimensions."""
    steps = np.array(codes.codes, dtype="<u8").view(np.uint8)
    count = len(codes.words)
    if codes.codebook != CODEBOOK or not count or len(steps) < count * dimensions:
        return None
    span = np.float32(2 * _REACH / np.sqrt(dimensions))
    vectors = (steps[: count * dimensions].reshape(count, dimensions) / np.float32(_STEPS) - np.float32(0.5)) * span
    return QueryTokens(vectors.astype(np.float32), tuple(codes.words))


def to_bytes(codes: TokenCodes, dimensions: int) -> bytes:
    """Return the codes of a stored text as they are kept: the codebook's number, then those of each token.

    Without codes nothing is kept.

    Raises:
        ValueError: they are no codes of vectors of so many dimensions.
    """
    each, data = dimensions // _PER_BYTE, np.array(codes.codes, dtype="<u8").view(np.uint8).tobytes()
    if not data:
        return b""
    tokens = len(data) // each if each else 0
    if dimensions % _PER_BYTE or not 0 < codes.codebook < 256 or not 0 < tokens <= MAX_TOKENS:
        raise ValueError(f"{len(data)} bytes are no token vectors of {dimensions} dimensions")
    return bytes([codes.codebook]) + data[: tokens * each]


def from_bytes(data: bytes) -> TokenCodes:
    """Return what `to_bytes` made bytes of."""
    return TokenCodes(data[0], _words64(np.frombuffer(data, dtype=np.uint8, offset=1)))


def levels_of(data: bytes, dimensions: int) -> Floats | None:
    """Return the vectors that stored codes stand for, of length 1; None if they are of another codebook or size.

    They are rotated, as all that was made of codes: compare them with each other only.

    Args:
        data: codes as `to_bytes` makes them.
        dimensions: of the vectors.

    Returns:
        float32, shape (tokens, d).
    """
    each = dimensions // _PER_BYTE
    if data[:1] != bytes([CODEBOOK]) or not each or len(data) <= each or (len(data) - 1) % each:
        return None
    levels = np.take(_TABLE, np.frombuffer(data, dtype=np.uint8, offset=1)).view(np.float32).reshape(-1, dimensions)
    vectors: Floats = levels / np.linalg.norm(levels, axis=1, keepdims=True)
    return vectors


def maxima(query: QueryTokens, texts: Sequence[bytes]) -> Floats:
    """Return the highest cosine of each token of a query with any token of each text.

    A text of another codebook or size has 0 throughout.

    Args:
        query: its vectors.
        texts: codes as `to_bytes` makes them.

    Returns:
        float32, shape (texts, tokens of the query).
    """
    count, dimensions = query.vectors.shape
    each = dimensions // _PER_BYTE
    found = np.zeros((len(texts), count), dtype=np.float32)
    fit = [index for index, data in enumerate(texts) if data[:1] == bytes([CODEBOOK]) and (len(data) - 1) % each == 0]
    fit = [index for index in fit if len(texts[index]) > each]
    if not fit:
        return found
    joined = np.frombuffer(b"".join(texts[index][1:] for index in fit), dtype=np.uint8)
    levels = np.take(_TABLE, joined).view(np.float32).reshape(-1, dimensions)
    cosines = levels @ (query.vectors.T / np.float32(_RMS * np.sqrt(dimensions)))
    starts = np.cumsum([0, *((len(texts[index]) - 1) // each for index in fit[:-1])])
    found[fit] = np.maximum.reduceat(cosines, starts, axis=0)
    return found


_TABLE = _LEVELS[np.stack([np.arange(256) >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)].view(np.complex128).ravel()
"""The levels of the four codes of a byte, as one number of their 16 bytes, for that is what is looked up fastest."""


def _words64(data: Bytes) -> list[int]:
    padded = np.zeros(-(-len(data) // 8) * 8, dtype=np.uint8)
    padded[: len(data)] = data
    words: list[int] = padded.view("<u8").tolist()
    return words
