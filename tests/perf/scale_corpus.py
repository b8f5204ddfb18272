"""A million memories to measure with: vectors of MiniLM over sentences, each with a little noise of its own."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from corpus import texts

from memos_client import NewMemory

Floats = npt.NDArray[np.float32]

DIMENSIONS = 384
BASE = 4_000
NOISE = 0.5
BUCKETS = 100
"""Values of the label `bucket`: a filter by one of them passes 1 %."""

_PART = 10_000


@dataclass(frozen=True)
class Corpus:
    """Vectors of all memories, on disk, and what makes their texts."""

    vectors: Floats
    base: Sequence[str]

    def items(self, start: int, end: int) -> Iterator[NewMemory]:
        """Yield memories; each has a text of its own that ends with its number."""
        for number in range(start, end):
            text = f"{self.base[number % BASE]}; copy {number}"
            labels = {"bucket": bucket(number % BUCKETS)}
            yield NewMemory(text=text, vector=self.vectors[number], labels=labels)

    def nearest(self, queries: Floats, size: int, count: int, *, filtered: bool) -> list[set[int]]:
        """Return the numbers of the `count` nearest of the first `size` memories, exactly, for each query.

        `filtered`: query number n sees only memories of bucket n modulo `BUCKETS`.
        """
        best: list[list[tuple[float, int]]] = [[] for _ in queries]
        for start in range(0, size, _PART):
            scores = queries @ self.vectors[start : min(size, start + _PART)].T
            for number, row in enumerate(scores):
                if filtered:
                    row[np.arange(start, start + len(row)) % BUCKETS != number % BUCKETS] = -np.inf
                top = np.argpartition(-row, min(count, len(row) - 1))[:count]
                best[number] = sorted(best[number] + [(float(row[at]), start + int(at)) for at in top])[-count:]
        return [{number for score, number in found if score > -np.inf} for found in best]


def bucket(number: int) -> str:
    """Return a value of the label `bucket`."""
    return f"b{number:02}"


def encoder() -> Any:
    """Return MiniLM, as inference runs it."""
    from memos_inference.adapters.checkpoint import FileDigests
    from memos_inference.adapters.loading import load_encoder
    from memos_inference.config import InferenceConfig

    with tempfile.TemporaryDirectory() as folder:
        return load_encoder("minilm", InferenceConfig(), FileDigests(Path(folder) / "digests.json"), setting="embedder")


def embedded(model: Any, items: Sequence[str]) -> Floats:
    """Return the vectors of texts."""
    return np.array(model.encode(list(items), max_texts=32), dtype=np.float32)


def made(folder: Path, count: int, model: Any) -> Corpus:
    """Make the vectors, in parts, so that memory does not grow with their number."""
    base = texts(BASE)
    centres = embedded(model, base)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", dtype=np.float32, shape=(count, DIMENSIONS))
    rng = np.random.default_rng(5)
    for start in range(0, count, _PART):
        numbers = np.arange(start, min(count, start + _PART))
        noise = rng.standard_normal((len(numbers), DIMENSIONS), dtype=np.float32) * (NOISE / DIMENSIONS**0.5)
        near = centres[numbers % BASE] + noise
        vectors[numbers] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return Corpus(vectors, base)
