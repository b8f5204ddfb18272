"""From one text to another by rare words that both have: the second hop of a question."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum

RAREST, RARE, RARE_SHARE = 2, 20, 8
"""A word leads on if it is in 2 to 20 texts of a vault, in no more than every eighth, or in 2 of at least 4."""

NAMED = 3
"""Most words that are told of a step, the rarest."""


class Way(Enum):
    """How a search came to a text that none of its legs found."""

    NEIGHBOUR = "neighbour"
    """It stands beside one that was found."""
    SHARED_WORDS = "shared_words"
    """It shares rare words with one that was found."""
    UPDATE = "update"
    """It supersedes one that was found."""


@dataclass(frozen=True, slots=True)
class Step:
    """From which text a search came to another one, and by which terms."""

    way: Way
    source: str
    terms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RareTerm:
    """A term of a vault: its IDF there, and the texts that have it with their lengths in terms."""

    term: str
    idf: float
    texts: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What shares rare terms with some texts.

    Attributes:
        scores: uid -> how strongly it is reached, from 0 on; of a seed, by the others.
        terms: that led there.
        seeds: uid -> how much what it leads to counts.
    """

    scores: Mapping[str, float]
    terms: Sequence[RareTerm]
    seeds: Mapping[str, float]

    def steps(self, uids: Set[str]) -> dict[str, Step]:
        """Return the strongest step to each of some texts."""
        shares: dict[str, dict[str, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
        for term in self.terms:
            for uid, _ in term.texts:
                if uid in uids:
                    for seed, strength in _strengths(term, self.seeds):
                        if seed != uid:
                            shares[uid][seed].append((strength, term.term))
        return {uid: _strongest(by_seed) for uid, by_seed in shares.items()}


def most_texts(documents: int) -> int:
    """Return in how many texts of a vault a term may be to count as rare."""
    return min(RARE, max(RAREST, documents // RARE_SHARE), documents // 2)


def most_told(documents: int) -> int:
    """Return in how many texts of a vault a term may be to be told as what they have in common."""
    return min(RARE, max(1, documents // 2))


def rarest(rare: Mapping[str, float], most: int) -> dict[str, float]:
    """Return the terms of the highest IDF; of equal ones the longest, which tells most."""
    return dict(sorted(rare.items(), key=lambda item: (-item[1], -len(item[0]), item[0]))[:most])


def walk(terms: Sequence[RareTerm], seeds: Mapping[str, float]) -> Walk:
    """Return what shares terms with the seeds: the cosine of the texts' TF-IDF vectors, but for their common words."""
    scores: dict[str, float] = {}
    for term in terms:
        for seed, strength in _strengths(term, seeds):
            for uid, length in term.texts:
                if uid != seed:
                    scores[uid] = scores.get(uid, 0.0) + strength / math.sqrt(length)
    return Walk(scores, terms, seeds)


def _strengths(term: RareTerm, seeds: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return how strongly a term leads away from each seed that has it."""
    return [(uid, seeds[uid] * term.idf * term.idf / math.sqrt(length)) for uid, length in term.texts if uid in seeds]


def _strongest(by_seed: Mapping[str, Sequence[tuple[float, str]]]) -> Step:
    sums = {seed: sum(strength for strength, _ in parts) for seed, parts in by_seed.items()}
    source = max(sums, key=lambda seed: (sums[seed], seed))
    parts = sorted(by_seed[source], key=lambda part: (-part[0], -len(part[1]), part[1]))
    return Step(Way.SHARED_WORDS, source, tuple(term for _, term in parts[:NAMED]))
