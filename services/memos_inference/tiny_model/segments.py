"""Words in other tokens than usual, for training alone.

The words of the training side are tokens of their own for the most part; a word that the tokenizer has never seen is
spelt in short pieces that are rare in training, and copying it goes wrong. So words of the answers are cut at random
places, each the same way wherever it stands in a row (a relative of BPE-dropout, Provilkov et al. 2020), or give way to
tokens drawn from all that there are, for most pieces are in no word of the training side, wherever it is cut.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from tokenizers import Tokenizer

Cuts = Mapping[str, list[int]]
"""Word (with the mark of the space before it) -> its tokens in this row."""

_RATE = 0.4
_DRAWN = 0.5
"""Share of these words that give way to drawn tokens."""

_SHORTEST = 3
_MARK = "Ġ"
"""How the tokenizer writes the space before a word."""

_REMEMBERED = 200_000


class Segmenter:
    """Encodes texts word by word."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._known: dict[str, list[int]] = {}
        pieces = [(text, number) for text, number in backend.get_vocab().items() if text.lstrip(_MARK).isalpha()]
        self._first = sorted(number for text, number in pieces if text.startswith(_MARK))
        self._following = sorted(number for text, number in pieces if not text.startswith(_MARK))

    def ids(self, text: str, cuts: Cuts) -> list[int]:
        """The tokens of a text; those of its words that are in `cuts` as given there."""
        found: list[int] = []
        for word in self._words(text):
            found += cuts.get(word) or self._usual(word)
        return found

    def cuts(self, rng: random.Random, texts: Iterable[str]) -> Cuts:
        """Other tokens for some words of the texts."""
        words = dict.fromkeys(
            word for text in texts for word in self._words(text) if len(word) >= _SHORTEST and word[-1].isalpha()
        )
        return {word: self._other(rng, word) for word in words if rng.random() < _RATE}

    def _other(self, rng: random.Random, word: str) -> list[int]:
        if rng.random() < _DRAWN:
            return [rng.choice(self._first), *(rng.choice(self._following) for _ in range(rng.randint(0, 3)))]
        return self._cut(rng, word)

    def _cut(self, rng: random.Random, word: str) -> list[int]:
        # Now and then letter by letter: only then are the same two tokens often neighbours, as in "e g g s".
        count = rng.choice((1, 1, 2, 3, len(word)))
        places = sorted(rng.sample(range(1, len(word)), k=min(count, len(word) - 1)))
        parts = [word[start:end] for start, end in zip([0, *places], [*places, len(word)], strict=True)]
        return [token for part in parts for token in self._usual(part)]

    def _words(self, text: str) -> list[str]:
        normalized = self._backend.normalizer.normalize_str(text)
        return [word for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(normalized)]

    def _usual(self, word: str) -> list[int]:
        ids = self._known.get(word)
        if ids is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            ids = self._known[word] = [token.id for token in self._backend.model.tokenize(word)]
        return ids
